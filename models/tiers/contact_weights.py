"""What leads are worth once they are called: figures over contacts, weighted by the chance with which each came about.

Sales calls the leads of the best tier, so a history shows lower tiers mostly uncalled, and a model that is judged by it
is judged by its own decisions. Among contacts by the list, each counts as often as leads like it stood on the list: one
that earned the tier once, one that was drawn by lot 1 / propensity times. The figures then are those of a list of which
every lead is called. They rest on three things: chances as they are logged, the best tier called as a whole, and no
lead without a chance, so leads that exclusions keep out do not belong to that list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.evaluation.estimate import ModelMetrics
from models.evaluation.metrics import EvaluateParams, Ranked, evaluate
from models.tiers.exploration import ExplorationParams

NEVER_CALLED = "nobody who was drawn by lot was called, so nothing is known of leads below the best tier once called"


@dataclass(frozen=True)
class Weights:
    """How often each row counts; all by the index of the rows.

    Attributes
    ----------
    weight
        0 for rows without a contact by the list; else 1 over its propensity, at most `max_weight`.
    drawn
        Whether the contact was drawn by lot.
    own_choice
        Whether there was a contact, but none by the list: sales chose it, and nobody knows with what chance.
    clipped
        Whether the weight would have been above `max_weight`.
    """

    weight: pd.Series[float]
    drawn: pd.Series[bool]
    own_choice: pd.Series[bool]
    clipped: pd.Series[bool]

    @property
    def effective(self) -> float:
        """The number of equally weighted rows that would be as telling.

        Source: Kish 1965, Survey Sampling: the squared sum of weights over the sum of their squares.
        """
        squares = float((self.weight**2).sum())
        return float(self.weight.sum()) ** 2 / squares if squares else 0.0


def contact_weights(rows: pd.DataFrame, contacts: pd.DataFrame, every_days: int, params: ExplorationParams) -> Weights:
    """Weigh each snapshot by the contact that followed from its list.

    Parameters
    ----------
    rows
        lead_id, snapshot_at; one row a lead and moment.
    contacts
        lead_id, contacted_at, as_of (where not known, contacted_at stands in), explored, propensity.
    every_days
        A contact belongs to the last snapshot of its lead at or before its list, at most so many days before it.
    """
    made = contacts.assign(at=contacts["as_of"].fillna(contacts["contacted_at"]))
    numbered = rows[["lead_id", "snapshot_at"]].assign(row=np.arange(len(rows)))
    pairs = numbered.merge(made, on="lead_id")
    age = pairs["at"] - pairs["snapshot_at"]
    pairs = pairs[(age >= pd.Timedelta(0)) & (age < pd.Timedelta(days=every_days))]
    by_list = (pairs["explored"] == "yes") | (pairs["propensity"] == 1)
    first = pairs[by_list].sort_values(["row", "contacted_at"]).drop_duplicates("row").set_index("row")
    places = pd.RangeIndex(len(rows))
    weight = (1 / first["propensity"]).reindex(places, fill_value=0.0)
    drawn = (first["explored"] == "yes").reindex(places, fill_value=False)
    chosen = pd.Series(places.isin(pairs["row"]) & ~places.isin(first.index))
    return Weights(
        weight=weight.clip(upper=params.max_weight).set_axis(rows.index),
        drawn=drawn.set_axis(rows.index),
        own_choice=chosen.set_axis(rows.index),
        clipped=(weight > params.max_weight).set_axis(rows.index),
    )


def contact_metrics(
    rows: pd.DataFrame,
    probability: np.ndarray,
    weights: Weights,
    capacity: int,
    params: EvaluateParams,
    seed: int,
) -> dict[str, object]:
    """Set the figures of the rows as they were worked beside those of a list of which every lead is called.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label.
    probability
        Shape (n,).

    Returns
    -------
    dict
        rows, contacts (rows with one by the list), drawn, own_choice, effective, weight_sum (about `rows` less the
        excluded, where the log fits the lists), clipped (share of the contacts); as_worked and if_called (see
        `metrics.evaluate`; None where nobody drawn was called), and sentences.
    """
    called = (weights.weight > 0).to_numpy()
    counts: dict[str, object] = {
        "rows": len(rows),
        "contacts": int(called.sum()),
        "drawn": int(weights.drawn.sum()),
        "own_choice": int(weights.own_choice.sum()),
        "effective": round(weights.effective, 1),
        "weight_sum": round(float(weights.weight.sum()), 1),
        "clipped": float(weights.clipped[called].mean()) if called.any() else 0.0,
    }
    if not weights.drawn.any():
        return counts | {"as_worked": None, "if_called": None, "lines": [f"Contact log: {NEVER_CALLED}."]}
    as_worked, if_called = (
        evaluate(Ranked.of(some, said, capacity, params.calibration_bins, weight), params, seed)
        for some, said, weight in (
            (rows, probability, None),
            (rows[called], probability[called], weights.weight.to_numpy()[called]),
        )
    )
    lines = _lines(counts, as_worked, if_called)
    return counts | {"as_worked": as_worked.flat(), "if_called": if_called.flat(), "lines": lines}


def _lines(counts: dict[str, object], as_worked: ModelMetrics, if_called: ModelMetrics) -> list[str]:
    def told(name: str, form: str) -> str:
        return f"{if_called[name].text(form)} rather than {as_worked[name].text(form)}"

    n, rows = counts["contacts"], counts["rows"]
    return [
        f"Were every lead of these lists called, {told('base_rate', '.1%')} would convert, promised "
        f"{if_called.mean_probability.value:.1%}; AUC {told('auc', '.3f')}, as sales worked them.",
        f"That is from {n:,} contacts by the list, {counts['drawn']:,} of them drawn by lot, weighted by their "
        f"chance: as telling as {counts['effective']:,.0f} alike; the weights add up to {counts['weight_sum']:,.0f} of "
        f"{rows:,} leads on the lists. It is no measure of what a call adds.",
    ]
