"""What leads are worth once they are called: metrics over contacts, each weighted by its propensity.

Sales calls the leads of the best tier, so a history shows lower tiers mostly uncalled, and a model that is judged by it
is judged by its own decisions. Among contacts by the list, each counts as often as leads like it stood on the list: one
that earned the tier once, one of the random sample 1 / propensity times. The figures then are those of a list of which
every lead is called. They rest on three things: propensities as logged, the best tier called completely, and no lead
of propensity 0, so leads that exclusions keep out do not belong to that list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.evaluation.estimate import ModelMetrics
from models.evaluation.metrics import EvaluateParams, evaluate
from models.evaluation.ranked import Ranked
from models.tiers.exploration import ExplorationParams

NEVER_CALLED = "no lead of the random sample was called, so nothing is known of leads below the best tier once called"


@dataclass(frozen=True)
class Weights:
    """How often each row counts; all by the index of the rows.

    Attributes
    ----------
    weight
        0 for rows without a contact by the list; else 1 over its propensity, at most `max_weight`.
    explored
        Whether the contact is of the random sample.
    by_sales
        Whether there was a contact, but none by the list: sales chose it, with an unknown probability.
    clipped
        Whether the weight would have been above `max_weight`.
    rows
        How many rows of the history each row stands for.
    """

    weight: pd.Series[float]
    explored: pd.Series[bool]
    by_sales: pd.Series[bool]
    clipped: pd.Series[bool]
    rows: pd.Series[float]

    @property
    def effective(self) -> float:
        """The number of equally weighted rows that would be as telling.

        Source: Kish 1965, Survey Sampling: the squared sum of weights over the sum of their squares.
        """
        weight = self.weight * self.rows
        squares = float((weight**2).sum())
        return float(weight.sum()) ** 2 / squares if squares else 0.0


def contact_weights(rows: pd.DataFrame, contacts: pd.DataFrame, every_days: int, params: ExplorationParams) -> Weights:
    """Weigh each snapshot by the contact that followed from its list.

    Parameters
    ----------
    rows
        lead_id, snapshot_at; one row a lead and moment; and weight: how many rows each stands for, without it one.
    contacts
        lead_id, contacted_at, as_of (where not known, contacted_at stands in), explored, propensity.
    every_days
        A contact belongs to the last snapshot of its lead at or before its list, at most this many days before it.
    """
    made = contacts.assign(at=contacts["as_of"].fillna(contacts["contacted_at"]))
    numbered = rows[["lead_id", "snapshot_at"]].assign(row=np.arange(len(rows)))
    pairs = numbered.merge(made, on="lead_id")
    age = pairs["at"] - pairs["snapshot_at"]
    pairs = pairs[(age >= pd.Timedelta(0)) & (age < pd.Timedelta(days=every_days))]
    by_list = (pairs["explored"] == "yes") | (pairs["propensity"] == 1)
    first = pairs[by_list].sort_values(["row", "contacted_at"]).drop_duplicates("row").set_index("row")
    numbers = pd.RangeIndex(len(rows))
    weight = (1 / first["propensity"]).reindex(numbers, fill_value=0.0)
    explored = (first["explored"] == "yes").reindex(numbers, fill_value=False)
    by_sales = pd.Series(numbers.isin(pairs["row"]) & ~numbers.isin(first.index))
    return Weights(
        weight=weight.clip(upper=params.max_weight).set_axis(rows.index),
        explored=explored.set_axis(rows.index),
        by_sales=by_sales.set_axis(rows.index),
        clipped=(weight > params.max_weight).set_axis(rows.index),
        rows=rows["weight"] if "weight" in rows else pd.Series(1.0, index=rows.index),
    )


def contact_metrics(
    rows: pd.DataFrame,
    probability: np.ndarray,
    weights: Weights,
    capacity: int,
    params: EvaluateParams,
    seed: int,
) -> dict[str, object]:
    """Compute the metrics of the rows as they were worked, and those of a list of which every lead is called.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label.
    probability
        Shape (n,).

    Returns
    -------
    dict
        rows, contacts (rows with one by the list), explored, by_sales, effective, weight_sum (about `rows` less the
        excluded, where the log fits the lists), clipped (share of the contacts); as_worked and if_called (see
        `metrics.evaluate`; None where no lead of the random sample was called), and lines.
    """
    called = (weights.weight > 0).to_numpy()
    counts: dict[str, object] = {
        "rows": len(rows),
        "contacts": int(called.sum()),
        "explored": int(weights.explored.sum()),
        "by_sales": int(weights.by_sales.sum()),
        "effective": round(weights.effective, 1),
        "weight_sum": round(float(weights.weight.sum()), 1),
        "clipped": float(weights.clipped[called].mean()) if called.any() else 0.0,
    }
    if not weights.explored.any():
        return counts | {"as_worked": None, "if_called": None, "lines": [f"Contact log: {NEVER_CALLED}."]}
    as_worked, if_called = (
        evaluate(Ranked.of(counted, predicted, capacity, params.calibration_bins, weight), params, seed)
        for counted, predicted, weight in (
            (rows, probability, None),
            (rows[called], probability[called], weights.weight.to_numpy()[called]),
        )
    )
    lines = _lines(counts, as_worked, if_called)
    return counts | {"as_worked": as_worked.flat(), "if_called": if_called.flat(), "lines": lines}


def _lines(counts: dict[str, object], as_worked: ModelMetrics, if_called: ModelMetrics) -> list[str]:
    def change(name: str, form: str) -> str:
        return f"{if_called[name].text(form)} rather than {as_worked[name].text(form)}"

    n, rows = counts["contacts"], counts["rows"]
    return [
        f"Were every lead of these lists called, {change('base_rate', '.1%')} would convert, predicted "
        f"{if_called.mean_probability.value:.1%}; AUC {change('auc', '.3f')}, as sales worked them.",
        f"That is from {n:,} contacts by the list, {counts['explored']:,} of them chosen at random, weighted by their "
        f"propensity: as much information as {counts['effective']:,.0f} of equal weight; the weights add up to "
        f"{counts['weight_sum']:,.0f} of {rows:,} leads on the lists. It is no measure of what a call adds.",
    ]
