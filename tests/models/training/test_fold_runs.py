"""What the folds judge is what training gives: the same rows, the same encoding, the same boosters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.learners.calibration import blend, losses_within, recency
from models.learners.ensemble import History, Models, Settings
from models.learners.feature_shift import without
from models.learners.gradient_boosting import train_boosters
from models.learners.logistic_regression import Linear
from models.learners.target_encoding import TargetStatistics
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Order, forward_folds, in_time
from models.training.fold_runs import PATIENCE, Forward
from tests.support.small_model import CARD, ENTRIES, LEVELS, NAMES, SELECTION, SETTINGS, TRAIN, history, matrix

ENCODED = replace(SETTINGS, statistics=True)
SECTOR = NAMES.index("sector")
BLIND = replace(SETTINGS, left_out=frozenset({SECTOR}))


@cache
def forward(order: Order = "dates", threads: int = 2) -> Forward:
    folds = forward_folds(in_time(matrix(), order), order, SELECTION.folds, seed=1)
    return Forward.of(history(order=order), folds, seed=3, threads=threads)


def longer(settings: Settings, **changed: object) -> Settings:
    return replace(settings, train=TRAIN.model_copy(update={"max_rounds": 300, "learning_rate": 0.1} | changed))


@pytest.mark.parametrize("settings", [SETTINGS, ENCODED, BLIND, replace(SETTINGS, half_life=0.3, monotone=False)])
@pytest.mark.parametrize("order", ["dates", "none"])
def test_what_is_judged_is_what_training_on_the_earlier_rows_gives(order: Order, settings: Settings) -> None:
    asked = forward(order)
    rounds, raw = asked.boosters(settings)
    linear = asked.linears(settings, [settings.c])[1]
    for fold, (earlier, later) in enumerate(zip(asked.earlier, asked.later, strict=True)):
        models = Models.train(earlier, replace(settings, rounds=rounds), seed=3, threads=1)
        expected = models.log_odds(later.sample.features, settings)
        assert settings.slope * blend(raw[fold], linear[fold], 0.5) == pytest.approx(expected, abs=1e-9)


def test_rounds_are_those_that_lost_least_and_growing_stops_soon_after() -> None:
    settings = longer(SETTINGS)
    asked = forward()
    rounds, raw = asked.boosters(settings)
    assert 20 <= rounds < 300
    best = asked.losses(raw).mean()
    looks = [rounds + 20 * step for step in range(1, PATIENCE + 1)] + ([rounds - 20] if rounds > 20 else [])
    for other in looks:
        models = [Models.train(earlier, replace(settings, rounds=other), 3, 2) for earlier in asked.earlier]
        odds = [
            model.boosters.log_odds(later.sample.features) for model, later in zip(models, asked.later, strict=True)
        ]
        assert asked.losses(odds).mean() > best


def test_losses_are_taken_within_the_periods_of_each_fold() -> None:
    asked = forward()
    _, raw = asked.boosters(SETTINGS)
    each = [
        losses_within(r, later.sample.label, period)
        for r, later, period in zip(raw, asked.later, asked.period, strict=True)
    ]
    assert asked.losses(raw).tolist() == np.concatenate(each).tolist()
    assert len(asked.losses(raw)) == len(asked.lead)
    moved = [r + 3.0 * (period == 1) for r, period in zip(raw, asked.period, strict=True)]
    assert asked.losses(moved) == pytest.approx(asked.losses(raw), abs=1e-6)


def test_the_number_of_threads_changes_no_byte() -> None:
    one, two = (forward(threads=threads) for threads in (1, 2))
    for ask in (
        lambda asked: asked.boosters(ENCODED),
        lambda asked: asked.linears(SETTINGS, [0.01, 0.1]),
        lambda asked: (0, asked.scorecards(ENTRIES, CARD, SETTINGS, 1.0)),
    ):
        (told, raw), (again, same) = ask(one), ask(two)
        assert told == again
        assert [part.tobytes() for part in raw] == [part.tobytes() for part in same]


def test_the_penalty_is_the_one_that_loses_least() -> None:
    asked = forward()
    loss = {c: asked.losses(asked.linears(SETTINGS, [c])[1]).mean() for c in (1e-7, 0.03, 0.3)}
    assert asked.linears(SETTINGS, [0.03, 1e-7])[0] == 0.03
    assert loss[0.03] < loss[1e-7]
    assert asked.linears(SETTINGS, list(loss))[0] == min(loss, key=lambda c: loss[c])


def test_scorecards_are_trained_on_earlier_rows_of_what_transfers() -> None:
    asked = forward()
    found = asked.scorecards(ENTRIES, CARD, BLIND, 1.0)
    for raw, earlier, later in zip(found, asked.earlier, asked.later, strict=True):
        card = Scorecard.train(without(earlier.sample, BLIND.left_out), ENTRIES, CARD, 1.0)
        assert raw.tolist() == card.log_odds(without(later.sample, BLIND.left_out).features).tolist()
        assert SECTOR not in {line.feature for line in card.lines}


def test_later_outcomes_move_no_judged_log_odds() -> None:
    asked = forward()
    turned = [replace(later, sample=replace(later.sample, label=1 - later.sample.label)) for later in asked.later]
    other = replace(asked, later=turned)
    one_step = replace(SETTINGS, statistics=True, train=TRAIN)  # of so few rounds that there is one look
    first, second = (each.boosters(one_step)[1] for each in (asked, other))
    assert [raw.tobytes() for raw in first] == [raw.tobytes() for raw in second]
    assert asked.losses(first).mean() != other.losses(first).mean()


def test_what_is_left_out_moves_nothing() -> None:
    models = Models.train(history(), BLIND, seed=3, threads=2)
    features = history().sample.features
    changed = features.copy()
    changed[:, SECTOR] = np.where(np.isnan(features[:, SECTOR]), 1.0, np.nan)
    assert models.log_odds(features, BLIND).tobytes() == models.log_odds(changed, BLIND).tobytes()
    assert models.log_odds(features, SETTINGS).tobytes() != models.log_odds(changed, SETTINGS).tobytes()


def test_the_log_odds_are_the_blend_times_the_slope() -> None:
    models = Models.train(history(), ENCODED, seed=3, threads=2)
    features = history().sample.features
    trees, linear = (models.log_odds(features, replace(ENCODED, linear_share=share)) for share in (0.0, 1.0))
    both = models.log_odds(features, replace(ENCODED, linear_share=0.25, slope=0.45))
    assert both == pytest.approx((0.75 * trees + 0.25 * linear) / 2)


def test_categories_are_encoded_for_the_trees_alone_and_by_the_past_alone() -> None:
    rows = history()
    encoded = rows.for_trees(ENCODED).features
    codes = rows.sample.features
    others = [place for place in range(len(NAMES)) if place not in LEVELS]
    np.testing.assert_array_equal(encoded[:, others], codes[:, others])
    np.testing.assert_array_equal(rows.for_linear(ENCODED).features, codes)
    np.testing.assert_array_equal(rows.for_trees(SETTINGS).features, codes)
    first_weeks = rows.at <= rows.at[0] + 14  # nothing is known of any outcome
    assert (np.nan_to_num(encoded[first_weeks][:, list(LEVELS)]) == 0).all()
    turned = replace(
        rows,
        sample=replace(rows.sample, label=np.where(rows.at > rows.at[300], 1 - rows.sample.label, rows.sample.label)),
    )
    np.testing.assert_array_equal(turned.for_trees(ENCODED).features[:301], encoded[:301])
    learned = TargetStatistics.learn(rows.sample, LEVELS, ENCODED.train.cat_smooth)
    np.testing.assert_array_equal(rows.statistics(ENCODED).apply(codes), learned.apply(codes))
    np.testing.assert_array_equal(rows.statistics(SETTINGS).apply(codes), codes)


def test_without_order_categories_are_encoded_by_other_leads() -> None:
    rows = history(order="none")
    encoded = rows.for_trees(ENCODED).features
    bucket = rows.bucket[0]
    label = np.where(rows.bucket == bucket, 1 - rows.sample.label, rows.sample.label)
    again = replace(rows, sample=replace(rows.sample, label=label)).for_trees(ENCODED).features
    np.testing.assert_array_equal(again[rows.bucket == bucket], encoded[rows.bucket == bucket])
    assert not np.array_equal(again[rows.bucket != bucket], encoded[rows.bucket != bucket], equal_nan=True)


def test_recent_rows_weigh_more_for_both_learners() -> None:
    settings = replace(SETTINGS, half_life=0.2)
    rows = history()
    weight = recency(rows.at, 0.2)
    models = Models.train(rows, settings, seed=3, threads=2)
    weighted = replace(rows.sample, weight=weight)
    assert models.linear.to_json() == Linear.train(weighted, LEVELS, settings.c).to_json()
    boosters = train_boosters(weighted, settings.rounds, rows.shape(settings), TRAIN, 3, 2)
    assert models.boosters.to_text() == boosters.to_text()
    assert models.boosters.to_text() != Models.train(rows, SETTINGS, 3, 2).boosters.to_text()


def declared() -> History:
    """A history that declares: company size up, the last call down, and, without a sense, the sector up."""
    ways = {"size": 1, "recency__call": -1, "sector": 1}
    return replace(history(), directions=tuple(ways.get(name, 0) for name in NAMES))


def test_declared_directions_bind_numbers_and_never_codes() -> None:
    rows = declared()
    held = rows.shape(SETTINGS)
    assert {name: way for name, way in zip(NAMES, held.monotone, strict=True) if way} == {
        "size": 1,
        "recency__call": -1,
    }
    assert held.categorical == tuple(LEVELS)
    assert rows.shape(ENCODED).categorical == ()
    assert rows.shape(ENCODED).monotone == held.monotone
    assert not any(rows.shape(replace(SETTINGS, monotone=False)).monotone)


@pytest.mark.parametrize("settings", [SETTINGS, ENCODED])
def test_final_boosters_obey_declared_directions_where_they_are_held(settings: Settings) -> None:
    rows = declared()
    longer_still = replace(settings, rounds=40)
    held, free = (
        Models.train(rows, replace(longer_still, monotone=monotone), seed=3, threads=2) for monotone in (True, False)
    )

    def steps(models: Models, name: str, way: int) -> np.ndarray:
        values = rows.sample.features[:150].repeat(30, axis=0)
        values[:, NAMES.index(name)] = np.tile(np.linspace(0, 100, 30), 150)
        odds = models.boosters.log_odds(models.statistics.apply(values)).reshape(150, 30)
        return way * np.diff(odds, axis=1)

    for name, way in (("size", 1), ("recency__call", -1)):
        assert steps(held, name, way).min() >= -1e-12
        assert steps(free, name, way).min() < -0.001
