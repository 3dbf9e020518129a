"""What an earlier run stored, read as it was written: a default of today never stands in for a value of then."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def read_stored(kind: type[Model], tree: Any) -> Model:
    """Validate a stored tree that must hold every key its type writes.

    Raises
    ------
    ValueError
        With the first key that is missing, or as pydantic says what does not fit.
    """
    model = kind.model_validate(tree)
    key = missing_key(tree, model.model_dump(mode="json"))
    if key is not None:
        raise ValueError(f"{key} is missing")
    return model


def missing_key(tree: Any, full: Any, path: str = "") -> str | None:
    """Return the path of the first key of `full` that `tree` lacks, None where it has all of them."""
    if isinstance(full, dict) and isinstance(tree, dict):
        parts = ((f"{path}.{key}" if path else str(key), tree.get(key, ...), value) for key, value in full.items())
    elif isinstance(full, list) and isinstance(tree, list):
        parts = ((f"{path}[{index}]", *pair) for index, pair in enumerate(zip(tree, full, strict=True)))
    else:
        return path if tree is ... else None
    return next((key for key in (missing_key(*part[1:], part[0]) for part in parts) if key is not None), None)
