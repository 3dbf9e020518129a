"""Thirty days in a row, each with its own export: does `--since-last` give the full run's bytes, and what does it save?

After `leadscore run --out OUT` on simulated leads:
`.venv/bin/python -m benchmarks.since_last --out OUT --params PARAMS --work FOLDER`. Once by the model as it is,
and once by the same model without the features that change from day to day by themselves, such as the age of a lead.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.scheduled import arguments, digests, last_day, open_run, request, run_day
from models.scoring.scorer import Scorer
from pipelines.storage.bundle import load_bundle, save_bundle
from pipelines.storage.lock import hold
from pipelines.storage.run_context import RunContext

MOVING = ("age", "recency", "decayed", "trend")  # measures that change while nothing happens


def export(raw: Path, day: pd.Timestamp, folder: Path) -> None:
    """Write the simulator's files as an export at the start of `day` would have been."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    leads = pd.read_csv(raw / "leads.csv", dtype=str, keep_default_na=False)
    leads = leads[pd.to_datetime(leads["created_at"]) < day]
    leads.to_csv(folder / "leads.csv", index=False)
    events = pd.read_parquet(raw / "events.parquet")
    events = events[(events["known_at"] < day) & events["lead_id"].isin(leads["lead_id"])]
    events.to_parquet(folder / "events.parquet", index=False)
    for name, time in (("stages", "entered_at"), ("attribute_history", "valid_from")):
        rows = pd.read_csv(raw / f"{name}.csv", dtype=str, keep_default_na=False)
        kept = (pd.to_datetime(rows[time]) < day) & rows["lead_id"].isin(leads["lead_id"])
        rows[kept].to_csv(folder / f"{name}.csv", index=False)
    outcomes = pd.read_csv(raw / "outcomes.csv", dtype=str, keep_default_na=False)
    for name in ("converted_at", "lost_at"):
        outcomes[name] = outcomes[name].where(pd.to_datetime(outcomes[name]) < day, "")
    outcomes[outcomes["lead_id"].isin(leads["lead_id"])].to_csv(folder / "outcomes.csv", index=False)


def without_moving(scorer: Scorer) -> Scorer:
    """The same model, without the features that change by themselves."""
    moving = [entry.name for entry in scorer.catalogue if entry.measure in MOVING]
    return replace(
        scorer, metadata=scorer.metadata.model_copy(update={"left_out": sorted({*scorer.metadata.left_out, *moving})})
    )


def compare(run: RunContext, model: Path, work: Path, days: pd.DatetimeIndex) -> None:
    """Run each day in full and since the last, and print how many bytes and scores are the same."""
    equal = unchanged = leads = 0
    for day in days:
        export(run.layout.raw, day, work / "export")
        for name in ("full", "part"):
            job = request(run.layout, work / name, work / "export", since_last=name == "part")
            with hold(work / name):
                run_day(run, replace(job, model=str(model)), day)
        equal += digests(work / "full") == digests(work / "part")
        current = work / "part" / "current"
        unchanged += int(json.loads((current / "timings.json").read_text())["unchanged"])
        leads += int(json.loads((current / "manifest.json").read_text())["n"])
    print(f"{model.name}: the same bytes on {equal} of {len(days)} days, {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}; "
          f"{unchanged:,} of {leads:,} scores reused ({unchanged / leads:.1%})", flush=True)  # fmt: skip


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    run = open_run(options)
    days = pd.date_range(end=last_day(run.layout), periods=options.days, freq="D")
    scorer = load_bundle(run.layout.bundle, run.params.project.threads)
    for name, model in (("as-trained", scorer), ("without-moving", without_moving(scorer))):
        save_bundle(model, options.work / name / name)
        compare(run, options.work / name / name, options.work / name, days)


if __name__ == "__main__":
    main()
