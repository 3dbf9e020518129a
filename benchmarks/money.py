"""Do intervals of money hold the truth? `python -m benchmarks.money`: 400 worlds of each kind, to money.json beside it.

A world has leads with known probabilities and a known distribution of deal values, which has a heavy tail, deals won
before, from which values are learned, and two rankings, one better. Nothing is trained. Said is the share of worlds in
which the 90% interval held: the revenue that came in; the return that the called leads have on average; wins and
revenue that the better ranking gains on average.

Drawn worlds are as plain as that. Simulated ones are funnels of `simulate` with deals: weekly lists, on which a lead
stands again and again, and the figures of kpis.json.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from features.schema.declarations import SnapshotParams
from models.evaluation.estimate import Figure
from models.kpis.revenue import RevenueRows, revenue_gains, revenue_groups
from models.revenue.deal_value import fit_deal_values
from models.revenue.totals import gain, return_on_cost, total_revenue
from pipelines.config.simulation import Deals, Simulate
from pipelines.simulation.export import simulate

CONFIDENCE, WORLDS, LISTS = 0.9, 400, 10
SPREAD = 0.9  # of the logs of deals that are alike: the dearest of a hundred is worth eight times the median
DEALS = 200  # won before
CALL = 50.0
CALLED = 0.2  # of a list
FIRST, LAST = dt.date(2025, 1, 6), dt.date(2026, 1, 4)
SIMULATED_LEADS = 4000


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
    total = total_revenue(
        probability, model.log_value(features), model.spread(features), model.residuals, CONFIDENCE, seed
    )
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


def simulated_world(seed: int, leads: int) -> dict[str, bool]:
    """Say the same of a simulated funnel, whose oracle knows the probabilities and what deals bring on average."""
    market = Simulate(leads=leads, first_day=FIRST, last_day=LAST, deals=Deals(spread=SPREAD))
    history = simulate(market, seed, SnapshotParams())
    days = np.sort(history.oracle["snapshot_at"].unique())[-LISTS:]
    rows = history.oracle[history.oracle["snapshot_at"].isin(days)].reset_index(drop=True)
    truth = rows["probability"].to_numpy(), rows["deal_value"].to_numpy()
    known = history.leads.merge(history.outcomes[["lead_id", "converted_at"]], "left", "lead_id").set_index("lead_id")
    known["industry"] = pd.factorize(known["industry"])[0]
    before = known[known["converted_at"] < days[0]]
    features = ["company_size", "industry"]
    values = before["deal_value"].to_numpy("float64")
    model = fit_deal_values(before[features], values, before["converted_at"].to_numpy(), ["industry"])
    if model is None:
        raise ValueError(f"{len(before)} deals are too few to learn from")
    of_row = known.loc[rows["lead_id"]].reset_index(drop=True)
    ahead = of_row["converted_at"] - rows["snapshot_at"]
    rng = np.random.default_rng(seed)
    called, by_rules = (_first(rows, truth[0] * np.exp(rng.normal(0, noise, len(rows)))) for noise in (0.5, 1.5))
    rows = rows[["lead_id", "snapshot_at", "probability"]].assign(
        label=(ahead < SnapshotParams().horizon_days * pd.Timedelta(days=1)).astype("float64"),
        won_at=of_row["converted_at"], log_value=model.log_value(of_row[features]), called=called,
        called_by_rules=by_rules, tier="hot",
    )  # fmt: skip
    rows["value"] = of_row["deal_value"].where(rows["label"] == 1)
    given = RevenueRows(rows, model.spread(of_row[features]), model.residuals, CALL, CONFIDENCE, seed)
    whole, gains = revenue_groups(given, {})[0], revenue_gains(given)[0]
    first = rows[called].drop_duplicates("lead_id").index
    returned = float((truth[0] * truth[1])[first].sum()) / (CALL * called.sum())
    more = called.astype("float64") - by_rules
    wins, revenue = (float((worth * more).sum()) / LISTS for worth in (truth[0], truth[0] * truth[1]))
    return {
        "expected revenue": _holds(whole.predicted_low, whole.actual or 0.0, whole.predicted_high),
        "return": _holds(whole.returned_low, returned, whole.returned_high),
        "wins gained": _holds(gains.wins_low, wins, gains.wins_high),
        "revenue gained": _holds(gains.revenue_low, revenue, gains.revenue_high),
    }


def _holds(low: Figure, truth: float, high: Figure) -> bool:
    """Whether an interval holds the truth; where deals are too few there is none."""
    return low is not None and high is not None and bool(low <= truth <= high)


def _first(rows: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    """The best fifth of each list."""
    return (rows.assign(score=score).groupby("snapshot_at")["score"].rank(pct=True) > 1 - CALLED).to_numpy()


def coverage(worlds: int, leads: int = 3000, kind: Callable[[int, int], dict[str, bool]] = world) -> dict[str, float]:
    """Return the share of worlds in which each interval held the truth."""
    held = pd.DataFrame([kind(seed, leads) for seed in range(worlds)])
    return {str(name): float(share) for name, share in held.mean().items()}


def _log(features: pd.DataFrame) -> np.ndarray:
    return 6 + 0.5 * np.log1p(features["size"].to_numpy("float64"))


def _best(score: np.ndarray, n: int) -> np.ndarray:
    best = np.zeros(len(score), dtype=bool)
    best[np.argsort(-score)[:n]] = True
    return best


if __name__ == "__main__":
    simulated = coverage(WORLDS, SIMULATED_LEADS, simulated_world)
    found = {"worlds": WORLDS, "confidence": CONFIDENCE, "held": coverage(WORLDS), "held_simulated": simulated}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
