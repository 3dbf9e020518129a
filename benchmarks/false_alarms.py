"""How often does the monitor alert where nothing moves? Scenarios without drift, each with its own seed and model.

`.venv/bin/python -m benchmarks.false_alarms --work FOLDER` draws the scenarios of `two_years` without its shocks. In
each a model learns from what is known on one day; then the tables are ingested once, and monitored on days that lie far
apart, with the shipped limits. Runs of one scenario share its model and its reference, so an interval over scenarios
stands beside that over runs.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.published import learning_code
from benchmarks.simulated_years import export, overlay_of
from models.evaluation.intervals import clopper_pearson
from pipelines.config.params import Params, load, with_as_of
from pipelines.scheduled.monitor import run_monitor
from pipelines.simulation.export import simulate
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.train import train
from pipelines.storage.bundle import load_bundle, load_tested
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

TRAINED = pd.Timestamp("2025-04-07")  # the model learns from what was known on this day
FIRST, LAST = pd.Timestamp("2025-06-02"), pd.Timestamp("2026-06-29")
LAST_DAY = "2026-08-15"  # of each scenario
RESAMPLES = 4000  # of scenarios


def monitor_scenario(params: Params, work: Path, number: int, days: pd.DatetimeIndex) -> list[dict[str, Any]]:
    """Draw a scenario, train on it and monitor it on each day."""
    shutil.rmtree(work, ignore_errors=True)
    history = simulate(params.simulate, params.project.seed + number, params.snapshots)
    training, complete = Layout.folder(work / "learned"), Layout.folder(work / "whole")
    for layout, day in ((training, TRAINED), (complete, LAST)):
        export(history, day, layout.raw)
        ingest(params.source, params.ingest, params.project, layout.raw, layout)
    build_features(RunContext(params, training))
    train(RunContext(params, training))
    scorer = load_bundle(training.bundle, params.project.threads)
    runs = []
    for day in days:
        result = run_monitor(
            RunContext(with_as_of(params, f"{day:%Y-%m-%d}"), complete),
            scorer,
            load_tested(training.bundle, scorer),
            work,
        )
        status = {check.code: check.status for check in result.checks}
        runs.append({"scenario": number, "day": f"{day:%Y-%m-%d}", "status": status, "lines": result.lines})
        print(number, f"{day:%Y-%m-%d}", result.alerts, flush=True)
    return runs


def summary(runs: list[dict[str, Any]], confidence: float) -> dict[str, Any]:
    """Count the runs with an alert, in all and by check, with an interval over runs and one over scenarios."""
    alert = pd.DataFrame([{"scenario": run["scenario"], "alert": "failed" in run["status"].values()} for run in runs])
    share = alert.groupby("scenario")["alert"].mean().to_numpy()
    draws = np.random.default_rng(1).choice(share, (RESAMPLES, len(share))).mean(axis=1)
    checks = [(code, status) for run in runs for code, status in run["status"].items()]
    failed = Counter(code for code, status in checks if status == "failed")
    applicable = Counter(code for code, status in checks if status != "not applicable")
    return {
        "scenarios": len(share),
        "runs": len(alert),
        "with_alert": int(alert["alert"].sum()),
        "share": float(alert["alert"].mean()),
        "interval_over_runs": list(clopper_pearson(int(alert["alert"].sum()), len(alert), confidence)),
        "interval_over_scenarios": np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist(),
        "alerts_by_check": dict(sorted(failed.items())),
        "applicable_runs_by_check": dict(sorted(applicable.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--scenarios", type=int, default=20)
    parser.add_argument("--weeks", type=int, default=16, help="from one run of the monitor to the next")
    parser.add_argument("--leads", type=int, default=4500)
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    overlay = work / "params.yaml"
    overlay.write_text(overlay_of(options.leads, LAST_DAY, "[]", work), encoding="utf-8")
    params = load(overlay)
    days = pd.date_range(FIRST, LAST, freq=f"{7 * options.weeks}D")
    runs: list[dict[str, Any]] = []
    for number in range(options.scenarios):
        runs += monitor_scenario(params, work / "scenario", number, days)
        kept = {"code": learning_code(), "leads": options.leads}
        result = kept | summary(runs, params.evaluate.confidence) | {"rows": runs}
        write_json(result, options.to)


if __name__ == "__main__":
    main()
