"""Checks of what sales writes when it closes a lead, whether won or lost: it ranks nobody, and leaks all the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.schema.declarations import AttributeSpec
from models.checks import Check, CheckResult
from models.leakage.predictive_power import auc_within
from models.leakage.rows import AuditParams, critical_value, periods_of

CLOSING = Check("LK11", "A field is filled or edited when a lead is closed")
ASK = (
    "Ask whether it is written at closing, won or lost: an open lead lacks it and then reads as one that never closes. "
    "If so, declare it known: outcome; else accept it in promotion.accepted."
)
DAY = pd.Timedelta(days=1)


def filled_at_closing(
    leads: pd.DataFrame,
    outcomes: pd.DataFrame,
    history: pd.DataFrame,
    attributes: Mapping[str, AttributeSpec],
    order: str,
    until: pd.Timestamp,
    params: AuditParams,
) -> CheckResult:
    """LK11: name fields that are filled, or edited, far more often in closed leads than in leads still open.

    A field without the dates of its values is compared as it stands at export, between leads of the same stretch of
    time, which are of the same age. One with a history is compared by edits on the last day before the closing,
    against a lead that was still open at that age.

    Parameters
    ----------
    leads
        lead_id, position, the attributes, and created_at where there are dates.
    outcomes
        lead_id, converted, converted_at, lost_at; a lead without a row, or without any of them, is open.
    history
        lead_id, valid_from and the attributes that are known: history; one row a version.
    attributes
        Those to ask for, by name.
    until
        The end of the data.
    """
    outcomes = outcomes[outcomes[["converted", "converted_at", "lost_at"]].notna().any(axis=1)]
    closed = leads["lead_id"].isin(outcomes["lead_id"]).to_numpy()
    lost = int((outcomes["lost_at"].notna() | outcomes["converted"].eq(False)).sum())
    if lost < params.min_each or (~closed).sum() < params.min_each:
        counts = f"{lost:,} lost and {(~closed).sum():,} open leads"
        return CLOSING.not_applicable(f"{counts}; needs {params.min_each} of each")
    dated = history if order == "dates" else history.head(0)
    pairs = _pairs(leads, outcomes, until) if len(dated) else pd.DataFrame()
    shares = {
        attribute.column: _edited(name, dated, pairs)
        if attribute.known == "history"
        else _filled(leads[name].notna().to_numpy(), closed, _periods(leads, order, params))
        for name, attribute in attributes.items()
        if name in leads and (attribute.known != "history" or (len(pairs) and name in dated))
    }
    if not shares:
        return CLOSING.not_applicable("no field is asked for")
    critical = critical_value(params.confidence, len(shares))
    columns = {
        column: f"filled or edited in {of_closed:.0%} of closed leads and {of_open:.0%} of those open at the same age"
        for column, (gap, error, of_closed, of_open) in shares.items()
        if gap - critical * error >= params.fill_gap and of_closed >= params.fill_ratio * of_open
    }
    top = max(shares, key=lambda column: shares[column][0])
    detail = f"the widest gap is that of {top}, {shares[top][2]:.0%} of the closed and {shares[top][3]:.0%} of the open"
    return CLOSING.of_columns(columns, f"{detail}; {closed.sum():,} closed and {(~closed).sum():,} open leads", ASK)


def _periods(leads: pd.DataFrame, order: str, params: AuditParams) -> np.ndarray:
    time = {"dates": "created_at", "rows": "position"}.get(order)
    return periods_of(leads[time], params.periods) if time else np.zeros(len(leads), dtype=np.int64)


def _filled(filled: np.ndarray, closed: np.ndarray, period: np.ndarray) -> tuple[float, float, float, float]:
    """Gap in the share of filled cells within periods, its error, and the shares of closed and open leads."""
    auc, error = auc_within(filled.astype("float64"), closed.astype("float64"), period)
    return 2 * auc - 1, 2 * error, float(filled[closed].mean()), float(filled[~closed].mean())


def _pairs(leads: pd.DataFrame, outcomes: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Pair each closed lead with one that was still open at that age: the next in the order of how long it was.

    Returns
    -------
    DataFrame
        closed, open (lead_ids), closed_at and open_at: when either was of the age at which the first was closed.
    """
    leads = leads[leads["created_at"].notna()]
    ends = outcomes.set_index("lead_id")[["converted_at", "lost_at"]].min(axis=1)
    closed_at = leads["lead_id"].map(ends)
    age = (closed_at.fillna(until) - leads["created_at"]).to_numpy()
    order = np.argsort(age, kind="stable")
    is_closed = closed_at.notna().to_numpy()[order]
    position = np.flatnonzero(is_closed)
    partner = position + 1 + position % np.maximum(len(order) - position - 1, 1)  # spread over all that lasted longer
    kept = partner < len(order)
    mine, other = leads.iloc[order[position[kept]]], leads.iloc[order[partner[kept]]]
    return pd.DataFrame(
        {
            "closed": mine["lead_id"].to_numpy(),
            "open": other["lead_id"].to_numpy(),
            "closed_at": (mine["created_at"] + age[order[position[kept]]]).to_numpy(),
            "open_at": (other["created_at"].reset_index(drop=True) + age[order[position[kept]]]).to_numpy(),
        }
    )


def _edited(name: str, history: pd.DataFrame, pairs: pd.DataFrame) -> tuple[float, float, float, float]:
    """Gap in the share that was edited on the last day before that age, its error, and both shares."""
    versions = history.sort_values(["lead_id", "valid_from"], kind="stable")[["lead_id", "valid_from", name]]
    same = (versions[name] == versions[name].shift()) | (versions[name].isna() & versions[name].shift().isna())
    edits = versions[(versions["lead_id"] == versions["lead_id"].shift()) & ~same]
    of_closed, of_open = (_edited_just_before(edits, pairs[side], pairs[f"{side}_at"]) for side in ("closed", "open"))
    shares = [float(side.mean()) if len(side) else 0.0 for side in (of_closed, of_open)]
    error = float(np.sqrt(sum(share * (1 - share) for share in shares) / max(len(pairs), 1)))
    return shares[0] - shares[1], error, shares[0], shares[1]


def _edited_just_before(edits: pd.DataFrame, lead_id: pd.Series, at: pd.Series) -> np.ndarray:
    asked = pd.DataFrame({"lead_id": lead_id, "at": at, "row": np.arange(len(at))}).merge(edits, on="lead_id")
    inside = (asked["valid_from"] <= asked["at"]) & (asked["valid_from"] > asked["at"] - DAY)
    return np.isin(np.arange(len(at)), asked.loc[inside, "row"])
