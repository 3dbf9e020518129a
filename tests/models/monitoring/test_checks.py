"""Each check fails on what it is there for, passes on what it is not, and says where it is not applicable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.checks import Check, CheckResult
from models.kpis.calibration_check import Lists
from models.monitoring import outcome_checks as outcomes
from models.monitoring.input_checks import (
    ENGAGEMENT,
    ROW_CHECKS,
    ListRows,
    MonitorParams,
    fresh,
    inputs,
    level_rows,
    levels,
    scores,
    summary_lines,
    tiers,
    volume,
    volume_rows,
)
from models.monitoring.outcome_checks import OutcomeSettings
from tests.support.small_model import ENTRIES, matrix
from tests.support.tables import DAY, MONDAY, PARAMS, SCALE

MONITOR: MonitorParams = PARAMS.monitor
EVALUATE = PARAMS.evaluate.model_copy(update={"resamples": 30})
JUDGING = OutcomeSettings(MONITOR, PARAMS.kpis, EVALUATE, capacity=40, seed=1)
LADDER = PARAMS.tiers.model_copy(update={"triggers": [], "exclusions": []})
WEEK, LISTS, LEADS = 7 * DAY, 12, 400


def weekly(rng: np.random.Generator, last: float = 1.0, mean: float = 300.0) -> pd.DataFrame:
    """Twelve usual lists of 500 leads and one with so many times as many visits; calls stay."""
    counts = {
        "visit": rng.poisson(mean, LISTS + 1),
        "call": rng.poisson(80, LISTS + 1),
        "fax": rng.poisson(1, LISTS + 1),
    }
    table = pd.DataFrame(counts).assign(leads=500)
    table.loc[LISTS, "visit"] = rng.poisson(mean * last)
    return table


def listed(
    rng: np.random.Generator, n: int = LEADS, lists: int = LISTS, points: float = 0.0, rate: float = 1.0
) -> pd.DataFrame:
    """Lists of leads that each stay for four lists, and convert as their probability says, times a rate."""
    lead = np.arange(n * lists) // 4
    quality = rng.normal(-3 + points / 10, 1, lead.max() + 1)[lead]
    at = MONDAY + pd.Series(np.tile(np.arange(4), len(lead) // 4) + (np.arange(len(lead)) // (4 * n)) * 4) * WEEK
    probability = expit(quality)
    won = (rng.random(lead.max() + 1)[lead] < probability * rate).astype("float64")
    score = np.clip(np.rint(50 + 10 * (quality + 3)), 0, 100).astype("int64")
    rows = pd.DataFrame({"lead_id": [f"lead {one}" for one in lead], "snapshot_at": at, "label": won})
    rows = rows.assign(probability=probability, score=score, by_rule=False)
    tier = np.where(score >= 65, "hot", np.where(score >= 55, "warm", "cold"))
    return rows.assign(tier=tier, converted_at=(at + 10 * DAY).where(won == 1.0))


def compared(before: pd.DataFrame, now: pd.DataFrame, best: str = "hot") -> ListRows:
    return ListRows(before, now, before, now, before, now, best)


def newest(**changed: float) -> pd.DataFrame:
    """One list of other leads."""
    rows = listed(np.random.default_rng(99), n=1600, lists=4, **changed).drop_duplicates("lead_id")
    at = pd.Series(MONDAY + 20 * WEEK, index=rows.index)
    won = rows["label"] == 1.0
    return rows.assign(lead_id="new " + rows["lead_id"], snapshot_at=at, converted_at=(at + 10 * DAY).where(won))


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return listed(np.random.default_rng(2))


def test_a_feed_is_fresh_until_it_is_silent_for_longer() -> None:
    assert fresh(MONDAY - 4 * DAY, MONDAY, 4).status == "passed"
    assert fresh(MONDAY - 4 * DAY, MONDAY + pd.Timedelta(minutes=1), 4).status == "failed"
    assert fresh(None, MONDAY, 4).status == "failed"


@pytest.mark.parametrize(("times", "outcome"), [(1.0, "passed"), (0.3, "failed"), (2.5, "failed"), (0.0, "failed")])
def test_volume_by_kind(times: float, outcome: str) -> None:
    rows = volume_rows(weekly(np.random.default_rng(3), times), MONITOR)
    assert {row["name"] for row in rows} == {"visit", "call"}  # faxes are too few
    found = volume(rows, MONITOR)
    assert found.status == outcome
    assert ("visit" in found.detail) == (outcome == "failed")
    assert "call" not in found.detail


def test_volume_is_counted_by_lead_and_a_new_kind_is_told() -> None:
    table = weekly(np.random.default_rng(3))
    longer = table.copy()
    longer.loc[LISTS] = (table.loc[LISTS] * 3).astype("int64")
    assert volume(volume_rows(longer, MONITOR), MONITOR).status == "passed"
    table["chat"] = [0] * LISTS + [90]
    assert "chat" in volume(volume_rows(table, MONITOR), MONITOR).detail
    few = table[["fax", "leads"]]
    assert volume(volume_rows(few, MONITOR), MONITOR).status == "not applicable"


def test_volume_that_always_swings_is_no_alert() -> None:
    table = weekly(np.random.default_rng(3))
    table["visit"] = [100, 600] * 6 + [650]
    assert volume(volume_rows(table, MONITOR), MONITOR).status == "passed"


def test_inputs_fire_on_the_feature_that_moved() -> None:
    rows = matrix(2000, 5)
    early, late = rows.iloc[:1000], rows.iloc[1000:]
    quiet, table = inputs(ENGAGEMENT, early, late, ENTRIES, MONITOR)
    assert quiet.status == "passed"
    assert not any(row["alert"] for row in table)
    assert not {"created_month", "created_weekday", "created_hour"} & {row["name"] for row in table}
    gone = late.assign(**{"count__visit__7d": 0.0})
    fired, table = inputs(ENGAGEMENT, early, gone, ENTRIES, MONITOR)
    assert fired.status == "failed"
    assert [row["name"] for row in table if row["alert"]] == ["count__visit__7d"]
    assert inputs(ENGAGEMENT, early, gone, [], MONITOR)[0].status == "not applicable"
    assert inputs(ENGAGEMENT, early, gone.iloc[:0], ENTRIES, MONITOR)[0].status == "not applicable"


def test_a_large_shift_of_few_leads_and_a_sure_one_that_is_small_are_no_alert() -> None:
    rows = matrix(4000, 6)
    few = rows.iloc[3990:].assign(size=rows["size"].iloc[3990:] * 2)
    assert inputs(ENGAGEMENT, rows.iloc[:2000], few, ENTRIES, MONITOR)[0].status == "passed"
    copies = pd.concat([rows.assign(lead_id=rows["lead_id"] + str(copy)) for copy in range(10)])
    size = copies["size"] * 1.1
    small, table = inputs(ENGAGEMENT, copies, copies.assign(size=size), ENTRIES, MONITOR)
    assert next(row for row in table if row["name"] == "size")["adjusted_p_value"] < 1e-6
    assert small.status == "passed"


def values(**counts: int) -> pd.Series[str]:
    return pd.Series([name for name, n in counts.items() for _ in range(n)], dtype="str").replace("none", np.nan)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"fair": 60, "web": 140}, ""),
        ({"fair": 40, "web": 100, "shop": 60}, "new: source shop (30.0%)"),
        ({"web": 200}, "vanished: source fair (30.0%)"),
        ({"fair": 58, "web": 138, "shop": 4}, ""),
        ({"web": 5}, ""),
        ({"fair": 30, "web": 70, "none": 100}, ""),
    ],
)
def test_levels(now: dict[str, int], said: str) -> None:
    rows = level_rows({"source": values(fair=300, web=700)}, {"source": values(**now)})
    found = levels(rows, MONITOR)
    assert (found.status, said in found.detail) == ("failed" if said else "passed", True)


def test_no_value_of_few_leads_is_named() -> None:
    rows = level_rows({"name": values(web=700)}, {"name": values(web=100, Smith=4)})
    assert rows == []


def test_scores_and_tiers(reference: pd.DataFrame) -> None:
    for by, outcome in ((0.0, "passed"), (12.0, "failed"), (-12.0, "failed")):
        now = newest(points=by)
        assert scores(compared(reference, now), MONITOR).status == outcome, by
        assert tiers(compared(reference, now), MONITOR).status == outcome, by
    assert tiers(compared(reference, newest(), "gold"), MONITOR).status == "not applicable"
    assert tiers(compared(reference.assign(by_rule=True), newest()), MONITOR).status == "not applicable"


def looks_of(rows: pd.DataFrame) -> CheckResult:
    found = outcomes.tier_comparisons(Lists(rows, LADDER, SCALE), JUDGING)
    return outcomes.tier_calibration(found, MONITOR)


@pytest.mark.parametrize(("rate", "outcome"), [(1.0, "passed"), (0.3, "failed"), (2.2, "failed")])
def test_promises_on_matured_lists(rate: float, outcome: str) -> None:
    found = looks_of(newest(rate=rate))
    assert found.status == outcome
    if outcome == "failed":
        assert ("too generous" if rate < 1 else "too strict") in found.detail


def test_a_prediction_that_is_too_high_on_later_lists_alone_raises_the_alert() -> None:
    rows = listed(np.random.default_rng(7), n=1600, lists=4)
    later = rows.sort_values("snapshot_at")["lead_id"].duplicated().reindex(rows.index)
    too_high = rows.assign(probability=rows["probability"].where(~later, (rows["probability"] * 1.7).clip(upper=0.99)))
    assert looks_of(rows).status == "passed"
    assert looks_of(too_high[~later]).status == "passed"
    assert looks_of(too_high).status == "failed"


def test_nothing_is_said_of_promises_before_anything_matured() -> None:
    assert outcomes.tier_calibration([], MONITOR).status == "not applicable"
    assert looks_of(newest().assign(label=0.0)).status == "not applicable"
    assert outcomes.performance(newest().assign(label=np.nan), JUDGING) is None


def test_lift_is_lost_when_the_order_is(reference: pd.DataFrame) -> None:
    before = outcomes.performance(reference, JUDGING)
    same = outcomes.lift(before, outcomes.performance(newest(), JUDGING), JUDGING)
    assert same.status == "passed"
    shuffled = newest()
    shuffled["label"] = shuffled["label"].sample(frac=1, random_state=1).to_numpy()
    assert outcomes.lift(before, outcomes.performance(shuffled, JUDGING), JUDGING).status == "failed"
    assert outcomes.lift(before, None, JUDGING).status == "not applicable"
    assert outcomes.lift(None, before, JUDGING).status == "not applicable"


@pytest.mark.parametrize(
    ("now", "margin", "status"),
    [(2.0, 0.1, "failed"), (3.8, 0.1, "passed"), (2.0, 2.0, "passed"), (6.0, 0.1, "passed")],
)
def test_lift_must_fall_far_and_surely(now: float, margin: float, status: str) -> None:
    def figures(lift: float) -> dict[str, float]:
        rest = dict.fromkeys(("auc", "log_loss", "calibration_error"), 0.5)
        return rest | {"lift_at_k": lift, "lift_at_k_low": lift - margin, "lift_at_k_high": lift + margin}

    assert outcomes.lift(figures(4.0), figures(now), JUDGING).status == status


def weeks(rng: np.random.Generator, first: int, lists: int, rate: float = 1.0, n: int = 600) -> pd.DataFrame:
    """Lists of leads that stay for eight weeks or until they convert, each week with a sixth of their probability."""
    lead = np.arange(n * (lists + 7))
    joins = first - 7 + lead // n
    probability = expit(rng.normal(-3, 1, len(lead)))
    wins = rng.geometric(np.minimum(probability / 6 * rate, 1)).clip(max=10**4) - 1
    parts = []
    for week in range(first, first + lists):
        here = (joins <= week) & (week < joins + 8) & (joins + wins >= week)
        at = MONDAY + week * WEEK
        won = joins[here] + wins[here]
        rows = pd.DataFrame({"lead_id": lead[here].astype("str"), "probability": probability[here]})
        parts.append(rows.assign(snapshot_at=at, converted_at=MONDAY + pd.Series(won) * WEEK + 3 * DAY))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("rate", "outcome"), [(1.0, "passed"), (0.4, "failed"), (2.0, "failed")])
def test_young_lists_are_early_and_say_so(rate: float, outcome: str) -> None:
    rng = np.random.default_rng(4)
    row = outcomes.early_conversions(weeks(rng, 0, 8), weeks(rng, 20, 4, rate), 5, 28, 2)
    found = outcomes.early([row], MONITOR)
    assert (found.status, found.early) == (outcome, True)
    assert "early" in summary_lines([found])[0] or outcome == "passed"
    assert row["ratio"] == pytest.approx(rate, rel=0.25)


def test_a_conversion_counts_once_whichever_lists_its_lead_is_on() -> None:
    rng = np.random.default_rng(4)
    before, now = weeks(rng, 0, 8), weeks(rng, 20, 4)
    row = outcomes.early_conversions(before, now, 7, 28, 1)
    last = now.groupby("lead_id")[["snapshot_at", "converted_at"]].max()
    assert row["observed"] == (last["converted_at"] < last["snapshot_at"] + WEEK).sum() > 100
    assert outcomes.early_conversions(before, now, 2, 28, 1)["observed"] == 0
    assert outcomes.early([outcomes.early_conversions(before, now, 2, 28, 1)], MONITOR).status == "not applicable"


def test_the_word_of_more_weeks_is_surer_and_of_two_looks_less_so() -> None:
    rng = np.random.default_rng(4)
    before, now = weeks(rng, 0, 8), weeks(rng, 20, 4, 1.5)
    one, four = (
        outcomes.early_conversions(before, now[now["snapshot_at"] >= MONDAY + at * WEEK], 5, 7, 1) for at in (23, 20)
    )
    assert four["p_value"] < one["p_value"]
    assert outcomes.early_conversions(before, now, 5, 28, 2)["p_value"] == pytest.approx(2 * four["p_value"])


def test_a_model_that_promises_too_much_is_no_early_alert() -> None:
    """Twice the promise on both sides falls out; a word of few conversions is not given."""
    rng = np.random.default_rng(4)
    sides = weeks(rng, 0, 8), weeks(rng, 20, 4, 1.5)
    twice = [rows.assign(probability=rows["probability"] * 2) for rows in sides]
    one, other = (outcomes.early_conversions(before, now, 5, 28, 1) for before, now in (sides, twice))
    assert one["ratio"] == pytest.approx(other["ratio"])
    assert one["p_value"] == pytest.approx(other["p_value"])
    few = one | {"observed": MONITOR.min_positive - 1, "expected": 2.0}
    assert outcomes.early([few], MONITOR).status == "not applicable"
    assert outcomes.early([few | {"observed": MONITOR.min_positive}], MONITOR).status != "not applicable"


def test_an_estimate_is_right_where_probabilities_are_and_never_alerts(reference: pd.DataFrame) -> None:
    one_row = reference.drop_duplicates("lead_id")
    guessed, seen = outcomes.estimate(one_row, JUDGING), outcomes.performance(one_row, JUDGING)
    assert seen is not None
    for name in ("auc", "log_loss", "base_rate"):
        reach = seen[f"{name}_high"] - seen[f"{name}_low"]
        assert abs(guessed[name] - seen[name]) < reach, name
    found = outcomes.estimated(guessed, guessed, seen)
    assert found.status == "passed"
    assert outcomes.ASSUMPTION in found.detail


def test_alerts_are_told_and_silence_too() -> None:
    quiet, loud = (
        Check("MN01", "Fine").result(True, "so"),
        Check("MN02", "As usual").result(False, "not so", early=True),
    )
    assert summary_lines([quiet, loud]) == ["MN02 As usual: no. not so (early: not matured)"]
    assert summary_lines([quiet])[0].startswith("No alert: 1 of 1")


def alarms(draw: Callable[[np.random.Generator], list[CheckResult]], scenarios: int) -> float:
    rng = np.random.default_rng(11)
    return sum(any(check.status == "failed" for check in draw(rng)) for _ in range(scenarios)) / scenarios


def test_false_alarms_of_all_checks_together_are_as_few_as_the_params_say() -> None:
    """In scenarios where nothing moves; thresholds of size are taken away, so that chance alone decides."""
    sure = {"psi": 1e-9, "ks": 1e-9, "volume_change": 1 + 1e-9, "tier_change": 1 + 1e-9, "rate_change": 1 + 1e-9}
    params = MONITOR.model_copy(update=sure | {"lift_loss": 1e-9, "false_alarms": 0.1})
    settings = OutcomeSettings(params, PARAMS.kpis.model_copy(update={"tolerance": 0.0}), EVALUATE, 40, 1)
    names = [f"x{number}" for number in range(12)]
    entries = [ENTRIES[0].model_copy(update={"name": name, "levels": None, "measure": "count"}) for name in names]

    def draw(rng: np.random.Generator) -> list[CheckResult]:
        before, now = listed(rng, n=250), listed(rng, n=300, lists=4).drop_duplicates("lead_id")
        sides = [rows.assign(**dict(zip(names, features(rows, rng), strict=True))) for rows in (before, now)]
        early = outcomes.early_conversions(weeks(rng, 0, 6, n=150), weeks(rng, 20, 2, n=150), 5, 14, 1)
        compare_rates = outcomes.tier_comparisons(Lists(now, LADDER, SCALE), settings)
        return [
            volume(volume_rows(weekly(rng), params), params),
            inputs(ENGAGEMENT, *sides, entries, params)[0],
            *(check(compared(*sides), params) for check in ROW_CHECKS),
            outcomes.early([early], params),
            outcomes.tier_calibration(compare_rates, settings.monitor),
        ]

    assert alarms(draw, 60) <= 0.18  # 0.1, and as much more as 60 scenarios leave open


def features(rows: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Twelve features that depend on each other, and that stay nearly the same from list to list of a lead."""
    code = pd.factorize(rows["lead_id"])[0]
    own = rng.normal(0, 1, (13, code.max() + 1))
    return np.asarray(own[:12, code] + own[12, code] + 0.2 * rng.normal(0, 1, (12, len(rows))))
