"""Choices on forward folds: the simplest that is not clearly worse, and planted truths are found."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from features.matrix.catalogue import Catalogue, Entry
from models.learners.ensemble import Ensemble
from models.learners.gradient_boosting import TrainParams
from models.splitting.forward_folds import FoldParams, Order
from models.training.selection import Decision, SelectionParams, decide
from models.training.training import Learned, TrainingSetup, history_of, learn
from tests.support.small_model import CARD, ENTRIES, SELECTION, TRAIN, matrix, no_search

N = 3000
FEW = SELECTION.model_copy(
    update={"folds": FoldParams(count=4, unordered=4, first_share=0.4, period_rows=50, max_rows=40000)}
)
BOOSTERS = TRAIN.model_copy(update={"boosters": 1, "max_rounds": 60, "learning_rate": 0.1, "min_child_samples": 20})


def decided(result: dict[str, np.ndarray], lead: np.ndarray | None = None) -> Decision:
    return decide("which", result, np.arange(len(next(iter(result.values())))) if lead is None else lead)


def test_the_simplest_within_one_standard_error_of_the_best_is_chosen() -> None:
    noise = np.random.default_rng(1).normal(size=1000)
    base, error = np.ones(1000), noise.std() / np.sqrt(1000)
    noise -= noise.mean()
    for worse, chosen in ((0.9, "simple"), (1.1, "middle")):
        result = {"simple": base + noise + worse * error, "middle": base + 0.01 * noise, "best": base - 1e-6}
        assert decided(result).chosen == chosen
        assert decide("which", result, np.arange(1000), simplest=False).chosen == "best"
    assert decided({"simple": base - 0.5, "best": base}).chosen == "simple"


def test_a_decision_reports_how_each_candidate_did() -> None:
    result = {"a": np.array([2.0, 1.0, 3.0, 2.0]), "b": np.array([1.0, 1.0, 1.0, 1.0])}
    decision = decided(result)
    assert [candidate.name for candidate in decision.candidates] == ["a", "b"]
    assert (decision.chosen, decision.index) == ("b", 1)
    first, second = decision.candidates
    assert (first.loss, first.worse_by) == (2.0, 1.0)
    assert first.error == pytest.approx(np.sqrt(2.0) / 4)
    assert (second.worse_by, second.error) == (0.0, 0.0)


@settings(max_examples=50)
@given(st.integers(2, 60), st.integers(1, 30), st.integers(0, 99), st.floats(0, 1))
def test_repeating_the_rows_of_a_lead_makes_no_difference_clearer(n: int, times: int, seed: int, by: float) -> None:
    difference = np.random.default_rng(seed).normal(by, 1, n)
    best, lead = np.zeros(n), np.arange(n)
    once = decided({"simple": difference, "best": best}, lead)
    often = decided({"simple": np.repeat(difference, times), "best": np.repeat(best, times)}, np.repeat(lead, times))
    assert often.chosen == once.chosen
    assert often.candidates[0].error == pytest.approx(once.candidates[0].error, abs=1e-8)
    if times > 1 and difference.mean() > 0:
        as_if_apart = decided({"simple": np.repeat(difference, times), "best": np.repeat(best, times)})
        assert as_if_apart.candidates[0].error < often.candidates[0].error


def entry(name: str, levels: int = 0, direction: str = "none") -> Entry:
    return Entry.model_validate(
        {"name": name, "group": "fit", "channel": "none", "theme": name, "theme_label": name, "label": name, "unit": "",
         "measure": "level" if levels else "value", "direction": direction, "empty": "none",
         "levels": [f"level {code}" for code in range(levels)] or None}
    )  # fmt: skip


def rows_of(log_odds: np.ndarray, seed: int = 7, **features: np.ndarray) -> pd.DataFrame:
    """Training rows in the order of time whose outcomes follow these log-odds."""
    n = len(log_odds)
    label = (np.random.default_rng(seed).random(n) < expit(log_odds)).astype("float64")
    beside = {"lead_id": [f"lead {row:05d}" for row in range(n)], "position": range(n), "part": "train", "label": label}
    return pd.DataFrame(beside | {name: value.astype("float32") for name, value in features.items()})


def learned(
    rows: pd.DataFrame,
    entries: Catalogue,
    params: SelectionParams = FEW,
    train: TrainParams = BOOSTERS,
    order: Order = "rows",
) -> Learned:
    setup = TrainingSetup(entries, order, params, train, CARD, 4, threads=2)
    return learn(rows, setup, no_search, lambda line: None)


def answers(result: Learned) -> dict[str, Decision]:
    return {decision.question: decision for decision in result.decisions}


LIMITED = FEW.model_copy(update={"drift_limits": [1.0, 0.5]})


def test_a_clock_whose_meaning_turns_round_is_left_out_and_a_steady_feature_is_kept() -> None:
    """The clock's values never repeat, and what it says of the leads of one time is turned round every fifth."""
    rng = np.random.default_rng(5)
    steady, inside = rng.normal(size=N), rng.uniform(-1, 1, N)
    sign = 1.0 - 2.0 * (np.arange(N) * 5 // N % 2)
    rows = rows_of(1.0 * steady + 2.0 * sign * inside - 1, steady=steady, clock=np.arange(N) * 5 / N + 0.1 * inside)
    result = learned(rows, [entry("steady"), entry("clock")], LIMITED)
    assert result.settings.left_out == frozenset({1})
    assert answers(result)["features that drift"].chosen == "1 left out"
    features = np.array([[0.5, 0.0], [0.5, 9.0], [2.5, 0.0]])
    first, other_time, better = result.models.log_odds(features, result.settings)
    assert first == other_time
    assert better > first + 0.5
    assert {line.feature for line in result.scorecard.lines} == {0}


def test_the_penalty_is_that_of_the_features_that_are_kept() -> None:
    """With clocks that turn round, a strong penalty is the best; without them it would hide what holds."""
    rng = np.random.default_rng(5)
    steady, inside = rng.normal(size=N), rng.uniform(-1, 1, (6, N))
    time = np.arange(N) * 5 / N
    clocks = {f"clock {number}": time + one for number, one in enumerate(inside)}
    sign = 1.0 - 2.0 * (time.astype(int) % 2)
    rows = rows_of(steady + 1.5 * sign * inside.sum(axis=0) - 1, steady=steady, **clocks)
    params = LIMITED.model_copy(update={"logistic_c": [1e-4, 1e-3, 1e-2, 1e-1]})
    result = learned(rows, [entry("steady"), *map(entry, clocks)], params)
    assert result.settings.left_out == frozenset(range(1, 7))
    assert result.settings.c == learned(rows, [entry("steady")], params).settings.c == 0.1


def test_a_feature_that_shifts_and_still_predicts_is_kept() -> None:
    rng = np.random.default_rng(5)
    steady, moving = rng.normal(size=N), rng.normal(size=N)
    level = 8.0 * np.arange(N) / N
    rows = rows_of(steady + 2.0 * moving - 1, steady=steady, moving=moving + level)
    result = learned(rows, [entry("steady"), entry("moving")], LIMITED)
    assert len(answers(result)["features that drift"].candidates) == 2
    assert result.settings.left_out == frozenset()


@cache
def risen() -> tuple[pd.DataFrame, Learned]:
    """A base rate that moves now and then, and doubles when the last tenth begins."""
    rng = np.random.default_rng(3)
    n = 6000
    steady = rng.normal(size=n)
    rate = np.array([0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2, 0.2, 0.15, 0.3])[np.arange(n) * 10 // n]
    rows = rows_of(logit(rate) + 0.7 * steady, steady=steady)
    recent = FEW.model_copy(update={"level_half_lives": [0.0, 0.5, 0.05]})
    return rows, learned(rows, [entry("steady")], recent)


def test_when_the_base_rate_doubles_the_intercept_follows_and_the_uncorrected_one_does_not() -> None:
    rows, result = risen()
    raw = result.models.log_odds(rows[["steady"]].to_numpy("float32"), result.settings)
    last = len(rows) * 9 // 10
    actual, before = rows["label"][last:].mean(), rows["label"][:last].mean()
    corrected, uncorrected = (expit(s.intercept + raw).mean() for s in (result.sigmoid, result.uncorrected))
    assert actual > 1.6 * before
    assert corrected == pytest.approx(actual, rel=0.15)
    assert uncorrected == pytest.approx(rows["label"].mean(), rel=0.01)
    assert uncorrected < 0.75 * actual
    assert answers(result)["recalibration window"].chosen == "halved after 0.05 of the period"


def test_of_many_features_those_that_tell_most_are_kept() -> None:
    rng = np.random.default_rng(6)
    telling, noise = rng.normal(size=(2, N)), rng.normal(size=(4, N))
    columns = {f"noise {index}": one for index, one in enumerate(noise)} | {"a": telling[0], "b": telling[1]}
    rows, entries = rows_of(1.5 * telling.sum(axis=0) - 1, **columns), [entry(name) for name in columns]
    result = learned(rows, entries, FEW.model_copy(update={"most_features": 2}))
    assert result.settings.left_out == frozenset(range(4))
    assert answers(result)["features that drift"].candidates[0].name == "4 left out"
    assert result.models.boosters.splits[:4].tolist() == [0] * 4
    assert learned(rows, entries, FEW.model_copy(update={"most_features": 6})).settings.left_out == frozenset()


def test_a_steady_base_rate_needs_no_short_window() -> None:
    rng = np.random.default_rng(3)
    steady = rng.normal(size=N)
    params = FEW.model_copy(update={"level_half_lives": [0.0, 0.01]})
    result = learned(rows_of(0.7 * steady - 1.5, steady=steady), [entry("steady")], params)
    assert result.settings.recalibration_half_life == 0.0
    assert result.sigmoid == result.uncorrected


def many_levels() -> tuple[pd.DataFrame, np.ndarray]:
    """Sixty levels of unequal size and rate, in an uninformative order."""
    rng = np.random.default_rng(9)
    worth = rng.normal(0, 1.5, 60)
    code = np.minimum(rng.exponential(15, 6000).astype(int), 59)
    return rows_of(worth[code] - 1.5, code=code.astype("float64"), noise=rng.normal(size=6000)), worth


@pytest.mark.parametrize("target_encoding", [True, False])
def test_many_levels_are_separated_by_codes_and_by_target_encoding(target_encoding: bool) -> None:
    rows, worth = many_levels()
    entries = [entry("code", levels=60), entry("noise")]
    result = learned(rows, entries)
    assert {candidate.name for candidate in answers(result)["categories in the boosters"].candidates} == {
        "codes",
        "target encoding",
    }
    encoded = replace(result.settings, target_encoding=target_encoding, linear_share=0.0, rounds=60)
    models = Ensemble.train(history_of(rows, entries, "rows", seed=1), encoded, seed=4, threads=2)
    each = np.column_stack([np.arange(60), np.zeros(60)]).astype("float32")
    frequent = np.flatnonzero(np.bincount(rows["code"].astype(int), minlength=60) > 50)
    predicted = models.log_odds(each, encoded)
    assert np.corrcoef(predicted[frequent], worth[frequent])[0, 1] > 0.85
    assert np.isfinite(models.log_odds(np.array([[np.nan, 0], [99, 0]], "float32"), encoded)).all()


def test_recent_rows_weigh_more_where_the_relation_changed_for_good() -> None:
    rng = np.random.default_rng(2)
    steady, turning = rng.normal(size=N), rng.normal(size=N)
    params = FEW.model_copy(update={"recency_half_lives": [0.0, 0.1]})
    entries = [entry("steady"), entry("turning")]
    sign = np.where(np.arange(N) < 0.35 * N, -1.0, 1.0)
    for meaning, half_life in ((np.ones(N), 0.0), (sign, 0.1)):
        rows = rows_of(steady + 1.5 * meaning * turning - 1, steady=steady, turning=turning)
        assert learned(rows, entries, params).settings.half_life == half_life


def test_declared_directions_are_held_unless_the_data_contradict_them() -> None:
    rng = np.random.default_rng(2)
    steady = rng.normal(size=N)
    rows = rows_of(1.5 * steady - 1, steady=steady)
    for direction, chosen in (("up", "held"), ("down", "free")):
        result = learned(rows, [entry("steady", direction=direction)])
        assert answers(result)["declared directions"].chosen == chosen
        assert result.settings.monotone == (chosen == "held")
        values = np.linspace(-2, 2, 50)[:, None].astype("float32")
        steps = np.diff(result.models.boosters.log_odds(values))
        assert steps.sum() > 0.5
        if chosen == "held":
            assert steps.min() >= -1e-12
    assert "declared directions" not in answers(learned(rows, [entry("steady")]))


def test_the_blend_leaves_the_middle_only_where_that_is_clearly_better() -> None:
    rng = np.random.default_rng(2)
    value = rng.uniform(-3, 3, N)
    wavy = learned(rows_of(3.0 * np.sin(2.1 * value) - 1, value=value), [entry("value")])
    assert wavy.settings.linear_share == 0.0
    straight = rng.normal(size=(N, 8))
    names = [f"part {index}" for index in range(8)]
    rows = rows_of(0.6 * straight.sum(axis=1) - 1, **dict(zip(names, straight.T, strict=True)))
    assert learned(rows, [entry(name) for name in names]).settings.linear_share == 1.0
    both = rows_of(0.8 * value + 1.2 * np.sin(2.1 * value) - 1, value=value)
    assert answers(learned(both, [entry("value")]))["blend"].candidates[0].name == "50% logistic"


def test_without_order_the_best_is_chosen_however_little_better() -> None:
    value = np.random.default_rng(2).uniform(-3, 3, N)
    rows = rows_of(0.8 * value + 0.5 * np.sin(2.1 * value) - 1, value=value)
    for question in answers(learned(rows, [entry("value")], order="none")).values():
        assert question.chosen == min(question.candidates, key=lambda candidate: candidate.loss).name


def test_a_slope_shrinks_overconfident_log_odds() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(600, 20))
    names = [f"noise {index}" for index in range(20)]
    eager = FEW.model_copy(update={"logistic_c": [1000.0], "linear_shares": [1.0]})
    rows = rows_of(0.5 * noise[:, 0] - 0.5, **dict(zip(names, noise.T, strict=True)))
    assert learned(rows, [entry(name) for name in names], eager).settings.slope < 0.8


def test_settings_that_were_found_stay_only_where_clearly_better() -> None:
    starts: list[TrainParams] = []

    def search(loss: object, start: TrainParams) -> TrainParams:
        assert callable(loss)
        assert loss(start) == loss(start)  # the same rows, the same loss
        starts.append(start)
        return start.model_copy(update={"num_leaves": 12, "max_depth": 5})

    rng = np.random.default_rng(2)
    a, b = rng.uniform(-1, 1, (2, N))
    rows = rows_of(2.5 * np.sign(a * b) - 0.5, a=a, b=b)  # of which a sum of stumps sees nothing
    entries = [entry("a"), entry("b")]
    stumps = BOOSTERS.model_copy(update={"num_leaves": 2, "max_depth": 1, "boosters": 3, "feature_fraction": 1.0})
    setup = TrainingSetup(entries, "rows", FEW, stumps, CARD, 4, 2)
    result = learn(rows, setup, search, lambda line: None)
    assert starts[0] == stumps.model_copy(update={"boosters": 2})  # two judge
    assert result.settings.train.num_leaves == 12
    assert result.settings.train.boosters == 3 == len(result.models.boosters.models)  # and all are trained
    assert answers(result)["settings of the boosters"].chosen == "as searched"

    def useless(loss: object, start: TrainParams) -> TrainParams:
        return start.model_copy(update={"cat_smooth": start.cat_smooth + 1})  # there is no category

    same = learn(rows, setup, useless, lambda line: None)
    assert same.settings.train == stumps
    assert answers(same)["settings of the boosters"].chosen == "as in params.yaml"


def test_questions_without_an_alternative_are_skipped() -> None:
    setup = TrainingSetup(ENTRIES, "none", SELECTION, TRAIN, CARD, 4, 2)
    undated = learn(matrix(), setup, no_search, lambda line: None)
    assert not {"weight of recent rows", "recalibration window"} & set(answers(undated))
    assert undated.sigmoid == undated.uncorrected
    steady = np.random.default_rng(1).normal(size=1000)
    result = learned(rows_of(steady, steady=steady), [entry("steady")])
    assert set(answers(result)) == {"features that drift", "blend", "recalibration window", "scorecard"}


def test_a_scorecard_that_overfits_is_held_back_by_its_penalty() -> None:
    rng = np.random.default_rng(9)
    noise = rng.normal(size=(600, 30))
    names = [f"noise {index}" for index in range(30)]
    rows = rows_of(0.3 * noise[:, 0] - 0.5, **dict(zip(names, noise.T, strict=True)))
    eager = CARD.model_copy(update={"min_gain": 0.0, "min_rows": 5, "l2": [0.001, 500.0], "max_lines": 20})
    setup = TrainingSetup([entry(name) for name in names], "rows", FEW, BOOSTERS, eager, 4, 2)
    result = learn(rows, setup, no_search, lambda line: None)
    assert answers(result)["scorecard"].chosen == "penalty 500"
    assert [candidate.name for candidate in answers(result)["scorecard"].candidates] == ["penalty 500", "penalty 0.001"]


def test_the_only_weight_of_recent_rows_is_taken_without_a_question() -> None:
    steady = np.random.default_rng(1).normal(size=1000)
    only = SELECTION.model_copy(update={"recency_half_lives": [0.5]})
    result = learned(rows_of(steady, steady=steady), [entry("steady")], only)
    assert result.settings.half_life == 0.5
    assert "weight of recent rows" not in answers(result)
