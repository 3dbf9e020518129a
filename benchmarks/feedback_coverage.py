"""How often do intervals of metrics weighted by the contact log cover the truth? Many simulated scenarios.

`.venv/bin/python -m benchmarks.feedback_coverage` draws weekly score lists of new leads. Sales calls the best of each
list by score, and a random sample of the rest; a call multiplies a lead's odds to convert. The truth is the outcome
expected if every lead were called. Metrics of the lists as they were worked, and of contacts weighted by their inverse
probability, are those of `models.tiers.contact_weights`. Writes benchmarks/feedback_coverage.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.published import learning_code
from features.cohort.snapshots import DAY
from models.evaluation.intervals import clopper_pearson
from models.evaluation.metrics import compute_metrics
from models.evaluation.ranked import Ranked
from models.tiers.contact_weights import contact_metrics, contact_weights
from pipelines.config.params import Params, load
from pipelines.storage.files import write_json

MONDAY = pd.Timestamp("2026-01-05")
LISTS, OPEN, CALLED = 13, 1000, 200  # of a quarter; leads on a list, and calls
METRICS = ("base_rate", "log_loss", "auc")
INTERCEPT, SPREAD, NOISE = -3.0, 1.0, 0.7  # log-odds of leads that nobody calls, and what the score misses of them
ODDS_RATIO = 3.0  # of a lead that is called


def draw(seed: int, randomised: int) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Return rows, predicted probabilities, the contact log, and the true probabilities were every lead called."""
    rng, n = np.random.default_rng(seed), LISTS * OPEN
    log_odds = rng.normal(INTERCEPT, SPREAD, n)
    predicted = expit(log_odds + rng.normal(0, NOISE, n))
    at = pd.Series(MONDAY + np.arange(n) // OPEN * pd.Timedelta(days=7))
    rank = pd.Series(predicted).groupby(at).rank(ascending=False, method="first")
    best = (rank <= CALLED - randomised).to_numpy()
    sampled = pd.Series(rng.random(n)).where(~best).groupby(at).rank().le(randomised).to_numpy()
    if_called = expit(log_odds + np.log(ODDS_RATIO))
    label = rng.random(n) < np.where(best | sampled, if_called, expit(log_odds))
    rows = pd.DataFrame({"lead_id": np.arange(n).astype("str"), "snapshot_at": at, "label": label.astype("float64")})
    log = pd.DataFrame(
        {
            "lead_id": rows["lead_id"],
            "contacted_at": at + DAY,
            "as_of": at,
            "explored": np.where(sampled, "yes", "no"),
            "propensity": np.where(best, 1.0, randomised / (OPEN - CALLED + randomised)),
        }
    )
    return rows, predicted, log[best | sampled].reset_index(drop=True), if_called


def covered(seed: int, randomised: int, params: Params) -> dict[str, bool]:
    """Return for each metric whether the interval of the lists as worked, and the weighted one, cover the truth."""
    rows, predicted, log, if_called = draw(seed, randomised)
    weights = contact_weights(rows, log, 7, params.exploration)
    metrics: dict[str, Any] = contact_metrics(rows, predicted, weights, CALLED, params.evaluate, seed)
    ranked = Ranked.of(rows.assign(label=if_called), predicted, CALLED, params.evaluate.calibration_bins)
    truth = compute_metrics(ranked, ranked.weight, params.evaluate)
    return {
        f"{population} {name}": metrics[population][f"{name}_low"] <= truth[name] <= metrics[population][f"{name}_high"]
        for population in ("as_worked", "if_called")
        for name in METRICS
    }


def coverage(randomised: int, scenarios: int, params: Params) -> dict[str, Any]:
    """Return the share of scenarios in which each interval covers the truth, with an interval of its own."""
    rows = pd.DataFrame([covered(seed, randomised, params) for seed in range(scenarios)])
    confidence = params.evaluate.confidence
    return {"randomised_per_list": randomised, "scenarios": len(rows)} | {
        str(name): {"coverage": float(hits.mean()), "interval": clopper_pearson(int(hits.sum()), len(rows), confidence)}
        for name, hits in rows.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=60)
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    params = load(None)
    settings = {"code": learning_code(), "lists": LISTS, "leads_per_list": OPEN, "calls_per_list": CALLED}
    result: dict[str, Any] = settings | {"confidence": params.evaluate.confidence}
    share = params.exploration.share
    for name, leads in (("a share of the calls", CALLED), ("as large a share of the rest", OPEN - CALLED)):
        result[name] = coverage(round(share * leads), options.scenarios, params)
        print(name, result[name], flush=True)
    write_json(result, options.to)


if __name__ == "__main__":
    main()
