"""Speed and memory of scoring at two sizes, as ratios in one run.

`python -m benchmarks.scale` makes 100,000 leads with 5 million events and 1,000,000 leads with 50 million, trains one
model on the simulator's default funnel, runs each part of scoring in a process of its own, and writes scale.md and
scale.json. What is made is kept below out/scale, so that a run resumes where it was stopped; `--again` measures anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.scale_data import write_log
from pipelines.config.params import Params, load
from pipelines.simulation.export import chunks
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.simulate import write
from pipelines.stages.train import train
from pipelines.storage.bundle import load_bundle, save_bundle
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

ROOT = Path(__file__).resolve().parent.parent
SIZES = (100_000, 1_000_000)
PARTS = ("floor", "bare_count", "features", "bare_predict", "scoring", "pred_contrib", "reasons", "end_to_end")
OLDEST_DAYS = 10_000  # nobody is too old to be scored
TARGETS = {
    "features / floor": 3.0,
    "features / bare count": None,
    "scoring / bare predict": 1.2,
    "pred_contrib / reasons": 5.0,
    "end to end / sum of its parts": 1.3,
    "peak MB": 4096.0,
    "growth": 11.0,
}
Tree = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=list(SIZES))
    parser.add_argument("--again", action="store_true", help="measure anew what was measured")
    parser.add_argument("--runs", type=int, default=3, help="of each part but log_to_contract; the median is shown")
    arguments = parser.parse_args()
    work = ROOT / "out" / "scale"
    model = trained(work / "model")
    for size in arguments.sizes:
        measure(size, model, work / str(size), arguments.again, arguments.runs)
    tree = {str(size): json.loads((work / str(size) / "parts.json").read_text()) for size in arguments.sizes}
    folder = ROOT / "benchmarks" if tuple(arguments.sizes) == SIZES else work
    write_json(tree | {"ratios": ratios(tree)}, folder / "scale.json")
    (folder / "scale.md").write_text(markdown(tree), encoding="utf-8")
    sys.stdout.write(markdown(tree))


def trained(folder: Path) -> Path:
    """Train on the default funnel, without the search for settings, and let the model score leads of any age."""
    layout, wide = Layout.folder(folder), folder / "wide"
    if not wide.is_dir():
        params = quick(load())
        write(chunks(params.simulate, params.project.seed, params.snapshots), layout.raw, layout.oracle.path)
        ingest(params.source, params.ingest, params.project, layout.raw, layout)
        build_features(RunContext(params, layout))
        train(RunContext(params, layout))
        scorer = load_bundle(layout.bundle, params.project.threads)
        anyone = params.snapshots.model_copy(update={"max_age_days": OLDEST_DAYS})
        save_bundle(replace(scorer, metadata=scorer.metadata.model_copy(update={"snapshots": anyone})), wide)
    return wide


def quick(params: Params) -> Params:
    return params.model_copy(update={"search": params.search.model_copy(update={"trials": 0})})


def measure(size: int, model: Path, folder: Path, again: bool, runs: int) -> None:
    """Make the log, cluster it, and run every part `runs` times."""
    layout, kept = Layout.folder(folder), folder / "parts.json"
    parts: Tree = json.loads(kept.read_text()) if kept.is_file() else {}
    if "log_to_contract" not in parts and not (layout.raw / "events.parquet").is_file():
        write_log(size, layout.raw, layout.oracle.path)
    if not layout.bundle.is_dir():
        save_bundle(load_bundle(model, 1), layout.bundle)
    if "log_to_contract" not in parts:
        parts["log_to_contract"] = [run_part("log_to_contract", folder)]
        write_json(parts, kept)
    parts = {"log_to_contract": parts["log_to_contract"]} if again else parts
    for _ in range(runs):  # one round after the other, so that a busy hour is shared by all parts
        for part in PARTS:
            if len(parts.get(part, [])) < runs:
                parts[part] = [*parts.get(part, []), run_part(part, folder)]
                write_json(parts, kept)


def run_part(part: str, folder: Path) -> Tree:
    sys.stderr.write(f"{folder.name}: {part}\n")
    command = [sys.executable, "-m", "benchmarks.scale_parts", part, str(folder)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 our own program
    figures: Tree = json.loads(output.splitlines()[-1])
    return figures


# Figures


def median(runs: list[Tree]) -> Tree:
    return sorted(runs, key=lambda run: run["cpu_seconds"])[len(runs) // 2]


def per_row(runs: list[Tree]) -> float:
    """CPU seconds per row, of the median run."""
    return float(median(runs)["cpu_seconds"] / median(runs)["rows"])


def ratios(tree: Tree) -> Tree:
    """Return each ratio at each size, and the growth of end to end from the smallest to the largest size.

    None where a part of it is not measured yet.
    """
    result: Tree = {}
    for size, parts in tree.items():
        cost = {part: per_row(runs) for part, runs in parts.items()}
        result[size] = {
            "features / floor": ratio(cost, "features", "floor"),
            "features / bare count": ratio(cost, "features", "bare_count"),
            "scoring / bare predict": ratio(cost, "scoring", "bare_predict"),
            "pred_contrib / reasons": ratio(cost, "pred_contrib", "reasons"),
            "end to end / sum of its parts": ratio(cost, "end_to_end", "features", "scoring", "reasons"),
            "peak MB": max(run["peak_mb"] for runs in parts.values() for run in runs),
        }
    seconds = [median(parts["end_to_end"])["cpu_seconds"] for parts in tree.values() if "end_to_end" in parts]
    return result | {"growth": round(seconds[-1] / seconds[0], 2) if len(seconds) == len(tree) else None}


def ratio(cost: Mapping[str, float], part: str, *others: str) -> float | None:
    """Divide what a part costs by what others cost together."""
    if not {part, *others} <= cost.keys():
        return None
    return round(cost[part] / sum(cost[other] for other in others), 2)


def shown(figure: float | None) -> str:
    return "not measured" if figure is None else f"{figure:,g}"


def markdown(tree: Tree) -> str:
    table = ratios(tree)
    lines = [
        "# Speed and memory at scale",
        "",
        "Written by `python -m benchmarks.scale`. CPU seconds on all cores, each part in a process of its own; the",
        "median of several runs, from the least to the most in brackets. pred_contrib explains a sample, and its cost",
        "a row is compared. Every lead is scored, with its top 5 reasons. The floor is bare DuckDB: one snapshot a",
        "lead is joined to the log, and its columns are aggregated by lead; the bare count reads fewer of them.",
        "Ingest clusters the log by lead and derives event columns (log_to_contract), which is counted apart.",
        "",
        f"| ratio | {' | '.join(f'{int(size):,} leads' for size in tree)} | wanted |",
        f"|---|{'---|' * len(tree)}---|",
    ]
    for name, target in TARGETS.items():
        if name != "growth":
            sign = "at least" if name == "pred_contrib / reasons" else "at most"
            wanted = f"{sign} {target:g}" if target else "-"
            lines.append(f"| {name} | {' | '.join(shown(table[size][name]) for size in tree)} | {wanted} |")
    lines += [
        "",
        f"Growth of end to end from the smallest to the largest size: {shown(table['growth'])} (wanted: at most 11).",
    ]
    for size, parts in tree.items():
        lines += ["", f"## {int(size):,} leads, {parts['log_to_contract'][0]['events']:,} events", ""]
        lines += [
            "| part | rows | CPU seconds | rows a CPU second | clock seconds | peak MB |",
            "|---|---|---|---|---|---|",
        ]
        lines += [line(part, runs) for part, runs in parts.items()]
        for run in parts.get("pred_contrib", []):
            lines += ["", f"Largest difference from a contribution of pred_contrib: {run['largest_gap']:.1g} log-odds."]
    return "\n".join(lines) + "\n"


def line(part: str, runs: list[Tree]) -> str:
    middle, seconds = median(runs), [run["cpu_seconds"] for run in runs]
    spread = f" [{min(seconds):,.1f}, {max(seconds):,.1f}]" if len(runs) > 1 else ""
    return (
        f"| {part} | {middle['rows']:,} | {middle['cpu_seconds']:,.1f}{spread} | {1 / per_row(runs):,.0f} | "
        f"{middle['clock_seconds']:,.0f} | {max(run['peak_mb'] for run in runs):,} |"
    )


if __name__ == "__main__":
    main()
