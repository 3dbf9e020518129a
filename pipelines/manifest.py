"""What a list says of itself: what decides its bytes, and what is in it. Nothing in it depends on when or how fast."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.artifacts import Layout
from pipelines.store import read_profile

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("features", "models", "pipelines")
SOURCES = {".py", ".j2", ".css", ".js"}
LIBRARIES = ["duckdb", "ibis-framework", "lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy"]


def identity(
    layout: Layout,
    day: str | None,
    model_id: str,
    reasons: str,
    previous: str | None,
    files: Mapping[str, str],
    lot: Mapping[str, float],
) -> dict[str, Any]:
    """Return all that decides the bytes of a list.

    Parameters
    ----------
    layout
        Where the contract tables lie.
    day
        The scoring day in ISO's way; None for tables without dates.
    previous
        The list of the last day before.
    files
        Digests of the user's files, where the run has read them itself.
    lot
        Share and seed of `exploration`.
    """
    return {
        "as_of": day,
        "model_id": model_id,
        "data_fingerprint": read_profile(layout)["fingerprint"],
        "profile": hashlib.sha256(layout.profile.path.read_bytes()).hexdigest(),
        "reasons": reasons,
        "previous": previous,
        "inputs": dict(files),
        "exploration": dict(lot),
        "versions": versions(),
    }


def name_of(identity: Mapping[str, Any]) -> str:
    """Name a list by its day and a digest of what decides it."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{identity['as_of'] or 'undated'}-{digest[:12]}"


@cache
def versions() -> dict[str, str]:
    """The program, by a digest of its own source too, Python and the libraries that compute."""
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    program = f"{importlib.metadata.version('leadscore')}+{source_digest(ROOT)}"
    return {"leadscore": program, "python": platform.python_version()} | libraries


def source_digest(root: Path) -> str:
    """Return 16 hex digits that change with any file of the program below `root`, by its path and its bytes."""
    digest = hashlib.sha256()
    for path in source_files(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def source_files(root: Path) -> list[Path]:
    """Return the program's modules and page templates, however deep they lie, in the order of their paths."""
    found = [path for floor in FLOORS for path in (root / floor).rglob("*") if path.suffix in SOURCES]
    return sorted(path for path in found if path.is_file())


def rows_in(layout: Layout) -> dict[str, dict[str, int]]:
    """By table: rows read, kept for scoring, and quarantined."""
    tables = read_profile(layout)["tables"]
    return {
        name: {"read": one["read"], "kept": one["kept"], "quarantined": sum(one["quarantined"].values())}
        for name, one in tables.items()
    }
