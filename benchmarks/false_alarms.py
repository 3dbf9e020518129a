"""How often does the monitor alert where nothing moves? Worlds without drift, each with a seed and a model of its own.

`.venv/bin/python -m benchmarks.false_alarms --work FOLDER` draws the worlds of `two_years` without its shocks. In each
a model learns from what is known on one day; then the world is taken in once, and watched on days that lie far apart,
with the shipped limits. Looks at one world share its model and its reference, so an interval over worlds stands beside
that over looks.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.simulated_years import export, overlay_of
from models.evaluation.intervals import clopper_pearson
from pipelines.config.params import Params, load, with_as_of
from pipelines.scheduled.monitor import run_monitor
from pipelines.simulation.export import simulate
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.train import train
from pipelines.storage.bundle import load_bundle
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

LEARNED = pd.Timestamp("2025-04-07")  # the model learns from what was known on this day
FIRST, LAST = pd.Timestamp("2025-06-02"), pd.Timestamp("2026-06-29")
LAST_DAY = "2026-08-15"  # of each world
RESAMPLES = 4000  # of worlds


def looks_at(params: Params, work: Path, number: int, days: pd.DatetimeIndex) -> list[dict[str, Any]]:
    """Draw a world, train in it and watch it."""
    shutil.rmtree(work, ignore_errors=True)
    world = simulate(params.simulate, params.project.seed + number, params.snapshots)
    learned, whole = Layout.folder(work / "learned"), Layout.folder(work / "whole")
    for layout, day in ((learned, LEARNED), (whole, LAST)):
        export(world, day, layout.raw)
        ingest(params.source, params.ingest, params.project, layout.raw, layout)
    build_features(RunContext(params, learned))
    train(RunContext(params, learned))
    scorer = load_bundle(learned.bundle, params.project.threads)
    found = []
    for day in days:
        tree = run_monitor(RunContext(with_as_of(params, f"{day:%Y-%m-%d}"), whole), scorer, work)
        answers = {check["code"]: check["status"] for check in tree["checks"]}
        found.append({"world": number, "day": f"{day:%Y-%m-%d}", "answers": answers, "lines": tree["lines"]})
        print(number, f"{day:%Y-%m-%d}", tree["alerts"], flush=True)
    return found


def counted(looks: list[dict[str, Any]], confidence: float) -> dict[str, Any]:
    """Count the looks with an alert, in all and by check, with an interval over looks and one over worlds."""
    alert = pd.DataFrame([{"world": one["world"], "alert": "failed" in one["answers"].values()} for one in looks])
    low, high = clopper_pearson(int(alert["alert"].sum()), len(alert), confidence)
    share = alert.groupby("world")["alert"].mean().to_numpy()
    draws = np.random.default_rng(1).choice(share, (RESAMPLES, len(share))).mean(axis=1)
    over = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    codes = Counter(code for one in looks for code, status in one["answers"].items() if status == "failed")
    asked = Counter(code for one in looks for code, said in one["answers"].items() if said != "not applicable")
    return {
        "worlds": len(share),
        "looks": len(alert),
        "with_alert": int(alert["alert"].sum()),
        "share": float(alert["alert"].mean()),
        "interval_over_looks": [low, high],
        "interval_over_worlds": [float(one) for one in over],
        "alerts_by_check": dict(sorted(codes.items())),
        "looks_at_which_it_was_asked": dict(sorted(asked.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--weeks", type=int, default=16, help="from one look at a world to the next")
    parser.add_argument("--leads", type=int, default=4500)
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    overlay = work / "params.yaml"
    overlay.write_text(overlay_of(asked.leads, LAST_DAY, "[]", work), encoding="utf-8")
    params = load(overlay)
    days = pd.date_range(FIRST, LAST, freq=f"{7 * asked.weeks}D")
    looks: list[dict[str, Any]] = []
    for number in range(asked.worlds):
        looks += looks_at(params, work / "world", number, days)
        write_json({"leads": asked.leads} | counted(looks, params.evaluate.confidence) | {"rows": looks}, asked.to)


if __name__ == "__main__":
    main()
