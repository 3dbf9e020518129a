"""Checks of times and keys: edits and events at the outcome, leads on both sides of the split, ids and row order."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.leakage.predictive_power import level_of, univariate_strength
from models.leakage.rows import (
    AuditParams,
    LeakageCheck,
    Question,
    critical_value,
    periods_of,
    too_few_to_judge,
    training_rows,
)

EDITED = Question("LK06", "A field changes only after the outcome")
MOMENT = Question("LK07", "Events come at the very moment of the outcome")
OVERLAP = Question("LK08", "A lead teaches and tests at once")
ORDER = Question("LK09", "The id or the order of rows tells the outcome")


def edited_after_outcome(
    history: pd.DataFrame, outcomes: pd.DataFrame, columns: dict[str, str], params: AuditParams
) -> LeakageCheck:
    """Name fields of the attribute history whose edits nearly all come once the lead has converted or been lost.

    Parameters
    ----------
    history
        lead_id, valid_from and the attributes that are known: history; one row a version.
    outcomes
        lead_id, converted_at, lost_at.
    columns
        Attribute known: history to the user's column.
    """
    if not columns or history.empty:
        return EDITED.not_applicable("no field has a history of edits")
    closed = outcomes.set_index("lead_id")[["converted_at", "lost_at"]].min(axis=1).dropna()
    versions = history[history["lead_id"].isin(closed.index)].sort_values(["lead_id", "valid_from"], kind="stable")
    late = (versions["valid_from"] >= versions["lead_id"].map(closed)).to_numpy()
    edits = {name: _changes(versions["lead_id"], versions[name]) for name in columns}
    counted = {name: (int(late[edit].sum()), int(edit.sum())) for name, edit in edits.items()}
    if all(n < params.min_each for _, n in counted.values()):
        return EDITED.not_applicable(f"fewer than {params.min_each} edits of any field of leads with an outcome")
    critical = critical_value(params.confidence, len(columns))
    found = {
        columns[name]: f"{k:,} of {n:,} edits come at the outcome or after it"
        for name, (k, n) in counted.items()
        if n >= params.min_each and wilson_lower_bound(k, n, critical) >= params.late_share
    }
    said = ", ".join(f"{columns[name]} {k:,} of {n:,}" for name, (k, n) in counted.items())
    return EDITED.answer(
        found,
        f"edits at the outcome or after it: {said}",
        "It tells nothing of an open lead: declare it known: outcome. An export without its history would leak.",
    )


def _changes(lead_id: pd.Series, values: pd.Series) -> np.ndarray:
    """Whether a version differs from the version before it of the same lead; rows are sorted by lead and time."""
    same_lead = (lead_id == lead_id.shift()).to_numpy()
    same_value = ((values == values.shift()) | (values.isna() & values.shift().isna())).to_numpy(dtype=bool)
    return same_lead & ~same_value


def events_at_outcome(moments: pd.DataFrame | None, params: AuditParams) -> LeakageCheck:
    """Name event types that come when the outcome does and hardly ever else.

    Parameters
    ----------
    moments
        One row an event type: event_type, `events`, and `at_outcome`, how many of them come at the moment of their
        lead's conversion. None where there are no events.
    """
    if moments is None or moments.empty:
        return MOMENT.not_applicable("there are no events")
    critical = critical_value(params.confidence, len(moments))
    counted = list(zip(moments["event_type"].tolist(), moments["at_outcome"], moments["events"], strict=True))
    found = {
        name: f"{k:,} of {n:,} events come at the moment of their lead's conversion"
        for name, k, n in counted
        if n >= params.min_each and wilson_lower_bound(k, n, critical) >= params.moment_share
    }
    name, k, n = max(counted, key=lambda one: one[1] / max(one[2], 1))
    return MOMENT.answer(
        found,
        f"the most are of {name}: {k:,} of {n:,} events",
        "It is a part of the outcome. Leave its table out of source.events, or take its time as converted_at.",
    )


def wilson_lower_bound(k: int, n: int, critical: float) -> float:
    """The share that is surely behind `k` of `n` (Wilson 1927): lower end of the interval, 0 where n is 0."""
    if n == 0:
        return 0.0
    share, z = k / n, critical**2 / n
    return float((share + z / 2 - critical * np.sqrt((share * (1 - share) + z / 4) / n)) / (1 + z))


def split_overlap(matrix: pd.DataFrame, order: str) -> LeakageCheck:
    """Find leads whose label was learned from and tested on: the same row of a lead, or horizons that overlap.

    With dates a lead may teach and test at different times; but what taught must have been known before any test.
    """
    training, test = training_rows(matrix), matrix[matrix["part"] == "test"]
    if training.empty or test.empty:
        return OVERLAP.not_applicable("there is no training or no test")
    late = training
    if order == "dates":
        late = training[training["known_at"] > test["snapshot_at"].min()]
    both = late.loc[late["lead_id"].isin(test["lead_id"]), "lead_id"].nunique()
    found = {"lead_id": f"{both:,} of {test['lead_id'].nunique():,} test leads"} if both else {}
    return OVERLAP.answer(
        found,
        f"none of {test['lead_id'].nunique():,} test leads has a label that training knew",
        "Run build_features again with the project's own split; the figures of this run flatter.",
    )


def order_predicts_outcome(leads: pd.DataFrame, label: pd.Series, order: str, params: AuditParams) -> LeakageCheck:
    """Find out whether the id, or the place in the file, tells the outcome among leads of the same time.

    Parameters
    ----------
    leads
        lead_id, position, and created_at where there are dates.
    label
        Whether each lead ever converted, by lead_id, of those whose outcome is known.
    """
    known = leads[leads["lead_id"].isin(label.index)].sort_values("position", ignore_index=True)
    outcome = known["lead_id"].map(label).to_numpy("float64")
    faces = _id_and_order_levels(known, order)
    if not faces:
        return ORDER.not_applicable("rows stand in the order of time, and the number of the row is the id")
    if too_few := too_few_to_judge(outcome, params):
        return ORDER.not_applicable(too_few)
    time = {"dates": "created_at", "rows": "position"}.get(order)
    period = periods_of(known[time], params.periods) if time else np.zeros(len(known), dtype=np.int64)
    critical = critical_value(params.confidence, len(faces))
    strengths = {name: univariate_strength(level, outcome, period) for name, level in faces.items()}
    found = {
        name: f"it ranks {len(known):,} leads with an AUC of {one.auc:.2f}"
        for name, one in strengths.items()
        if one.auc - critical * one.error >= params.order_auc
    }
    said = ", ".join(f"{name} {one.auc:.2f}" for name, one in strengths.items())
    return ORDER.answer(
        found,
        f"AUC among {len(known):,} leads: {said}",
        "The file was sorted or numbered by the outcome. No feature reads it, but ask how the export was made: what "
        "was joined in the same step may leak too.",
    )


def _id_and_order_levels(leads: pd.DataFrame, order: str) -> dict[str, np.ndarray]:
    """What an id or a row's place may give away, as levels: the place, the id's number, and its letters."""
    position = leads["position"].to_numpy("float64")
    number = leads["lead_id"].str.extract(r"(\d{1,15})(?!.*\d)", expand=False).to_numpy("float64")
    shape, _ = pd.factorize(leads["lead_id"].str.replace(r"\d+", "0", regex=True))
    faces = {} if order == "rows" else {"the order of rows": level_of(position, is_category=False)}
    steps = np.diff(number)
    if not ((steps > 0).all() or (steps < 0).all()) and not np.isnan(number).all():  # else it is the row's place
        faces["the number in lead_id"] = level_of(number, is_category=False)
    if 1 < shape.max() + 1 < len(leads) / 2:
        faces["the letters of lead_id"] = shape
    return faces
