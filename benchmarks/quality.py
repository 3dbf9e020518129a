"""Ours against what others do, on the same rows, one after another.

Run `make peers` once, then `.venv-peers/bin/python -m benchmarks.quality`. The peers run in this process; rows and our
own model are made by the product's environment, because some peers cap pandas below what the product needs. The
predictions are kept below out/benchmark, so that `--only` and `--peers` rerun what they name, and the tables show
everything that has predictions on these very rows. A run with the full budgets writes benchmarks/quality.md and
quality.json; one with others writes the two beside its predictions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.figures import CONFIDENCE, RESAMPLES, Draws, draws, summary
from benchmarks.peers import FEW_PAIRS, MANY_FEATURES, PEERS, THREADS, Peer, Work
from benchmarks.published import ROOT, learning_code, marked

PRODUCT = ROOT / ".venv" / "bin" / "python"
OURS = "ours"
SECONDS = {"flaml": 120.0, "autogluon": 240.0}  # of a task with one cut
SECONDS_A_MONTH = {"flaml": 30.0, "autogluon": 60.0}  # of each cut of the walk-forward
SURROUNDINGS = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": str(THREADS),
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning lose most of a budget where anything else runs
}
NAMES = {
    OURS: "ours",
    "logistic": "logistic regression",
    "lightgbm": "LightGBM, default",
    "ebm": "EBM",
    "flaml": "FLAML",
    "autogluon": "AutoGluon best_quality",
}


@dataclass(frozen=True)
class Task:
    """One table of the benchmark."""

    name: str
    title: str
    seconds: dict[str, float]


TASKS = (
    Task("bank_in_order", "bank, in date order: the first 70% of the rows teach, the rest test", SECONDS),
    Task("bank_random", "bank, random 70/30, stratified, seed 0", SECONDS),
    Task("x_education_random", "x_education, random 70/30, stratified, seed 0", SECONDS),
    Task("learning_365_monthly", "learning_365, walk-forward: retrain each month, test on the next", SECONDS_A_MONTH),
)


def main() -> None:
    arguments = read_arguments()
    os.environ.update(SURROUNDINGS)  # before the libraries that read it are loaded
    warnings.simplefilter("ignore")  # the peers warn a lot
    scale = arguments.budget_scale
    work = ROOT / "out" / "benchmark" / f"budget_{scale:g}"
    for task in TASKS:
        if task.name in arguments.only:
            run_task(task, work / task.name, arguments.peers, scale)
    tree = {"code": code_of(work), "budget_scale": scale, "resamples": RESAMPLES, "confidence": CONFIDENCE}
    tree["tasks"] = results(work)
    folder = ROOT / "benchmarks" if scale == 1 else work
    text = markdown(tree)
    (folder / "quality.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    (folder / "quality.md").write_text(marked(text, ROOT, learning_code()), encoding="utf-8")
    sys.stdout.write(text)


def read_arguments() -> argparse.Namespace:
    tasks, methods = [task.name for task in TASKS], [OURS, *(peer.name for peer in PEERS)]

    def some_of(names: list[str], text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(names)}")
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: some_of(tasks, text), default=tasks, help="tasks, with commas")
    parser.add_argument(
        "--peers", type=lambda text: some_of(methods, text), default=methods, help="methods, with commas"
    )
    parser.add_argument("--budget-scale", type=float, default=1.0, help="multiplies every time budget")
    return parser.parse_args()


# Running


def run_task(task: Task, folder: Path, methods: list[str], scale: float) -> None:
    """Make the rows of a task and let each method predict every cut."""
    report(f"{task.name}: rows")
    subprocess.run([PRODUCT, "-m", "benchmarks.tasks", task.name, folder], cwd=ROOT, check=True)  # noqa: S603 our own program
    peers = [peer for peer in PEERS if peer.name in methods]
    for cut in cuts(folder):
        if OURS in methods:
            run_ours(task, cut)
        for peer in peers:
            run_peer(peer, cut, task.seconds.get(peer.name, 0.0) * scale)


def cuts(folder: Path) -> list[Path]:
    return sorted((folder / "cuts").iterdir()) if (folder / "cuts").is_dir() else []


def run_ours(task: Task, cut: Path) -> None:
    """Let the product predict, in its own environment."""
    subprocess.run([PRODUCT, "-m", "benchmarks.ours", task.name, cut], cwd=ROOT, check=True)  # noqa: S603 our own program
    record = json.loads((cut / "predictions" / f"{OURS}.json").read_text(encoding="utf-8"))
    keep_record(cut, OURS, record | {"rows": digest(cut), "budget": 0.0})


def run_peer(peer: Peer, cut: Path, budget: float) -> None:
    """Let a peer predict; one that fails is recorded as failed, and the others go on."""
    version = peer.load()
    train, test = (pd.read_parquet(cut / f"{name}.parquet") for name in ("train", "test"))
    features = [name for name in train if name not in ("row", "lead", "label")]
    work = Work(train[features], train["label"].to_numpy(), test[features], budget)
    (cut / "predictions").mkdir(exist_ok=True)
    started = time.perf_counter()
    try:
        probability = peer.predict(work)
    except Exception as error:  # whatever another program may raise
        keep_record(cut, peer.name, {"seconds": time.perf_counter() - started, "failed": str(error)[:200]})
        return
    seconds = round(time.perf_counter() - started, 1)
    predictions = pd.DataFrame({"row": test["row"], "probability": np.asarray(probability, "float64")})
    predictions.to_parquet(cut / "predictions" / f"{peer.name}.parquet", index=False)
    keep_record(cut, peer.name, {"seconds": seconds, "rows": digest(cut), "budget": budget, "version": version})


def digest(cut: Path) -> str:
    """Return a digest of the rows."""
    contents = b"".join((cut / f"{name}.parquet").read_bytes() for name in ("train", "test"))
    return hashlib.sha256(contents).hexdigest()[:16]


def keep_record(cut: Path, method: str, record: dict[str, Any]) -> None:
    (cut / "predictions" / f"{method}.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    failed = f", failed: {record['failed']}" if "failed" in record else ""
    report(f"{cut.parent.parent.name} {cut.name}: {method} {record['seconds']:.0f} s{failed}")


def report(line: str) -> None:
    logging.getLogger("benchmark").warning(line)


# Figures


def code_of(work: Path) -> str:
    """Return the digest of the learning code that predicted, which `--only` may leave several of."""
    kept = [cut for task in TASKS for cut in cuts(work / task.name) if has_predicted(cut, OURS)]
    return ", ".join(sorted({read_record(cut, OURS)["code"] for cut in kept}))


def results(work: Path) -> list[dict[str, Any]]:
    """Return the tables of all tasks that have predictions."""
    return [task_results(task, work / task.name) for task in TASKS if cuts(work / task.name)]


def task_results(task: Task, folder: Path) -> dict[str, Any]:
    """Return the figures of each method, pooled over the cuts, and of each cut where there are several."""
    folders = cuts(folder)
    methods = [name for name in NAMES if all(has_predicted(cut, name) for cut in folders)]
    tests = {cut.name: pd.read_parquet(cut / "test.parquet", columns=["row", "lead", "label"]) for cut in folders}
    table = compare([predicted(tests[cut.name], cut, methods) for cut in folders], methods)
    for method in methods:
        records = [read_record(cut, method) for cut in folders]
        table[method] |= {
            "seconds": round(sum(record["seconds"] for record in records), 1),
            "budget": records[0]["budget"],
            "version": records[0].get("version", ""),
        }
    by_cut = {cut.name: compare([predicted(tests[cut.name], cut, methods)], methods) for cut in folders}
    rows = {"train": [len(pd.read_parquet(cut / "train.parquet", columns=["row"])) for cut in folders]}
    rows |= {
        "test": [len(test) for test in tests.values()],
        "positive": [int(t["label"].sum()) for t in tests.values()],
    }
    return {
        "task": task.name,
        "title": task.title,
        "rows": rows,
        "methods": table,
        "cuts": by_cut if len(folders) > 1 else {},
        "failed": {name: [cut.name for cut in folders if has_failed(cut, name)] for name in NAMES},
    }


def read_record(cut: Path, method: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((cut / "predictions" / f"{method}.json").read_text(encoding="utf-8"))
    return record


def has_predicted(cut: Path, method: str) -> bool:
    """Return whether a method has predicted these very rows."""
    exists = (cut / "predictions" / f"{method}.json").is_file()
    return exists and read_record(cut, method).get("rows") == digest(cut)


def has_failed(cut: Path, method: str) -> bool:
    return (cut / "predictions" / f"{method}.json").is_file() and "failed" in read_record(cut, method)


def predicted(test: pd.DataFrame, cut: Path, methods: list[str]) -> pd.DataFrame:
    """Put each method's probability beside the test rows."""
    frame = test.set_index("row")
    for method in methods:
        own = pd.read_parquet(cut / "predictions" / f"{method}.parquet").set_index("row")["probability"]
        if set(own.index) != set(frame.index) or not own.between(0, 1).all():
            raise AssertionError(f"{cut}: {method} did not predict each test row once")
        frame = frame.assign(**{method: own})
    return frame


def compare(frames: list[pd.DataFrame], methods: list[str]) -> dict[str, dict[str, Any]]:
    frame = pd.concat(frames)
    lead, label = frame["lead"].to_numpy(), frame["label"].to_numpy("float64")
    samples: dict[str, Draws] = {name: draws(lead, label, frame[name].to_numpy()) for name in methods}
    return {name: dict(summary(samples[name], samples.get(OURS) if name != OURS else None)) for name in methods}


# Tables


def markdown(tree: dict[str, Any]) -> str:
    """Write the figures as tables of text."""
    scale = "" if tree["budget_scale"] == 1 else f"Every time budget was multiplied by {tree['budget_scale']:g}.\n"
    head = (
        "# Quality against other programs\n\n<!-- made by: benchmarks/quality.json -->\n\n\n"
        "Written by `.venv-peers/bin/python -m benchmarks.quality`: the same rows, "
        f"{THREADS} cores, one after another.\n{scale}"
        f"In brackets the middle {tree['confidence']:.0%} of {tree['resamples']:,} resamples of the test's leads. "
        '"behind ours" compares both on the\nsame resamples: an interval above 0 says that ours is better. '
        f"Seconds hold training and prediction.\nEBM has {FEW_PAIRS} pairs where there are more than {MANY_FEATURES} "
        "features.\n"
    )
    return head + "".join(task_markdown(task) for task in tree["tasks"])


def task_markdown(task: dict[str, Any]) -> str:
    rows = task["rows"]
    train = f"{min(rows['train']):,}" + (f" - {max(rows['train']):,}" if len(rows["train"]) > 1 else "")
    lines = [
        f"\n## {task['title']}\n",
        f"{train} training rows, {sum(rows['test']):,} test rows of which {sum(rows['positive']):,} converted.\n",
        "| method | AUC | log-loss | AUC behind ours | log-loss behind ours | seconds |",
        "|---|---|---|---|---|---|",
        *(method_line(name, figures) for name, figures in task["methods"].items()),
    ]
    failed = [f"{NAMES[name]} failed ({', '.join(cuts)}).\n" for name, cuts in task["failed"].items() if cuts]
    return "\n".join(lines) + "\n" + "".join(f"\n{line}" for line in failed) + cuts_markdown(task)


def method_line(name: str, figures: dict[str, Any]) -> str:
    of = f" {figures['version']}" if figures["version"] else ""
    budget = f", {figures['budget']:g} s" if figures["budget"] else ""
    cells = [
        NAMES[name] + of + budget,
        with_interval(figures, "auc", 3),
        with_interval(figures, "log_loss", 4),
        with_interval(figures, "auc_behind", 3),
        with_interval(figures, "log_loss_behind", 4),
        f"{figures['seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def with_interval(figures: dict[str, Any], name: str, digits: int) -> str:
    if name not in figures:
        return ""
    low, high = figures[f"{name}_interval"]
    return f"{figures[name]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def cuts_markdown(task: dict[str, Any]) -> str:
    """Write AUC / log-loss by cut, without intervals."""
    if not task["cuts"]:
        return ""
    methods = list(task["methods"])
    lines = [
        "\nAUC / log-loss by month:\n",
        "| month | training rows | test rows | converted | " + " | ".join(NAMES[name] for name in methods) + " |",
        "|---" * (4 + len(methods)) + "|",
    ]
    counts = zip(*task["rows"].values(), strict=True)
    for (cut, table), (train, test, positive) in zip(task["cuts"].items(), counts, strict=True):
        cells = [f"{table[name]['auc']:.3f} / {table[name]['log_loss']:.4f}" for name in methods]
        lines.append(f"| {cut} | {train:,} | {test:,} | {positive:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
