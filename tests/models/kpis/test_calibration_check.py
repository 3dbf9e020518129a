"""A model that keeps its promises is rarely called too generous, doubled odds are caught, and a cut-off mends them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from models.evaluation.rate_comparison import compare_rate, first_share, rates_text
from models.evaluation.verdict import verdict
from models.kpis.calibration_check import AGE_OF_LEAD, ALL, Lists, ages, compare_rates, points_off, volumes
from models.kpis.results import RateComparison, TierMetrics
from models.kpis.summary import AS_WORKED, lines
from models.kpis.tier_kpis import as_listed
from models.points.scale import score_of
from models.tiers.assignment import TierContext, assign
from models.tiers.declarations import TierParams
from models.tiers.score_lists import assign_in_order
from tests.models.kpis.test_tier_kpis import TIERS, WEEK, with_params
from tests.support.results import evaluation, flat_metrics
from tests.support.tables import MONDAY, PARAMS, SCALE

STRICT = with_params(tolerance=0.0)
CAPACITY, CONFIDENCE = 40, 0.9
HORIZON, WEEKS = 4, 10  # weeks


def lists_of(rows: pd.DataFrame, tiers: TierParams = TIERS, capacity: int = CAPACITY) -> Lists:
    scored = rows.assign(score=score_of(rows["probability"].to_numpy(), SCALE))
    listed = scored.assign(tier=tiers_of(scored, tiers, capacity), by_rule=False)
    return Lists(as_listed(listed, PARAMS.kpis), tiers, SCALE)


def tiers_of(rows: pd.DataFrame, tiers: TierParams, capacity: int) -> pd.Series[str]:
    return assign_in_order(rows, lambda one, previous: assign(one, TierContext(tiers, capacity)))


def scenario(seed: int, n: int = 600) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weekly lists of open leads that are calm or warm from week to week, their true chances, and what came.

    The chance to convert within the horizon follows from the lead's class and its state by the powers of its weekly
    chances; whoever converts is on no more lists.
    """
    rng = np.random.default_rng(seed)
    level = rng.normal(-4.0, 0.8, n)
    state = (rng.random(n) < 0.3).astype(int)
    hazard = expit(level[:, None] + np.array([0.0, 2.0]))  # (n, state)
    stay = np.array([[0.8, 0.2], [0.4, 0.6]])
    chance = np.zeros((n, 2))
    for _ in range(HORIZON):
        chance = hazard + (1 - hazard) * (chance @ stay.T)
    won_in = np.full(n, 10**6)
    states = np.zeros((WEEKS + HORIZON, n), dtype=int)
    for week in range(WEEKS + HORIZON):
        states[week] = state
        wins = (rng.random(n) < hazard[np.arange(n), state]) & (won_in > week)
        won_in[wins] = week
        state = (rng.random(n) < stay[state, 1]).astype(int)
    week, lead = np.nonzero(won_in[None, :] >= np.arange(WEEKS)[:, None])
    rows = pd.DataFrame(
        {
            "lead_id": [f"l{number:04d}" for number in lead],
            "snapshot_at": MONDAY + pd.to_timedelta(week * 7, unit="D"),
            "label": (won_in[lead] < week + HORIZON).astype("float64"),
            "probability": chance[lead, states[week, lead]],
        }
    )
    return rows, pd.DataFrame({"region": np.array(["north", "south", "west", "east"])[lead % 4]}, index=rows.index)


def answers(rows: pd.DataFrame, segments: pd.DataFrame, **changes: float) -> list[RateComparison]:
    lists = lists_of(rows)
    order = rows.sort_values(["snapshot_at", "lead_id"]).index
    return compare_rates(
        lists, segments.loc[order].reset_index(drop=True), CONFIDENCE, STRICT.model_copy(update=changes)
    )


def test_the_chances_of_the_test_world_are_true() -> None:
    rows, _ = scenario(1, n=6000)
    group = pd.qcut(rows["probability"], 4, labels=False)
    gap = (rows["label"] - rows["probability"]).groupby(group).mean()
    assert (gap.abs() < 0.15 * rows["probability"].groupby(group).mean()).all()


def test_false_alarms_are_as_rare_as_promised() -> None:
    scenarios = [answers(*scenario(seed, n=500)) for seed in range(40)]
    alarms = sum(any(one.answer == "too generous" for one in compared) for compared in scenarios)
    wrong = sum(any(one.answer in ("too generous", "too strict") for one in compared) for compared in scenarios)
    assert alarms <= 5, "at most 5% of 40 in the long run"
    assert wrong <= 8, "at most 10% of 40 in the long run"
    assert sum(one.answer == "fits" for comparisons in scenarios for one in comparisons if one.name == ALL) > 30


def aged(seed: int, too_high: float) -> pd.DataFrame:
    """Lists of a model that is right about each lead's first list, and `too_high` in log-odds later on."""
    rows, _ = scenario(seed, n=4000)
    first = ~rows.sort_values("snapshot_at")["lead_id"].duplicated().reindex(rows.index)
    off = np.where(first, 0.0, too_high)
    return rows.assign(probability=expit(logit(rows["probability"]) + off))


def test_a_prediction_that_is_too_high_only_on_later_lists_is_called_too_generous() -> None:
    """Each lead's first list is when the model is freshest; judged by these alone, this model fits."""
    rows = aged(3, too_high=0.4)
    none = pd.DataFrame(index=rows.index)
    found = answers(rows, none)[0]
    assert (found.answer, found.rows, found.leads) == ("too generous", len(rows), rows["lead_id"].nunique())
    assert found.converted == rows.loc[rows["label"] == 1, "lead_id"].nunique() < rows["label"].sum()
    assert 1.2 < found.ratio_low < found.ratio < found.ratio_high < 1.7
    assert found.ratio == pytest.approx(rows["probability"].mean() / rows["label"].mean())
    firsts = rows.sort_values("snapshot_at").drop_duplicates("lead_id")
    assert answers(firsts, none.loc[firsts.index])[0].answer == "fits"


def test_by_age_the_lists_that_are_too_generous_are_named_and_get_no_cutoff() -> None:
    rows = aged(4, too_high=1.0)
    since = rows.groupby("lead_id")["snapshot_at"].transform("min")
    by_age = ages(rows["snapshot_at"], {AGE_OF_LEAD: since})
    compared = {one.name: one for one in answers(rows, by_age) if one.group == AGE_OF_LEAD}
    assert [*compared] == ["0 to 6", "7 to 27", "28 to 55", "56 to 111"], "in the order of age"
    assert [one.answer for one in compared.values()][:3] == ["fits", "too generous", "too generous"]
    assert all(one.fix is None for one in compared.values())


def test_doubled_odds_are_caught_and_the_points_off_are_those_of_doubled_odds() -> None:
    rows, segments = scenario(4, n=3000)
    doubled = rows.assign(probability=expit(logit(rows["probability"]) + np.log(2)))
    comparisons = {one.name: one for one in answers(doubled, segments)}
    assert [comparisons[name].answer for name in (ALL, "warm", "cold")] == ["too generous"] * 3
    assert comparisons[ALL].points_off == pytest.approx(SCALE.double_odds, abs=2)
    halved = rows.assign(probability=expit(logit(rows["probability"]) - np.log(2)))
    comparisons = {one.name: one for one in answers(halved, segments)}
    assert comparisons[ALL].answer == "too strict"
    assert comparisons[ALL].points_off == pytest.approx(-SCALE.double_odds, abs=2)


def crowd(n: int = 8000, off: float = 0.0, seed: int = 5) -> pd.DataFrame:
    """One list of leads whose predictions are `off` log-odds too high."""
    rng = np.random.default_rng(seed)
    true = expit(rng.normal(-4.2, 1.0, n))
    return pd.DataFrame(
        {
            "lead_id": [f"l{number:05d}" for number in range(n)],
            "snapshot_at": MONDAY,
            "label": (rng.random(n) < true).astype("float64"),
            "probability": expit(logit(true) + off),
        }
    )


@pytest.mark.parametrize("off", [np.log(2), -np.log(2)])
def test_the_cutoff_that_fixes_it_is_where_the_actual_rate_reaches_the_predicted_one(off: float) -> None:
    lists = lists_of(crowd(off=off), capacity=800)
    comparisons = {
        one.name: one for one in compare_rates(lists, pd.DataFrame(index=lists.rows.index), CONFIDENCE, STRICT)
    }
    hot = comparisons["hot"].fix
    assert hot.new_cutoff - hot.cutoff == pytest.approx(np.sign(off) * SCALE.double_odds, abs=9)
    rows = lists.rows
    above = rows[rows["score"] >= hot.new_cutoff]
    assert hot.observed_rate == above["label"].mean() >= hot.predicted_rate
    assert (hot.per_list, hot.observed_rate_n) == (len(above), len(above))
    if off > 0:
        between = rows[rows["score"].between(hot.cutoff, hot.new_cutoff - 1)]
        nearer = [rows.loc[rows["score"] >= cut, "label"].mean() for cut in sorted(between["score"].unique())]
        assert max(nearer) < hot.predicted_rate, "no lower score would do"
    else:
        assert rows.loc[rows["score"] >= hot.new_cutoff - 1, "label"].mean() < hot.predicted_rate
    assert comparisons["cold"].fix is None, "the last tier has no cut-off"
    assert comparisons[ALL].fix is None


def test_a_segment_is_put_right_at_the_best_tier() -> None:
    rows = crowd(off=0.0)
    odd = np.arange(len(rows)) % 2 == 1
    rows["probability"] = np.where(odd, expit(logit(rows["probability"]) + np.log(2)), rows["probability"])
    lists = lists_of(rows, capacity=800)
    region = pd.DataFrame({"region": np.where(odd, "odd", "even")}, index=rows.index)
    comparisons = {one.name: one for one in compare_rates(lists, region, CONFIDENCE, STRICT)}
    assert comparisons["even"].answer == "fits"
    assert comparisons["odd"].answer == "too generous"
    assert comparisons["odd"].fix.tier == "hot"
    assert comparisons["odd"].fix.new_cutoff > comparisons["odd"].fix.cutoff


def test_doubt_is_shared_by_all_looks() -> None:
    rows, segments = scenario(6)
    comparisons = answers(rows, segments)
    doubt = [1 - one.confidence for one in comparisons]
    assert sum(doubt) == pytest.approx(1 - CONFIDENCE)
    assert doubt[0] == pytest.approx((1 - CONFIDENCE) / 2), "all leads together have half of it, whatever the segments"
    assert len({round(one, 12) for one in doubt[1:4]}) == 1
    assert sum(doubt[1:4]) == pytest.approx((1 - CONFIDENCE) / 4)
    alone = compare_rates(lists_of(rows), pd.DataFrame(index=rows.index), CONFIDENCE, STRICT)
    assert sum(1 - one.confidence for one in alone) == pytest.approx(1 - CONFIDENCE)
    assert alone[0].confidence == comparisons[0].confidence


def test_what_has_not_matured_changes_no_answer() -> None:
    rows, segments = scenario(7)
    more = rows.tail(300).assign(label=np.nan, snapshot_at=MONDAY + WEEKS * WEEK)
    both = pd.concat([rows, more], ignore_index=True)
    labels = pd.concat([segments, segments.loc[more.index]], ignore_index=True)
    for one, other in zip(answers(rows, segments), answers(both, labels), strict=True):
        assert [getattr(one, key) for key in ("name", "leads", "converted", "predicted_rate", "answer")] == [
            getattr(other, key) for key in ("name", "leads", "converted", "predicted_rate", "answer")
        ]


def test_points_off_stay_finite_without_a_win() -> None:
    rows = pd.DataFrame({"probability": [0.2, 0.3, 1.0, 0.0], "label": 0.0})
    assert 0 < points_off(rows, SCALE) < 1000
    assert points_off(rows.assign(label=1.0), SCALE) < 0


def scores(counts: dict[int, int], lists: int = 2) -> pd.DataFrame:
    """So many leads of each score, on each list."""
    score = np.repeat([*counts], [*counts.values()])
    ids = [f"l{number}" for number in range(len(score))]
    at = [MONDAY + number * WEEK for number in range(lists)]
    frames = [pd.DataFrame({"lead_id": ids, "snapshot_at": day, "score": score, "probability": 0.1}) for day in at]
    return pd.concat(frames, ignore_index=True).assign(label=0.0)


def by_score(rows: pd.DataFrame) -> Lists:
    tiers = TIERS.model_copy(update={"policy": "score"})
    listed = rows.assign(tier=tiers_of(rows, tiers, 10), by_rule=False)
    return Lists(as_listed(listed, PARAMS.kpis), tiers, SCALE)


def test_volume_is_held_against_the_places() -> None:
    lists = by_score(scores({90: 4, 80: 6, 75: 12, 60: 19, 20: 50}))
    hot, warm = volumes(lists, 10, PARAMS.kpis)
    assert [getattr(hot, key) for key in ("tier", "lists", "capacity", "mean", "least", "most", "answer")] == [
        "hot", 2, 10, 22, 22, 22, "over capacity",
    ]  # fmt: skip
    assert hot.filling == 76, "from 76 on there are 10 leads a list, from 75 on 22"
    assert (warm.mean, warm.answer, warm.filling) == (19, "fills capacity", 61)
    few = volumes(by_score(scores({90: 4, 20: 5})), 10, PARAMS.kpis)
    assert (few[0].answer, few[0].filling) == ("room left", 0)
    crowded = volumes(by_score(scores({100: 40})), 10, PARAMS.kpis)[0]
    assert crowded.filling == 101, "even the best score has more leads than capacity"
    uneven = scores({90: 10}).iloc[:15]
    assert [getattr(volumes(by_score(uneven), 10, PARAMS.kpis)[0], key) for key in ("mean", "least", "most")] == [
        7.5,
        5,
        10,
    ]


def test_leads_whose_tier_no_score_tells_move_no_cutoff() -> None:
    """A lead of a low score that a trigger put into hot, and one of a high score that an exclusion took out."""
    plain = lists_of(crowd(off=np.log(2)), capacity=800)
    odd = plain.rows.iloc[:40].assign(lead_id=[f"odd {n}" for n in range(40)], by_rule=True, label=0.0)
    put = odd.assign(
        tier=["hot"] * 20 + ["excluded"] * 20, score=[1] * 20 + [100] * 20, probability=plain.rows["probability"].mean()
    )
    lists = replace(plain, rows=pd.concat([plain.rows, put], ignore_index=True))
    assert lists.cutoffs == plain.cutoffs
    ours, theirs = (
        {one.name: one.fix for one in compare_rates(each, pd.DataFrame(index=each.rows.index), CONFIDENCE, STRICT)}
        for each in (lists, plain)
    )
    assert ours["hot"].new_cutoff > ours["hot"].cutoff == theirs["hot"].cutoff
    above = plain.rows[plain.rows["score"] >= ours["hot"].new_cutoff]
    assert ours["hot"].observed_rate_n == len(above), "a cut-off calls none of them"
    outside = replace(plain, rows=pd.concat([plain.rows, put.iloc[20:]], ignore_index=True))
    assert [one.filling for one in volumes(outside, 800, PARAMS.kpis)] == [
        one.filling for one in volumes(plain, 800, PARAMS.kpis)
    ]


def test_a_tier_that_is_empty_on_a_list_counts_as_nought() -> None:
    rows = pd.concat([scores({90: 10}, 1), scores({20: 5}, 1).assign(snapshot_at=MONDAY + WEEK)], ignore_index=True)
    assert [getattr(volumes(by_score(rows), 10, PARAMS.kpis)[0], key) for key in ("mean", "least", "lists")] == [
        5,
        0,
        2,
    ]


def best(**values: float) -> tuple[str, TierMetrics]:
    blank = {name: 0 if name.endswith("_n") else None for name in TierMetrics.model_fields}
    counts = {"leads": 1200, "rows": 1200, "matured": 1200, "converted": 100}
    return "hot", TierMetrics.model_validate(blank | counts | values)


def test_the_verdict_in_words() -> None:
    lists = lists_of(crowd(off=np.log(4)), capacity=800)
    region = pd.DataFrame({"region": [f"r{n % 12:02d}" for n in range(len(lists.rows))]}, index=lists.rows.index)
    comparisons = compare_rates(lists, region, CONFIDENCE, PARAMS.kpis)
    volume = volumes(lists, 800, PARAMS.kpis)
    lost = {"lost": 0.25, "lost_low": 0.2, "lost_high": 0.3, "lost_n": 1200}
    sentences = lines(comparisons, volume, best(**lost), "within 30 days", CONFIDENCE)
    assert sentences[0].startswith("Too generous: all leads (predicted ")
    assert "region r00" in sentences[0]
    assert "more segments" in sentences[0]
    fixed = [line for line in sentences if line.startswith("Hot would have reached its predicted rate")]
    assert len(fixed) == 1
    assert (
        "Leads a list: hot 800 for a capacity of 800 (fills capacity), warm 1,600 for a capacity of 1,600"
        in " ".join(sentences)
    )
    assert "Of 1,200 leads listed as hot, 25.0% (20.0% to 30.0%) were lost within 30 days." in sentences
    assert sentences[-2].startswith(f"{len(comparisons)} comparisons were made; ")
    assert sentences[-2].endswith("at most 5% of such reports.")
    assert sentences[-1] == AS_WORKED


@pytest.mark.parametrize("too_high", [0.4, 0.0, -0.4])
def test_the_headline_and_the_verdict_on_tiers_say_the_same_of_all_leads(too_high: float) -> None:
    rows = aged(3, too_high)
    compared = answers(rows, pd.DataFrame(index=rows.index))
    headline = compare_rate(rows, first_share(CONFIDENCE), STRICT.limits)
    assert headline.model_dump().items() <= compared[0].model_dump().items()
    baselines = {name: flat_metrics(log_loss_gap=0.1) for name in ("prior", "logistic")}
    metrics = evaluation(calibration=headline.model_dump(), baselines=baselines)
    said = next(line for line in verdict(metrics).lines if line.startswith("Probabilities: "))
    assert said.startswith(f"Probabilities: {compared[0].answer} ({rates_text(compared[0])};")
    of_tiers = lines(compared, [], best(), "within 30 days", CONFIDENCE)
    named = [line for line in of_tiers if f"all leads ({rates_text(headline)};" in line]
    assert [line.split(":")[0].lower() for line in named] == ([headline.answer] if headline.answer != "fits" else [])


def test_the_verdict_says_no_more_than_is_known() -> None:
    lists = lists_of(crowd(n=400), capacity=40)
    comparisons = compare_rates(lists, pd.DataFrame(index=lists.rows.index), CONFIDENCE, PARAMS.kpis)
    sentences = lines(comparisons, [], best(), "in the end", CONFIDENCE)
    assert sentences[0] == "Nothing is surely too generous or too strict."
    assert len(sentences) == 4
    assert "leads are too few to say" in sentences[1]
    assert not any("fell back" in line or "lost" in line for line in sentences)


def test_nothing_is_changed_in_place() -> None:
    rows, segments = scenario(8, n=80)
    before = rows.copy()
    answers(rows, segments)
    pd.testing.assert_frame_equal(rows, before)
