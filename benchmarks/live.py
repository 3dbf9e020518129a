"""What lists miss, and how good scores at the moment are: `python -m benchmarks.live --work FOLDER [--data FOLDER]`.

A simulated funnel in which a fifth of the buyers buys on the day it comes (examples/fast_funnel.yaml), and with --data,
which holds learning_365, that history by days. Writes benchmarks/live.json, and benchmarks/live.md from it.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.published import ROOT, learning_code, marked
from features.cohort.moments import moment_kinds
from features.cohort.snapshots import last_list
from features.schema.declarations import MomentParams
from models.evaluation.intervals import clopper_pearson
from models.evaluation.metrics import moment_metrics
from models.evaluation.wins_on_no_list import by_interval
from models.learners.gradient_boosting import TrainParams
from models.scoring.fresh_intercept import fresh_log_odds
from models.scoring.scorer import Scorer
from models.splitting.holdout import tested_rows
from models.training.training import Learned, learn, learn_with, taught
from pipelines.config.params import Params, load, quickened
from pipelines.scoring.list_coverage import closes_until
from pipelines.simulation.export import chunks
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.simulate import write
from pipelines.stages.train import beside_lists, scorer_of, training_setup
from pipelines.storage.contract_store import Contract, read_matrix, read_moments
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

FILE, PAGE = ROOT / "benchmarks" / "live.json", ROOT / "benchmarks" / "live.md"
ORACLE, BOTH, ALONE = "the truth", "lists and moments", "lists alone"
DAY_AGES = MomentParams(ages_hours=[0, 24, 72, 168])  # of learning_365, which has days alone
Tree = dict[str, Any]


def wins_missed(contract: Contract, params: Params) -> list[Tree]:
    """Count the wins that no list of an interval could hold, and those that no score at the moment could."""
    until, population = closes_until(contract, params), params.snapshots
    outcomes = contract.outcomes[contract.outcomes["converted_at"] <= until]
    wins = outcomes.merge(contract.leads[["lead_id", "created_at"]], "inner", "lead_id")
    return [
        {"by": one.by, "wins": one.wins, "missed": one.wins - one.held, "of": clopper_pearson(one.wins - one.held,
         one.wins, 0.9)} for one in by_interval(wins, population, None, 0.9)
    ]  # fmt: skip


def models_of(matrix: pd.DataFrame, moments: pd.DataFrame, run: RunContext) -> dict[str, Scorer]:
    """Train on lists and moments, and with the same settings on lists alone."""
    _, spec = read_matrix(run.layout)
    setup, both = training_setup(spec.catalogue, run.params), beside_lists(matrix, moments)
    learned = learn(both, setup, _no_search, print)
    alone = learn_with(taught(matrix, ("train",)), setup, learned.settings, learned.scorecard_l2)

    def scorer(one: Learned) -> Scorer:
        return scorer_of(one, taught(matrix, ("train",)), spec, run.params, "")

    return {BOTH: scorer(learned), ALONE: scorer(alone)}


def _no_search(loss: object, start: TrainParams) -> TrainParams:
    return start


def between_lists(run: RunContext) -> list[Tree]:
    """Compute the figures of both models at lists and between them, and those of the truth where it is known."""
    params, population = run.params, run.params.snapshots
    matrix, moments = read_matrix(run.layout)[0], read_moments(run.layout, population)
    assert moments is not None and population.moments is not None  # noqa: S101 the examples name moments
    rows = pd.concat([tested_rows(matrix).assign(moment="list"), tested_rows(moments)], ignore_index=True)
    lists, matured = last_list(rows["snapshot_at"], population), matrix[matrix["weight"] > 0]
    probabilities = {
        name: expit(fresh_log_odds(scorer, rows, matured, lists))
        for name, scorer in models_of(matrix, moments, run).items()
    }
    if run.layout.oracle.path.is_file():
        truth = rows[["lead_id", "snapshot_at"]].merge(pd.read_parquet(run.layout.oracle.path), "left")
        probabilities[ORACLE] = truth["probability"].to_numpy("float64")
    kinds, found = ["list", *moment_kinds(population.moments)], []
    for name, probability in probabilities.items():
        known = ~np.isnan(probability)
        seen = rows[known].assign(probability=probability[known])
        metrics = moment_metrics(seen, kinds, params.evaluate, params.kpis.limits, params.project.seed)
        found += [{"who": name, **one.model_dump()} for one in metrics]
    return found


def measured(run: RunContext, data: Path | None) -> Tree:
    """Measure one history from its files on."""
    if data is None:
        write(chunks(run.params.simulate, run.params.project.seed, run.params.snapshots), run.layout.raw,
              run.layout.oracle.path)  # fmt: skip
    source, limits, project = run.params.source, run.params.ingest, run.params.project
    ingest(source, limits, project, data or run.layout.raw, run.layout)
    build_features(run)
    contract = Contract.open(run.layout, run.params.project)
    missed = wins_missed(contract, run.params)
    contract.close()
    return {"missed": missed, "figures": between_lists(run)}


def page(tree: Tree) -> str:
    """Write the figures as Markdown."""
    lines = ["# Lists, and scores at the moment", "", "<!-- made by: benchmarks/live.json -->", "", ""]
    lines += [
        "`.venv/bin/python -m benchmarks.live --work FOLDER --data ../shared/data/learning_365`: "
        f"{tree['cpu']:.0f} CPU seconds.",
        "Wins, with the share that no list, or no score, could come before, and its 90% interval; then the figures on",
        "leads of the later period, with the settings that the forward folds chose on lists.",
    ]
    for title, one in tree["histories"].items():
        lines += ["", f"## {title}", "", "| | wins | on none | share |", "|---|---|---|---|"]
        for row in one["missed"]:
            low, high = row["of"]
            share = row["missed"] / row["wins"]
            lines.append(
                f"| {row['by']} | {row['wins']:,} | {row['missed']:,} | {share:.1%} ({low:.1%} to {high:.1%}) |"
            )
        lines += ["", "| moment | learned from | rows | converted | AUC | log-loss | predicted / actual |"]
        lines += ["|---|---|---|---|---|---|---|"]
        kinds = list(dict.fromkeys(row["moment"] for row in one["figures"]))
        for row in sorted(one["figures"], key=lambda row: kinds.index(row["moment"])):
            rates = row["rates"]
            lines.append(
                f"| {row['moment']} | {row['who']} | {row['n']:,.0f} | {row['n_positive']:,.0f} "
                f"| {row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f}) | {row['log_loss']:.4f} "
                f"| {rates['predicted_rate']:.1%} / {rates['observed_rate']:.1%} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    fast = load(ROOT / "examples" / "fast_funnel.yaml")
    histories = {
        "A simulated funnel with buyers in a hurry": measured(
            RunContext(fast, Layout.folder(options.work / "fast")), None
        )
    }
    if options.data is not None:
        params = quickened(load(ROOT / "examples" / "learning_365.yaml"))
        days = params.snapshots.model_copy(update={"moments": DAY_AGES})
        run = RunContext(params.model_copy(update={"snapshots": days}), Layout.folder(options.work / "learning"))
        histories["learning_365, by days"] = measured(run, options.data)
    used = resource.getrusage(resource.RUSAGE_SELF)
    tree = {"code": learning_code(), "cpu": used.ru_utime + used.ru_stime, "histories": histories}
    FILE.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(marked(page(tree), ROOT, learning_code()), encoding="utf-8")
    print(page(tree))


if __name__ == "__main__":
    main()
