"""What the folds evaluate is what training gives: the same rows, the same encoding, the same boosters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.learners.calibration import blend, losses_within, recency
from models.learners.ensemble import Ensemble, EnsembleSettings, TrainingHistory
from models.learners.feature_shift import without
from models.learners.gradient_boosting import train_boosters
from models.learners.logistic_regression import Linear
from models.learners.target_encoding import TargetEncoding
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Order, forward_folds, in_time
from models.training.fold_runs import PATIENCE, FoldRuns
from tests.support.small_model import CARD, ENTRIES, LEVELS, NAMES, SELECTION, SETTINGS, TRAIN, history, matrix

ENCODED = replace(SETTINGS, target_encoding=True)
SECTOR = NAMES.index("sector")
BLIND = replace(SETTINGS, left_out=frozenset({SECTOR}))


@cache
def forward(order: Order = "dates", threads: int = 2) -> FoldRuns:
    folds = forward_folds(in_time(matrix(), order), order, SELECTION.folds, seed=1)
    return FoldRuns.of(history(order=order), folds, seed=3, threads=threads)


def longer(settings: EnsembleSettings, **changed: object) -> EnsembleSettings:
    return replace(settings, train=TRAIN.model_copy(update={"max_rounds": 300, "learning_rate": 0.1} | changed))


@pytest.mark.parametrize("settings", [SETTINGS, ENCODED, BLIND, replace(SETTINGS, half_life=0.3, monotone=False)])
@pytest.mark.parametrize("order", ["dates", "none"])
def test_what_is_evaluated_is_what_training_on_the_earlier_rows_gives(order: Order, settings: EnsembleSettings) -> None:
    runs = forward(order)
    rounds, raw = runs.boosters(settings)
    linear = runs.linears(settings)
    for fold, (earlier, later) in enumerate(zip(runs.earlier, runs.later, strict=True)):
        trees = train_boosters([earlier.for_trees(settings)], rounds, earlier.shape(settings), settings.train, 3, 1)
        alone = Linear.train(earlier.for_linear(settings), earlier.levels, settings.c)
        models = Ensemble(trees, earlier.target_encoding(settings), alone)
        expected = models.log_odds(later.sample.features, settings)
        assert settings.slope * blend(raw[fold], linear[fold], 0.5) == pytest.approx(expected, abs=1e-9)


def test_rounds_have_the_lowest_loss_and_growing_stops_soon_after() -> None:
    settings = longer(SETTINGS)
    runs = forward()
    rounds, raw = runs.boosters(settings)
    assert 20 <= rounds < 300
    best = runs.losses(raw).mean()
    other_rounds = [rounds + 20 * step for step in range(1, PATIENCE + 1)] + ([rounds - 20] if rounds > 20 else [])
    for other in other_rounds:
        models = [Ensemble.train(earlier, replace(settings, rounds=other), 3, 2) for earlier in runs.earlier]
        odds = [model.boosters.log_odds(later.sample.features) for model, later in zip(models, runs.later, strict=True)]
        assert runs.losses(odds).mean() > best


def test_losses_are_taken_within_the_periods_of_each_fold() -> None:
    runs = forward()
    _, raw = runs.boosters(SETTINGS)
    each = [
        losses_within(r, later.sample.label, period)
        for r, later, period in zip(raw, runs.later, runs.period, strict=True)
    ]
    assert runs.losses(raw).tolist() == np.concatenate(each).tolist()
    assert len(runs.losses(raw)) == len(runs.lead)
    moved = [r + 3.0 * (period == 1) for r, period in zip(raw, runs.period, strict=True)]
    assert runs.losses(moved) == pytest.approx(runs.losses(raw), abs=1e-6)


def test_the_rate_that_a_folds_model_was_trained_at_is_no_level_of_its_later_rows() -> None:
    """A model that was shown a tenth of the conversions predicts far less, which is no rise of the rate later."""
    runs = forward()
    plain = replace(SETTINGS, slope=1.0, linear_share=1.0)
    few = np.where(runs.earlier[0].sample.label == 1, 0.1, 1.0)
    thinned = replace(runs.earlier[0], sample=replace(runs.earlier[0].sample, weight=few))
    other = replace(runs, earlier=[thinned, *runs.earlier[1:]], grown={}, linear={}, binned={}, fits={})
    raw, low = (each.linears(plain) for each in (runs, other))
    lower = (raw[0] - low[0]).mean()
    assert lower > 1.5
    expected, shown = (each.matured(of, plain) for each, of in ((runs, raw), (other, low)))
    n = len(raw[0])
    assert abs((shown.log_odds - expected.log_odds)[:n].mean()) < lower / 3
    assert shown.log_odds[n:].tolist() == expected.log_odds[n:].tolist()
    half = runs.matured(raw, replace(plain, slope=0.5))
    assert half.log_odds == pytest.approx(expected.log_odds / 2)


def test_the_number_of_threads_changes_no_byte() -> None:
    one, two = (forward(threads=threads) for threads in (1, 2))
    for query in (
        lambda runs: runs.boosters(ENCODED),
        lambda runs: (runs.penalty(SETTINGS, [0.01, 0.1]), runs.linears(SETTINGS)),
        lambda runs: (0, runs.scorecards(ENTRIES, CARD, SETTINGS, 1.0)),
    ):
        (rounds_or_c, raw), (again, same) = query(one), query(two)
        assert rounds_or_c == again
        assert [part.tobytes() for part in raw] == [part.tobytes() for part in same]


def test_the_penalty_has_the_lowest_loss() -> None:
    runs = forward()
    loss = {c: runs.losses(runs.linears(replace(SETTINGS, c=c))).mean() for c in (1e-7, 0.03, 0.3)}
    assert runs.penalty(SETTINGS, [0.03, 1e-7]) == 0.03
    assert loss[0.03] < loss[1e-7]
    assert runs.penalty(SETTINGS, list(loss)) == min(loss, key=lambda c: loss[c])


def test_the_screen_keeps_what_trees_split_on() -> None:
    runs = forward()
    gains = runs.gains(SETTINGS)
    assert gains.shape == (len(ENTRIES),)
    assert gains[NAMES.index("count__visit__7d")] > np.median(gains)
    assert gains[SECTOR] > 0 == runs.gains(BLIND)[SECTOR]


def test_scorecards_are_trained_on_earlier_rows_of_features_that_do_not_shift() -> None:
    runs = forward()
    result = runs.scorecards(ENTRIES, CARD, BLIND, 1.0)
    for raw, earlier, later in zip(result, runs.earlier, runs.later, strict=True):
        card = Scorecard.train(without(earlier.sample, BLIND.left_out), ENTRIES, CARD, 1.0)
        assert raw.tolist() == card.log_odds(without(later.sample, BLIND.left_out).features).tolist()
        assert SECTOR not in {line.feature for line in card.lines}


def test_later_outcomes_change_no_evaluated_log_odds() -> None:
    runs = forward()
    turned = [replace(later, sample=replace(later.sample, label=1 - later.sample.label)) for later in runs.later]
    other = replace(runs, later=turned)
    one_step = replace(SETTINGS, target_encoding=True, train=TRAIN)  # of so few rounds that there is one look
    first, second = (each.boosters(one_step)[1] for each in (runs, other))
    assert [raw.tobytes() for raw in first] == [raw.tobytes() for raw in second]
    assert runs.losses(first).mean() != other.losses(first).mean()


def test_what_is_left_out_moves_nothing() -> None:
    models = Ensemble.train(history(), BLIND, seed=3, threads=2)
    features = history().sample.features
    changed = features.copy()
    changed[:, SECTOR] = np.where(np.isnan(features[:, SECTOR]), 1.0, np.nan)
    assert models.log_odds(features, BLIND).tobytes() == models.log_odds(changed, BLIND).tobytes()
    assert models.log_odds(features, SETTINGS).tobytes() == models.log_odds(features, BLIND).tobytes()
    seeing = Ensemble.train(history(), SETTINGS, seed=3, threads=2)
    assert seeing.log_odds(features, SETTINGS).tobytes() != seeing.log_odds(changed, SETTINGS).tobytes()


def test_the_log_odds_are_the_blend_times_the_slope() -> None:
    models = Ensemble.train(history(), ENCODED, seed=3, threads=2)
    features = history().sample.features
    trees, linear = (models.log_odds(features, replace(ENCODED, linear_share=share)) for share in (0.0, 1.0))
    both = models.log_odds(features, replace(ENCODED, linear_share=0.25, slope=0.45))
    assert both == pytest.approx((0.75 * trees + 0.25 * linear) / 2)


def test_categories_are_encoded_for_the_trees_alone_and_by_the_past_alone() -> None:
    rows = history()
    encoded = rows.for_trees(ENCODED).features
    codes = rows.sample.features
    others = [index for index in range(len(NAMES)) if index not in LEVELS]
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
    learned = TargetEncoding.learn(rows.sample, LEVELS, ENCODED.train.cat_smooth)
    np.testing.assert_array_equal(rows.target_encoding(ENCODED).apply(codes), learned.apply(codes))
    np.testing.assert_array_equal(rows.target_encoding(SETTINGS).apply(codes), codes)


def test_statistics_count_older_rows_alike_when_they_are_learned_and_when_they_are_applied() -> None:
    """Boosters split on values of the scale that later rows are given."""
    rows = history()
    fading = replace(ENCODED, half_life=0.1)
    np.testing.assert_array_equal(rows.for_trees(fading).features, rows.for_trees(ENCODED).features)
    late = replace(rows, at=rows.at + 1000.0).for_trees(fading)  # when everything is known
    applied = rows.target_encoding(fading).apply(rows.sample.features)
    np.testing.assert_allclose(late.features, applied, rtol=1e-5, atol=1e-6)
    assert late.weights.min() < 0.1 * late.weights.max()


def test_without_order_categories_are_encoded_by_other_leads() -> None:
    rows = history(order="none")
    encoded = rows.for_trees(ENCODED).features
    bucket = rows.bucket[0]
    label = np.where(rows.bucket == bucket, 1 - rows.sample.label, rows.sample.label)
    again = replace(rows, sample=replace(rows.sample, label=label)).for_trees(ENCODED).features
    np.testing.assert_array_equal(again[rows.bucket == bucket], encoded[rows.bucket == bucket])
    assert not np.array_equal(again[rows.bucket != bucket], encoded[rows.bucket != bucket], equal_nan=True)


@pytest.mark.parametrize("settings", [SETTINGS, ENCODED])
def test_without_order_each_booster_leaves_out_a_share_of_the_leads(settings: EnsembleSettings) -> None:
    rows, n = history(order="none"), settings.train.boosters
    before = Ensemble.train(rows, settings, seed=3, threads=2)
    blind = before.log_odds_of(rows, settings)
    for number, (_, left_out) in enumerate(rows.fold_models(n)):
        label = rows.sample.label.copy()
        label[left_out] = 1 - label[left_out]
        again = replace(rows, sample=replace(rows.sample, label=label))
        changed = replace(Ensemble.train(again, settings, seed=3, threads=2), linear=before.linear)
        assert changed.boosters.to_text()[number] == before.boosters.to_text()[number]
        np.testing.assert_array_equal(changed.log_odds_of(again, settings)[left_out], blind[left_out])
        assert not np.array_equal(changed.log_odds(rows.sample.features, settings)[left_out], blind[left_out])


def test_in_time_all_boosters_learn_from_all_rows() -> None:
    rows = history()
    models = Ensemble.train(rows, SETTINGS, seed=3, threads=2)
    assert [len(left_out) for _, left_out in rows.fold_models(5)] == [0]
    np.testing.assert_array_equal(models.log_odds_of(rows, SETTINGS), models.log_odds(rows.sample.features, SETTINGS))


def test_recent_rows_weigh_more_for_both_learners() -> None:
    settings = replace(SETTINGS, half_life=0.2)
    rows = history()
    weight = recency(rows.at, 0.2)
    models = Ensemble.train(rows, settings, seed=3, threads=2)
    weighted = replace(rows.sample, weight=weight)
    assert models.linear.to_json() == Linear.train(weighted, LEVELS, settings.c).to_json()
    boosters = train_boosters([weighted], settings.rounds, rows.shape(settings), TRAIN, 3, 2)
    assert models.boosters.to_text() == boosters.to_text()
    assert models.boosters.to_text() != Ensemble.train(rows, SETTINGS, 3, 2).boosters.to_text()


def declared() -> TrainingHistory:
    """A history that declares: company size up, the last call down, and, without a sense, the sector up."""
    ways = {"size": 1, "recency__call": -1, "sector": 1}
    return replace(history(), directions=tuple(ways.get(name, 0) for name in NAMES))


def test_declared_directions_bind_numbers_and_never_codes() -> None:
    rows = declared()
    held = rows.shape(SETTINGS)
    assert {name: sign for name, sign in zip(NAMES, held.monotone, strict=True) if sign} == {
        "size": 1,
        "recency__call": -1,
    }
    assert held.categorical == tuple(LEVELS)
    assert rows.shape(ENCODED).categorical == ()
    assert rows.shape(ENCODED).monotone == held.monotone
    assert not any(rows.shape(replace(SETTINGS, monotone=False)).monotone)


@pytest.mark.parametrize("settings", [SETTINGS, ENCODED])
def test_final_boosters_obey_declared_directions_where_they_are_held(settings: EnsembleSettings) -> None:
    rows = declared()
    longer_still = replace(settings, rounds=40)
    held, free = (
        Ensemble.train(rows, replace(longer_still, monotone=monotone), seed=3, threads=2) for monotone in (True, False)
    )

    def steps(models: Ensemble, name: str, sign: int) -> np.ndarray:
        values = rows.sample.features[:150].repeat(30, axis=0)
        values[:, NAMES.index(name)] = np.tile(np.linspace(0, 100, 30), 150)
        odds = models.boosters.log_odds(models.target_encoding.apply(values)).reshape(150, 30)
        return sign * np.diff(odds, axis=1)

    for name, sign in (("size", 1), ("recency__call", -1)):
        assert steps(held, name, sign).min() >= -1e-12
        assert steps(free, name, sign).min() < -0.001
