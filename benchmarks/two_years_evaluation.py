"""What two_years reports of its weeks: detected changes, false alarms, log-loss of three policies, promotions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.simulated_years import Scenario, export
from models.evaluation.metrics import compare
from models.evaluation.ranked import row_losses
from models.scoring.scorer import Scorer
from pipelines.config.params import Params
from pipelines.config.simulation import Shock
from pipelines.scoring.history import leads_at_risk
from pipelines.simulation.export import Simulated
from pipelines.stages.ingest import ingest
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout

Predict = Callable[[str, Sequence[pd.Timestamp]], pd.DataFrame]  # model id, days of score lists -> `predictions`
FIRST_MODEL = "first model for ever"
MONTH = 4  # score lists
WITHIN = pd.Timedelta(days=56)  # later alerts are not put down to a change
RESAMPLES = 2000  # of each promotion
DETECTING = {  # the checks that may count as having detected a change
    "feed": ("MN01", "MN02"),
    "channel": ("MN04", "MN05"),
    "tracker": ("MN02", "MN03"),
    "price": ("MN08", "MN10"),
    "sales": ("MN02", "MN03"),
}


def detections(rows: Sequence[dict[str, Any]], shocks: Sequence[Shock]) -> list[dict[str, Any]]:
    """Return for each planted change when a check that may detect it failed that had passed the week before."""
    return [
        {"kind": shock.kind, "day": shock.day.isoformat(), **_detection(rows, pd.Timestamp(shock.day), shock.kind)}
        for shock in shocks
    ]


def _detection(rows: Sequence[dict[str, Any]], start: pd.Timestamp, kind: str) -> dict[str, Any]:
    before = [row for row in rows if pd.Timestamp(row["day"]) <= start]
    known = set(before[-1]["alerts"]) if before else set()
    for row in rows:
        codes = sorted(set(row["alerts"]).intersection(DETECTING[kind]) - known)
        day = pd.Timestamp(row["day"])
        if codes and start < day <= start + WITHIN:
            return {"detected": row["day"], "days": (day - start).days, "by": codes}
    return {"detected": None, "days": None, "by": []}


def count_false_alarms(rows: Sequence[dict[str, Any]], shocks: Sequence[Shock]) -> dict[str, int]:
    """Count alerts in the weeks before the first change, when nothing has moved."""
    first = min(pd.Timestamp(shock.day) for shock in shocks)
    quiet = [row for row in rows if pd.Timestamp(row["day"]) <= first]
    return {"weeks": len(quiet), "with_alert": sum(bool(row["alerts"]) for row in quiet)}


def compare_policies(rows: Sequence[dict[str, Any]], scenario: Scenario, history: Simulated) -> dict[str, Any]:
    """Compare the first model, the loop and the oracle, list by list, by log-loss under the known truth."""
    predict = predictor(scenario, history, "with every change")
    days = [pd.Timestamp(row["day"]) for row in rows[1:]]
    policies = {FIRST_MODEL: predict(rows[0]["champion"], days)} | {
        name: pd.concat([predict(model, lists) for model, lists in lists_by_model(rows, key).items()])
        for name, key in (("loop", "champion"), ("oracle", "oracle"))
    }
    return {"losses": losses(policies, scenario.shocks), "promotions": promotions(rows, predict, scenario)}


def lists_by_model(rows: Sequence[dict[str, Any]], key: str) -> dict[str, list[pd.Timestamp]]:
    """Return the score lists of each model: a model takes over on the Monday after it was trained."""
    lists: dict[str, list[pd.Timestamp]] = {}
    for before, row in pairwise(rows):
        lists.setdefault(str(before[key]), []).append(pd.Timestamp(row["day"]))
    return lists


# Predictions


def predictor(scenario: Scenario, history: Simulated, name: str) -> Predict:
    """Return what predicts score lists with a kept model, when all outcomes are known; see `predictions`.

    The tables are read at every call, so each history has a folder of its own, `name`.
    """
    layout, params = Layout.folder(scenario.work / "judged" / name), scenario.params
    export(history, pd.Timestamp(params.simulate.last_day) + pd.Timedelta(days=1), layout.raw)
    ingest(params.source, params.ingest, params.project, layout.raw, layout)
    contract = Contract.open(layout, params.project)
    truth = with_labels(history.oracle, contract.outcomes, params.snapshots.horizon_days)

    def predict(model_id: str, days: Sequence[pd.Timestamp]) -> pd.DataFrame:
        model = load_bundle(scenario.kept_models / model_id, params.project.threads)
        return predictions(model, contract, days, truth)

    return predict


def with_labels(oracle: pd.DataFrame, outcomes: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
    """Return lead_id, snapshot_at, truth (the true probability) and label."""
    rows = oracle.rename(columns={"probability": "truth"})
    rows = rows.merge(outcomes[["lead_id", "converted_at"]], "left", "lead_id")
    end = rows["snapshot_at"] + pd.Timedelta(days=horizon_days)
    label = (rows["converted_at"] >= rows["snapshot_at"]) & (rows["converted_at"] < end)
    return rows.assign(label=label.astype("float64"))[["lead_id", "snapshot_at", "truth", "label"]]


def predictions(model: Scorer, contract: Contract, days: Sequence[pd.Timestamp], truth: pd.DataFrame) -> pd.DataFrame:
    """Score the leads whose truth is known: lead_id, snapshot_at, truth, label, probability."""
    population = model.metadata.snapshots
    assert population is not None  # noqa: S101  # simulated leads have dates
    rows = leads_at_risk(contract, pd.DatetimeIndex(sorted(days)).as_unit("us"), population)
    known = rows.merge(truth, "inner", ["lead_id", "snapshot_at"])
    matrix = pd.concat(contract.matrix(known, model.metadata.matrix), ignore_index=True)
    return matrix[["lead_id", "snapshot_at", "truth", "label"]].assign(probability=model.probability(matrix))


# Losses


def losses(policies: dict[str, pd.DataFrame], shocks: Sequence[Shock]) -> dict[str, Any]:
    """Return the mean excess log-loss of each policy, in all and since each change."""
    starts = [pd.Timestamp(shock.day) for shock in shocks]
    periods = {"all": (pd.Timestamp.min, pd.Timestamp.max)}
    for shock, start, end in zip(shocks, starts, [*starts[1:], pd.Timestamp.max], strict=True):
        periods[f"after {shock.kind}"] = (start, end)
    return {name: _losses_within(policies, start, end) for name, (start, end) in periods.items()}


def _losses_within(policies: dict[str, pd.DataFrame], start: pd.Timestamp, end: pd.Timestamp) -> dict[str, Any]:
    """Return the losses in a period, and the share of the oracle's gain on the first model that the loop recovers."""
    inside = {
        name: rows[(rows["snapshot_at"] >= start) & (rows["snapshot_at"] < end)] for name, rows in policies.items()
    }
    loss = {name: excess_loss(rows) for name, rows in inside.items()}
    gap = loss[FIRST_MODEL] - loss["oracle"]
    recovered = (loss[FIRST_MODEL] - loss["loop"]) / gap if gap > 0 else None
    return {"rows": len(inside["loop"]), "excess_log_loss": loss, "recovered": recovered}


def excess_loss(rows: pd.DataFrame) -> float:
    """Return the expected log-loss under the truth, less that of the truth itself."""
    truth, predicted = rows["truth"].to_numpy(), rows["probability"].to_numpy()
    own, least = (
        truth * row_losses(np.ones(len(p)), p) + (1 - truth) * row_losses(np.zeros(len(p)), p)
        for p in (predicted, truth)
    )
    return float((own - least).mean())


# Promotions


def promotions(rows: Sequence[dict[str, Any]], predict: Predict, scenario: Scenario) -> list[dict[str, Any]]:
    """Compare each promoted model with the one before it on the score lists of the next month.

    Where a change was planted before the outcomes of that month were known, nobody could know of it: the two models are
    compared once more in the same scenario without it, `unchanged`.
    """
    comparisons = []
    switched = [(before, row) for before, row in pairwise(rows[:-MONTH]) if row["champion"] != before["champion"]]
    for before, row in switched:
        start, end = pd.Timestamp(row["day"]), pd.Timestamp(row["day"]) + MONTH * pd.Timedelta(days=7)
        lists = [day for day in (pd.Timestamp(week["day"]) for week in rows) if start < day <= end]
        models = row["champion"], before["champion"]
        comparison = {"day": row["day"]} | month_after(models, lists, predict, scenario.params, len(switched))
        known = end + pd.Timedelta(days=scenario.params.snapshots.horizon_days)
        if any(start <= pd.Timestamp(shock.day) <= known for shock in scenario.shocks):  # a list is of its day's start
            calm = scenario.draw([shock for shock in scenario.shocks if pd.Timestamp(shock.day) < start])
            without = predictor(scenario, calm, f"unchanged from {row['day']}")
            comparison["unchanged"] = month_after(models, lists, without, scenario.params, len(switched))
        comparisons.append(comparison)
    return comparisons


def month_after(
    models: tuple[str, str], lists: Sequence[pd.Timestamp], predict: Predict, params: Params, comparisons: int
) -> dict[str, Any]:
    """Compare a model with the one before it on some score lists, by their outcomes, with intervals.

    Beside the interval of `evaluate.confidence` is one that holds for all comparisons together (Bonferroni).
    """
    new, old = (predict(model, lists) for model in models)
    result = {"rows": len(new), "truly_better_by": excess_loss(old) - excess_loss(new)}
    for name, among in (("", 1), ("_all", comparisons)):
        confidence = 1 - (1 - params.evaluate.confidence) / among
        settings = params.evaluate.model_copy(update={"resamples": RESAMPLES, "confidence": confidence})
        probability = new["probability"].to_numpy(), old["probability"].to_numpy()
        result |= compare(new, *probability, settings, params.project.seed).flat(f"gap{name}")
    return result
