"""Overrides: a tier or points that a person gives a lead, beside the model's own, and whether they were right.

No score, feature or label changes by them: only the tier on the list, whose reason names them. An exclusion goes before
a person who would call the lead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from models.evaluation.intervals import clopper_pearson
from models.lists.results import JudgedOverrides, OverridesResult, Side
from models.tiers.at_moment import MomentTier
from models.tiers.score_lists import cuts_by_size
from models.tiers.tier_rules import EXCLUDED, REASON

TEXT = ("lead_id", "tier", "who", "why", "own_tier")
TIMES = ("until", "given_at", "withdrawn_at")
NUMBERS = ("points", "own_score", "own_probability")
COLUMNS = ["lead_id", "tier", "points", "who", "why", "until", "given_at", "withdrawn_at", "own_tier", "own_score",
           "own_probability"]  # fmt: skip


def no_overrides() -> pd.DataFrame:
    """Return overrides of nobody."""
    return as_overrides(pd.DataFrame(columns=COLUMNS))


def as_overrides(rows: pd.DataFrame) -> pd.DataFrame:
    """Return COLUMNS of rows, typed: text is "" where there is none, times and numbers are missing."""
    rows = rows.reindex(columns=COLUMNS)
    text = {name: rows[name].astype(object).where(rows[name].notna(), "").astype("str") for name in TEXT}
    times = {name: pd.to_datetime(rows[name]).astype("datetime64[us]") for name in TIMES}
    numbers = {name: pd.to_numeric(rows[name]).astype("float64") for name in NUMBERS}
    return rows.assign(**text, **times, **numbers).reset_index(drop=True)


def in_force(given: pd.DataFrame, day: pd.Timestamp | None) -> pd.DataFrame:
    """Return the overrides that count on a day, one a lead, the one given last; the index is lead_id.

    An override counts from the day on which it was given to the day `until`, both included; one without a day counts
    always. On a list without a day, what has not been taken back counts.
    """
    if day is None or pd.isna(day):
        counts = given["withdrawn_at"].isna()
    else:
        at = day.floor("D")
        begun = given["given_at"].isna() | (given["given_at"].dt.floor("D") <= at)
        ended = (given["until"].dt.floor("D") < at) | (given["withdrawn_at"].dt.floor("D") <= at)
        counts = begun & ~ended
    kept = given[counts].sort_values("given_at", kind="stable", na_position="first")
    return kept.drop_duplicates("lead_id", keep="last").set_index("lead_id").sort_index()


def override_tiers(
    scored: pd.DataFrame, tiers: pd.DataFrame, given: pd.DataFrame, stages: Mapping[str, str]
) -> pd.DataFrame:
    """Return the tier columns of a list with the overrides of people.

    Parameters
    ----------
    scored
        lead_id, points.
    tiers
        See `score_lists.tier_columns`; the same index.
    given
        See `in_force`; leads that are on no list are no matter.
    stages
        The lifecycle stage of each tier, best first.

    Returns
    -------
    DataFrame
        The same columns. earned_tier stays, so that the tier that the lead has by itself is beside the override's; by
        points, a lead is in the tier whose least points by score it reaches. An excluded lead stays excluded.
    """
    told = given.reindex(scored["lead_id"]).set_axis(scored.index)
    kept_out = tiers["tier_reason"].str.startswith("excluded: ")
    held = told["who"].notna() & ~(kept_out & (told["tier"] != EXCLUDED))
    if not held.any():
        return tiers
    names = list(stages)
    wanted = np.where(told["tier"].fillna("") != "", told["tier"], _by_points(scored, tiers, told["points"], names))
    tier = tiers["tier"].mask(held, pd.Series(wanted, index=scored.index)).astype("str")
    return tiers.assign(
        tier=tier,
        stage=tier.map(stages).fillna("").astype("str"),
        tier_reason=tiers["tier_reason"].mask(held, override_reason(told)).astype("str"),
        explored=tiers["explored"].mask(held, "no").astype("str"),
        propensity=tiers["propensity"].mask(held, (tier == names[0]).astype("float64")),
    )


def override_at_moment(
    own: MomentTier, told: pd.DataFrame, by_score: Callable[[float], str], stages: Mapping[str, str]
) -> MomentTier:
    """Return the tier of one lead with its current override, as on a list.

    Parameters
    ----------
    own
        The tier that the lead has by itself.
    told
        The lead's row of `in_force`, or no row.
    by_score
        Returns the tier by score alone of the lead with some more points.
    """
    if told.empty or (own.reason.startswith("excluded: ") and told["tier"].iloc[0] != EXCLUDED):
        return own
    tier = told["tier"].iloc[0] or by_score(float(told["points"].iloc[0]))
    return MomentTier(tier, stages.get(tier, ""), override_reason(told).iloc[0])


def override_reason(given: pd.DataFrame) -> pd.Series[str]:
    """Say who gave each override, until when, and why, as the tier_reason of its lead."""
    until = given["until"].dt.strftime(" until %Y-%m-%d").fillna("")
    plus = given["points"].map(lambda points: "" if pd.isna(points) else f", {points:+g} points")
    why = (": " + given["why"].fillna("")).where(given["why"].fillna("") != "", "")
    return REASON + given["who"].fillna("") + until + plus + why


def _by_points(
    scored: pd.DataFrame, tiers: pd.DataFrame, more: pd.Series[float], names: Sequence[str]
) -> pd.Series[str]:
    """Return the best tier whose least points, of leads in it by their score, a lead reaches with this many more.

    Where another figure ranks, the least points are those that would cut tiers of the same sizes.
    """
    by_score = tiers["tier_reason"] == ""
    own, tier_of = scored["points"][by_score], tiers["tier"][by_score]
    least = cuts_by_size(own, tier_of, list(names)) if "rank_value" in scored else own.groupby(tier_of).min().to_dict()
    points, found = scored["points"] + more, pd.Series(names[-1], index=scored.index, dtype="str")
    for name in reversed(names[:-1]):
        if name in least:
            found = found.mask(points >= least[name], name)
    return found


def judge(
    given: pd.DataFrame, converted_at: pd.Series[pd.Timestamp], until: pd.Timestamp, horizon: pd.Timedelta,
    ladder: Sequence[str], confidence: float,
) -> OverridesResult:  # fmt: skip
    """Say whether past overrides were right, by what became of their leads within the horizon.

    Parameters
    ----------
    given
        As `as_overrides` has them; one without a day, or of a lead that had converted, is not judged.
    converted_at
        By lead_id; missing: not converted.
    until
        The last moment by which outcomes are known.
    ladder
        Tiers, best first.
    """
    rows = given[given["given_at"].notna()].copy()
    won = converted_at.groupby(level=0).min().reindex(rows["lead_id"]).set_axis(rows.index)
    rows["label"] = (won > rows["given_at"]) & (won <= rows["given_at"] + horizon)
    open_then = won.isna() | (won > rows["given_at"])
    matured = open_then & (rows["given_at"] + horizon <= until)  # with quick wins of younger ones the rate is too high
    rows = rows[matured].assign(raised=lambda frame: _raised(frame, ladder))
    return OverridesResult(
        given=len(given),
        judged=len(rows),
        raised=_judged(rows[rows["raised"] == 1], "raised", confidence),
        lowered=_judged(rows[rows["raised"] == -1], "lowered", confidence),
    )


def _raised(rows: pd.DataFrame, ladder: Sequence[str]) -> pd.Series[int]:
    """Return 1 where an override was for calling sooner, -1 where for calling later, 0 where neither."""
    rank = {name: index for index, name in enumerate([*ladder, EXCLUDED])}
    last = len(ladder) - 1
    own = rows["own_tier"].map(rank).astype("float64")
    tier = rows["tier"].map(rank).astype("float64")
    known = np.sign(own - tier)  # a smaller rank is better
    alone = np.where(tier == 0, 1.0, np.where(tier >= last, -1.0, 0.0))
    return pd.Series(np.where(rows["points"].notna(), np.sign(rows["points"]), np.where(own.notna(), known, alone)),
                     index=rows.index).fillna(0).astype("int64")  # fmt: skip


def _judged(rows: pd.DataFrame, side: Side, confidence: float) -> JudgedOverrides | None:
    """Compare what became of the leads with what the model had given them, where that was kept."""
    first = rows.sort_values("given_at").drop_duplicates("lead_id")  # an override again of one lead says the same twice
    if first.empty:
        return None
    scored = first[first["own_probability"].notna()]
    low, high = clopper_pearson(float(first["label"].sum()), len(first), confidence)
    model = scored["own_probability"].mean() if len(scored) else None
    own_low, own_high = clopper_pearson(float(scored["label"].sum()), len(scored), confidence)
    right = None
    if model is not None and (own_low > model or own_high < model):
        right = bool((own_low > model) == (side == "raised"))
    return JudgedOverrides(
        side=side,
        n=len(first),
        converted=int(first["label"].sum()),
        rate=float(first["label"].mean()),
        rate_low=low,
        rate_high=high,
        n_model=len(scored),
        rate_model=float(scored["label"].mean()) if len(scored) else None,
        predicted=None if model is None else float(model),
        right=right,
    )
