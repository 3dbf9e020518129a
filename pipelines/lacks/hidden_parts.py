"""Hide parts of the data, train again with the settings that the run chose, and compare wins on the later period."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy

from features.matrix.matrix import MatrixSpec
from models.evaluation.metrics import compare_wins
from models.evaluation.ranked import Curve, Ranked
from models.evaluation.results import EvaluationResult
from models.explanation.data_parts import HiddenPart, Kind, LacksResult, data_parts
from models.learners.ensemble import Ensemble, EnsembleSettings, TrainingHistory
from models.splitting.holdout import tested_rows
from models.tiers.capacity import sampled_capacity
from models.training.training import Chosen, history_of, taught
from pipelines.config.params import Params
from pipelines.config.source import Source
from pipelines.storage.contract_store import read_matrix
from pipelines.storage.data_profile import read_profile
from pipelines.storage.results import read_result, read_selection, read_snapshot_counts, write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
BOOSTERS = 1  # of the model with everything, and of those without a part: cheaper, and compared like with like


def measure_lacks(run: RunContext, each: bool) -> LacksResult:
    """Write lacks.json: the wins a list that are fewer without each part of the data.

    Parameters
    ----------
    each
        Whether each attribute and each event type is hidden alone, too.

    Raises
    ------
    DataError, ModelError
        Where an earlier stage has not run, or has run on other data.
    """
    matrix, spec = read_matrix(run.layout)
    profile = read_profile(run.layout)
    evaluated = read_result(EvaluationResult, run.layout.metrics.path, "evaluate")
    chosen = Chosen.model_validate(read_selection(run.layout, profile.fingerprint)["chosen"])
    whole = chosen.for_catalogue(spec.catalogue)
    settings = replace(whole, train=whole.train.model_copy(update={"boosters": BOOSTERS}))
    training = history_of(taught(matrix, ("train",)), spec.catalogue, run.params.source.order, run.params.project.seed)
    rows, sampled = tested_rows(matrix), read_snapshot_counts(run.layout).tested_share
    capacity = sampled_capacity(run.params.capacity.per_period, sampled)
    features = np.ascontiguousarray(rows[[entry.name for entry in spec.catalogue]].to_numpy("float32"))

    def ranked(hidden: Collection[int]) -> Ranked:
        without = replace(settings, left_out=settings.left_out | frozenset(hidden))
        return _ranked(rows, features, training, without, capacity, run)

    model = ranked(())
    auc, found, wins = _auc(model), [], None
    for part, hidden in _parts(spec, run.params, each).items():
        less = ranked(hidden)
        wins = compare_wins(model, less, part, sampled, run.params.evaluate, run.params.project.seed)
        found.append(
            HiddenPart(
                part=part, features=len(hidden), fewer=wins.gained, fewer_low=wins.gained_low,
                fewer_high=wins.gained_high, auc=auc, auc_without=_auc(less),
            )
        )  # fmt: skip
        log.info("lacks: %s", found[-1].sentence)
    plain = wins or compare_wins(model, model, "", sampled, run.params.evaluate, run.params.project.seed)
    result = LacksResult(
        model_id=evaluated.model_id,
        fingerprint=profile.fingerprint,
        confidence=run.params.evaluate.confidence,
        wins=plain.wins,
        calls=plain.calls,
        lists=plain.lists,
        parts=sorted(found, key=lambda one: -one.fewer),
        absent=absent_kinds(run.params.source),
    )
    write_result(result, run.layout.lacks.path)
    return result


def absent_kinds(source: Source) -> list[Kind]:
    """Return the kinds of data that a source does not have."""
    edited = any(one.known == "history" for one in source.attributes.values())
    lost = any(one.lost_values or "lost_at" in (one.columns or {"lost_at": ""}) for one in source.outcomes)
    dated = source.order == "dates"
    missing: dict[Kind, bool] = {
        "dates": not dated,
        "events": not source.events,
        "edits": dated and not (edited and source.attribute_history),
        "lost dates": dated and not lost,
        "contacts": not source.contacts,
    }
    return [kind for kind, absent in missing.items() if absent]


def _parts(spec: MatrixSpec, params: Params, each: bool) -> dict[str, frozenset[int]]:
    edited = {name for name, one in spec.attributes.items() if one.known == "history"}
    events = [one for one in params.source.events if one.constants.get("event_type")]
    tables: dict[str, set[str]] = {}
    for one in events:
        tables.setdefault(one.path, set()).add(one.constants["event_type"])
    return data_parts(spec.catalogue, spec.vocabulary, edited, tables if len(tables) > 1 else {}, each)


def _ranked(
    rows: pd.DataFrame, features: np.ndarray, training: TrainingHistory, settings: EnsembleSettings, capacity: int,
    run: RunContext,
) -> Ranked:  # fmt: skip
    """Train with some features hidden, and rank the later rows; lists need no intercept of their own for that."""
    models = Ensemble.train(training, settings, run.params.project.seed, run.params.project.threads)
    log_odds = models.log_odds(features, settings)
    return Ranked.of(rows, scipy.special.expit(log_odds), capacity, run.params.evaluate.calibration_bins)


def _auc(ranked: Ranked) -> float:
    return Curve.of(ranked, ranked.weight).auc()
