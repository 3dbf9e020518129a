"""The glossary: each word once and in one line, and the page says what the code says."""

from __future__ import annotations

from pathlib import Path

import typer

from pipelines.cli.reference import write_reference
from pipelines.reporting.glossary import GLOSSARY, glossary_page, report_terms
from tests.support.paths import ROOT

TERMS = [term for group in GLOSSARY.values() for term in group]


def test_each_word_stands_once_and_in_one_line() -> None:
    names = [term.name.lower() for term in TERMS]
    assert len(set(names)) == len(names)
    for term in TERMS:
        line = f"- **{term.name}**: {term.meaning}."
        assert "\n" not in line
        assert len(line) <= 120, line
        assert not term.meaning.endswith("."), term.name


def test_the_page_is_what_the_code_says() -> None:
    committed = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert committed == glossary_page(), "docs/glossary.md is stale; run `leadscore docs`"


def test_it_is_written_beside_the_reference(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(lambda: None)
    write_reference(app, tmp_path / "reference")
    assert (tmp_path / "glossary.md").read_text(encoding="utf-8") == glossary_page()


def test_a_reader_of_the_report_finds_terms_by_name() -> None:
    names = [term.name for term in report_terms()]
    assert names == sorted(names)
    assert set(names) == {term.name for term in TERMS if term.in_report}
    assert not any("`" in term.meaning for term in report_terms())
