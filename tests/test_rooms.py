"""Imports go one way, and only pipelines/ has doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "models", "pipelines")  # each imports itself and those before it
FILE_DOORS = {"pathlib", "os", "io", "shutil", "tempfile", "subprocess", "socket", "urllib", "sqlite3"}
DOORS = FILE_DOORS | {"time", "logging", "mlflow", "duckdb", "typer", "rich", "yaml", "dvc", "sqlalchemy"}
CLOCKS = {"now", "today", "utcnow"}
CALLS = CLOCKS | {"open", "print", "input", "read_csv", "read_parquet", "to_parquet", "connect", "raw_sql"}
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts)
)


def modules(*rooms: str) -> list[Path]:
    return [path for path in FILES if path.relative_to(ROOT).parts[0] in rooms]


def imported(tree: ast.AST) -> Iterator[str]:
    """The full names of all modules that a file imports, at its top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their room"
            yield str(node.module)


def called(tree: ast.AST) -> Iterator[str]:
    """The last names of all functions that a file calls or mentions as an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def trespasses(room: str, source: str) -> list[str]:
    """What a file of a room may not import or call."""
    tree = ast.parse(source)
    later = ROOMS[ROOMS.index(room) + 1 :]
    tops = {name: name.split(".")[0] for name in imported(tree)}
    wrong = [name for name, top in tops.items() if top in later or top == "tests"]
    if room == "pipelines":
        return wrong
    doors = [name for name, top in tops.items() if top in DOORS]
    return wrong + doors + [name for name in called(tree) if name in CALLS]


def test_every_room_has_modules() -> None:
    assert all(len(modules(room)) > 5 for room in ROOMS)


@pytest.mark.parametrize("path", modules(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_trespasses(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    assert trespasses(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("features", "from models.splitting.holdout import draw"),
        ("features", "def f():\n    import pipelines.storage.contract_store"),
        ("models", "from pipelines import store"),
        ("models", "import mlflow"),
        ("models", "from pathlib import Path"),
        ("features", "import duckdb"),
        ("features", "open('x')"),
        ("features", "pd.Timestamp.now()"),
        ("features", "dt.datetime.now(dt.UTC)"),
        ("features", "import time"),
        ("models", "os.environ; import os.path"),
        ("models", "frame.to_parquet('x')"),
    ],
)
def test_a_trespass_is_seen(room: str, source: str) -> None:
    assert trespasses(room, source)


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > 450} == {}
    assert "tests/test_rooms.py" in lengths
