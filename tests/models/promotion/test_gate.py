"""The promotion gate on made-up cohorts: each fault of a challenger is refused for its own reason."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from models.checks import Check, CheckResult
from models.leakage.findings import columns_read, suspicions
from models.promotion.gate import (
    Cohort,
    Gate,
    GateParams,
    artifacts,
    judge,
    no_leak,
    surely_better,
    unseen,
)
from tests.support import small_model
from tests.support.tables import MONDAY, PARAMS

EVALUATE = PARAMS.evaluate.model_copy(update={"resamples": 60})
LIMITS = GateParams(
    tolerance=0.03, min_positive=50, calibration_tolerance=0.2, tier_changes=0.3, segment_tolerance=0.1, accepted=[]
)
GATE = Gate(LIMITS, EVALUATE, seed=1)
RNG = np.random.default_rng(5)
N = 4000
TRUTH = RNG.normal(-1.5, 1.2, N)
ROWS = pd.DataFrame(
    {
        "lead_id": [f"lead {number:05d}" for number in range(N)],
        "snapshot_at": MONDAY,
        "label": (RNG.random(N) < expit(TRUTH)).astype("float64"),
    }
)
NOISE = RNG.normal(0, 1, N)
SEGMENTS = pd.DataFrame({"country": np.where(np.arange(N) % 8, "large", "small")})


def said(noise: float) -> np.ndarray:
    """Probabilities that know the truth up to a noise, put back on its scale."""
    return expit(-1.5 + (TRUTH + 1.5 + noise * NOISE) / (1 + noise**2))


def tiers(probability: np.ndarray) -> pd.Series[str]:
    """The best 400 are hot."""
    return pd.Series(np.where(np.argsort(np.argsort(-probability)) < 400, "hot", "cold"), dtype="str")


def cohort(challenger: np.ndarray, champion: np.ndarray | None, reference: np.ndarray | None = None) -> Cohort:
    return Cohort(
        rows=ROWS,
        challenger=challenger,
        champion=champion,
        reference=reference,
        baselines={"prior": np.full(N, ROWS["label"].mean())},
        tiers=tiers(challenger),
        champion_tiers=None if champion is None else tiers(champion),
        segments=SEGMENTS,
        capacity=400,
    )


def failed(given: Cohort, gate: Gate = GATE) -> set[str]:
    return {check.code for check in judge(given, gate) if check.failed}


def test_a_better_challenger_passes_every_check_and_becomes_the_record() -> None:
    better = cohort(said(0.3), said(0.8))
    assert failed(better) == set()
    assert surely_better(better, GATE)


def test_the_champion_against_itself_passes_but_is_no_new_record() -> None:
    same = cohort(said(0.5), said(0.5), said(0.5))
    assert failed(same) == set()
    assert not surely_better(same, GATE)


def test_without_a_champion_the_baselines_and_the_rest_decide() -> None:
    first = cohort(said(0.5), None)
    outcomes = {check.code: check.status for check in judge(first, GATE)}
    assert {code for code, outcome in outcomes.items() if outcome == "not applicable"} == {
        "PG04", "PG05", "PG07", "PG09", "PG10",
    }  # fmt: skip
    assert "failed" not in outcomes.values()
    assert surely_better(first, GATE)
    shuffled = RNG.permutation(said(0.0))
    assert "PG06" in failed(cohort(shuffled, None))


def test_a_worse_challenger_is_refused_for_its_log_loss_and_lift() -> None:
    assert {"PG04", "PG07"} <= failed(cohort(said(1.5), said(0.3)))


def test_a_challenger_that_is_a_hair_worse_is_refused_and_the_champion_stays() -> None:
    found = gap_of(cohort(said(0.52), said(0.5)))
    assert 0 < found["gap"] < found["gap_high"] < LIMITS.tolerance * found["rival"]
    assert failed(cohort(said(0.52), said(0.5))) == {"PG04"}
    assert failed(cohort(said(0.5), said(0.52))) == set()


def test_a_challenger_that_may_be_too_much_worse_is_refused_though_it_came_out_better() -> None:
    alike = [said(0.5), expit(-1.5 + (TRUTH + 1.5 + 0.5 * np.roll(NOISE, 1)) / 1.25)]
    better = min(cohort(*alike), cohort(*alike[::-1]), key=lambda one: gap_of(one)["gap"])
    found = gap_of(better)
    assert found["gap"] < 0 < found["gap_high"]
    assert "PG04" not in failed(better)
    strict = LIMITS.model_copy(update={"tolerance": found["gap_high"] / found["rival"] / 2})
    assert "PG04" in failed(better, replace(GATE, params=strict))


def gap_of(given: Cohort) -> dict[str, float]:
    return next(one.metrics for one in judge(given, GATE) if one.code == "PG04")


def test_a_miscalibrated_challenger_is_refused_though_it_ranks_alike() -> None:
    twice = expit(logit(said(0.3)) + 1.2)
    found = failed(cohort(twice, twice))
    assert found >= {"PG08"}
    assert found <= {"PG06", "PG08"}


def test_a_challenger_that_predicts_41_percent_too_much_is_refused() -> None:
    """A mean gap of half of the conversion rate, as was tolerated before, lets it pass."""
    too_much = expit(logit(said(0.3)) + 0.64)
    assert too_much.mean() / ROWS["label"].mean() == pytest.approx(1.41, abs=0.03)
    check = next(one for one in judge(cohort(too_much, None), GATE) if one.code == "PG08")
    assert check.failed
    assert "too generous" in check.detail
    few = cohort(too_much[:150], None)
    few = replace(few, rows=ROWS.head(150), tiers=tiers(too_much[:150]), segments=SEGMENTS.head(150),
                  baselines={"prior": np.full(150, 0.2)})  # fmt: skip
    assert "PG08" not in failed(few, replace(GATE, params=LIMITS.model_copy(update={"min_positive": 20}))), "not surely"


def test_a_challenger_that_is_right_on_average_and_too_high_at_the_top_is_refused() -> None:
    steep = expit(2.0 * logit(said(0.3)))
    level = expit(2.0 * logit(said(0.3)) + 1.25)
    assert abs(np.log(level.mean() / ROWS["label"].mean())) < abs(np.log(steep.mean() / ROWS["label"].mean()))
    check = next(one for one in judge(cohort(level, None), GATE) if one.code == "PG08")
    assert (check.failed, check.detail.startswith("hot too generous")) == (True, True)


def test_a_challenger_that_moves_leads_between_tiers_is_refused() -> None:
    best = cohort(said(0.4), said(0.4))
    turned = replace(best, tiers=best.tiers.map({"hot": "cold", "cold": "hot"}))
    assert failed(turned) == {"PG09"}
    few = best.tiers.where(np.arange(N) >= 0.3 * N, "warm")
    assert failed(replace(best, tiers=few)) == set()  # exactly at the cap


def test_a_challenger_that_is_much_worse_for_one_segment_is_refused() -> None:
    small = (SEGMENTS["country"] == "small").to_numpy()
    blind = np.where(small, expit(-TRUTH - 3.0), said(0.3))
    given = cohort(blind, said(0.3))
    lenient = replace(GATE, params=LIMITS.model_copy(update={"tolerance": 10.0, "calibration_tolerance": 10.0}))
    assert "PG10" in failed(given, lenient)
    pooled = replace(lenient, evaluate=EVALUATE.model_copy(update={"min_segment_rows": int(small.sum()) + 1}))
    assert "PG10" not in failed(given, pooled)


def test_a_ratchet_of_small_losses_is_refused() -> None:
    steps = [said(noise) for noise in (0.3, 0.45, 0.6, 0.75, 0.9)]
    reached = 0
    for before, after in pairwise(steps):
        alone = gap_of(cohort(after, before))
        assert alone["gap_high"] < LIMITS.tolerance * alone["rival"], "each step alone is small"
        reached += "PG05" in failed(cohort(after, before, steps[0]))
    assert reached
    assert "PG05" in failed(cohort(steps[-1], steps[-2], steps[0]))


def test_too_few_later_rows_judge_nobody() -> None:
    lost = cohort(said(0.1), said(0.9))
    lost = replace(lost, rows=ROWS.assign(label=0.0))
    assert [(check.code, check.status) for check in judge(lost, GATE)] == [("PG03", "failed")]


def test_a_broken_challenger_is_refused_for_what_is_wrong() -> None:
    assert artifacts("its hash differs").status == "failed"
    assert artifacts("its hash differs").detail == "its hash differs"
    assert artifacts("").status == "passed"


def leak(code: str, *columns: str) -> CheckResult:
    return Check(code, "A title").of_columns(dict.fromkeys(columns, "metrics"), "", "Leave it out.")


def test_a_leak_counts_where_the_model_reads_it_and_nobody_accepted_it() -> None:
    scorer = small_model.scorer()
    read = sorted(columns_read(scorer))[0]
    assert no_leak([leak("LK01", read)], scorer, LIMITS).status == "failed"
    assert read in no_leak([leak("LK01", read)], scorer, LIMITS).detail
    assert no_leak([leak("LK01", "not read")], scorer, LIMITS).status == "passed"
    assert no_leak([leak("LK01", read).model_copy(update={"status": "passed"})], scorer, LIMITS).status == "passed"
    assert no_leak([leak("LK08", "lead_id")], scorer, LIMITS).status == "failed"
    accepted = LIMITS.model_copy(update={"accepted": ["LK01"]})
    assert no_leak([leak("LK01", read)], scorer, accepted).status == "passed"


def test_a_suspicion_names_what_the_model_reads_and_no_field_that_only_fades() -> None:
    scorer = small_model.scorer()
    read = sorted(columns_read(scorer))[0]
    found = suspicions([leak("LK01", read, "not read"), leak("LK10", read), leak("LK03", "not read")], scorer)
    assert found == [f"LK01 A title: {read}"]


def test_columns_that_are_left_out_are_not_read() -> None:
    scorer = small_model.scorer()
    nothing = replace(scorer, metadata=small_model.metadata(left_out=scorer.feature_names))
    assert columns_read(nothing) == set()


@pytest.mark.parametrize(("until", "kept"), [("2024-03-04", 2), ("2024-03-11", 1), ("2024-04-01", 0)])
def test_rows_are_later_than_what_every_model_learned_from(until: str, kept: int) -> None:
    rows = pd.DataFrame({"snapshot_at": [MONDAY, MONDAY + pd.Timedelta(days=7)]})
    models_metadata = [small_model.metadata(trained_until="2024-03-01"), small_model.metadata(trained_until=until)]
    assert len(unseen(rows, models_metadata, "other data")) == kept


def test_without_dates_only_the_same_data_are_known_to_be_held_out() -> None:
    rows = pd.DataFrame({"snapshot_at": [pd.NaT]})
    undated = small_model.metadata(trained_until=None, fingerprint="abc")
    assert len(unseen(rows, [undated], "abc")) == 1
    assert unseen(rows, [undated], "def").empty
