"""The program, by a digest of its own source, and the libraries that compute."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("features", "models", "pipelines")
SOURCES = {".py", ".j2", ".css", ".js"}
LIBRARIES = ["duckdb", "ibis-framework", "lightgbm", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy"]


@cache
def versions() -> dict[str, str]:
    """The program with a digest of its own source, Python and the libraries that compute."""
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
    paths = [path for floor in PACKAGES for path in (root / floor).rglob("*") if path.suffix in SOURCES]
    return sorted(path for path in paths if path.is_file())
