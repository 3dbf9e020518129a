"""Are tiers too generous? Promise against outcome, volume against capacity, and the cut-off that would put it right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import logit

from models.evaluation.metrics import LEAST_PROBABILITY
from models.kpis.tier_kpis import KpiParams, Row, first_lists, rate
from models.learners.calibration import fit_intercept
from models.points.scale import PointsParams
from models.tiers.declarations import TierParams

Answer = Literal["too generous", "too strict", "fits", "too few to say"]
ALL = "all leads"
HIGHEST = 100


@dataclass(frozen=True)
class Lists:
    """The lists that are looked at, and the scale and tiers they were made with.

    Attributes
    ----------
    rows
        lead_id, snapshot_at, label (missing while immature), probability, score, tier, and overridden: whether a
        trigger or an exclusion holds, so that the score does not tell the tier; one row a lead and list.
    """

    rows: pd.DataFrame
    tiers: TierParams
    points: PointsParams

    @property
    def matured(self) -> pd.DataFrame:
        return self.rows[self.rows["label"].notna()]

    @property
    def by_score(self) -> pd.DataFrame:
        """The rows whose tier follows from their score: a cut-off moves no other."""
        return self.rows[~self.rows["overridden"]]

    @property
    def names(self) -> list[str]:
        """Tiers, best first."""
        return [tier.name for tier in self.tiers.ladder]

    @property
    def count(self) -> int:
        return max(self.rows["snapshot_at"].nunique(), 1)

    @property
    def cutoffs(self) -> dict[str, float]:
        """The lowest score of each tier as sales knows it: the median over lists where it follows capacity."""
        if self.tiers.policy == "score":
            return {tier.name: tier.min_score for tier in self.tiers.ladder}
        lowest = self.by_score.groupby(["tier", "snapshot_at"], dropna=False)["score"].min().groupby("tier").median()
        return {name: float(lowest.get(name, math.nan)) for name in self.names}


def compare_rates(lists: Lists, segments: pd.DataFrame, confidence: float, params: KpiParams) -> list[Row]:
    """Compare promise and outcome for all leads, each tier and each segment.

    Parameters
    ----------
    segments
        One column a segment attribute, with the level of each row of the lists, by its index.
    confidence
        With which all answers together are free of a false alarm. Half of the doubt is for the tiers and all leads,
        half for the segments, however many there are, each shared evenly (Bonferroni).

    Returns
    -------
    list
        One a look, as of `look`, with points_off and mend where the promise is too generous or too strict; see
        `points_off` and `_mend`.
    """
    rows = lists.matured
    of_tiers = [("tier", ALL, rows)] + [("tier", name, rows[rows["tier"] == name]) for name in lists.names]
    of_segments = [
        (str(name), str(level), rows[levels.reindex(rows.index) == level])
        for name, levels in segments.items()
        for level in sorted(levels.reindex(rows.index).unique())
    ]
    families = [family for family in (of_tiers, of_segments) if family]
    found = []
    for family in families:
        each = 1 - (1 - confidence) / len(families) / len(family)
        for group, name, inside in family:
            one = compare_group(group, name, inside, each, params)
            found.append(one | _put_right(one, inside, lists, params))
    return found


def compare_group(group: str, name: str, rows: pd.DataFrame, confidence: float, params: KpiParams) -> Row:
    """Compare what was promised to the leads of some matured rows with what came, each lead at its first list.

    Returns
    -------
    dict
        group ("tier" or the attribute), name, leads, converted, promised (mean probability), came with its interval,
        confidence (of that interval), answer.
    """
    once = first_lists(rows)
    came = rate("observed_rate", once["label"], confidence)
    promised = float(once["probability"].mean())
    answer = judge(promised, came["observed_rate_low"], came["observed_rate_high"], params)
    counts = {"leads": len(once), "converted": int(once["label"].sum())}
    return (
        {"group": group, "name": name, "predicted_rate": promised, "confidence": confidence, "answer": answer}
        | counts
        | came
    )


def judge(promised: float, low: float, high: float, params: KpiParams) -> Answer:
    """Answer from a promise and the interval of what came.

    A promise outside the interval by more than the tolerance is too generous or too strict. It fits only where the
    interval is narrow enough to have told a promise `telling` times too high, or too low.
    """
    if promised > high * (1 + params.tolerance):
        return "too generous"
    if promised < low / (1 + params.tolerance):
        return "too strict"
    told = high < promised * params.telling and low > promised / params.telling
    return "fits" if told else "too few to say"


def points_off(once: pd.DataFrame, points: PointsParams) -> float:
    """By how many points the scores of these leads are too high: what takes the promised sum to the sum that came.

    Parameters
    ----------
    once
        label (0 or 1) and probability; one row a lead.
    """
    log_odds = logit(np.clip(once["probability"].to_numpy("float64"), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    shift = fit_intercept(log_odds, once["label"].to_numpy("float64"), np.ones(len(once)))
    return round(-points.factor * shift, 1)


def _put_right(found: Row, rows: pd.DataFrame, lists: Lists, params: KpiParams) -> Row:
    """Return points_off and mend: a tier's own cut-off, in a segment that of the best tier, for all leads none."""
    if found["answer"] not in ("too generous", "too strict"):
        return {"points_off": None, "fix": None}
    off = points_off(first_lists(rows), lists.points)
    if found["name"] == ALL and found["group"] == "tier":
        return {"points_off": off, "fix": None}
    tier, among = (found["name"], lists.matured) if found["group"] == "tier" else (lists.names[0], rows)
    return {"points_off": off, "fix": _fixed_cutoff(found, tier, among, lists, params)}


def _fixed_cutoff(found: Row, tier: str, rows: pd.DataFrame, lists: Lists, params: KpiParams) -> Row | None:
    """Find the lowest whole score from which leads came to what the tier promised, up to the tier above.

    A tier that is too generous is searched upwards from its cut-off, one that is too strict downwards for as long as
    its leads come to as much. Scores from which too few leads came to tell are passed over.

    Returns
    -------
    dict or None
        tier, promised (by the tier), cutoff (its lowest score now), right (the score it would take), per_list (leads a
        list from there) and came: what they came to, with its interval. The score is chosen on the leads it is shown
        for. None where no score does, and for the last tier, which has no cut-off.
    """
    place, cuts = lists.names.index(tier), lists.cutoffs
    if tier == lists.names[-1] or math.isnan(cuts[tier]):
        return None
    promised = float(first_lists(lists.matured[lists.matured["tier"] == tier])["probability"].mean())
    cut, above = math.ceil(cuts[tier]), math.ceil(cuts[lists.names[place - 1]]) if place else HIGHEST + 1
    moved = rows[~rows["overridden"]]
    ordered, best = moved.sort_values(["snapshot_at", "lead_id"])[["lead_id", "score", "label"]], None
    ordered = ordered.assign(lead_id=pd.factorize(ordered["lead_id"])[0])
    generous = found["answer"] == "too generous"
    for right in range(cut, above) if generous else range(cut, -1, -1):
        inside = ordered[ordered["score"].ge(right) & ordered["score"].lt(above)]
        came = rate("observed_rate", inside.drop_duplicates("lead_id")["label"], found["confidence"])
        kept = came["observed_rate"] >= promised and came["observed_rate_low"] > promised / params.telling
        if kept:
            best = {"tier": tier, "predicted_rate": promised, "cutoff": cuts[tier], "new_cutoff": right} | came
            best |= {"per_list": len(inside) / lists.count}
        if kept == generous:
            break
    return best


def volumes(lists: Lists, capacity: float, params: KpiParams) -> list[Row]:
    """Compare the length of each tier's list with the places that sales has for it.

    Parameters
    ----------
    capacity
        Leads that sales can work from one list to the next; of a sample of leads, the share that falls to it.

    Returns
    -------
    list
        One a tier but the last: tier, lists, places, mean, least and most leads a list, answer (more than the places,
        room left, fills the places) and filling: the lowest score from which this tier and those above hold no more
        leads a list, on average, than they have places.
    """
    of_list = pd.factorize(lists.rows["snapshot_at"], use_na_sentinel=False)[0]
    called = lists.rows.loc[lists.rows["tier"].isin(lists.names), "score"]  # the excluded take no place
    share, found = 0.0, []
    for tier in lists.tiers.ladder[:-1]:
        own = float(tier.share_of_capacity)
        counts = np.bincount(of_list[(lists.rows["tier"] == tier.name).to_numpy()], minlength=lists.count)
        share += own
        found.append(
            {
                "tier": tier.name,
                "lists": lists.count,
                "places": own * capacity,
                "mean": float(counts.mean()),
                "least": int(counts.min()),
                "most": int(counts.max()),
                "answer": _fill(float(counts.mean()), own * capacity, params),
                "filling": _filling(called, share * capacity * lists.count),
            }
        )
    return found


def _fill(mean: float, places: float, params: KpiParams) -> str:
    if mean > places * (1 + params.volume_tolerance):
        return "more than the places"
    return "room left" if mean < places * (1 - params.volume_tolerance) else "fills the places"


def _filling(score: pd.Series[int], places: float) -> int:
    """Return the lowest whole score with no more than so many rows at or above it; 101 where even the best are more."""
    at_least = np.bincount(score.to_numpy("int64"), minlength=HIGHEST + 1)[::-1].cumsum()[::-1]
    fits = np.flatnonzero(at_least <= places)
    return int(fits[0]) if len(fits) else HIGHEST + 1
