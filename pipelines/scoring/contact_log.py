"""Corrections by the contact log: metrics, and optionally the intercept, as if every lead on the lists were called."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from features.matrix.catalogue import Catalogue
from models.splitting.forward_folds import in_time
from models.tiers.contact_weights import Weights, contact_metrics, contact_weights
from models.training.training import Learned, calibrate, history_of
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")


def measure_feedback(
    rows: pd.DataFrame, probability: np.ndarray, capacity: int, run: RunContext
) -> dict[str, Any] | None:
    """Weigh held-out rows by the contact log; see `feedback.feedback_figures`. None where there is no log.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label of the test period.
    probability
        Of the model, shape (n,).
    capacity
        Leads of these rows that a list has calls for.
    """
    weights = _weights(rows, run)
    if weights is None:
        return None
    return contact_metrics(rows, probability, weights, capacity, run.params.evaluate, run.params.project.seed)


def if_called(learned: Learned, training: pd.DataFrame, entries: Catalogue, run: RunContext) -> Learned:
    """Return the model with the intercept of training rows once called; unchanged where contacts are too few.

    That intercept serves every list: later outcomes are those of leads as they were worked.

    Parameters
    ----------
    training
        The training rows: lead_id, snapshot_at, known_at, label, features.
    """
    rows, order = in_time(training, run.params.source.order), run.params.source.order
    weights = _weights(rows, run) if run.params.exploration.correct_level else None
    if weights is None:
        return learned
    if not weights.explored.any() or weights.effective < run.params.exploration.min_effective:
        log.warning(
            "train: %s randomised contacts, an effective sample of %s, are too few to correct the intercept",
            f"{weights.explored.sum():,}", f"{weights.effective:,.0f}",
        )  # fmt: skip
        return learned
    history, settings = history_of(rows, entries, order, run.params.project.seed), learned.settings
    log_odds, counts = learned.models.log_odds_of(history, settings), weights.weight.to_numpy("float64")
    corrected = calibrate(log_odds, history, settings, settings.recalibration_half_life, counts)
    shift = corrected.intercept - learned.sigmoid.intercept
    log.info("train: the intercept is that of leads once called: %+.2f in log-odds", shift)
    return replace(learned, sigmoid=corrected, recalibration_half_life=None)


def _weights(rows: pd.DataFrame, run: RunContext) -> Weights | None:
    if run.params.source.order != "dates" or not run.layout.contacts.path.is_file():
        return None
    contacts = pd.read_parquet(run.layout.contacts.path)
    if contacts.empty:
        return None
    return contact_weights(rows, contacts, run.params.snapshots.every_days, run.params.exploration)
