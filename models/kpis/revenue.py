"""What lists brought in money: predicted and actual by tier, month and more, and against today's rules and chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from features.schema.spec import Spec
from models.evaluation.estimate import Estimate, Figure
from models.revenue.totals import gain, return_on_cost, total_revenue

WIDE = 1.0  # an interval wider than the predicted revenue itself cannot tell
ALL = "all leads called"
Answer = Literal["as predicted", "less than predicted", "more than predicted", "cannot tell"]


class GroupRevenue(Spec):
    """The revenue of leads of one tier, month, source or owner; each lead counts once, on its first list.

    Attributes
    ----------
    calls
        Lists that leads stood on, each of which costs one call.
    predicted
        Probability times deal value, summed, with the interval in which the actual revenue was to lie.
    actual
        What the deals brought that were won within the horizon.
    returned
        Actual revenue over the cost of calls, with its interval.
    pays
        Whether that is surely above 1 (True), surely below (False), or neither.
    days
        From the first list to the win, the median; not a number where nobody was won.
    """

    group: str
    name: str
    leads: int
    calls: int
    won: int
    predicted: Figure
    predicted_low: Figure
    predicted_high: Figure
    actual: Figure
    answer: Answer
    cost: Figure
    returned: Figure
    returned_low: Figure
    returned_high: Figure
    pays: bool | None
    days: Figure


class RevenueGain(Spec):
    """What the model's lists brought more than others of the same length, a list: wins, and revenue at mean values."""

    against: str
    wins: Figure
    wins_low: Figure
    wins_high: Figure
    revenue: Figure
    revenue_low: Figure
    revenue_high: Figure
    answer: Literal["gains", "loses", "cannot tell"]


class RevenueResult(Spec):
    """The money part of kpis.json.

    Attributes
    ----------
    deals
        Won deals with a value that the deal values were learned from, all of them before the lists.
    constant
        Whether attributes tell deal values no better than their average does.
    told
        Share of the squared error of log values that attributes take away on later deals.
    without_value
        Deals won on the lists whose value is not known; they count as their mean value.
    """

    deals: int
    constant: bool
    told: Figure
    without_value: int
    groups: list[GroupRevenue]
    gains: list[RevenueGain]

    @property
    def lines(self) -> list[str]:
        """Say it for people, a sentence a line."""
        learned = (
            f"Deal values are learned from {self.deals:,} deals won before: "
            + ("nothing known of a lead tells them apart, so each is worth the average."
               if self.constant else f"what a lead is tells {self.told:.0%} of how much they differ.")
        )  # fmt: skip
        whole = [one for one in self.groups if one.name == ALL]
        text = [
            f"Leads called: {one.actual:,.0f} came in, {one.predicted:,.0f} ({one.predicted_low:,.0f} to "
            f"{one.predicted_high:,.0f}) were predicted: {one.answer}; {_pays(one)}"
            for one in whole
        ]
        return [learned, *text, *(_gain(one) for one in self.gains)]


def _pays(one: GroupRevenue) -> str:
    verdict = {True: "calls pay", False: "calls do not pay", None: "cannot tell whether calls pay"}[one.pays]
    return f"{one.returned:.1f}{_span(one.returned_low, one.returned_high, '.1f')} for each 1 of cost: {verdict}."


def _gain(one: RevenueGain) -> str:
    return (
        f"Against {one.against}: {one.wins:+.1f} wins{_span(one.wins_low, one.wins_high, '+.1f')} and "
        f"{one.revenue:+,.0f}{_span(one.revenue_low, one.revenue_high, '+,.0f')} a list: {one.answer}."
    )


def _span(low: Figure, high: Figure, form: str) -> str:
    """Write an interval; "" where there are too few deals for one."""
    return "" if low is None or high is None or low != low else f" ({low:{form}} to {high:{form}})"


@dataclass(frozen=True)
class RevenueRows:
    """The rows of the lists, and what is known of their deals.

    Attributes
    ----------
    rows
        lead_id, snapshot_at, label (0, 1), probability, won_at (missing: not won), value (of won deals, where known),
        log_value (the predicted mean log), called and called_by_rules (whether capacity reaches it), tier.
    spread
        Of the deal value of each row, shape (n, k).
    residuals
        Of the deal values, in logs.
    """

    rows: pd.DataFrame
    spread: np.ndarray
    residuals: np.ndarray
    call_cost: float
    confidence: float
    seed: int

    @property
    def mean_value(self) -> pd.Series[float]:
        """The mean value of the deal of each row."""
        return np.exp(self.rows["log_value"]) * float(np.exp(self.residuals).mean())

    @property
    def without_value(self) -> int:
        """How many deals won have no known value; a deal that was on many lists is one."""
        return int(self.rows.loc[(self.rows["label"] == 1) & self.rows["value"].isna(), "lead_id"].nunique())

    @property
    def brought(self) -> pd.Series[float]:
        """What each row's deal brought; where its value is not known, its mean."""
        return (self.rows["label"] * self.rows["value"].fillna(self.mean_value)).fillna(0.0)


def revenue_groups(given: RevenueRows, names: Mapping[str, pd.Series[str]]) -> list[GroupRevenue]:
    """Compare predicted and actual revenue: of all leads called, by tier, and of the leads called by each of `names`.

    Parameters
    ----------
    names
        By the title of a group, the name of each row, by the index of the rows; "" is left out.
    """
    called = given.rows["called"]
    found = [_group("all", ALL, given.rows[called], given)]
    for tier in given.rows["tier"].unique():
        found.append(_group("tier", str(tier), given.rows[given.rows["tier"] == tier], given))
    for title, of_row in names.items():
        inside = of_row[called]
        for name in sorted(set(inside) - {""}):
            found.append(_group(title, name, given.rows.loc[inside.index[inside == name]], given))
    return [one for one in found if one.leads]


def _group(group: str, name: str, rows: pd.DataFrame, given: RevenueRows) -> GroupRevenue:
    first = rows.sort_values(["snapshot_at", "lead_id"]).drop_duplicates("lead_id")
    calls = rows.groupby("lead_id").size().reindex(first["lead_id"]).to_numpy("float64")
    brought = given.brought.reindex(first.index).to_numpy("float64")
    log = first["log_value"].to_numpy("float64")
    spread = given.spread[given.rows.index.get_indexer(first.index)]
    predicted = total_revenue(
        first["probability"].to_numpy("float64"), log, spread, given.residuals, given.confidence, given.seed
    )
    cost = calls * given.call_cost
    returned = return_on_cost(brought, cost, log, given.residuals, given.confidence, given.seed)
    won = first[first["label"] == 1]
    days = (won["won_at"] - won["snapshot_at"]).dt.total_seconds() / 86_400
    return GroupRevenue(
        group=group,
        name=name,
        leads=len(first),
        calls=int(calls.sum()),
        won=len(won),
        predicted=predicted.value,
        predicted_low=predicted.low,
        predicted_high=predicted.high,
        actual=float(brought.sum()),
        answer=_answer(float(brought.sum()), predicted),
        cost=float(calls.sum()) * given.call_cost,
        returned=returned.value,
        returned_low=returned.low,
        returned_high=returned.high,
        pays=True if returned.low > 1 else False if returned.high < 1 else None,
        days=float(days.median()),
    )


def _answer(actual: float, predicted: Estimate) -> Answer:
    if actual < predicted.low:
        return "less than predicted"
    if actual > predicted.high:
        return "more than predicted"
    return "cannot tell" if predicted.high - predicted.low > WIDE * predicted.value else "as predicted"


def revenue_gains(given: RevenueRows) -> list[RevenueGain]:
    """Compare the leads that the model would have called with those of the rules, and with as many at random.

    As with wins a list, a deal counts on every list within whose horizon it is won; by leads, so that this widens the
    interval.
    """
    rows = given.rows
    size = rows.groupby("snapshot_at", dropna=False)["lead_id"].transform("size")
    share = rows.groupby("snapshot_at", dropna=False)["called"].transform("sum") / size
    others = {"chance": share}
    if "called_by_rules" in rows:
        others = {"today's rules": rows["called_by_rules"].astype("float64")} | others
    return [_against(name, called, given) for name, called in others.items()]


def _against(name: str, called: pd.Series[float], given: RevenueRows) -> RevenueGain:
    rows, lists = given.rows, max(given.rows["snapshot_at"].nunique(), 1)
    figures = {}
    for what, worth in (("wins", rows["label"]), ("revenue", rows["label"] * given.mean_value)):
        ours, theirs = (
            (worth.fillna(0.0) * of.astype("float64")).groupby(rows["lead_id"]).sum().to_numpy("float64")
            for of in (rows["called"], called)
        )
        figures[what] = gain(ours, theirs, lists, given.confidence, given.seed)
    revenue = figures["revenue"]
    return RevenueGain(
        against=name,
        wins=figures["wins"].value,
        wins_low=figures["wins"].low,
        wins_high=figures["wins"].high,
        revenue=revenue.value,
        revenue_low=revenue.low,
        revenue_high=revenue.high,
        answer="gains" if revenue.low > 0 else "loses" if revenue.high < 0 else "cannot tell",
    )
