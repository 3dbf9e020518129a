"""What the command line says of itself: every command in the help, one meaning an option, old names gone."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from pipelines.cli.app import app
from tests.pipelines.cli.test_app import leadscore
from tests.support.paths import ROOT

ROOMS = {
    "": {
        "init", "pull", "inspect", "run", "score", "tiers", "lacks", "audit-score", "explain", "serve", "app", "report",
        "deliver",
        "docs",
    },
    "stage": {
        "resolve-params", "simulate", "ingest", "build-features", "audit", "train", "backtest", "evaluate", "kpis",
        "explain", "score", "report", "track",
    },
    "model": {"promote", "rollback", "prune", "compare", "track", "scorecard"},
    "nightly": {"score", "monitor", "retrain", "shadow"},
    "lead": {"explain", "change", "rules", "override", "letter", "forget"},
    "example": {"bank-marketing", "crm-export"},
}  # fmt: skip
PANELS = ["Options", "Everyday", "Models", "Nightly", "Leads", "Delivery", "Stages", "Reference"]
GROUPS = tuple(name for name in ROOMS if name)
OLD = [
    "simulate", "ingest", "build-features", "audit", "train", "backtest", "evaluate", "kpis", "track", "promote",
    "rollback", "compare", "scorecard", "monitor", "retrain", "shadow", "change", "rules explain a1", "where",
    "data bank-marketing", "explain a1", "score --to lists", "docs --to x", "deliver --to duckdb",
    "lead change --from 2026-01-01", "nightly score --to lists", "example bank-marketing --to x",
]  # fmt: skip


def commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command and the words that call it."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(commands())


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setenv("COLUMNS", "120")
    assert leadscore(monkeypatch, *words) == 0
    return capsys.readouterr().out


def test_the_commands_are_those_of_the_plan() -> None:
    wanted = {(*group.split(), name) for group, names in ROOMS.items() for name in names}
    assert set(COMMANDS) == wanted


def test_the_help_of_the_root_is_a_map_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(monkeypatch, capsys, "--help")
    assert re.findall(r"╭─ (\w+) ─", text) == PANELS
    listed = [words for words in COMMANDS if words[0] not in ("stage", "example")]
    for words in [*listed, ("stage",), ("example",)]:
        (line,) = re.findall(rf"^│ {' '.join(words)}  +(\S.*\S) +│$", text, re.MULTILINE)
        assert line, words
    assert shown(monkeypatch, capsys, "-h") == text


def test_a_line_of_the_root_fits_a_terminal_of_80_columns() -> None:
    for words, command in COMMANDS.items():
        assert len(command.help.split("\n\n")[0]) <= 59, words


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_what_goes_in_and_out(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = shown(monkeypatch, capsys, *words, "-h")
    assert "IN:" in printed and "OUT:" in printed
    assert printed == shown(monkeypatch, capsys, *words, "--help")


def test_an_option_means_one_thing_everywhere() -> None:
    meanings = defaultdict(set)
    for words, command in COMMANDS.items():
        for one in command.params:
            if one.param_type_name == "option":
                assert one.help, (words, one.opts)
                for name in one.opts:
                    meanings[name].add((one.help, one.metavar))
    assert {name for name, said in meanings.items() if len(said) > 1} == set()
    assert {"--params", "--data", "--out", "--as-of", "--lists", "--model"} <= set(meanings)
    assert "--to" not in meanings


@pytest.mark.parametrize("line", OLD)
def test_old_names_are_gone(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert leadscore(monkeypatch, *line.split()) == 2
    assert re.search(r"No such (command|option)|unexpected extra argument|Missing", capsys.readouterr().err)


@pytest.mark.parametrize("folder", ["features", "models", "pipelines", "docs", "examples", "benchmarks", "."])
def test_every_command_that_a_text_names_exists(folder: str) -> None:
    """In messages, docstrings, pages and settings; whole names, so that a reader can type them."""
    suffixes = (".py", ".md", ".yaml", ".j2")
    paths = (ROOT / folder).glob("*") if folder == "." else (ROOT / folder).rglob("*")
    for path in paths:
        if path.suffix in suffixes and path.name != "CHANGELOG.md":
            for name in re.findall(r"(?:`|<code>|bin/)leadscore ([^`<\n]+)", path.read_text(encoding="utf-8")):
                words = re.sub(r"\{.*?\}", "duckdb", name).split()
                known = any(tuple(words[:length]) in COMMANDS for length in (1, 2))
                assert known or words[0] in GROUPS or words[0].startswith("-"), (path, name)


def test_a_slip_of_the_pen_is_answered_with_the_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leadscore(monkeypatch, "reprot") == 2
    assert "Did you mean 'report'" in " ".join(capsys.readouterr().err.split())
    assert leadscore(monkeypatch, "model", "promot") == 2
    assert "Did you mean 'promote'" in " ".join(capsys.readouterr().err.split())


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(monkeypatch, capsys, "--version") == f"leadscore {importlib.metadata.version('leadscore')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(instruction: str, **more: str) -> str:
        told = os.environ | {"_LEADSCORE_COMPLETE": f"{instruction}_{shell}"} | more
        words = [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['leadscore']; from pipelines.cli.app import main; main()",
        ]
        return subprocess.run(words, env=told, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout

    assert "_LEADSCORE_COMPLETE" in completed("source") and "leadscore" in completed("source")
    line = {"COMP_WORDS": "leadscore model ", "COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "leadscore model "}
    if shell == "fish":
        line["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    assert {"promote", "rollback"} <= set(re.findall(r"\w+", completed("complete", **line)))


def test_the_command_line_starts_without_what_only_commands_need() -> None:
    heavy = ("pandas", "numpy", "duckdb", "mlflow", "sklearn", "lightgbm", "pyarrow", "pydantic")
    code = f"import sys, pipelines.cli.app; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
