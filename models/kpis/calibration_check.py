"""Are tiers too generous? Predicted against actual rates, volume against capacity, and the cut-off to fix it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import scipy

from models.evaluation.intervals import rate_interval
from models.evaluation.ranked import LEAST_PROBABILITY
from models.evaluation.rate_comparison import MISFITS, PredictedRate, compare_rate, first_share
from models.kpis.results import CutoffFix, ListVolume, RateComparison
from models.kpis.tier_kpis import KpiParams
from models.learners.calibration import fit_intercept
from models.points.scale import PointScale
from models.tiers.declarations import TierParams

ALL, TIER = "all leads", "tier"
AGE_OF_LEAD, AGE_OF_MODEL = "age of the lead", "age of the model"  # in days, when a list was made
AGES = (0, 7, 28, 56, 112)  # days at which a group of ages begins
HIGHEST = 100
Family = list[tuple[str, str, pd.DataFrame]]


@dataclass(frozen=True)
class Lists:
    """The lists that are looked at, and the scale and tiers they were made with.

    Attributes
    ----------
    rows
        lead_id, snapshot_at, label (missing while immature), probability, score, tier, and by_rule: whether a
        trigger or an exclusion holds, so that the score does not tell the tier; one row a lead and list.
    """

    rows: pd.DataFrame
    tiers: TierParams
    points: PointScale

    @property
    def matured(self) -> pd.DataFrame:
        return self.rows[self.rows["label"].notna()]

    @property
    def by_score(self) -> pd.DataFrame:
        """The rows whose tier follows from their score: a cut-off moves no other."""
        return self.rows[~self.rows["by_rule"]]

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


def compare_rates(lists: Lists, segments: pd.DataFrame, confidence: float, params: KpiParams) -> list[RateComparison]:
    """Compare predicted and actual rates for all leads, each tier, and each segment or age.

    Parameters
    ----------
    segments
        One column a segment attribute, and of `ages`, with the level of each row of the lists, by its index.
    confidence
        With which all answers together are free of a false alarm. Half of the doubt is for all leads, which is what the
        verdict of a run speaks of; tiers and segments have the other half, and share their parts evenly (Bonferroni).

    Returns
    -------
    list
        All leads first; points_off and fix where the prediction is too generous or too strict, see `points_off` and
        `_fixed_cutoff`.
    """
    rows = lists.matured
    of_tiers: Family = [(TIER, name, rows[rows["tier"] == name]) for name in lists.names]
    of_segments: Family = [
        (str(name), str(level), rows[levels.reindex(rows.index) == level])
        for name, levels in segments.items()
        for level in _in_order(levels.reindex(rows.index))
    ]
    families = [family for family in (of_tiers, of_segments) if family]
    all_leads = first_share(confidence)
    result = [_compared(TIER, ALL, rows, all_leads, lists, params)]
    for family in families:
        each = 1 - (1 - all_leads) / len(families) / len(family)
        result += [_compared(group, name, inside, each, lists, params) for group, name, inside in family]
    return result


def ages(snapshot_at: pd.Series[pd.Timestamp], since: dict[str, pd.Series[pd.Timestamp]]) -> pd.DataFrame:
    """Name the age group of each row, in days, such as "7 to 27" or "112 or more".

    Parameters
    ----------
    since
        By the name of an age, when it began for each row: the lead's creation, the model's training.
    """
    names = [*(f"{first} to {after - 1}" for first, after in pairwise(AGES)), f"{AGES[-1]} or more"]
    groups = {
        name: pd.cut((snapshot_at - began).dt.days.clip(lower=0), [*AGES, math.inf], right=False, labels=names)
        for name, began in since.items()
    }
    return pd.DataFrame(groups, index=snapshot_at.index)


def _in_order(levels: pd.Series[str]) -> list[str]:
    if levels.dtype == "category":
        return list(levels.cat.remove_unused_categories().cat.categories)
    return sorted(levels.unique())


def _compared(
    group: str, name: str, rows: pd.DataFrame, confidence: float, lists: Lists, params: KpiParams
) -> RateComparison:
    one = compare_rate(rows, confidence, params.limits)
    off, fix = None, None
    if one.answer in MISFITS:
        off = points_off(rows, lists.points)
        tier, among = (name, lists.matured) if group == TIER else (lists.names[0], rows)
        if name != ALL and group not in (AGE_OF_LEAD, AGE_OF_MODEL):  # a cut-off changes neither
            fix = _fixed_cutoff(one, tier, among, lists, params)
    return RateComparison(**dict(one), group=group, name=name, points_off=off, fix=fix)


def points_off(rows: pd.DataFrame, points: PointScale) -> float:
    """By how many points the scores of these rows are too high: what takes the predicted to the actual sum.

    Parameters
    ----------
    rows
        label (0 or 1) and probability.
    """
    log_odds = scipy.special.logit(
        np.clip(rows["probability"].to_numpy("float64"), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    )
    shift = fit_intercept(log_odds, rows["label"].to_numpy("float64"), np.ones(len(rows)))
    return round(-points.factor * shift, 1)


def _fixed_cutoff(
    result: PredictedRate, tier: str, rows: pd.DataFrame, lists: Lists, params: KpiParams
) -> CutoffFix | None:
    """Find the lowest integer score from which the actual rate reaches what the tier predicted, up to the tier above.

    A tier that is too generous is searched upwards from its cut-off, one that is too strict downwards for as long as
    its leads come to as much. Scores from which there are too few leads to tell are passed over.

    Returns
    -------
    CutoffFix or None
        tier, predicted_rate (of the tier), cutoff (its lowest score now), new_cutoff (the score it would take),
        per_list (leads a list from there) and observed_rate (theirs, with its interval). The score is chosen on the
        leads that it is shown for. None where no score does, and for the last tier, which has no cut-off.
    """
    index, cuts = lists.names.index(tier), lists.cutoffs
    of_tier = lists.matured[lists.matured["tier"] == tier]
    if tier == lists.names[-1] or math.isnan(cuts[tier]) or of_tier.empty:
        return None
    predicted = float(of_tier["probability"].mean())
    cut, above = math.ceil(cuts[tier]), math.ceil(cuts[lists.names[index - 1]]) if index else HIGHEST + 1
    moved = rows[~rows["by_rule"] & rows["score"].lt(above)]
    moved, best = moved.assign(lead_id=pd.factorize(moved["lead_id"])[0]), None
    generous = result.answer == "too generous"
    for cutoff in range(cut, above) if generous else range(cut, -1, -1):
        inside = moved[moved["score"].ge(cutoff)]
        if inside.empty:
            break
        label = inside["label"].to_numpy("float64")
        low, high = rate_interval(label, inside["lead_id"].to_numpy(), result.confidence)
        observed = float(label.mean())
        kept = observed >= predicted and low > predicted / params.telling
        if kept:
            best = CutoffFix(
                tier=tier,
                predicted_rate=predicted,
                cutoff=cuts[tier],
                new_cutoff=cutoff,
                per_list=len(inside) / lists.count,
                observed_rate=observed,
                observed_rate_low=low,
                observed_rate_high=high,
                observed_rate_n=inside["lead_id"].nunique(),
            )
        if kept == generous:
            break
    return best


def volumes(lists: Lists, capacity: float, params: KpiParams) -> list[ListVolume]:
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
    share, result = 0.0, list[ListVolume]()
    for tier in lists.tiers.ladder[:-1]:
        own = float(tier.share_of_capacity)
        counts = np.bincount(of_list[(lists.rows["tier"] == tier.name).to_numpy()], minlength=lists.count)
        share += own
        result.append(
            ListVolume(
                tier=tier.name,
                lists=lists.count,
                capacity=own * capacity,
                mean=float(counts.mean()),
                least=int(counts.min()),
                most=int(counts.max()),
                answer=_fill(float(counts.mean()), own * capacity, params),
                filling=_filling(called, share * capacity * lists.count),
            )
        )
    return result


def _fill(mean: float, capacity: float, params: KpiParams) -> Literal["over capacity", "room left", "fills capacity"]:
    if mean > capacity * (1 + params.volume_tolerance):
        return "over capacity"
    return "room left" if mean < capacity * (1 - params.volume_tolerance) else "fills capacity"


def _filling(score: pd.Series[int], capacity: float) -> int:
    """Return the lowest integer score with at most `capacity` rows at or above it; 101 where even the best are more."""
    at_least = np.bincount(score.to_numpy("int64"), minlength=HIGHEST + 1)[::-1].cumsum()[::-1]
    fits = np.flatnonzero(at_least <= capacity)
    return int(fits[0]) if len(fits) else HIGHEST + 1
