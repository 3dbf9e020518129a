"""How long it takes: Kaplan-Meier times to conversion with what has not converted yet, and the sales cycle of wins."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from models.kpis.results import DaysUntil, PeriodCycle, SalesCycle, Survival
from models.kpis.tier_kpis import KpiParams, of_leads, period_of

DAY_SECONDS = 86400.0
QUARTILES = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}


def time_to_conversion(
    starts: pd.DataFrame, outcomes: pd.DataFrame, until: pd.Timestamp, shares: Sequence[float], confidence: float
) -> Survival:
    """Estimate after how many days given shares of the leads have converted.

    A lost lead has ended in another way and converts no more: it stays in the count, as one that has not converted, to
    the end of the data. Were it censored when it is lost, as if it might still convert unseen, the figure would speak
    of a world in which nobody is lost. As the end of the data is then the only censoring, and is known for every lead,
    Kaplan-Meier on these times estimates the share that has converted by each day with losses as a competing end
    (Fine and Gray 1999, Journal of the American Statistical Association 94, 496-509, "censoring complete" data).

    Parameters
    ----------
    starts
        lead_id and at, when its clock starts; one row a lead.
    outcomes
        lead_id, converted_at.
    until
        The last moment by which a conversion would be known; later ones have not happened yet.

    Returns
    -------
    Survival
        With the first and the last day of the starts.
    """
    begun = starts[starts["at"] < until]
    won = of_leads(begun["lead_id"], outcomes.set_index("lead_id")["converted_at"])
    happened = (won <= until) & (won >= begun["at"])
    days = in_days(begun["at"], won.where(happened, until))
    span = [day.date().isoformat() for day in (begun["at"].min(), begun["at"].max())] if len(begun) else [None, None]
    curve = survival(days, happened, shares, confidence)
    return curve.model_copy(update={"first": span[0], "last": span[1]})


def in_days(begin: pd.Series[pd.Timestamp], end: pd.Series[pd.Timestamp]) -> pd.Series[float]:
    """Return how long each time lasts."""
    return (end - begin).dt.total_seconds() / DAY_SECONDS


def survival(days: pd.Series[float], happened: pd.Series[bool], shares: Sequence[float], confidence: float) -> Survival:
    """Estimate after how many days given shares have reached their event, the rest being censored.

    Parameters
    ----------
    days
        Time to the event or to the end of sight, shape (n,).
    happened
        Whether it was the event.
    shares
        Such as 0.1: after how many days has one in ten?

    Returns
    -------
    Survival
        n, happened (count), longest (days in sight at most), reached (share that has had the event by then, with
        interval), and days: those of each share, None where the share, or the bound of its interval, is not reached in
        sight. The interval of a share's days is where the interval of the curve holds the share (Brookmeyer and Crowley
        1982, Biometrics 38, 29-41), on the scale of log(-log).
    """
    counts: dict[str, Any] = {"first": None, "last": None, "n": len(days), "happened": int(happened.sum())}
    counts["longest"] = float(days.max())
    if not counts["happened"]:
        empty = [DaysUntil(share=share, days=None, low=None, high=None) for share in shares]
        return Survival(**counts, days=empty, reached=0.0 if len(days) else None, reached_low=None, reached_high=None)
    at, share, low, high = _curve(days[happened].to_numpy("float64"), days[~happened].to_numpy("float64"), confidence)
    return Survival(
        **counts,
        reached=float(share[-1]),
        reached_low=float(low[-1]),
        reached_high=float(high[-1]),
        days=[
            DaysUntil(share=one, days=_first(at, share, one), low=_first(at, high, one), high=_first(at, low, one))
            for one in shares
        ],
    )


def _curve(
    events: np.ndarray, censored: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return times, the share that has had the event by then (Kaplan-Meier), and its lower and upper bound."""
    curve = scipy.stats.ecdf(scipy.stats.CensoredData(uncensored=events, right=censored)).cdf
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of no bound before the first event, and
        bounds: Any = curve.confidence_interval(confidence, method="log-log")  # where nobody is left; both follow here
    low = pd.Series(bounds.low.probabilities, dtype="float64").ffill().fillna(0.0)
    high = pd.Series(bounds.high.probabilities, dtype="float64").mask(curve.probabilities >= 1.0, 1.0).fillna(0.0)
    return curve.quantiles, curve.probabilities, low.to_numpy(), high.to_numpy()


def _first(at: np.ndarray, curve: np.ndarray, share: float) -> float:
    """Return the first time at which a rising curve has reached a share, up to rounding; not a number if never."""
    reached = np.flatnonzero(curve >= share - 1e-12)
    return float(at[reached[0]]) if len(reached) else float("nan")


def sales_cycle(cycles: pd.Series[float], confidence: float) -> SalesCycle:
    """Describe the days from the first touch by sales to the win, of deals that were won.

    Returns
    -------
    SalesCycle
        n, and median, lower_quartile and upper_quartile, each with `_low` and `_high`: bounds free of any distribution,
        from order statistics (Conover 1999, Practical Nonparametric Statistics, 3.2), None where n is too small for
        them.
    """
    days = cycles.dropna().to_numpy("float64")
    result: dict[str, float] = {"n": len(days)}
    for name, share in QUARTILES.items():
        figures = [float("nan")] * 3
        if len(days):
            bounds: Any = scipy.stats.quantile_test(days, q=0.0, p=share).confidence_interval(confidence)
            figures = [float(np.quantile(days, share)), float(bounds.low), float(bounds.high)]
        result |= dict(zip((name, f"{name}_low", f"{name}_high"), figures, strict=True))
    return SalesCycle.model_validate(result)


def cycles_by(cycles: pd.DataFrame, params: KpiParams, confidence: float) -> list[PeriodCycle]:
    """Describe the sales cycle of each calendar period's wins; see `sales_cycle`."""
    period = period_of(cycles["converted_at"], params)
    return [
        PeriodCycle(period=str(name), **dict(sales_cycle(one, confidence)))
        for name, one in cycles["days"].groupby(period)
    ]


def cycle_days(touched_at: pd.Series[pd.Timestamp], outcomes: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Measure each known win from the first touch by sales.

    Parameters
    ----------
    touched_at
        When sales first touched a lead, by lead_id.
    outcomes
        lead_id, converted_at.

    Returns
    -------
    DataFrame
        lead_id, converted_at, days (missing where nobody touched the lead before it was won); one row a win by `until`.
    """
    wins = outcomes.loc[outcomes["converted_at"] <= until, ["lead_id", "converted_at"]]
    touched = of_leads(wins["lead_id"], touched_at)
    days = in_days(touched, wins["converted_at"])
    return wins.assign(days=days.where(touched < wins["converted_at"])).reset_index(drop=True)
