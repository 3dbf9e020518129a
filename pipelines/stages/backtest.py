"""Stage backtest: walk forward through the past, with models trained on what was known at each cut."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from features.matrix.matrix import MatrixSpec
from features.schema.errors import DataError
from models.evaluation.estimate import ModelMetrics
from models.evaluation.metrics import evaluate
from models.evaluation.ranked import Ranked
from models.evaluation.results import BacktestPeriod, BacktestResult, LeftOut, NoBacktest
from models.scoring.baselines import baselines
from models.scoring.fresh_intercept import fresh_log_odds
from models.scoring.rivals import rivals
from models.scoring.scorer import Scorer
from models.splitting.holdout import learning_weights
from models.splitting.walk_forward import Cut, cuts
from models.training.hyperparameter_search import search
from models.training.training import Chosen, Learned, check_ready, chosen, learn, learn_with, taught
from pipelines.config.params import Params
from pipelines.scoring.history import labelled
from pipelines.stages.build_features import learn_spec, split_parts
from pipelines.stages.train import scorer_of, training_setup
from pipelines.storage.contract_store import Contract
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import write_parquet
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_selection, write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
CALLED = 0.1  # of a list: with the capacity of sales, another one would walk everything again
NOT_APPLICABLE = "without dates or an order of rows there is no past to walk through"


@dataclass(frozen=True)
class Retraining:
    """One retraining: the cut, the trained model, and the period after it with each prediction in a column."""

    cut: Cut
    scorer: Scorer
    matrix: pd.DataFrame
    rows: pd.DataFrame
    learned: Learned


def backtest(run: RunContext) -> BacktestResult | NoBacktest:
    """Write backtest.json and the predictions behind it."""
    if run.params.source.order == "none" or run.params.backtest.cuts == 0:
        return _write_not_applicable(
            NOT_APPLICABLE if run.params.source.order == "none" else "backtest.cuts is 0", run.layout
        )
    contract = Contract.open(run.layout, run.params.project)
    labels = labelled(contract, run.params.population)
    snapshots = labels[labels["matured"]].reset_index(drop=True)
    steps, left_out = list[Retraining](), list[LeftOut]()
    choices: Chosen | None = None
    taught_to_train = split_parts(snapshots, run.params) == "train"
    for cut in cuts(snapshots, run.params.source.order, run.params.backtest):
        try:
            if run.params.backtest.choose == "each":
                choices = None
            elif not steps:
                choices = _known_choices(cut, taught_to_train, contract, run)
            most = _most_rows(cut, taught_to_train, run.params)
            steps.append(_walk(cut, snapshots.assign(part=cut.part), most, contract, run.params, choices))
            choices = choices or chosen(steps[0].learned, steps[0].scorer.catalogue)
        except DataError as error:
            log.warning("backtest: %s left out: %s", cut.at, error)
            left_out.append(LeftOut(cut=cut.at, why=str(error)))
    if not steps:
        return _write_not_applicable("no cut leaves enough to learn from", run.layout, left_out)
    rows = pd.concat([step.rows for step in steps], ignore_index=True)
    periods = [_period(step, run.params) for step in steps]
    result = BacktestResult(
        confidence=run.params.evaluate.confidence,
        choose=run.params.backtest.choose,
        periods=periods,
        left_out=left_out,
        pooled=_metrics(rows, run.params),
        mean_auc=_mean_auc(periods),
        fingerprint=contract.profile.fingerprint,
    )
    write_parquet(rows, run.layout.backtest_predictions.path)
    write_result(result, run.layout.backtest.path)
    _log_results(result)
    return result


def _write_not_applicable(why: str, layout: Layout, left_out: list[LeftOut] | None = None) -> NoBacktest:
    result = NoBacktest(why=why, left_out=left_out or [], fingerprint=read_profile(layout).fingerprint)
    write_result(result, layout.backtest.path)
    write_parquet(pd.DataFrame({"lead_id": []}), layout.backtest_predictions.path)
    log.info("backtest: not applicable, %s", why)
    return result


def _walk(
    cut: Cut, snapshots: pd.DataFrame, most_rows: int, contract: Contract, params: Params, choices: Chosen | None
) -> Retraining:
    """Train on what was known at the cut; predict the period after it. Without choices, they are made at the cut."""
    split = snapshots[snapshots["part"] != ""]
    spec = learn_spec(contract, split, params)
    drawn = _drawn(split, most_rows, params)
    matrix = pd.concat(contract.matrix(drawn.drop(columns="matured"), spec, params.rules), ignore_index=True)
    ready = params.readiness
    check_ready(matrix, ready.min_rows, ready.min_positive, ready.min_negative, ready.min_periods)
    learned, training = _learn(matrix, spec, params, choices), taught(matrix, ("train",))
    scorer = scorer_of(learned, training, spec, params, contract.profile.fingerprint)
    later = matrix[matrix["part"] == "test"].reset_index(drop=True)
    fresh = fresh_log_odds(scorer, later, matrix)
    predictions = (
        {"model": scipy.special.expit(fresh)} | baselines(later, scorer) | {"uncorrected": scorer.uncorrected(later)}
    )
    predictions |= rivals(params.train.rivals, training, later, scorer.feature_names, params.project.seed)
    rows = later[["lead_id", "snapshot_at", "label"]].assign(cut=cut.at, **predictions)
    log.info(
        "backtest: %s, %s rows learned from, %s scored", cut.at, f"{len(matrix) - len(later):,}", f"{len(later):,}"
    )
    return Retraining(cut, scorer, matrix, rows, learned)


def _most_rows(cut: Cut, taught_to_train: pd.Series[bool], params: Params) -> int:
    """Return how many rows a cut learns from: about the share of them that train draws of its own."""
    share = (cut.part == "train").sum() / max(taught_to_train.sum(), 1)
    return max(math.ceil(params.snapshots.max_rows * share), 1)


def _drawn(split: pd.DataFrame, most_rows: int, params: Params) -> pd.DataFrame:
    """Draw the rows to learn from; every row after the cut is tested."""
    training, later = (split[split["part"] == part] for part in ("train", "test"))
    weight = learning_weights(training, most_rows, params.project.seed, "learning")
    drawn = training.assign(weight=weight)[weight > 0]
    return pd.concat([drawn, later.assign(weight=1.0)], ignore_index=True)


def _known_choices(cut: Cut, taught_to_train: pd.Series[bool], contract: Contract, run: RunContext) -> Chosen | None:
    """Return what train chose, where all the rows that chose it were known at the cut."""
    if not run.layout.selection.path.is_file() or not (cut.part[taught_to_train] == "train").all():
        return None
    return Chosen.model_validate(read_selection(run.layout, contract.profile.fingerprint)["chosen"])


def _learn(matrix: pd.DataFrame, spec: MatrixSpec, params: Params, choices: Chosen | None) -> Learned:
    """Train with choices that are made, or choose first."""
    import optuna

    setup = training_setup(spec.catalogue, params)
    if choices is not None:
        settings = choices.for_catalogue(spec.catalogue)
        return learn_with(taught(matrix, ("train",)), setup, settings, choices.scorecard_l2)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    return learn(
        matrix,
        setup,
        lambda loss, start: search(loss, start, params.search, study, params.project.seed, _log_progress),
        _log_progress,
    )


def _log_progress(line: str) -> None:
    log.info("backtest: %s", line)


def _period(step: Retraining, params: Params) -> BacktestPeriod:
    training = taught(step.matrix, ("train",))
    return BacktestPeriod(
        cut=step.cut.at,
        training_rows=len(training),
        training_rate=step.scorer.metadata.base_rate,
        linear_share=step.scorer.metadata.linear_share,
        left_out=len(step.scorer.metadata.left_out),
        metrics=_metrics(step.rows, params),
    )


def _mean_auc(periods: list[BacktestPeriod]) -> float:
    """Average the model's AUC over periods by their rows: pooled rows would also be ranked across periods."""
    metrics = [period.metrics["model"] for period in periods]
    return float(np.average([one.auc.value for one in metrics], weights=[one.n for one in metrics]))


def _metrics(rows: pd.DataFrame, params: Params) -> dict[str, ModelMetrics]:
    """Compute the figures of the model and of each baseline on the same rows."""
    return {name: _evaluate(rows, rows[name].to_numpy("float64"), params) for name in _predictions(rows)}


def _predictions(rows: pd.DataFrame) -> list[str]:
    return [str(name) for name in rows if name not in ("lead_id", "snapshot_at", "label", "cut")]


def _evaluate(rows: pd.DataFrame, probability: np.ndarray, params: Params) -> ModelMetrics:
    lists = max(rows["snapshot_at"].nunique(dropna=False), 1)
    called = max(round(CALLED * len(rows) / lists), 1)
    ranked = Ranked.of(rows, probability, called, params.evaluate.calibration_bins)
    return evaluate(ranked, params.evaluate, params.project.seed)


def _log_results(result: BacktestResult) -> None:
    for period in result.periods:
        model = period.metrics["model"]
        log.info(
            "backtest: from %s AUC %s, logistic %.3f; predicted %.1f%%, actual %.1f%%, n %s",
            *(period.cut, model.auc.text(".3f"), period.metrics["logistic"].auc.value),
            *(100 * model.mean_probability.value, 100 * model.base_rate.value, f"{model.n:,}"),
        )
    log.info(
        "backtest: AUC %.3f on average, %s pooled",
        *(result.mean_auc, result.pooled["model"].auc.text(".3f")),
    )
