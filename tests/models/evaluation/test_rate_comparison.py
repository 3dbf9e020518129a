"""A predicted rate is judged by the interval of the actual one, over leads, and at the top, where calls are made."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.evaluation.intervals import clopper_pearson
from models.evaluation.rate_comparison import RateLimits, compare_rate, compare_top, judge

STRICT = RateLimits(tolerance=0.0)
PROMISED = 0.1


def test_the_top_is_compared_where_predictions_are_largest() -> None:
    """A model that is right on average and too low at the very top, as a slope that is too flat makes it."""
    rng = np.random.default_rng(9)
    true = rng.normal(-3.5, 1.3, 20_000)
    flat = expit(-3.5 + 0.8 * (true + 3.5))
    rows = pd.DataFrame({"lead_id": [f"l{n}" for n in range(len(true))], "probability": flat})
    top = compare_top(rows.assign(label=(rng.random(len(true)) < expit(true)).astype("float64")), 0.9, STRICT)
    assert [(one.share, one.rows) for one in top] == [(0.001, 20), (0.005, 100), (0.01, 200), (0.05, 1000)]
    assert top[2].answer == top[3].answer == "too strict"
    assert top[2].ratio < top[3].ratio < 1
    assert compare_top(rows.head(60).assign(label=0.0), 0.9, STRICT)[0].share == 0.05


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_where_all_or_none_converted_the_interval_is_that_of_the_leads(label: float) -> None:
    rows = pd.DataFrame({"lead_id": np.repeat([f"l{n}" for n in range(40)], 5), "label": label, "probability": 0.5})
    found = compare_rate(rows, 0.9, STRICT)
    bounds = clopper_pearson(40 * label, 40, 0.9)
    assert (found.observed_rate_low, found.observed_rate_high) == bounds
    assert found.answer == ("too strict" if label else "too generous")
    assert compare_rate(rows.head(0), 0.9, STRICT).answer == "too few to say"


@pytest.mark.parametrize(
    ("observed", "of", "tolerance", "answer"),
    [
        (5, 200, 0.0, "too generous"),
        (0, 60, 0.0, "too generous"),
        (45, 200, 0.0, "too strict"),
        (20, 200, 0.0, "fits"),
        (2, 20, 0.0, "too few to say"),
        (0, 5, 0.0, "too few to say"),
        (0, 0, 0.0, "too few to say"),
        (880, 10_000, 0.0, "too generous"),
        (880, 10_000, 0.1, "fits"),
        (1120, 10_000, 0.0, "too strict"),
        (1120, 10_000, 0.1, "fits"),
        (700, 10_000, 0.1, "too generous"),
    ],
)
def test_answers(observed: int, of: int, tolerance: float, answer: str) -> None:
    low, high = clopper_pearson(observed, of, 0.95)
    assert judge(PROMISED, low, high, RateLimits(tolerance, telling=2.0)) == answer
