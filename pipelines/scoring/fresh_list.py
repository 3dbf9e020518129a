"""The model as it stands on one day: its intercept follows the outcomes that have matured by then."""

from __future__ import annotations

import logging

import pandas as pd

from features.cohort.moments import moment_text
from models.scoring.fresh_intercept import HALVINGS, list_intercepts
from models.scoring.scorer import Scorer
from models.splitting.holdout import learning_weights
from pipelines.config.params import Params
from pipelines.scoring.history import labelled_lists
from pipelines.storage.contract_store import Contract

log = logging.getLogger("leadscore")


def stand_fresh(scorer: Scorer, contract: Contract, day: pd.Timestamp, params: Params) -> Scorer:
    """Return the scorer with the intercept of a day's list.

    It is the model's own where the model is not to be refreshed, or where it was trained on these very outcomes.
    Features are computed again for `score.recalibration_rows` rows at most: all conversions, and a share of the rest.
    """
    metadata = scorer.metadata
    if metadata.recalibration_half_life is None or metadata.snapshots is None or pd.isna(day):
        return scorer
    rows = labelled_lists(contract, metadata.snapshots, min(day, contract.data_until))
    rows = rows[rows["matured"]]
    if rows.empty or _learned_from(rows, scorer, contract):
        return scorer
    if metadata.recalibration_half_life:
        reach = pd.Timedelta(days=HALVINGS * metadata.recalibration_half_life)
        rows = rows[rows["snapshot_at"] > rows["snapshot_at"].max() - reach]
    rows = rows.drop(columns="matured").reset_index(drop=True)
    weight = learning_weights(rows, params.score.recalibration_rows, params.project.seed, "recalibration")
    drawn = rows.assign(weight=weight)[weight > 0].reset_index(drop=True)
    matrix = pd.concat(contract.matrix(drawn, metadata.matrix), ignore_index=True)
    fresh = float(list_intercepts(scorer, matrix, pd.Series([day]))[0])
    log.info("score: outcomes known by %s move all leads by %+.2f in log-odds", moment_text(day),
             fresh - metadata.sigmoid.intercept)  # fmt: skip
    return scorer.with_intercept(fresh)


def _learned_from(rows: pd.DataFrame, scorer: Scorer, contract: Contract) -> bool:
    """Whether the newest outcomes are those that the model was trained on."""
    same = scorer.metadata.fingerprint == contract.profile.fingerprint
    return same and rows["known_at"].max().isoformat() == scorer.metadata.trained_until
