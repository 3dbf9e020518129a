"""The lint step's question about known weaknesses: a found one fails, an unasked one is said and does not."""

from __future__ import annotations

import json

import pytest

from tests.support.advisories import verdict

FINE, UNASKED = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found on PyPI"}
WEAK = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("packages", "said", "fails"),
    [
        ([FINE, FINE], "pip-audit: no known weakness in 2 packages", False),
        ([FINE, UNASKED], "no known weakness in 1 package; 1 could not be asked about", False),
        ([UNASKED], "no package was checked", False),
        ([FINE, WEAK, UNASKED], "known weaknesses: c 2: PYSEC-2026-1; raise the versions", True),
    ],
)
def test_a_known_weakness_fails_and_no_answer_is_said(packages: list[dict], said: str, fails: bool) -> None:
    line, failed = verdict(json.dumps({"dependencies": packages, "fixes": []}))
    assert said in line and failed is fails and "\n" not in line


@pytest.mark.parametrize("answer", ["", "[]", "null", '{"dependencies": null}', "ERROR: no connection"])
def test_what_is_no_answer_is_said_as_such(answer: str) -> None:
    assert verdict(answer) == verdict("")
