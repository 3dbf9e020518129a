"""Does a model predict too much? Predicted against actual rate over all rows, as uncertain as leads differ."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from models.evaluation.estimate import Figure, Figures
from models.evaluation.intervals import rate_interval

Answer = Literal["too generous", "too strict", "fits", "too few to say"]
TOP_SHARES = (0.001, 0.005, 0.01, 0.05)
ROUNDING = 1e-9  # of shares that are added
MISFITS: tuple[Answer, ...] = ("too generous", "too strict")


class RateLimits(NamedTuple):
    """How far off a predicted rate may be, and how far off it would have to be noticed to be said to fit.

    Attributes
    ----------
    tolerance
        Share by which the predicted rate may surely lie above or below the actual one.
    telling
        A prediction this many times too high, or too low, must lie outside of the interval; else rows are too few.
    """

    tolerance: float
    telling: float = 2.0


class ObservedRate(Figures):
    """An actual rate, its interval, and the number of leads behind it."""

    observed_rate: Figure
    observed_rate_low: Figure
    observed_rate_high: Figure
    observed_rate_n: int


class PredictedRate(ObservedRate):
    """The predicted and the actual rate of some rows.

    Attributes
    ----------
    rows, leads, converted
        Rows; their leads; and of these, how many converted on at least one row.
    ratio
        Predicted over actual rate, with its interval.
    confidence
        Of both intervals.
    """

    rows: int
    leads: int
    converted: int
    predicted_rate: Figure
    ratio: Figure
    ratio_low: Figure
    ratio_high: Figure
    confidence: float
    answer: Answer


def compare_rate(rows: pd.DataFrame, confidence: float, limits: RateLimits) -> PredictedRate:
    """Compare the mean probability of some rows with their conversion rate.

    All rows count, because the first list of a lead is the one for which the model is freshest; rows of one lead depend
    on each other, so the interval is that of leads (see `intervals.rate_interval`).

    Parameters
    ----------
    rows
        lead_id, label (0 or 1), probability; each row counts once.
    """
    label, probability = rows["label"].to_numpy("float64"), rows["probability"].to_numpy("float64")
    predicted, observed = (float(np.mean(of)) if len(of) else float("nan") for of in (probability, label))
    low, high = rate_interval(label, rows["lead_id"].to_numpy(), confidence, predicted=probability)
    leads = rows["lead_id"].nunique()
    return PredictedRate(
        rows=len(rows),
        leads=leads,
        converted=rows.loc[label > 0, "lead_id"].nunique(),
        predicted_rate=predicted,
        observed_rate=observed,
        observed_rate_low=low,
        observed_rate_high=high,
        observed_rate_n=leads,
        ratio=_ratio(predicted, observed),
        ratio_low=_ratio(predicted, high),
        ratio_high=_ratio(predicted, low),
        confidence=confidence,
        answer=judge(predicted, low, high, limits),
    )


class TopRate(PredictedRate):
    """The rates of the rows with the highest probabilities; `share` of all rows."""

    share: float


def compare_top(rows: pd.DataFrame, confidence: float, limits: RateLimits) -> list[TopRate]:
    """Compare the rates of the best rows, which are those that get called, for each of TOP_SHARES that has any."""
    ordered = rows.sort_values(["probability", "lead_id"], ascending=[False, True])
    seen = np.arange(1, len(ordered) + 1) / len(ordered)
    best = {share: ordered[seen <= share + ROUNDING] for share in TOP_SHARES}
    return [
        TopRate(**dict(compare_rate(one, confidence, limits)), share=share) for share, one in best.items() if len(one)
    ]


def first_share(confidence: float) -> float:
    """Return the confidence with which all rows together are compared: half of the doubt; parts share the rest."""
    return (1 + confidence) / 2


def judge(predicted: float, low: float, high: float, limits: RateLimits) -> Answer:
    """Answer from a predicted rate and the interval of the actual one.

    A prediction outside the interval by more than the tolerance is too generous or too strict. It fits only where the
    interval is narrow enough to have shown a prediction `telling` times too high, or too low.
    """
    if predicted > high * (1 + limits.tolerance):
        return "too generous"
    if predicted < low / (1 + limits.tolerance):
        return "too strict"
    is_narrow = high < predicted * limits.telling and low > predicted / limits.telling
    return "fits" if is_narrow else "too few to say"


def rates_text(one: PredictedRate) -> str:
    """Put both rates and their ratio into words."""
    low, high = one.observed_rate_low or 0.0, one.observed_rate_high or 0.0
    actual = f"actual {one.observed_rate or 0.0:.1%} ({low:.1%} to {high:.1%})"
    if one.ratio is None or one.ratio_low is None:
        return f"predicted {one.predicted_rate or 0.0:.1%}, {actual}"
    end = "" if one.ratio_high is None else f" to {one.ratio_high:.2f}"
    times = f"{one.ratio:.2f} times ({one.ratio_low:.2f}{end or ' or more'})"
    return f"predicted {one.predicted_rate:.1%}, {actual}, {times}"


def _ratio(predicted: float, actual: float) -> float:
    return predicted / actual if actual > 0 else float("nan")
