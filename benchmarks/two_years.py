"""Two simulated years with planted changes, run week by week through the real commands: who notices, what is lost?

`.venv/bin/python -m benchmarks.two_years --work FOLDER` writes benchmarks/two_years.json; `--leads`, `--first` and
`--last` make it larger or shorter, `--scenario` draws another one. It is drawn once and cut off at each Monday, as an
export of that day would be. Each week `nightly score`, `monitor` and `retrain` run as a scheduler would run them, by
their command lines, in one process. Afterwards three policies are compared under the known truth on every score list:
the first model without retraining, the retraining loop, and an oracle of the same recipe that is trained anew every
week and serves at once, without a gate.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.published import learning_code
from benchmarks.simulated_years import Scenario, export, overlay_of
from benchmarks.two_years_evaluation import compare_policies, count_false_alarms, detections
from features.schema.errors import LeadScoreError
from models.monitoring.results import MonitorResult
from pipelines.cli.app import app
from pipelines.config.params import load
from pipelines.registry.named_model import find_bundle
from pipelines.scheduled.input_files import ingest_if_changed
from pipelines.scheduled.job import feed_layout
from pipelines.simulation.export import Simulated
from pipelines.stages.build_features import build_features
from pipelines.stages.train import train
from pipelines.storage.bundle import load_bundle
from pipelines.storage.files import finite, write_json
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext

WEEK = pd.Timedelta(days=7)
LAST_DAY = "2027-05-15"  # when the outcomes of the last score list are known
SHOCKS = """
  - {kind: feed, day: "2025-07-07", days: 10, size: 0}
  - {kind: channel, day: "2025-10-06", days: null, size: 0.4}
  - {kind: tracker, day: "2026-01-19", days: 21, size: 1.0}
  - {kind: price, day: "2026-05-04", days: null, size: 1.0}
  - {kind: sales, day: "2026-10-05", days: null, size: 0.9}
"""
Week = dict[str, Any]  # a row of weeks.json


def leadscore(*words: object) -> tuple[int, str]:
    """Run a command by its command line; return its exit code and its error message."""
    try:
        app([str(word) for word in words], standalone_mode=False)
    except LeadScoreError as error:
        return error.exit_code, str(error)
    return 0, ""


def nightly(scenario: Scenario, command: str, day: pd.Timestamp, *options: str) -> tuple[int, str]:
    """Run a nightly command as of one day."""
    folders = ("--params", scenario.overlay, "--data", scenario.data, "--lists", scenario.lists)
    return leadscore("nightly", command, *folders, "--as-of", f"{day:%Y-%m-%d}", *options)


def run_week(scenario: Scenario, history: Simulated, day: pd.Timestamp) -> Week:
    """Export, score, monitor and retrain as of one Monday; return the exit codes and results."""
    started, lists = time.process_time(), scenario.lists
    export(history, day, scenario.data)
    model = ("--model", scenario.champion)
    score_code, complaint = nightly(scenario, "score", day, *model, "--reasons", "top-3")
    monitor_code, _ = nightly(scenario, "monitor", day, *model)
    report = lists / "monitor" / "monitor.json"
    monitored = read_result(MonitorResult, report, "monitor", "leadscore nightly") if monitor_code in (0, 9) else None
    retrain_code, error = nightly(scenario, "retrain", day)
    return {
        "day": f"{day:%Y-%m-%d}",
        "score": score_code,
        "complaint": complaint,
        "current": (lists / "current").readlink().name[:10] if (lists / "current").exists() else None,
        "monitor": monitor_code,
        "alerts": monitored.alerts if monitored else [],
        "lines": monitored.lines if monitored else [],
        "retrain": retrain_code,
        **retraining(lists, day, error if retrain_code not in (0, 8) else ""),
        "seconds": time.process_time() - started,
        "bytes": {name: size(scenario.work / name) for name in ("lists", "mlartifacts", "mlflow.db")},
    }


def retraining(lists: Path, day: pd.Timestamp, error: str) -> dict[str, str]:
    """Return why a challenger was trained on this day, the gate's answer and its reason; "" where none was."""
    record = read_json(lists / "retrain" / "retrained.json")
    record = record if record.get("day") == f"{day:%Y-%m-%d}" else {}
    answer = error[:400] if error else record.get("answer", "")
    return {"why": record.get("why", ""), "answer": answer, "reason": record.get("reason", "")[:600]}


def keep_models(scenario: Scenario, row: Week) -> None:
    """Keep the champion after this week, and the model that the oracle trains on what is known by now."""
    champion = find_bundle(scenario.champion, scenario.params, scenario.work / "fetched")
    row["champion"] = keep(champion, scenario)
    if row["answer"] in ("promoted", "refused"):
        challengers = (scenario.lists / "retrain" / "runs").glob("*/artifacts/model/manifest.json")
        row["oracle"] = keep(max(challengers).parent, scenario)
    else:
        row["oracle"] = keep(train_oracle(scenario), scenario)


def train_oracle(scenario: Scenario) -> Path:
    """Train on what is known by now, as `nightly retrain` would; return the model's folder."""
    params, work = scenario.params, scenario.work / "oracle"
    ingest_if_changed(RunContext(params, feed_layout(scenario.lists)), scenario.data)  # as the commands do
    layout = Layout(feed_layout(scenario.lists).data, work / "artifacts", work)
    build_features(RunContext(params, layout))
    train(RunContext(params, layout))
    return layout.bundle


def keep(bundle: Path, scenario: Scenario) -> str:
    model_id = load_bundle(bundle, scenario.params.project.threads).model_id
    shutil.copytree(bundle, scenario.kept_models / model_id, dirs_exist_ok=True)
    return model_id


def read_json(path: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return tree


def size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    return sum(file.stat().st_size for file in files)


def run(scenario: Scenario, history: Simulated, days: pd.DatetimeIndex) -> list[Week]:
    """Run every week; weeks.json in the work folder is complete after each."""
    rows: list[Week] = []
    for number, day in enumerate(days):
        if number == 0:  # the first model exists before the first score list
            export(history, day, scenario.data)
            nightly(scenario, "retrain", day)
        row = run_week(scenario, history, day)
        if number == 0:
            row["answer"] = "promoted"
        keep_models(scenario, row)
        rows.append(row)
        write_json(rows, scenario.work / "weeks.json")
        print(f"{row['day']} score {row['score']} monitor {row['monitor']} {row['alerts']} retrain {row['retrain']} "
              f"{row['why']} {row['answer']} {row['seconds']:.1f} s", flush=True)  # fmt: skip
    return rows


def read_weeks(work: Path) -> list[Week]:
    rows: list[Week] = json.loads((work / "weeks.json").read_text(encoding="utf-8"))
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--leads", type=int, default=20000)
    parser.add_argument("--scenario", type=int, default=0, help="its number; each has a seed of its own")
    parser.add_argument("--first", default="2025-04-07", help="the Monday of the first model")
    parser.add_argument("--last", default="2027-03-29")
    parser.add_argument("--judge", action="store_true", help="evaluate the weeks in the work folder again")
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


def main() -> None:
    options = arguments()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    overlay = work / "params.yaml"
    overlay.write_text(overlay_of(options.leads, LAST_DAY, SHOCKS, work), encoding="utf-8")
    scenario = Scenario(work, overlay, load(overlay), options.scenario)
    history = scenario.draw(scenario.shocks)
    days = pd.date_range(options.first, options.last, freq=WEEK)
    rows = read_weeks(work) if options.judge else run(scenario, history, days)
    result = {
        "scenario": options.scenario,
        "leads": options.leads,
        "code": learning_code(),
        "weeks": len(rows),
        "first": options.first,
        "last": options.last,
        "detected": detections(rows, scenario.shocks),
        "before_any_change": count_false_alarms(rows, scenario.shocks),
        "seconds": sum(row["seconds"] for row in rows),
        "bytes": {"first": rows[0]["bytes"], "last": rows[-1]["bytes"]},
    }
    write_json(finite(result | compare_policies(rows, scenario, history) | {"rows": rows}), options.to)


if __name__ == "__main__":
    main()
