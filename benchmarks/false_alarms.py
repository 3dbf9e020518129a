"""How often does the monitor alert where nothing moves? Worlds without drift, each by another seed, one model for all.

`.venv/bin/python -m benchmarks.false_alarms --work FOLDER` draws the worlds of `two_years` without its shocks. A model
learns from the first one; the others are watched with it, at dates some weeks apart and with the shipped limits.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.two_years import OVERLAY, export
from models.kpis import interval
from pipelines.artifacts import Layout
from pipelines.build_features import build_features
from pipelines.bundle import load_bundle
from pipelines.ingest import ingest
from pipelines.monitor import watch
from pipelines.params import Params, load, with_as_of
from pipelines.simulate import simulate
from pipelines.sinks import write_json
from pipelines.train import train

LEARNED = pd.Timestamp("2025-04-07")  # the model learns from what was known on this day
FIRST, LAST = pd.Timestamp("2025-06-02"), pd.Timestamp("2026-06-29")


def prepared(params: Params, work: Path, seed: int, day: pd.Timestamp) -> Layout:
    """Draw a world, export it as of a day and take it in."""
    shutil.rmtree(work, ignore_errors=True)
    layout = Layout.folder(work)
    export(simulate(params.simulate, seed, params.snapshots), day, layout.raw)
    ingest(params.source, params.ingest, params.project, layout.raw, layout)
    return layout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--worlds", type=int, default=12)
    parser.add_argument("--weeks", type=int, default=7, help="from one look at a world to the next")
    parser.add_argument("--leads", type=int, default=4500)
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    overlay = work / "params.yaml"
    overlay.write_text(OVERLAY.format(leads=asked.leads, shocks="[]", work=work), encoding="utf-8")
    params = load(overlay)
    learned = prepared(params, work / "learned", params.project.seed, LEARNED)
    build_features(params, learned)
    train(params, learned)
    scorer = load_bundle(learned.bundle, params.project.threads)
    looks: list[dict[str, Any]] = []
    for number in range(1, asked.worlds + 1):
        layout = prepared(params, work / "world", params.project.seed + number, LAST)
        for day in pd.date_range(FIRST, LAST, freq=f"{7 * asked.weeks}D"):
            tree = watch(with_as_of(params, f"{day:%Y-%m-%d}"), layout, scorer, work)
            answers = {check["code"]: check["outcome"] for check in tree["checks"]}
            looks.append({"world": number, "day": f"{day:%Y-%m-%d}", "answers": answers, "lines": tree["lines"]})
            print(number, f"{day:%Y-%m-%d}", tree["alerts"], flush=True)
        alerts = sum("alert" in one["answers"].values() for one in looks)
        low, high = interval(alerts, len(looks), params.evaluate.confidence)
        found = {
            "leads": asked.leads,
            "worlds": number,
            "looks": len(looks),
            "with_alert": alerts,
            "share": alerts / len(looks),
        }
        write_json(found | {"low": low, "high": high, "rows": looks}, asked.to)


if __name__ == "__main__":
    main()
