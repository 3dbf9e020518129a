"""Do intervals of money hold the truth? `python -m benchmarks.money`: 400 worlds, and benchmarks/money.json.

A world has leads with known probabilities and a known distribution of deal values, which has a heavy tail, deals won
before, from which values are learned, and two rankings, one better. Nothing is trained. Said is the share of worlds in
which the 90% interval held: the revenue that came in; the return that the called leads have on average; wins and
revenue that the better ranking gains on average.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from models.revenue.deal_value import fit_deal_values
from models.revenue.totals import gain, return_on_cost, total_revenue

CONFIDENCE, WORLDS, LISTS = 0.9, 400, 10
SPREAD = 0.9  # of the logs of deals that are alike: the dearest of a hundred is worth eight times the median
DEALS = 200  # won before
CALL = 50.0


def world(seed: int, leads: int) -> dict[str, bool]:
    """Say of one world which intervals held the truth."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.6, 19.4, leads)
    won = rng.random(leads) < probability
    features, earlier = (pd.DataFrame({"size": rng.lognormal(4, 1, n)}) for n in (leads, DEALS))
    known = np.exp(_log(earlier) + rng.normal(0, SPREAD, DEALS))
    model = fit_deal_values(earlier, known, np.arange(DEALS), [])
    if model is None:
        raise ValueError("DEALS are too few to learn from")
    value, mean = np.exp(_log(features) + rng.normal(0, SPREAD, leads)), np.exp(_log(features) + SPREAD**2 / 2)
    better, worse = (_best(probability * np.exp(rng.normal(0, noise, leads)), leads // 5) for noise in (0.5, 1.5))
    total = total_revenue(probability, model.log_value(features), model.residuals, model.error, CONFIDENCE, seed)
    cost, log = np.full(better.sum(), CALL), model.log_value(features)[better]
    returned = return_on_cost((won * value)[better], cost, log, model.residuals, CONFIDENCE, seed)
    wins = gain(1.0 * won * better, 1.0 * won * worse, LISTS, CONFIDENCE, seed)
    expected = won * model.expected(features)
    revenue = gain(expected * better, expected * worse, LISTS, CONFIDENCE, seed)
    more = better.astype("float64") - worse
    return {
        "expected revenue": total.low <= float((won * value).sum()) <= total.high,
        "return": returned.low <= float((probability * mean)[better].sum()) / (CALL * better.sum()) <= returned.high,
        "wins gained": wins.low <= float((probability * more).sum()) / LISTS <= wins.high,
        "revenue gained": revenue.low <= float((probability * mean * more).sum()) / LISTS <= revenue.high,
    }


def coverage(worlds: int, leads: int = 3000) -> dict[str, float]:
    """Return the share of worlds in which each interval held the truth."""
    held = pd.DataFrame([world(seed, leads) for seed in range(worlds)])
    return {str(name): float(share) for name, share in held.mean().items()}


def _log(features: pd.DataFrame) -> np.ndarray:
    return 6 + 0.5 * np.log1p(features["size"].to_numpy("float64"))


def _best(score: np.ndarray, n: int) -> np.ndarray:
    best = np.zeros(len(score), dtype=bool)
    best[np.argsort(-score)[:n]] = True
    return best


if __name__ == "__main__":
    found = {"worlds": WORLDS, "confidence": CONFIDENCE, "held": coverage(WORLDS)}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
