"""Whether a tier's conversion rate can be certified on held-out lists: exact tests in a fixed order.

What is certified: of the leads that a list of the test period shows in the tier (or in its best part), each taken once,
on the first list that shows it there, at least the given share converts within the horizon. Leads are
independent of each other, the rows of one lead are not, which is why each counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.evaluation.intervals import rate_lower_bounds
from models.tiers.capacity import wins_distribution
from models.tiers.declarations import Certify, Tier


@dataclass(frozen=True)
class TierTest:
    """A tier, or its best part, tested.

    Attributes
    ----------
    share
        Of the tier's leads on each list, the best first; 1 is the tier as it stands.
    leads_per_list
        On average.
    leads, wins
        That entered, each counted once, and of them converted.
    rate_lower_bound
        The lower bound of the conversion rate.
    passed
        Whether that is the target rate, or more.
    """

    share: float
    leads_per_list: int
    leads: int
    wins: int
    rate_lower_bound: float
    passed: bool


@dataclass(frozen=True)
class Target:
    """The rate to certify, as it was asked for, and the average it may be a multiple of."""

    rate: float
    asked: Certify
    average: float

    @property
    def text(self) -> str:
        """The rate in words."""
        if self.asked.rate is not None:
            return f"{self.rate:.1%}"
        return f"{self.rate:.1%} ({self.asked.times_average:g} times the average of {self.average:.1%} in training)"


@dataclass(frozen=True)
class Certificate:
    """What can be said of one tier, in figures and as a sentence.

    Attributes
    ----------
    rate, confidence
        The target.
    certified
        Whether the tier as it stands passed.
    tests
        In the order they were made; the last one passed only if the tier is certified. None were made where a better
        tier is not certified, or no lead entered this one.
    """

    tier: str
    rate: float
    confidence: float
    certified: bool
    tests: list[TierTest]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def certify(
    rows: pd.DataFrame,
    tiers: pd.Series[str],
    rank_in_list: pd.Series[float],
    ladder: Sequence[Tier],
    *,
    average: float,
    sampled: float,
    horizon_days: int | None,
) -> list[Certificate]:
    """Test the tiers that ask for a certificate, the best first, and inside each its cut-offs from the top down.

    The tests end at the first that fails, so that with the chance of `confidence` no statement is false, however many
    tests there are (fixed-sequence testing: Maurer, Hothorn and Lehmacher 1995). Each is the one-sided bound of Clopper
    and Pearson 1934, which also holds for the mean rate of leads that differ (Hoeffding 1956). Inside a tier they
    begin at the first cut-off that would pass if the probabilities were right, which looks at no outcome.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label, probability of held-out lists.
    tiers, rank_in_list
        Of the rows, by the very policy that scores; see `score_lists.assign_lists` and `assignment.working_rank`.
    average
        The conversion rate of the training rows, of which a target rate may be a multiple.
    sampled
        Share of all leads that the rows stand for; `leads_per_list` is for all of them.
    horizon_days
        Within which a lead converts; None without dates.

    Returns
    -------
    list
        One certificate for each tier whose `certify` is given, best first.
    """
    first, last = rows["snapshot_at"].min(), rows["snapshot_at"].max()
    when = "" if pd.isna(first) else f" on lists of {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    within = "" if horizon_days is None else f" within {horizon_days} days"
    certificates: list[Certificate] = []
    better = ""
    for tier in ladder:
        if tier.certify is not None:
            target = Target(tier.certify.target(average), tier.certify, average)
            possible = not better and target.rate < 1
            tests = _tests(rows, tiers == tier.name, rank_in_list, target, sampled) if possible else []
            certified = bool(tests) and tests[-1].passed
            sentence = _sentence(tier.name, target, tests, better, when, within)
            confidence = tier.certify.confidence
            certificates.append(Certificate(tier.name, target.rate, confidence, certified, tests, sentence))
            better = "" if certified else tier.name
    return certificates


def entries(rows: pd.DataFrame, inside: pd.Series[bool]) -> pd.DataFrame:
    """Return each lead's first row inside, the row of the first list that shows it there."""
    return rows[inside].sort_values(["snapshot_at", "lead_id"]).drop_duplicates("lead_id")


def _tests(
    rows: pd.DataFrame, inside: pd.Series[bool], rank_in_list: pd.Series[float], target: Target, sampled: float
) -> list[TierTest]:
    """Test cut-offs from the top down until one fails; the last is the tier as it stands."""
    of_list = rows["snapshot_at"].fillna(pd.Timestamp(0))
    size = inside.groupby(of_list).transform("sum")
    rank = rank_in_list.where(inside).groupby(of_list).rank(method="first")
    shares = np.arange(1, target.asked.steps + 1) / target.asked.steps
    parts = {float(share): inside & (rank <= np.ceil(np.round(size * share, 6))) for share in shares}
    begin = next((share for share, part in parts.items() if _would_pass(entries(rows, part), target)), 1.0)
    tested: list[TierTest] = []
    for share in [share for share in parts if share >= begin and inside.any()]:
        entered, leads_per_list = entries(rows, parts[share]), parts[share].sum() / of_list.nunique() / sampled
        wins = int(entered["label"].sum())
        least = float(rate_lower_bounds(np.array(wins), len(entered), target.asked.confidence))
        tested.append(TierTest(share, round(leads_per_list), len(entered), wins, least, least >= target.rate))
        if not tested[-1].passed:
            break
    return tested


def _would_pass(entered: pd.DataFrame, target: Target) -> bool:
    """Whether the test would pass, with the chance of `confidence`, if the probabilities were right."""
    wins, n = np.arange(1, len(entered) + 1), len(entered)
    passing = wins[rate_lower_bounds(wins, n, target.asked.confidence) >= target.rate]
    chance = wins_distribution(entered["probability"].to_numpy("float64"))
    return bool(len(passing) and chance[passing[0] :].sum() >= target.asked.confidence)


def _sentence(name: str, target: Target, tests: list[TierTest], better: str, when: str, within: str) -> str:
    """Put the tests of one tier into words; `better` is a better tier that is not certified, if there is one."""
    if better:
        return f"{name} is not certified: not tested, because {better} comes first and is not certified."
    if target.rate >= 1:
        return f"{name} is not certified: {target.text} cannot be; set certify.rate."
    if not tests:
        return f"{name} is not certified: no lead of the test entered it."
    last = tests[-1]
    surely = f"{target.asked.confidence:.0%} confidence"
    if last.passed:
        counted = f"{last.wins:,} of {last.leads:,} leads{when}"
        return f"{name} converts at {target.text} or more{within}, {surely} ({counted})."
    who = "its" if last.share == 1 else f"its best {last.leads_per_list:,} a list, in all"
    shown = f"of {who} {last.leads:,} leads {last.wins:,} converted{within}{when}"
    passed = [
        f" The best {one.leads_per_list:,} a list do convert at {target.rate:.1%} or more "
        f"({one.wins:,} of {one.leads:,} leads)."
        for one in tests[:-1]
    ]
    failed = f"which shows {last.rate_lower_bound:.1%} or more, not {target.text}, {surely}"
    return f"{name} is not certified: {shown}, {failed}." + "".join(passed[-1:])
