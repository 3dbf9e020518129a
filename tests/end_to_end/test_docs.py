"""The docs are true: links lead somewhere, commands and keys exist, the reference is fresh, the tutorial works."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pandas as pd
import pytest
import typer
from ruamel.yaml import YAML

from pipelines.cli import app as cli
from pipelines.cli.reference import pages, params_page
from pipelines.config import params as of_params
from pipelines.config.params import load
from pipelines.config.yaml_files import merge
from tests.pipelines.cli.test_app import leadscore
from tests.support.paths import ROOT

ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*ROOT_PAGES, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
QUICK = """
train: {boosters: 1, max_rounds: 20}
selection: {folds: {count: 2}, drift_limits: [1.0], recency_half_lives: [0], logistic_c: [0.1], linear_shares: [0.5]}
evaluate: {resamples: 10}
scorecard: {max_lines: 5, l2: [20.0]}
explain: {sample_rows: 100}
features: {windows_days: [30]}
"""


def blocks(path: Path, language: str) -> list[str]:
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [re.sub(f"^{indent}", "", body, flags=re.MULTILINE) for indent, name, body in found if name == language]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands() -> Iterator[tuple[Path, list[str]]]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0].rsplit("/")[-1] == "leadscore":
                    yield page, words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("http"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_file(), f"{page.name} links to {place}, which is not there"
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading #{anchor}"


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text(encoding="utf-8"))}
    assert linked | {index, *ROOT_PAGES} == set(PAGES)
    assert "docs/README.md" in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_readme_is_short_and_its_picture_small() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 300_000


def test_every_name_in_the_architecture_stands_in_its_file() -> None:
    text = " ".join((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    named = re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", text)
    assert len(named) > 25
    for name, file in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        defined = re.search(rf"^ *(?:(?:def|class) {name}\b|{name} = )", text, re.MULTILINE)
        assert defined, f"{file} has no {name}"


def test_every_file_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for file in re.findall(r"`((?:features|models|pipelines|tests)/[\w/]*\w\.py)`", text):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("width", ["40", "200"])
def test_the_reference_is_what_the_code_says(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERMINAL_WIDTH", width)
    made = pages(cli.app)
    assert set(made) == {path.name for path in (ROOT / "docs" / "reference").iterdir()}
    for name, text in made.items():
        committed = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert text == committed, f"{name} is stale; run: .venv/bin/leadscore docs docs/reference"


def test_every_key_of_the_params_is_in_the_reference_with_its_words() -> None:
    told = {line.split("|")[1].strip(" `"): line for line in params_page().splitlines() if line.startswith("| `")}
    tree = load().model_dump(by_alias=True)
    assert {f"{section}.{key}" for section, keys in tree.items() for key in keys} <= {*told}
    for section in ("snapshots", "capacity", "explain", "train", "score"):
        for key, field in type(getattr(load(), section)).model_fields.items():
            assert str(field.description) in told[f"{section}.{key}"]
    assert "| `30` |" in told["snapshots.horizon_days"]
    assert "whole number ≥ 1" in told["snapshots.horizon_days"]
    assert "outcome: written after" in told["source.attributes[].known"]
    assert "one of `csv`" in told["source.leads.format"]
    assert "required" in told["rules.events[].types"]


@pytest.mark.parametrize("file", [ROOT / "params.yaml", *sorted((ROOT / "examples").glob("*.yaml"))], ids=str)
def test_editors_find_a_schema_that_takes_the_file(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    schema, tree = schema_of((file.parent / named[1]).resolve()), YAML(typ="safe", pure=True).load(text)
    schema.validate(tree)
    with pytest.raises(jsonschema.ValidationError, match="bosters"):
        schema.validate(tree | {"train": {"bosters": 3}})


@cache
def schema_of(path: Path) -> Any:
    schema = json.loads(path.read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def test_every_command_and_option_of_the_docs_exists() -> None:
    found, root = list(commands()), typer.main.get_command(cli.app)
    assert len(found) > 10
    for page, words in found:
        command: Any = root
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, f"{page.name}: no command {words[0]}"
            command, words = command.commands[words[0]], words[1:]
        options = {name for one in command.params for name in one.opts if name.startswith("--")}
        assert {word for word in words if word.startswith("--")} <= options, f"{page.name}: {words}"


@cache
def keys_of_params() -> tuple[set[str], set[str]]:
    """The sections, and every key as the reference has it."""
    return {*load().model_dump(by_alias=True)}, set(re.findall(r"^\| `([\w.\[\]]+)`", params_page(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_key_that_a_page_names_exists(page: Path) -> None:
    sections, keys = keys_of_params()
    for name in re.findall(r"`([a-z_]+\.[a-z_.]+)[`:]", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if name.split(".")[0] in sections and not name.endswith((".json", ".csv", ".html", ".md", ".py", ".log")):
            assert name in keys, f"{page.name} names {name}"


def test_the_overlays_of_the_docs_are_valid(tmp_path: Path) -> None:
    whole = [
        block
        for page in PAGES
        for block in blocks(page, "yaml")
        if "source:" not in block or ("outcomes:" in block and "crm_leads" not in block)
    ]
    assert len(whole) >= 3
    for block in whole:
        (tmp_path / "overlay.yaml").write_text(block, encoding="utf-8")
        load(tmp_path / "overlay.yaml")


def run_block(block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the lines of a block one by one, `cd` and all; return what they print."""
    printed = ""
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[0] == "leadscore":
            assert leadscore(monkeypatch, *words[1:]) == 0, line
            shown = capsys.readouterr()
            printed += shown.out + shown.err
        else:
            printed += subprocess.run(words, capture_output=True, check=True, text=True, timeout=60).stdout
    return printed


def corrected(text: str, block: str) -> str:
    """A params file with the lines of a block in place of those with the same key at the same depth."""
    for line in block.splitlines():
        key = re.escape(line.split(":")[0])
        if not line.endswith(":"):
            text, found = re.subn(f"^{key}:.*$", lambda _, new=line: new, text, flags=re.MULTILINE)
            assert found == 1, line
    return text


def test_the_tutorial_works_word_for_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a fifth of the leads, with learning cut short and without charts."""
    monkeypatch.setattr("pipelines.simulation.german_export.LEADS", 500)
    monkeypatch.setattr("pipelines.reporting.charts._drawn", lambda specification: "<svg/>")
    shorter = merge(of_params.QUICK, YAML(typ="safe", pure=True).load(QUICK))
    monkeypatch.setattr(of_params, "QUICK", shorter)
    monkeypatch.chdir(tmp_path)
    tutorial = ROOT / "docs" / "tutorial.md"
    (lines,) = blocks(tutorial, "yaml")
    assert len(lines.splitlines()) <= 10, "by hand"
    setup, export, init, run, look, explain, night, next_night, where = blocks(tutorial, "sh")
    assert setup.split() == ["make", ".venv/.installed", "source", ".venv/bin/activate"]
    assert "Lead-Nr.;Zeitpunkt;Art;Richtung" in run_block(export, monkeypatch, capsys)
    assert "'Auftragswert' looks leaky" in run_block(init, monkeypatch, capsys)
    file = tmp_path / "my-leads" / "leadscore.yaml"
    proposed = file.read_text(encoding="utf-8")
    assert "known: outcome" in next(line for line in proposed.splitlines() if "auftragswert:" in line)
    assert "not read: Nachname (a person's name)" in proposed
    file.write_text(corrected(proposed, lines), encoding="utf-8")
    verdict = run_block(run, monkeypatch, capsys).splitlines()[-5:]
    assert "AUC" in verdict[1]
    assert Path("results/report.html").is_file()
    assert len(run_block(look, monkeypatch, capsys).splitlines()) == 4
    first = str(pd.read_csv("results/scores.csv")["lead_id"].iloc[0])
    told = run_block(explain.replace("LEAD_ID", first), monkeypatch, capsys)
    assert f"Lead {first}" in told and "number 1 of" in told
    assert Path("lead.html").is_file()
    assert "leads open on 2026-07-01 (hot 40" in run_block(night, monkeypatch, capsys)
    assert '"Nachname"' in run_block(next_night, monkeypatch, capsys)
    newest = pd.read_csv("lists/current/scores.csv")
    assert set(newest["as_of"]) == {"2026-07-02"}
    assert newest["previous_tier"].notna().mean() > 0.9
    assert run_block(where, monkeypatch, capsys).splitlines()[-5:] == verdict
