"""Each list's intercept follows the outcomes known by its day; ranking and reasons stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.scoring.fresh_intercept import fresh_log_odds, list_intercepts
from models.scoring.scorer import Scorer
from tests.support.small_model import HORIZON, matrix, metadata, scorer
from tests.support.tables import DAY, MONDAY


def refreshed() -> Scorer:
    """The small model, whose lists stand on outcomes that count half after four weeks."""
    return replace(scorer(), metadata=metadata(recalibration_half_life=28.0))


MOMENTS = pd.Series([MONDAY, MONDAY + HORIZON * DAY, MONDAY + 70 * DAY, MONDAY + 210 * DAY])


def test_a_fresh_intercept_moves_the_base_and_neither_ranking_nor_reasons() -> None:
    model = refreshed()
    fresh = model.with_intercept(model.metadata.sigmoid.intercept + 0.75)
    before, after = model.score(matrix(), 5), fresh.score(matrix(), 5)
    by = model.metadata.points.factor * 0.75
    assert after["raw_score"].to_numpy() == pytest.approx(before["raw_score"].to_numpy() + 0.75)
    assert after["base_points"].to_numpy() == pytest.approx(before["base_points"].to_numpy() + by)
    assert after["points"].to_numpy() == pytest.approx(before["points"].to_numpy() + by)
    same = ["lead_id", "fit", "engagement", "online", "offline", "grade", "reasons", "reasons_text"]
    pd.testing.assert_frame_equal(after[same], before[same], check_exact=True)
    order = [np.argsort(one["raw_score"].to_numpy(), kind="stable").tolist() for one in (before, after)]
    assert order[0] == order[1]
    assert fresh.model_id == model.model_id and fresh.metadata == model.metadata
    assert model.with_intercept(model.sigmoid.intercept) is model


def test_before_any_outcome_is_known_it_is_the_models_own() -> None:
    own = refreshed().metadata.sigmoid.intercept
    found = list_intercepts(refreshed(), matrix(), MOMENTS)
    assert found[0] == own  # the first outcome is known two weeks later, on the day of the second list
    assert own not in found[1:]
    assert (list_intercepts(scorer(), matrix(), MOMENTS) == own).all()  # a model without a half-life
    assert (list_intercepts(refreshed(), matrix().head(0), MOMENTS) == own).all()


def test_an_outcome_known_only_later_changes_no_earlier_list() -> None:
    turned = matrix().copy()
    later = turned["known_at"] > MOMENTS[2]
    turned.loc[later, "label"] = 1 - turned.loc[later, "label"]
    before, after = (list_intercepts(refreshed(), one, MOMENTS) for one in (matrix(), turned))
    assert after[:3].tolist() == before[:3].tolist()
    assert after[3] != before[3]
    assert list_intercepts(refreshed(), matrix()[~later], MOMENTS)[:3].tolist() == before[:3].tolist()


def test_where_more_has_converted_lately_lists_stand_higher() -> None:
    rows = matrix().assign(label=matrix()["label"].where(matrix()["snapshot_at"] < MONDAY + 150 * DAY, 1.0))
    before, after = (list_intercepts(refreshed(), one, MOMENTS) for one in (matrix(), rows))
    assert after[3] > before[3] + 0.5
    assert after[2] == before[2]


def test_rows_have_the_intercept_of_their_own_list_and_the_order_within_it_stays() -> None:
    model = refreshed()
    found, plain = fresh_log_odds(model, matrix(), matrix()), model.log_odds(matrix())
    shift = pd.Series(found - plain).groupby(matrix()["snapshot_at"])
    assert (shift.max() - shift.min()).max() < 1e-12
    assert shift.mean().nunique() > 20
    lists = list_intercepts(model, matrix(), matrix()["snapshot_at"])
    assert found == pytest.approx(plain - model.sigmoid.intercept + lists)
    moved = model.with_intercept(1.5)  # whatever list the scorer stands on
    assert fresh_log_odds(moved, matrix(), matrix()) == pytest.approx(found)


def test_a_row_that_stands_for_three_counts_three_times() -> None:
    heavy = matrix().assign(weight=np.where(matrix().index % 4 == 0, 3.0, 1.0))
    repeated = matrix().loc[matrix().index.repeat(heavy["weight"].astype(int))].drop(columns="weight")
    once, often = (list_intercepts(refreshed(), one, MOMENTS) for one in (heavy, repeated))
    assert once == pytest.approx(often, abs=1e-8)
    assert once[3] != list_intercepts(refreshed(), matrix(), MOMENTS)[3]
