"""Two models side by side: equal where they should be, movers first, and nothing of it reaches sales."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import ModelError
from models.learners.calibration import Sigmoid
from models.scoring.scorer import Scorer
from pipelines.analysis.shadow import ShadowResult, TopLeads, shadow
from pipelines.config.params import with_as_of
from pipelines.storage.bundle import save_bundle
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import leadscore
from tests.support.small_job import TODAY, Job, digests, job
from tests.support.small_model import scorer

DAY = f"{TODAY:%Y-%m-%d}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Job:
    one = job(tmp_path_factory.mktemp("shadowed"))
    one.run()
    return one


def levelled(shift: float) -> Scorer:
    """The champion at another level: every lead in the same order."""
    one = scorer()
    sigmoid = Sigmoid(intercept=one.metadata.sigmoid.intercept + shift, slope=one.metadata.sigmoid.slope)
    return replace(one, metadata=one.metadata.model_copy(update={"sigmoid": sigmoid}))


def test_another_level_moves_scores_and_no_order(made: Job, tmp_path: Path) -> None:
    found = shadow(RunContext(with_as_of(made.params, DAY), made.layout), levelled(0.0), levelled(0.4), tmp_path)
    assert (found.rank_correlation, found.tier_changed, found.top) == (1.0, 0, TopLeads(n=20, overlap=1.0))
    assert found.mean_difference == pytest.approx(levelled(0.4).metadata.points.factor * 0.4)
    assert found.n == len(pd.read_csv(tmp_path / "shadow.csv"))
    assert sum(flow.n for flow in found.tiers) == found.n


def test_movers_come_first_and_say_why_by_both(made: Job, tmp_path: Path) -> None:
    other = scorer(linear_share=1.0)
    found = shadow(RunContext(with_as_of(made.params, DAY), made.layout), levelled(0.0), other, tmp_path)
    assert found.rank_correlation is not None and found.rank_correlation < 1
    assert found.model_ids == {"champion": levelled(0.0).model_id, "challenger": other.model_id}
    sheet = pd.read_csv(tmp_path / "shadow.csv")
    moved = (sheet["score_challenger"] - sheet["score_champion"]).abs()
    assert moved.is_monotonic_decreasing
    assert moved.iloc[0] > 0
    assert [one.lead_id for one in found.movers] == sheet["lead_id"].head(20).tolist()
    assert all(one.reasons_text_champion and one.reasons_text_challenger for one in found.movers)
    best = [set(sheet.nlargest(10, f"points_{side}")["lead_id"]) for side in ("champion", "challenger")]
    assert found.top.overlap == pytest.approx(len(best[0] & best[1]) / 10, abs=0.11)  # ties
    assert read_result(ShadowResult, tmp_path / "shadow.json", "") == found


def test_one_model_is_no_comparison(made: Job, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one model"):
        shadow(RunContext(with_as_of(made.params, DAY), made.layout), levelled(0.0), levelled(0.0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_published_stays_as_it_is(
    made: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bundle(scorer(linear_share=1.0), tmp_path / "other")
    before = digests(made.to)
    words = ["--params", made.overlay, "--out", made.overlay.parent / "out", "--as-of", DAY, "--lists", made.to]
    assert (
        leadscore(
            monkeypatch,
            "nightly",
            "shadow",
            *words,
            "--champion",
            made.request.model,
            "--challenger",
            tmp_path / "other",
        )
        == 0
    )
    assert "rank correlation" in capsys.readouterr().out
    after = digests(made.to)
    assert {name for name in after if after[name] != before.get(name)} == {"shadow/shadow.json", "shadow/shadow.csv"}
    assert before.items() <= after.items()
