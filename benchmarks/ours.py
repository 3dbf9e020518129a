"""The product on the rows of one cut: its own features, its own training, nothing set for the benchmark.

`python -m benchmarks.ours TASK CUT` reads snapshots.parquet and writes predictions/ours.parquet and ours.json, whose
seconds run from the contract tables to the last probability: features of a wide table are counted, ingest is not. Of
dated data everybody gets the same finished features, so nobody's time holds them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
from scipy.special import expit

from benchmarks.published import learning_code
from benchmarks.tasks import PARAMS, cut_layout, features_of
from models.evaluation.results import SnapshotCounts
from models.scoring.fresh_intercept import fresh_log_odds
from pipelines.stages.train import train
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, read_matrix
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import write_json, write_parquet
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext


def ours(run: RunContext, cut: Path) -> pd.DataFrame:
    """Train on the training rows and return `row` and `probability` of the test rows."""
    if run.params.source.order != "dates":
        build_matrix(run, cut)
    write_result(counts(run), run.layout.snapshot_counts.path)
    train(run)
    scorer = load_bundle(run.layout.tested_model, run.params.project.threads)
    matrix, _ = read_matrix(run.layout)
    rows = matrix[matrix["part"] == "test"].reset_index(drop=True)
    log_odds = fresh_log_odds(scorer, rows, matrix[matrix["weight"] > 0])
    return pd.DataFrame({"row": rows["row"], "probability": expit(log_odds)})


def build_matrix(run: RunContext, cut: Path) -> None:
    """Do what build_features does, on the benchmark's split."""
    contract = Contract.open(run.layout, run.params.project)
    matrix, spec = features_of(contract, pd.read_parquet(cut / "snapshots.parquet"), run.params)
    write_parquet(matrix.assign(weight=1.0), run.layout.matrix.path)
    write_json(spec.model_dump(mode="json"), run.layout.vocabulary.path)


def counts(run: RunContext) -> SnapshotCounts:
    """Say of which tables the cut's matrix is made, as build_features does."""
    rows = len(pd.read_parquet(run.layout.matrix.path, columns=["lead_id"]))
    return SnapshotCounts(
        order=run.params.source.order,
        snapshots=rows,
        immature=0,
        matured=rows,
        sampled=rows,
        tested_share=1.0,
        parts={},
        fingerprint=read_profile(run.layout).fingerprint,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=PARAMS)
    parser.add_argument("cut", type=Path)
    arguments = parser.parse_args()
    params = PARAMS[arguments.task]()
    started = time.perf_counter()
    predictions = ours(RunContext(params, cut_layout(arguments.cut)), arguments.cut)
    seconds = time.perf_counter() - started
    write_parquet(predictions, arguments.cut / "predictions" / "ours.parquet")
    write_json({"seconds": round(seconds, 1), "code": learning_code()}, arguments.cut / "predictions" / "ours.json")


if __name__ == "__main__":
    main()
