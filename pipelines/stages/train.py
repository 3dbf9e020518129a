"""Stage train: trains the scorer on labelled snapshots, and a random-split model beside it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd

from features.cohort.moments import LIST
from features.matrix.catalogue import Catalogue
from features.matrix.matrix import MatrixSpec
from models.learners.ensemble import Ensemble
from models.points.grades import GradeCuts
from models.scoring.rule_points import RuleCurve, fit_curve
from models.scoring.scorer import FORMAT, ModelMetadata, Scorer
from models.splitting.holdout import Part, sample_leads, split_at_random
from models.training.hyperparameter_search import SearchParams, search
from models.training.training import (
    Learned,
    TrainingSetup,
    calibrate,
    check_ready,
    chosen,
    history_of,
    learn,
    learn_with,
    listed,
    taught,
)
from pipelines.config.params import Params
from pipelines.scoring.contact_log import if_called
from pipelines.storage.bundle import save_bundle, warn_of_scale
from pipelines.storage.contract_store import read_matrix, read_moments
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import write_json
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import versions

if TYPE_CHECKING:
    import optuna


log = logging.getLogger("leadscore")


def train(run: RunContext) -> Scorer:
    """Write the model bundle, selection.json, and the random-split model, which shows how optimistic such a split is.

    Raises
    ------
    NotReadyError
        Where there is too little to learn from.
    """
    matrix, spec = read_matrix(run.layout)
    ready = run.params.readiness
    check_ready(matrix, ready.min_rows, ready.min_positive, ready.min_negative, ready.min_periods)
    fingerprint = read_profile(run.layout).fingerprint
    study = _study(run, fingerprint, versions())
    taught_from = beside_lists(matrix, read_moments(run.layout, run.params.population))
    learned = learn(
        taught_from,
        training_setup(spec.catalogue, run.params),
        lambda loss, start: search(loss, start, _searched(run.params), study, run.params.project.seed, _log_progress),
        _log_progress,
    )
    training = taught(matrix, ("train",))
    learned = if_called(learned, training, spec.catalogue, run)
    scorer = graded(scorer_of(learned, training, spec, run.params, fingerprint), training, run.params)
    save_bundle(scorer, run.layout.tested_model)
    refitted = refit(scorer, learned, taught_from, run)
    warn_of_scale(run.layout.bundle, refitted.metadata.points)
    save_bundle(refitted, run.layout.bundle)
    write_json(
        _selection(learned, spec.catalogue, study) | {"quick": run.params.project.quick, "fingerprint": fingerprint},
        run.layout.selection.path,
    )
    save_bundle(random_split_model(scorer, learned, matrix, run.params), run.layout.random_split)
    log.info("train: model %s of %d features scores; %s is tested", refitted.model_id, len(spec.catalogue),
             scorer.model_id)  # fmt: skip
    return refitted


def _searched(params: Params) -> SearchParams:
    """Leave out what is tried first where rows are in order: there larger trees learn what will not come again."""
    return params.search if params.source.order == "none" else params.search.model_copy(update={"first": []})


def beside_lists(matrix: pd.DataFrame, moments: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of lists with those of moments between them, if there are any, told apart by `moment`."""
    if moments is None:
        return matrix
    return pd.concat([matrix.assign(moment=LIST), moments], ignore_index=True)


def refit(tested: Scorer, learned: Learned, matrix: pd.DataFrame, run: RunContext) -> Scorer:
    """Train with the same settings on all rows whose outcome is known, which is what scores.

    The test's figures are those of the settings. The scorecard stays as it was tested.
    """
    all_rows, spec = taught(matrix, get_args(Part)), tested.metadata.matrix
    setup = training_setup(spec.catalogue, run.params)
    again = learn_with(all_rows, setup, learned.settings, learned.scorecard_l2, learned.scorecard)
    rows = listed(all_rows)
    again = if_called(again, rows, spec.catalogue, run)
    scorer = graded(scorer_of(again, rows, spec, run.params, tested.metadata.fingerprint), rows, run.params)
    same = {"tested_as": tested.model_id, "points": tested.metadata.points}
    log.info("train: fitted again to %s rows, all whose outcome is known", f"{len(all_rows):,}")
    return replace(scorer, metadata=scorer.metadata.model_copy(update=same))


def training_setup(catalogue: Catalogue, params: Params) -> TrainingSetup:
    """Return what the parameters say of training."""
    return TrainingSetup(
        catalogue,
        params.source.order,
        params.selection,
        params.train.boosting,
        params.scorecard,
        params.project.seed,
        params.project.threads,
    )


def _log_progress(line: str) -> None:
    log.info("train: %s", line)


def _study(run: RunContext, fingerprint: str, program: Mapping[str, str]) -> optuna.Study:
    """Open the trials of the same search by the same program; a stopped search continues where it was."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = run.params.model_dump_json(
        include={"source", "snapshots", "features", "split", "train", "selection", "scorecard", "search"},
        exclude={"train": {"rivals"}},
    )
    known = f"{FORMAT}{run.params.project.seed}{fingerprint}{settings}{sorted(program.items())}"
    key = hashlib.sha256(known.encode()).hexdigest()[:16]
    run.layout.search.mkdir(parents=True, exist_ok=True)
    journal = run.layout.search / f"{key}.journal"
    _drop_torn_line(journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(storage=storage, study_name=key, load_if_exists=True)


def _drop_torn_line(journal: Path) -> None:
    """Drop an incomplete last line, which a killed run leaves: lines written after it could not be read."""
    text = journal.read_bytes() if journal.is_file() else b""
    complete = text[: text.rfind(b"\n") + 1]
    if complete != text:
        log.warning("train: %s has an incomplete last line; that trial is repeated", journal.name)
        part = journal.with_suffix(".part")
        part.write_bytes(complete)
        part.replace(journal)


def scorer_of(learned: Learned, training: pd.DataFrame, spec: MatrixSpec, params: Params, fingerprint: str) -> Scorer:
    """Combine the learned models with the parameters that scoring needs."""
    metadata = _metadata(learned, training, spec, params, fingerprint)
    return Scorer(metadata, learned.models, learned.scorecard)


def graded(scorer: Scorer, training: pd.DataFrame, params: Params) -> Scorer:
    """Learn the cut-offs of the grades from the points of the training rows."""
    rows = sample_leads(training, params.grades.sample_rows, params.project.seed, "grades")
    groups = scorer.point_groups(rows)
    cuts = GradeCuts.learn(groups["fit"], groups["engagement"], rows["weight"].to_numpy("float64"), params.grades)
    return replace(scorer, metadata=scorer.metadata.model_copy(update={"grades": cuts}))


def _metadata(
    learned: Learned, training: pd.DataFrame, spec: MatrixSpec, params: Params, fingerprint: str
) -> ModelMetadata:
    dated = params.source.order == "dates"
    base_rate = round(float(np.average(training["label"], weights=training["weight"])), 9)
    return ModelMetadata(
        format=FORMAT,
        matrix=spec,
        snapshots=params.snapshots if dated else None,
        left_out=_names(learned, spec.catalogue),
        linear_share=learned.settings.linear_share,
        sigmoid=learned.sigmoid,
        uncorrected=learned.uncorrected,
        recalibration_half_life=learned.recalibration_half_life,
        rules=_rule_curve(training, params),
        points=params.points.scale(base_rate),
        grades=None,
        base_rate=base_rate,
        trained_until=training["known_at"].max().isoformat() if dated else None,
        fingerprint=fingerprint,
    )


def _rule_curve(training: pd.DataFrame, params: Params) -> RuleCurve | None:
    if not params.rules.names:
        return None
    columns = (training[name].to_numpy("float64") for name in ("rule_points", "label", "weight"))
    return fit_curve(*columns)


def _names(learned: Learned, entries: Catalogue) -> list[str]:
    return [entries[column].name for column in sorted(learned.settings.left_out)]


def _selection(learned: Learned, entries: Catalogue, study: optuna.Study) -> dict[str, object]:
    """What was chosen and why, for the report and for MLflow."""
    settings = learned.settings
    return {
        "left_out": [entries[column].label for column in sorted(settings.left_out)],
        "chosen": chosen(learned, entries).model_dump(mode="json"),
        "settings": settings.train.model_dump() | {"rounds": settings.rounds, "logistic_c": settings.c},
        "decisions": [decision.model_dump() for decision in learned.decisions],
        "trials": [{"loss": trial.value, **trial.params} for trial in study.trials],
    }


def random_split_model(scorer: Scorer, learned: Learned, matrix: pd.DataFrame, params: Params) -> Scorer:
    """Train with the same settings on a random split of all rows."""
    part = split_at_random(matrix, params.project.seed, params.split)
    rows, seed, threads = taught(matrix.assign(part=part), ("train",)), params.project.seed, params.project.threads
    history = history_of(rows, scorer.catalogue, params.source.order, seed)
    models = Ensemble.train(history, learned.settings, seed, threads)
    log_odds = models.log_odds_of(history, learned.settings)
    # A random split mixes old and new rows: one intercept for all.
    level = {"sigmoid": calibrate(log_odds, history, learned.settings, 0.0)}
    return Scorer(scorer.metadata.model_copy(update=level), models, scorer.scorecard)
