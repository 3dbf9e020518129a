"""A model by the name that a command line gives it: a bundle's folder, or a registered model."""

from __future__ import annotations

from pathlib import Path

from pipelines.config.params import Params

REGISTRY = "models:/"


def find_bundle(model: str, params: Params, work: Path) -> Path:
    """Return a bundle's folder: the one named, or a registered model such as models:/NAME@ALIAS, fetched into `work`.

    Raises
    ------
    ModelError
        Where the registry has no such model.
    """
    if not model.startswith(REGISTRY):
        return Path(model)
    from pipelines.registry.registry import download_bundle  # MLflow takes seconds to import

    return download_bundle(model, params, work)
