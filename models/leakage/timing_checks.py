"""Checks of times and keys: edits and events at the outcome, leads on both sides of the split, ids and row order."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.checks import Check, CheckResult
from models.leakage.predictive_power import level_of, univariate_strength
from models.leakage.rows import AuditParams, critical_value, periods_of, too_few_to_judge, training_rows

EDITED = Check("LK06", "A field changes only after the outcome")
MOMENT = Check("LK07", "Events happen at the very moment of the outcome")
OVERLAP = Check("LK08", "A lead is in both training and test")
ORDER = Check("LK09", "The id or the order of rows predicts the outcome")


def edited_after_outcome(
    history: pd.DataFrame, outcomes: pd.DataFrame, columns: dict[str, str], params: AuditParams
) -> CheckResult:
    """LK06: name fields of the attribute history whose edits nearly all come after the lead converted or was lost.

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
    late_columns = {
        columns[name]: f"{k:,} of {n:,} edits come at the outcome or after it"
        for name, (k, n) in counted.items()
        if n >= params.min_each and wilson_lower_bound(k, n, critical) >= params.late_share
    }
    counts = ", ".join(f"{columns[name]} {k:,} of {n:,}" for name, (k, n) in counted.items())
    return EDITED.of_columns(
        late_columns,
        f"edits at the outcome or after it: {counts}",
        "It says nothing about an open lead: declare it known: outcome. An export without its history would leak.",
    )


def _changes(lead_id: pd.Series, values: pd.Series) -> np.ndarray:
    """Whether a version differs from the version before it of the same lead; rows are sorted by lead and time."""
    same_lead = (lead_id == lead_id.shift()).to_numpy()
    same_value = ((values == values.shift()) | (values.isna() & values.shift().isna())).to_numpy(dtype=bool)
    return same_lead & ~same_value


def events_at_outcome(moments: pd.DataFrame | None, params: AuditParams) -> CheckResult:
    """LK07: name event types whose events happen with the outcome and hardly ever else.

    Parameters
    ----------
    moments
        One row an event type: event_type, `events`, and `at_outcome`, how many of them happen at the moment of
        their lead's conversion. None where there are no events.
    """
    if moments is None or moments.empty:
        return MOMENT.not_applicable("there are no events")
    critical = critical_value(params.confidence, len(moments))
    counted = list(zip(moments["event_type"].tolist(), moments["at_outcome"], moments["events"], strict=True))
    types = {
        name: f"{k:,} of {n:,} events happen at the moment of their lead's conversion"
        for name, k, n in counted
        if n >= params.min_each and wilson_lower_bound(k, n, critical) >= params.moment_share
    }
    name, k, n = max(counted, key=lambda count: count[1] / max(count[2], 1))
    return MOMENT.of_columns(
        types,
        f"the most are of {name}: {k:,} of {n:,} events",
        "It is part of the outcome. Leave its table out of source.events, or take its time as converted_at.",
    )


def wilson_lower_bound(k: int, n: int, critical: float) -> float:
    """Lower end of the interval of the share behind `k` of `n` (Wilson 1927), 0 where n is 0."""
    if n == 0:
        return 0.0
    share, z = k / n, critical**2 / n
    return float((share + z / 2 - critical * np.sqrt((share * (1 - share) + z / 4) / n)) / (1 + z))


def split_overlap(matrix: pd.DataFrame, order: str) -> CheckResult:
    """LK08: find leads whose label was both learned and tested: the same row of a lead, or horizons that overlap.

    With dates a lead may be in both at different times, if its training label was known before the test began.
    """
    training, test = training_rows(matrix), matrix[matrix["part"] == "test"]
    if training.empty or test.empty:
        return OVERLAP.not_applicable("there is no training or no test")
    late = training
    if order == "dates":
        late = training[training["known_at"] > test["snapshot_at"].min()]
    both = late.loc[late["lead_id"].isin(test["lead_id"]), "lead_id"].nunique()
    columns = {"lead_id": f"{both:,} of {test['lead_id'].nunique():,} test leads"} if both else {}
    return OVERLAP.of_columns(
        columns,
        f"none of {test['lead_id'].nunique():,} test leads has a label that training knew",
        "Run build_features again with the project's own split; the metrics of this run are too good.",
    )


def order_predicts_outcome(leads: pd.DataFrame, label: pd.Series, order: str, params: AuditParams) -> CheckResult:
    """LK09: find out whether the id, or the row in the file, predicts the outcome among leads of the same time.

    Parameters
    ----------
    leads
        lead_id, position, and created_at where there are dates.
    label
        Whether each lead ever converted, by lead_id, of those whose outcome is known.
    """
    known = leads[leads["lead_id"].isin(label.index)].sort_values("position", ignore_index=True)
    outcome = known["lead_id"].map(label).to_numpy("float64")
    levels = _id_and_order_levels(known, order)
    if not levels:
        return ORDER.not_applicable("rows stand in the order of time, and the number of the row is the id")
    if too_few := too_few_to_judge(outcome, params):
        return ORDER.not_applicable(too_few)
    time = {"dates": "created_at", "rows": "position"}.get(order)
    period = periods_of(known[time], params.periods) if time else np.zeros(len(known), dtype=np.int64)
    critical = critical_value(params.confidence, len(levels))
    strengths = {name: univariate_strength(level, outcome, period) for name, level in levels.items()}
    columns = {
        name: f"it ranks {len(known):,} leads with an AUC of {strength.auc:.2f}"
        for name, strength in strengths.items()
        if strength.auc - critical * strength.error >= params.order_auc
    }
    aucs = ", ".join(f"{name} {strength.auc:.2f}" for name, strength in strengths.items())
    return ORDER.of_columns(
        columns,
        f"AUC among {len(known):,} leads: {aucs}",
        "The file was sorted or numbered by the outcome. No feature reads it, but ask how the export was made: what "
        "was joined in the same step may leak too.",
    )


def _id_and_order_levels(leads: pd.DataFrame, order: str) -> dict[str, np.ndarray]:
    """What an id or the order of rows may give away, as levels: the row, the id's number, and its letters."""
    position = leads["position"].to_numpy("float64")
    number = leads["lead_id"].str.extract(r"(\d{1,15})(?!.*\d)", expand=False).to_numpy("float64")
    shape, _ = pd.factorize(leads["lead_id"].str.replace(r"\d+", "0", regex=True))
    levels = {} if order == "rows" else {"the order of rows": level_of(position, is_category=False)}
    steps = np.diff(number)
    if not ((steps > 0).all() or (steps < 0).all()) and not np.isnan(number).all():  # else it is the row's number
        levels["the number in lead_id"] = level_of(number, is_category=False)
    if 1 < shape.max() + 1 < len(leads) / 2:
        levels["the letters of lead_id"] = shape
    return levels
