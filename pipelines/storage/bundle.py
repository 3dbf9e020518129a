"""The scorer on disk: a folder of text and JSON with a manifest of hashes. Nothing in it can run code."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from features.schema.errors import ModelError
from features.schema.stored import read_stored
from models.points.scale import PointScale, scale_change
from models.scoring.scorer import Scorer
from pipelines.storage.contract_store import Contract
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import staged_folder
from pipelines.storage.layout import TESTED, Layout
from pipelines.storage.results import check_data

log = logging.getLogger("leadscore")
MANIFEST = "manifest.json"
CARD = "card.json"
NAME = re.compile(r"[a-z_]+\d*\.(json|txt)")  # of a file; no path leads out of the folder
LARGEST_FILE = 500_000_000  # bytes; a booster of 1,500 large trees takes 3 million


def save_bundle(scorer: Scorer, folder: Path) -> None:
    """Write the complete bundle, with the SHA-256 of each file."""
    save_texts(scorer.to_files(), folder)


def save_texts(files: Mapping[str, str], folder: Path) -> None:
    """Write the files of a bundle and its manifest."""
    manifest = {name: _digest(text) for name, text in files.items()}
    with staged_folder(folder) as staged:
        for name, text in files.items():
            (staged / name).write_text(text, encoding="utf-8", newline="\n")
        (staged / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def warn_of_scale(folder: Path, scale: PointScale) -> None:
    """Warn where a new model has another scale than the one it replaces: their scores do not compare."""
    before = read_scale(folder)
    if before is not None and before != scale:
        log.warning("train: %s", scale_change(before, scale))


def read_scale(folder: Path) -> PointScale | None:
    """Return the scale of a bundle, which may be of an older format; None where there is none that can be read."""
    try:
        return read_stored(PointScale, json.loads((folder / CARD).read_text(encoding="utf-8"))["points"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_bundle(folder: Path, threads: int) -> Scorer:
    """Read a bundle; raises ModelError where a file is missing, not named, not what was saved, or no model's."""
    try:
        manifest = json.loads(_text(folder / MANIFEST))
        if not isinstance(manifest, dict):
            raise ValueError(f"{MANIFEST} is not a mapping")
        if strange := [name for name in manifest if not NAME.fullmatch(name)]:
            raise ValueError(f"{MANIFEST} names {strange[0]!r:.60}")
        files = {name: _text(folder / name) for name in manifest}
        present = {path.name for path in folder.iterdir()}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"no complete model in {folder}: {error}; run `leadscore stage train`, or point to a trained model"
        ) from None
    if damaged := [name for name, digest in manifest.items() if _digest(files[name]) != digest]:
        raise ModelError(f"{folder / damaged[0]} is not what train saved (its hash differs); train again")
    if others := sorted(present - {*manifest, MANIFEST}):
        raise ModelError(
            f"{folder} holds {others[0]!r:.60}, which its manifest does not name; take it out, or train again"
        )
    return _read(tuple(files.items()), threads)


@lru_cache(maxsize=4)  # a decision about a challenger reads two or four models again and again
def _read(files: tuple[tuple[str, str], ...], threads: int) -> Scorer:
    return Scorer.from_files(dict(files), threads)


def _text(path: Path) -> str:
    """Read a file of a bundle; DVC may have put a link to its cache there, but never a device or a pipe."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name}")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} is larger than {LARGEST_FILE:,} bytes")
    return path.read_bytes().decode("utf-8")


def read_lightgbm() -> None:
    """Import LightGBM without its scikit-learn classes, which bring a second of other modules.

    For commands that read a model and then end: in the same process LGBMClassifier would not work.
    """
    if "sklearn" not in sys.modules:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's way to say: not there
        try:
            import lightgbm  # noqa: F401
        finally:
            del sys.modules["sklearn"]


def load_trained(layout: Layout, folder: Path, threads: int) -> Scorer:
    """Read a bundle of a run; raises ModelError as `load_bundle` does, and where the tables have changed since."""
    scorer = load_bundle(folder, threads)
    check_data(str(folder), scorer.metadata.fingerprint, "train", read_profile(layout).fingerprint)
    return scorer


def load_tested(folder: Path, scorer: Scorer) -> Scorer:
    """Return the model that a bundle's figures are of: it lies beside the bundle, or is the bundle's own.

    Raises
    ------
    ModelError
        Where it is not there, damaged, or another one.
    """
    if scorer.metadata.tested_as is None:
        return scorer
    tested = load_bundle(folder.parent / TESTED, scorer.models.boosters.threads)
    if tested.model_id != scorer.metadata.tested_as:
        raise ModelError(
            f"{folder.parent / TESTED} holds model {tested.model_id}, not {scorer.metadata.tested_as}, as which the "
            f"model in {folder} was tested; train again"
        )
    return tested


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def check_fits(scorer: Scorer, contract: Contract) -> None:
    """Check that the tables hold what the model reads; raises ModelError."""
    needed = [name for name, one in scorer.metadata.matrix.attributes.items() if one.known != "outcome"]
    missing = [name for name in needed if name not in contract.leads]
    if missing or (scorer.metadata.snapshots is not None) != ("created_at" in contract.leads):
        why = f"it reads attribute {missing[0]!r}, which they do not have" if missing else "one has dates, one has none"
        raise ModelError(
            f"model {scorer.model_id} does not fit these data ({why}), so that nothing can be compared; take the alias "
            "champion away in MLflow to begin anew"
        )
