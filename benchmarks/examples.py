"""The four real data sets and the default run, each from its files to the report, with the CPU seconds that it took.

`python -m benchmarks.examples --data FOLDER --work FOLDER [--only NAME]` runs the stages of `leadscore run` once for
each, writes benchmarks/examples.json, and prints its figures as the first table of docs/results.md and the seconds of
each stage as the second.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.published import ROOT, learning_code, marked

TITLES = {
    "learning_365": "learning_365 (events, 2022)",
    "olist_funnel": "olist_funnel (dated, no events)",
    "x_education": "x_education (no order)",
    "bank_marketing": "bank_marketing (row order)",
    "default": "default (simulated)",
}
HEAD = """\
| data set | test period | rows / leads | converted | AUC | logistic / scorecard / rules | random split | log-loss: model / logistic / scorecard / rules / base rate | CPU s |
|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501
STAGES = (
    "simulate",
    "ingest",
    "build_features",
    "audit",
    "train",
    "backtest",
    "evaluate",
    "kpis",
    "explain",
    "score",
    "report",
)
STAGES_HEAD = "| CPU s | start | " + " | ".join(STAGES) + " | all |\n" + "|---" * (len(STAGES) + 3) + "|\n"
OTHERS = ("logistic", "scorecard", "rules", "prior")
PERIODS = {"bank_marketing": "last 30% of the rows", "x_education": "held out, not chronological"}
FILE = ROOT / "benchmarks" / "examples.json"
PAGE = ROOT / "docs" / "results.md"
Tree = dict[str, Any]


def measured(name: str, data: Path, work: Path) -> Tree:
    """Run one set in a process of its own and return its figures, with CPU and wall seconds."""
    command = [sys.executable, "-m", "benchmarks.stage_seconds", "--out", str(work / name)]
    if name != "default":
        command += ["--params", str(ROOT / "examples" / f"{name}.yaml"), "--data", str(data / name)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"DO_NOT_TRACK": "1"}
    said = subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603 our own program
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    metrics = json.loads((work / name / "metrics.json").read_text(encoding="utf-8"))
    return {
        "cpu_user": round(after.ru_utime - before.ru_utime, 1),
        "cpu_system": round(after.ru_stime - before.ru_stime, 1),
        "wall": round(time.perf_counter() - started, 1),
        "stages": json.loads(said.stdout.splitlines()[-1]),
        "period": metrics["period"],
        "test": _few(metrics["test"]),
        "random_split": _few(metrics["random_split"]),
        "baselines": {other: _few(metrics["baselines"][other]) for other in OTHERS if other in metrics["baselines"]},
    }


def _few(metrics: Tree) -> Tree:
    names = ("n", "n_leads", "n_positive", "auc", "auc_low", "auc_high", "log_loss", "log_loss_low", "log_loss_high")
    return {name: round(metrics[name], 5) for name in names}


def table(sets: Tree) -> str:
    """Return the rows of the page's table."""
    return HEAD + "".join(_row(name, sets[name]) for name in TITLES if name in sets)


def _row(name: str, of: Tree) -> str:
    test, others = of["test"], of["baselines"]
    period = PERIODS.get(name) or f"{of['period']['first']} - {of['period']['last']}"
    cells = [
        TITLES[name],
        period,
        f"{test['n']:,.0f} / {test['n_leads']:,.0f}",
        f"{test['n_positive'] / test['n']:.1%}",
        _auc(test),
        " / ".join(f"{others[other]['auc']:.3f}"[1:] for other in OTHERS[:-1] if other in others),
        _auc(of["random_split"]),
        " / ".join(f"{one['log_loss']:.4f}"[1:] for one in [test, *others.values()]),
        _total(of),
    ]
    return f"| {' | '.join(cells)} |\n"


def stage_table(sets: Tree) -> str:
    """Return the page's table of CPU seconds by stage, of the sets whose stages were timed."""
    rows = [
        [TITLES[name], *(f"{one['stages'].get(stage, 0):.1f}" for stage in ("start", *STAGES)), _total(one)]
        for name, one in sets.items()
        if "stages" in one
    ]
    return STAGES_HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _total(of: Tree) -> str:
    return f"{of['cpu_user'] + of['cpu_system']:.0f}"


def _auc(of: Tree) -> str:
    return "{} ({}-{})".format(*(f"{of[name]:.3f}"[1:] for name in ("auc", "auc_low", "auc_high")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the four data sets")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", choices=TITLES, action="append", help="only print the new figures of these")
    options = parser.parse_args()
    sets = {name: measured(name, options.data, options.work) for name in options.only or TITLES}
    if options.only:
        sys.stdout.write(f"{table(sets)}\n{stage_table(sets)}")
        return
    FILE.write_text(json.dumps({"code": learning_code(), "sets": sets}, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    for new in (table(sets), stage_table(sets)):
        head = re.escape(new[: new.index("|", 1)])
        text = re.sub(rf"(?m)^{head}(?:.*\n)+?(?=\n)", new.replace("\\", r"\\"), text, count=1)
    PAGE.write_text(marked(text, ROOT, learning_code()), encoding="utf-8")


if __name__ == "__main__":
    main()
