"""How often do intervals of figures weighted by the contact log hold the truth? Many simulated worlds, one seed each.

`.venv/bin/python -m benchmarks.feedback_coverage` draws weekly lists of new leads. Sales calls the best of each list by
score, and a few of the rest at random; a call multiplies a lead's odds to convert. The truth is what would
come if every lead were called. Figures of the lists as they were worked, and of contacts weighted by their chance, are
those of `models.tiers.contact_weights`. Writes benchmarks/feedback_coverage.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from features.cohort.snapshots import DAY
from models.evaluation.intervals import clopper_pearson
from models.evaluation.metrics import Ranked, compute_metrics
from models.tiers.contact_weights import contact_metrics, contact_weights
from pipelines.config.params import Params, load
from pipelines.storage.files import write_json

MONDAY = pd.Timestamp("2026-01-05")
LISTS, OPEN, CALLED = 13, 1000, 200  # of a quarter; leads on a list, and calls
FIGURES = ("base_rate", "log_loss", "auc")
LEVEL, SPREAD, NOISE = -3.0, 1.0, 0.7  # log-odds of leads that nobody calls, and what the score does not know of them
ODDS = 3.0  # times the odds of a lead that is called


def world(seed: int, drawn: int) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Return rows, what a model says of them, the contact log, and the true chances were every lead called."""
    rng, n = np.random.default_rng(seed), LISTS * OPEN
    worth = rng.normal(LEVEL, SPREAD, n)
    said = expit(worth + rng.normal(0, NOISE, n))
    at = pd.Series(MONDAY + np.arange(n) // OPEN * pd.Timedelta(days=7))
    place = pd.Series(said).groupby(at).rank(ascending=False, method="first")
    best = (place <= CALLED - drawn).to_numpy()
    lot = pd.Series(rng.random(n)).where(~best).groupby(at).rank().le(drawn).to_numpy()
    if_called = expit(worth + np.log(ODDS))
    label = rng.random(n) < np.where(best | lot, if_called, expit(worth))
    rows = pd.DataFrame({"lead_id": np.arange(n).astype("str"), "snapshot_at": at, "label": label.astype("float64")})
    log = pd.DataFrame(
        {
            "lead_id": rows["lead_id"],
            "contacted_at": at + DAY,
            "as_of": at,
            "explored": np.where(lot, "yes", "no"),
            "propensity": np.where(best, 1.0, drawn / (OPEN - CALLED + drawn)),
        }
    )
    return rows, said, log[best | lot].reset_index(drop=True), if_called


def look(seed: int, drawn: int, params: Params) -> dict[str, bool]:
    """Say of each figure whether the interval of the lists as worked, and the weighted one, hold the truth."""
    rows, said, log, if_called = world(seed, drawn)
    weights = contact_weights(rows, log, 7, params.exploration)
    found: dict[str, Any] = contact_metrics(rows, said, weights, CALLED, params.evaluate, seed)
    ranked = Ranked.of(rows.assign(label=if_called), said, CALLED, params.evaluate.calibration_bins)
    truth = compute_metrics(ranked, ranked.weight, params.evaluate)
    return {
        f"{way} {name}": found[way][f"{name}_low"] <= truth[name] <= found[way][f"{name}_high"]
        for way in ("as_worked", "if_called")
        for name in FIGURES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    params, found = load(None), {}
    lots = {"a share of the places": params.exploration.share * CALLED, "as large a share of the rest":
            params.exploration.share * (OPEN - CALLED)}  # fmt: skip
    for name, places in lots.items():
        held = pd.DataFrame([look(seed, round(places), params) for seed in range(asked.worlds)])
        found[name] = {"drawn_a_list": round(places), "worlds": len(held)} | {
            figure: {
                "held": float(held[figure].mean()),
                "interval": clopper_pearson(int(held[figure].sum()), len(held), params.evaluate.confidence),
            }
            for figure in held
        }
        print(name, {figure: float(held[figure].mean()) for figure in held}, flush=True)
    asked_for = {"lists": LISTS, "leads_a_list": OPEN, "calls_a_list": CALLED, "confidence": params.evaluate.confidence}
    write_json(asked_for | found, asked.to)


if __name__ == "__main__":
    main()
