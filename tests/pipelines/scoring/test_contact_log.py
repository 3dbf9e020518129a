"""The contact log in the pipeline: when figures are weighted by it, and when training moves the level by it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.training.training import Learned, TrainingSetup, history_of, learn_with
from pipelines.config.params import Params
from pipelines.scoring.contact_log import if_called, measure_feedback
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.small_model import CARD, ENTRIES, SELECTION, SETTINGS, TRAIN, matrix
from tests.support.tables import HOUR, PARAMS


def params_with(**changed: object) -> Params:
    exploration = PARAMS.exploration.model_copy(update={"correct_level": True, "min_effective": 50} | changed)
    evaluate = PARAMS.evaluate.model_copy(update={"resamples": 10})
    return PARAMS.model_copy(update={"exploration": exploration, "evaluate": evaluate})


def training() -> pd.DataFrame:
    rows = matrix()
    return rows[rows["part"] == "train"]


@pytest.fixture(scope="module")
def learned() -> Learned:
    setup = TrainingSetup(ENTRIES, "dates", SELECTION, TRAIN, CARD, seed=1, threads=1)
    return learn_with(training(), setup, SETTINGS, 1.0)


def logged(folder: Path, rows: pd.DataFrame, propensity: np.ndarray | float) -> Layout:
    """A contact log in which each of the rows was called, those with a chance below 1 at random."""
    layout = Layout.folder(folder)
    layout.contract.mkdir(parents=True)
    log = pd.DataFrame(
        {
            "lead_id": rows["lead_id"],
            "contacted_at": rows["snapshot_at"] + HOUR,
            "known_at": rows["snapshot_at"] + HOUR,
            "as_of": rows["snapshot_at"],
            "propensity": propensity,
        }
    )
    log["explored"] = np.where(log["propensity"] < 1, "yes", "no")
    log.to_parquet(layout.contacts.path)
    return layout


def test_without_a_log_nothing_is_weighted(learned: Learned, tmp_path: Path) -> None:
    rows = matrix()
    empty = logged(tmp_path / "empty", rows.head(0), 1.0)
    for layout in (Layout.folder(tmp_path / "none"), empty):
        assert measure_feedback(rows, np.full(len(rows), 0.3), 20, RunContext(params_with(), layout)) is None
        assert if_called(learned, training(), ENTRIES, RunContext(params_with(), layout)) is learned


def test_the_level_is_that_of_leads_once_called(learned: Learned, tmp_path: Path) -> None:
    """The weighted prediction is the weighted outcome; the slope stays, so that no rank changes.

    Later lists keep that intercept: outcomes that mature are those of leads as they were worked.
    """
    rows = training()
    chance = np.where(np.arange(len(rows)) % 3, 0.2, 1.0)
    called = ((rows["label"] == 1) | (np.arange(len(rows)) % 2 == 0)).to_numpy()
    layout = logged(tmp_path, rows[called], chance[called])
    corrected = if_called(learned, rows, ENTRIES, RunContext(params_with(), layout))
    sigmoid = corrected.sigmoid
    assert learned.recalibration_half_life is not None
    assert corrected.recalibration_half_life is None
    assert sigmoid.slope == learned.sigmoid.slope
    assert sigmoid.intercept > learned.sigmoid.intercept + 0.3
    shown = rows[called]
    history = history_of(shown, ENTRIES, "dates", 1)
    raw = learned.models.log_odds(history.sample.features, SETTINGS)
    ordered = pd.Series(1 / chance[called], index=shown["lead_id"])
    lead = shown.sort_values(["snapshot_at", "lead_id"])["lead_id"]
    weight = ordered[lead].to_numpy()
    predicted = weight @ expit(raw + sigmoid.intercept) / weight.sum()
    assert predicted == pytest.approx((weight @ history.sample.label + 0.5) / (weight.sum() + 1), rel=1e-6)


@pytest.mark.parametrize(
    ("changed", "chance", "warned"),
    [({"correct_level": False}, 0.5, False), ({"min_effective": 10_000}, 0.5, True), ({}, 1.0, True)],
)
def test_too_little_and_not_asked_for_leave_the_level(
    changed: dict[str, object],
    chance: float,
    warned: bool,
    learned: Learned,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    layout = logged(tmp_path, training(), chance)
    with caplog.at_level(logging.WARNING, logger="leadscore"):
        assert if_called(learned, training(), ENTRIES, RunContext(params_with(**changed), layout)) is learned
    assert ("too few to correct the intercept" in caplog.text) == warned


def test_figures_of_the_later_period_are_set_side_by_side(tmp_path: Path) -> None:
    rows = matrix()
    test = rows[rows["part"] == "test"].reset_index(drop=True)
    winners = test[test["label"] == 1]
    layout = logged(tmp_path, pd.concat([winners, test[test["label"] == 0].head(len(winners))]), 0.5)
    feedback = measure_feedback(test, np.linspace(0.1, 0.9, len(test)), 20, RunContext(params_with(), layout))
    assert feedback is not None
    assert feedback["if_called"]["base_rate"] == pytest.approx(0.5)
    assert feedback["as_worked"]["base_rate"] == pytest.approx(test["label"].mean())
    assert feedback["contacts"] == feedback["explored"] == 2 * len(winners)
    assert "no measure of what a call adds" in feedback["lines"][-1]
