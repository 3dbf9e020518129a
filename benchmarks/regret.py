"""How far from the best possible model: log-loss against the simulator's truth, which no stage reads.

After `make run`: `.venv/bin/python -m benchmarks.regret`; after `leadscore run --out OUT`, with `--out OUT`. The regret
is the excess log-loss of a prediction over the oracle's, as a share of the base rate's excess. It is computed in
expectation over the true probabilities, which leaves out the chance of who happened to convert, and on the actual
outcomes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.storage.layout import Layout

RESAMPLES, CONFIDENCE, SEED = 1_000, 0.9, 1
LEAST = 1e-9
KEY = ["lead_id", "snapshot_at"]


def regret(rows: pd.DataFrame, name: str, truth: pd.Series[float]) -> tuple[float, float, float]:
    """Return the regret of one prediction and its interval over leads; `truth` is the outcome or its probability."""
    excess = {column: losses(rows[column], truth) - losses(rows["oracle"], truth) for column in (name, "prior")}
    lead = pd.factorize(rows["lead_id"])[0]
    above, below = (np.bincount(lead, excess[column]) for column in (name, "prior"))
    rng = np.random.default_rng(SEED)
    drawn = (rng.integers(0, len(above), len(above)) for _ in range(RESAMPLES))
    draws = [above[leads].sum() / below[leads].sum() for leads in drawn]
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(above.sum() / below.sum()), float(low), float(high)


def losses(probability: pd.Series[float], truth: pd.Series[float]) -> np.ndarray:
    p = probability.clip(LEAST, 1 - LEAST)
    return -(truth * np.log(p) + (1 - truth) * np.log1p(-p)).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out: Path | None = parser.parse_args().out
    layout = Layout.workspace(Path()) if out is None else Layout.folder(out)
    oracle = pd.read_parquet(layout.oracle.path).rename(columns={"probability": "oracle"})
    for title, artifact in (("test period", layout.predictions), ("walk forward", layout.backtest_predictions)):
        rows = pd.read_parquet(artifact.path).merge(oracle, on=KEY, validate="one_to_one")
        leads = rows["lead_id"].nunique()
        print(f"{title}: {len(rows):,} rows of {leads:,} leads, {rows['label'].mean():.1%} converted")
        for name in ("model", "logistic", "scorecard"):
            expected, actual = (regret(rows, name, rows[truth]) for truth in ("oracle", "label"))
            form = "{:.1%} ({:.1%} to {:.1%})"
            print(f"  {name}: {form.format(*expected)} in expectation, {form.format(*actual)} on the actual outcomes")


if __name__ == "__main__":
    main()
