"""Imports go one way, and only pipelines/ has doors."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# A room imports itself and those before it: floor by floor, and on a floor in this order. `checks` and `api` are
# one module each.
ROOMS = {
    "features": ("schema", "cohort", "events", "attributes", "matrix", "rules"),
    "models": (
        "checks", "splitting", "learners", "evaluation", "points", "scorecard", "revenue", "tiers", "lists", "nurture",
        "training", "scoring", "explanation", "leakage", "kpis", "monitoring", "promotion",
    ),
    "pipelines": (
        "config", "storage", "simulation", "ingestion", "inspection", "revenue", "scoring", "lists", "nurture",
        "lacks", "reporting", "registry", "stages", "scheduled", "analysis", "delivery", "pull", "serving", "app",
        "privacy", "cli", "api",
    ),
}  # fmt: skip
ORDER = [f"{floor}.{room}" for floor, rooms in ROOMS.items() for room in rooms]
MOST_MODULES = 12  # of a room
MOST_LINES = 400  # of a module
MOST_PARAMETERS = 7  # of a function
ONE_FILE_A_STAGE = "pipelines/stages"  # as many modules as stages
FILE_DOORS = {"pathlib", "os", "io", "shutil", "tempfile", "subprocess", "socket", "urllib", "sqlite3"}
DOORS = FILE_DOORS | {"time", "logging", "mlflow", "duckdb", "typer", "rich", "yaml", "dvc", "sqlalchemy", "fastapi"}
CLOCKS = {"now", "today", "utcnow"}
CALLS = CLOCKS | {"open", "print", "input", "read_csv", "read_parquet", "to_parquet", "connect", "raw_sql"}
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts)
)


def modules(*floors: str) -> list[Path]:
    return [path for path in FILES if path.relative_to(ROOT).parts[0] in floors]


def room_of(path: Path) -> str:
    """The room a module lies in, such as features.schema; the floor alone for its own `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts[:2]).removesuffix(".__init__")


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
    names = set(imported(tree))
    later = set(ORDER[ORDER.index(room) + 1 :]) if room in ORDER else set(ORDER)
    wrong = [name for name in names if ".".join(name.split(".")[:2]) in later or name.split(".")[0] == "tests"]
    if room.startswith("pipelines"):
        return wrong
    doors = [name for name in names if name.split(".")[0] in DOORS]
    return wrong + doors + [name for name in called(tree) if name in CALLS]


def test_every_folder_is_a_room_and_says_what_lives_there() -> None:
    found = {room_of(path) for path in modules(*ROOMS)} - ROOMS.keys()
    assert found == set(ORDER)
    for room in [*ROOMS, *ORDER]:
        folder = ROOT / room.replace(".", "/")
        source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        lines = ast.get_docstring(ast.parse(source.read_text()))
        assert lines is not None, room
        assert len(lines.split("\n\n")) == 2, f"{room}: what lives here, and what may not"


def test_rooms_are_small() -> None:
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in modules(*ROOMS) if path.name != "__init__.py")
    assert {room: n for room, n in counts.items() if n > MOST_MODULES} == {ONE_FILE_A_STAGE: counts[ONE_FILE_A_STAGE]}


@pytest.mark.parametrize("path", modules(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_trespasses(path: Path) -> None:
    assert trespasses(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("features.schema", "from models.splitting.holdout import draw"),
        ("features.schema", "from features.cohort.labels import label"),
        ("features.matrix", "def f():\n    import pipelines.storage.contract_store"),
        ("features.rules", "from models.checks import Check"),
        ("models.checks", "from models.tiers.assignment import assign"),
        ("models.points", "from models.tiers.assignment import assign"),
        ("models.tiers", "from pipelines.storage import files"),
        ("models.tiers", "import mlflow"),
        ("models.tiers", "from pathlib import Path"),
        ("features.matrix", "import duckdb"),
        ("features.matrix", "open('x')"),
        ("features.matrix", "pd.Timestamp.now()"),
        ("features.matrix", "dt.datetime.now(dt.UTC)"),
        ("features.matrix", "import time"),
        ("models.tiers", "os.environ; import os.path"),
        ("models.tiers", "frame.to_parquet('x')"),
        ("pipelines.config", "from pipelines.storage import files"),
        ("pipelines.scoring", "from pipelines.stages.train import train"),
        ("pipelines", "from pipelines.config.params import load"),
    ],
)
def test_a_trespass_is_seen(room: str, source: str) -> None:
    assert trespasses(room, source)


def parameters(function: ast.FunctionDef) -> int:
    return sum(one.arg not in {"self", "cls"} for one in ast.walk(function.args) if isinstance(one, ast.arg))


def is_command(function: ast.FunctionDef) -> bool:
    """Whether Typer makes a command of it, whose parameters are its options."""
    names = [ast.unparse(one) for one in function.decorator_list]
    return any(".command(" in name or ".callback(" in name for name in names)


@pytest.mark.parametrize("path", modules(*ROOMS, "benchmarks"), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_take_few_parameters(path: Path) -> None:
    functions = [
        one for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(one, ast.FunctionDef)
    ]
    assert [one.name for one in functions if parameters(one) > MOST_PARAMETERS and not is_command(one)] == []


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}
    assert "tests/test_import_directions.py" in lengths
