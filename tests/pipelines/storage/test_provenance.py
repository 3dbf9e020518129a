"""Two artifacts belong together where they agree in what both were made from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from features.schema.errors import ModelError
from pipelines.stages.run_all import stages
from pipelines.stages.score import score_leads
from pipelines.storage.results import Provenance
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params

OWN = Provenance("m1", "d1", "2026-06-29")


@pytest.mark.parametrize("other", [OWN, Provenance("m1"), Provenance(None, "d1"), Provenance()])
def test_what_agrees_or_is_not_known_of_both_passes(other: Provenance) -> None:
    OWN.require_same("scores", other, "model", "score")
    other.require_same("scores", OWN, "model", "score")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            Provenance("m2", "d1", "2026-06-29"),
            "scores: model id m1, but artifacts/model: model id m2; run score again",
        ),
        (Provenance("m1", "d2"), "data fingerprint d1, but artifacts/model: data fingerprint d2"),
        (Provenance(as_of="2026-06-30"), "as of 2026-06-29, but artifacts/model: as of 2026-06-30"),
    ],
)
def test_what_differs_is_named_on_both_sides(other: Provenance, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        OWN.require_same("scores", other, "artifacts/model", "score")


# A finished run, and then an ingest of other data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("finished")
    return RunContext(tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out"))


@contextmanager
def changed(path: Path, **values: str) -> Iterator[None]:
    """A result with other values, as a run on other data would have written it."""
    before = path.read_bytes()
    path.write_text(json.dumps(json.loads(before) | values), encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["audit", "train", "evaluate", "kpis", "explain", "report"])
def test_stages_do_not_mix_old_features_with_other_tables(finished: RunContext, name: str) -> None:
    run = stages(finished, finished.layout.raw)[name]
    words = r"features: data fingerprint \w{16}, but data/contract: data fingerprint f{16}; run `leadscore stage build-"
    with changed(finished.layout.profile.path, fingerprint="f" * 64), pytest.raises(ModelError, match=words):
        run()


@pytest.mark.parametrize("name", ["evaluate", "explain", "report"])
def test_stages_do_not_mix_a_model_with_the_features_of_other_data(finished: RunContext, name: str) -> None:
    counts, profile = finished.layout.snapshot_counts.path, finished.layout.profile.path
    audit, other = finished.layout.audit.path, {"fingerprint": "f" * 64}
    with (
        changed(counts, **other),
        changed(profile, **other),
        changed(audit, **other),
        pytest.raises(ModelError, match="run `leadscore stage train` and the stages after it again"),
    ):
        stages(finished, finished.layout.raw)[name]()


@pytest.mark.parametrize(
    ("name", "result", "again"),
    [
        ("backtest", "selection", "train"),
        ("evaluate", "audit", "audit"),
        ("report", "audit", "audit"),
        ("report", "selection", "train"),
        ("report", "backtest", "backtest"),
        ("report", "score_summary", "score"),
    ],
)
def test_one_result_of_other_data_is_named_with_its_stage(
    finished: RunContext, name: str, result: str, again: str
) -> None:
    path: Path = getattr(finished.layout, result).path
    other = dict.fromkeys(("data_fingerprint" if result == "score_summary" else "fingerprint",), "f" * 64)
    with changed(path, **other), pytest.raises(ModelError, match=f"f{{16}}, but .*run `leadscore stage {again}`"):
        stages(finished, finished.layout.raw)[name]()


def test_newer_tables_are_scored_by_the_model_that_there_is(finished: RunContext) -> None:
    with changed(finished.layout.profile.path, fingerprint="f" * 64):
        score_leads(finished)
    assert json.loads(finished.layout.score_summary.path.read_text())["data_fingerprint"] == "f" * 64
