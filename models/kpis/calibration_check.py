"""Are tiers too generous? Predicted against actual rates, volume against capacity, and the cut-off to fix it."""

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
    """Compare predicted and actual rates for all leads, each tier and each segment.

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
        One a comparison, as of `compare_group`, with points_off and fix where the prediction is too generous or too
        strict; see `points_off` and `_fixed_cutoff`.
    """
    rows = lists.matured
    of_tiers = [("tier", ALL, rows)] + [("tier", name, rows[rows["tier"] == name]) for name in lists.names]
    of_segments = [
        (str(name), str(level), rows[levels.reindex(rows.index) == level])
        for name, levels in segments.items()
        for level in sorted(levels.reindex(rows.index).unique())
    ]
    families = [family for family in (of_tiers, of_segments) if family]
    result = []
    for family in families:
        each = 1 - (1 - confidence) / len(families) / len(family)
        for group, name, inside in family:
            one = compare_group(group, name, inside, each, params)
            result.append(one | _correction(one, inside, lists, params))
    return result


def compare_group(group: str, name: str, rows: pd.DataFrame, confidence: float, params: KpiParams) -> Row:
    """Compare the predicted with the actual rate of some matured rows, each lead at its first list.

    Returns
    -------
    dict
        group ("tier" or the attribute), name, leads, converted, predicted_rate (mean probability), observed_rate with
        its interval, confidence (of that interval), answer.
    """
    once = first_lists(rows)
    observed = rate("observed_rate", once["label"], confidence)
    predicted = float(once["probability"].mean())
    answer = judge(predicted, observed["observed_rate_low"], observed["observed_rate_high"], params)
    counts = {"leads": len(once), "converted": int(once["label"].sum())}
    return (
        {"group": group, "name": name, "predicted_rate": predicted, "confidence": confidence, "answer": answer}
        | counts
        | observed
    )


def judge(predicted: float, low: float, high: float, params: KpiParams) -> Answer:
    """Answer from a predicted rate and the interval of the actual one.

    A prediction outside the interval by more than the tolerance is too generous or too strict. It fits only where the
    interval is narrow enough to have shown a prediction `telling` times too high, or too low.
    """
    if predicted > high * (1 + params.tolerance):
        return "too generous"
    if predicted < low / (1 + params.tolerance):
        return "too strict"
    is_narrow = high < predicted * params.telling and low > predicted / params.telling
    return "fits" if is_narrow else "too few to say"


def points_off(once: pd.DataFrame, points: PointsParams) -> float:
    """By how many points the scores of these leads are too high: what takes the predicted to the actual sum.

    Parameters
    ----------
    once
        label (0 or 1) and probability; one row a lead.
    """
    log_odds = logit(np.clip(once["probability"].to_numpy("float64"), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    shift = fit_intercept(log_odds, once["label"].to_numpy("float64"), np.ones(len(once)))
    return round(-points.factor * shift, 1)


def _correction(result: Row, rows: pd.DataFrame, lists: Lists, params: KpiParams) -> Row:
    """Return points_off and fix: a tier's own cut-off, in a segment that of the best tier, for all leads none."""
    if result["answer"] not in ("too generous", "too strict"):
        return {"points_off": None, "fix": None}
    off = points_off(first_lists(rows), lists.points)
    if result["name"] == ALL and result["group"] == "tier":
        return {"points_off": off, "fix": None}
    tier, among = (result["name"], lists.matured) if result["group"] == "tier" else (lists.names[0], rows)
    return {"points_off": off, "fix": _fixed_cutoff(result, tier, among, lists, params)}


def _fixed_cutoff(result: Row, tier: str, rows: pd.DataFrame, lists: Lists, params: KpiParams) -> Row | None:
    """Find the lowest integer score from which the actual rate reaches what the tier predicted, up to the tier above.

    A tier that is too generous is searched upwards from its cut-off, one that is too strict downwards for as long as
    its leads come to as much. Scores from which there are too few leads to tell are passed over.

    Returns
    -------
    dict or None
        tier, predicted_rate (of the tier), cutoff (its lowest score now), new_cutoff (the score it would take),
        per_list (leads a list from there) and observed_rate (theirs, with its interval). The score is chosen on the
        leads that it is shown for. None where no score does, and for the last tier, which has no cut-off.
    """
    index, cuts = lists.names.index(tier), lists.cutoffs
    if tier == lists.names[-1] or math.isnan(cuts[tier]):
        return None
    predicted = float(first_lists(lists.matured[lists.matured["tier"] == tier])["probability"].mean())
    cut, above = math.ceil(cuts[tier]), math.ceil(cuts[lists.names[index - 1]]) if index else HIGHEST + 1
    moved = rows[~rows["overridden"]]
    ordered, best = moved.sort_values(["snapshot_at", "lead_id"])[["lead_id", "score", "label"]], None
    ordered = ordered.assign(lead_id=pd.factorize(ordered["lead_id"])[0])
    generous = result["answer"] == "too generous"
    for cutoff in range(cut, above) if generous else range(cut, -1, -1):
        inside = ordered[ordered["score"].ge(cutoff) & ordered["score"].lt(above)]
        observed = rate("observed_rate", inside.drop_duplicates("lead_id")["label"], result["confidence"])
        kept = observed["observed_rate"] >= predicted and observed["observed_rate_low"] > predicted / params.telling
        if kept:
            best = {"tier": tier, "predicted_rate": predicted, "cutoff": cuts[tier], "new_cutoff": cutoff} | observed
            best |= {"per_list": len(inside) / lists.count}
        if kept == generous:
            break
    return best


def volumes(lists: Lists, capacity: float, params: KpiParams) -> list[Row]:
    """Compare the length of each tier's list with the capacity that sales has for it.

    Parameters
    ----------
    capacity
        Leads that sales can work from one list to the next; of a sample of leads, the share that falls to it.

    Returns
    -------
    list
        One a tier but the last: tier, lists, capacity, mean, least and most leads a list, answer (over capacity,
        room left, fills capacity) and filling: the lowest score from which this tier and those above hold no more
        leads a list, on average, than their capacity.
    """
    of_list = pd.factorize(lists.rows["snapshot_at"], use_na_sentinel=False)[0]
    called = lists.rows.loc[lists.rows["tier"].isin(lists.names), "score"]  # excluded leads use no capacity
    share, result = 0.0, []
    for tier in lists.tiers.ladder[:-1]:
        own = float(tier.share_of_capacity)
        counts = np.bincount(of_list[(lists.rows["tier"] == tier.name).to_numpy()], minlength=lists.count)
        share += own
        result.append(
            {
                "tier": tier.name,
                "lists": lists.count,
                "capacity": own * capacity,
                "mean": float(counts.mean()),
                "least": int(counts.min()),
                "most": int(counts.max()),
                "answer": _fill(float(counts.mean()), own * capacity, params),
                "filling": _filling(called, share * capacity * lists.count),
            }
        )
    return result


def _fill(mean: float, capacity: float, params: KpiParams) -> str:
    if mean > capacity * (1 + params.volume_tolerance):
        return "over capacity"
    return "room left" if mean < capacity * (1 - params.volume_tolerance) else "fills capacity"


def _filling(score: pd.Series[int], capacity: float) -> int:
    """Return the lowest integer score with at most `capacity` rows at or above it; 101 where even the best are more."""
    at_least = np.bincount(score.to_numpy("int64"), minlength=HIGHEST + 1)[::-1].cumsum()[::-1]
    fits = np.flatnonzero(at_least <= capacity)
    return int(fits[0]) if len(fits) else HIGHEST + 1
