"""Two simulated years with planted changes, run week by week through the real commands: who notices, and what is lost?

`.venv/bin/python -m benchmarks.two_years --work FOLDER` writes benchmarks/two_years.json; `--leads`, `--first` and
`--last` make it larger or shorter, `--world` draws another world. It is drawn once and cut off at each Monday, as an
export of that day would be. Each week `nightly score`, `monitor` and `retrain` run as a scheduler would run them, by
their command lines, in one process. Afterwards three ways to serve are judged against the known truth on every list:
the first model for ever, the loop, and an oracle of the same recipe that is trained anew every week and serves at once,
without a gate.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.simulated_years import Place, export, overlay_of
from features.cohort.snapshots import at_risk
from features.schema.errors import LeadScoreError
from models.evaluation.metrics import compare, row_losses
from models.scoring.scorer import Scorer
from pipelines.cli.app import app
from pipelines.config.params import Params, load
from pipelines.registry.named_model import find_bundle
from pipelines.scheduled.input_files import ingest_if_changed
from pipelines.scheduled.job import feed_layout
from pipelines.simulation.export import Simulated
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.train import train
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract
from pipelines.storage.files import finite, write_json
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

Said = Callable[[str, Sequence[pd.Timestamp]], pd.DataFrame]  # a model's id and the days of lists to `predictions`
WEEK = pd.Timedelta(days=7)
MONTH = 4  # lists
NOTICED = 28  # days within which a change must be noticed
RESAMPLES = 2000  # behind what is said of a promotion afterwards
LAST_DAY = "2027-05-15"  # when what comes of the last list is known
SHOCKS = """
  - {kind: feed, day: "2025-07-07", days: 10, size: 0}
  - {kind: channel, day: "2025-10-06", days: null, size: 0.4}
  - {kind: tracker, day: "2026-01-19", days: 21, size: 1.0}
  - {kind: price, day: "2026-05-04", days: null, size: 1.0}
  - {kind: sales, day: "2026-10-05", days: null, size: 0.9}
"""
TELLS = {  # the checks that may count as having noticed a change
    "feed": ("MN01", "MN02"),
    "channel": ("MN04", "MN05"),
    "tracker": ("MN02", "MN03"),
    "price": ("MN08", "MN10"),
    "sales": ("MN02", "MN03"),
}


def leadscore(*words: object) -> tuple[int, str]:
    """Run a command as its command line says; return its exit code and what it complained of."""
    try:
        app([str(word) for word in words], standalone_mode=False)
    except LeadScoreError as error:
        return error.exit_code, str(error)
    return 0, ""


def run_week(place: Place, world: Simulated, day: pd.Timestamp) -> dict[str, Any]:
    """Export, score, monitor and retrain as of one Monday; say what came of it."""
    began, asked = time.process_time(), ("--params", place.overlay, "--data", place.data, "--lists", place.lists)
    at = ("--as-of", f"{day:%Y-%m-%d}")
    export(world, day, place.data)
    model = ("--model", place.champion)
    scored, complaint = leadscore("nightly", "score", *asked, *at, *model, "--reasons", "top-3")
    watched, _ = leadscore("nightly", "monitor", *asked, *at, *model)
    found = read(place.lists / "monitor" / "monitor.json") if watched in (0, 9) else {}
    answered, why = leadscore("nightly", "retrain", *asked, *at)
    record = read(place.lists / "retrain" / "retrained.json")
    retrained = record if record.get("day") == f"{day:%Y-%m-%d}" else None
    return {
        "day": f"{day:%Y-%m-%d}",
        "score": scored,
        "complaint": complaint,
        "current": (place.lists / "current").readlink().name[:10] if (place.lists / "current").exists() else None,
        "monitor": watched,
        "alerts": found.get("alerts", []),
        "lines": found.get("lines", []),
        "retrain": answered,
        "why": "" if retrained is None else retrained["why"],
        "answer": why[:400] if answered not in (0, 8) else "" if retrained is None else retrained["answer"],
        "reason": "" if retrained is None else retrained["reason"][:600],
        "seconds": time.process_time() - began,
        "bytes": {name: size(place.work / name) for name in ("lists", "mlartifacts", "mlflow.db")},
    }


def keep_models(place: Place, row: dict[str, Any]) -> None:
    """Keep the bundle that serves after this week, and the one that the oracle trains on what is known by now."""
    kept = place.work / "kept"
    serving = find_bundle(place.champion, place.params, place.work / "fetched")
    row["champion"] = keep(serving, kept, place)
    made = sorted((place.lists / "retrain" / "runs").glob("*/artifacts/model/manifest.json"))
    if row["answer"] in ("promoted", "refused"):
        row["oracle"] = keep(made[-1].parent, kept, place)
    else:
        params, own = place.params, place.work / "oracle"
        ingest_if_changed(RunContext(params, feed_layout(place.lists)), place.data)  # as the commands do
        layout = Layout(feed_layout(place.lists).data, own / "artifacts", own)
        build_features(RunContext(params, layout))
        train(RunContext(params, layout))
        row["oracle"] = keep(layout.bundle, kept, place)


def keep(bundle: Path, kept: Path, place: Place) -> str:
    model_id = load_bundle(bundle, place.params.project.threads).model_id
    shutil.copytree(bundle, kept / model_id, dirs_exist_ok=True)
    return model_id


def read(path: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return tree


def size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    return sum(one.stat().st_size for one in files)


# Judging


def noticed(rows: Sequence[dict[str, Any]], place: Place) -> list[dict[str, Any]]:
    """Say of each planted change when a check that may tell it fired that had been quiet the week before."""
    found = []
    for shock in place.params.simulate.shocks:
        start = pd.Timestamp(shock.day)
        before = [row for row in rows if pd.Timestamp(row["day"]) <= start]
        firing = set(before[-1]["alerts"]) if before else set()
        told = [
            (row["day"], sorted(set(row["alerts"]).intersection(TELLS[shock.kind]) - firing))
            for row in rows
            if start < pd.Timestamp(row["day"]) <= start + 2 * NOTICED * pd.Timedelta(days=1)
        ]
        first: tuple[str | None, list[str]] = next(((day, codes) for day, codes in told if codes), (None, []))
        days = None if first[0] is None else (pd.Timestamp(first[0]) - start).days
        found.append(
            {"kind": shock.kind, "day": shock.day.isoformat(), "noticed": first[0], "days": days, "by": first[1]}
        )
    return found


def false_alarms(rows: Sequence[dict[str, Any]], place: Place) -> dict[str, Any]:
    """Count alerts in the weeks before the first change, when nothing has moved."""
    first = min(pd.Timestamp(shock.day) for shock in place.params.simulate.shocks)
    quiet = [row for row in rows if pd.Timestamp(row["day"]) <= first]
    return {"weeks": len(quiet), "with_alert": sum(bool(row["alerts"]) for row in quiet)}


def predictions(model: Scorer, contract: Contract, days: Sequence[pd.Timestamp], truth: pd.DataFrame) -> pd.DataFrame:
    """Score the leads of some lists whose true probability is known: lead_id, snapshot_at, truth, said, label."""
    population = model.metadata.snapshots
    assert population is not None  # noqa: S101  # the world has dates
    rows = at_risk(contract.leads, contract.outcomes, pd.DatetimeIndex(sorted(days)).as_unit("us"), population)
    known = rows.merge(truth, "inner", ["lead_id", "snapshot_at"])
    matrix = pd.concat(contract.matrix(known, model.metadata.matrix), ignore_index=True)
    return matrix[["lead_id", "snapshot_at", "truth", "label"]].assign(said=model.probability(matrix))


def serving(rows: Sequence[dict[str, Any]], key: str) -> dict[str, list[pd.Timestamp]]:
    """Return the lists that each model serves: a model takes over on the Monday after it was made."""
    lists: dict[str, list[pd.Timestamp]] = {}
    for before, row in pairwise(rows):
        lists.setdefault(str(before[key]), []).append(pd.Timestamp(row["day"]))
    return lists


def sayings(place: Place, world: Simulated, name: str) -> Said:
    """Return what asks a kept model about lists of a world that has come to its end; see `predictions`.

    Its files are read at every question: each world, by its `name`, has a folder of its own.
    """
    layout, params = Layout.folder(place.work / "judged" / name), place.params
    export(world, pd.Timestamp(params.simulate.last_day) + pd.Timedelta(days=1), layout.raw)
    ingest(params.source, params.ingest, params.project, layout.raw, layout)
    contract = Contract.open(layout, params.project)
    won = contract.outcomes[["lead_id", "converted_at"]]
    truth = world.oracle.rename(columns={"probability": "truth"}).merge(won, "left", "lead_id")
    end = truth["snapshot_at"] + pd.Timedelta(days=params.snapshots.horizon_days)
    label = (truth["converted_at"] >= truth["snapshot_at"]) & (truth["converted_at"] < end)
    truth = truth.assign(label=label.astype("float64"))[["lead_id", "snapshot_at", "truth", "label"]]

    def said(model_id: str, days: Sequence[pd.Timestamp]) -> pd.DataFrame:
        model = load_bundle(place.work / "kept" / model_id, params.project.threads)
        return predictions(model, contract, days, truth)

    return said


def judge(rows: list[dict[str, Any]], place: Place, world: Simulated) -> dict[str, Any]:
    """Compare the first model for ever, the loop and the oracle, list by list, by log-loss under the known truth."""
    said = sayings(place, world, "as it came")
    days = [pd.Timestamp(row["day"]) for row in rows[1:]]
    ways = {
        "first model for ever": said(rows[0]["champion"], days),
        "loop": pd.concat([said(one, lists) for one, lists in serving(rows, "champion").items()]),
        "oracle": pd.concat([said(one, lists) for one, lists in serving(rows, "oracle").items()]),
    }
    return {"losses": losses(ways, place), "promotions": promotions(rows, said, place)}


def losses(ways: dict[str, pd.DataFrame], place: Place) -> dict[str, Any]:
    """Return the mean expected log-loss of each way beyond that of the truth, in all and since each change."""
    starts = [pd.Timestamp(shock.day) for shock in place.params.simulate.shocks]
    edges = {"all": (pd.Timestamp.min, pd.Timestamp.max)}
    for shock, start, end in zip(place.params.simulate.shocks, starts, [*starts[1:], pd.Timestamp.max], strict=True):
        edges[f"after {shock.kind}"] = (start, end)
    found = {}
    for name, (start, end) in edges.items():
        inside = {way: rows[(rows["snapshot_at"] >= start) & (rows["snapshot_at"] < end)] for way, rows in ways.items()}
        loss = {way: expected_loss(rows) for way, rows in inside.items()}
        gap = loss["first model for ever"] - loss["oracle"]
        n = len(inside["loop"])
        recovered = (loss["first model for ever"] - loss["loop"]) / gap if gap > 0 else None
        found[name] = {"rows": n, "beyond_truth": loss, "recovered": recovered}
    return found


def expected_loss(rows: pd.DataFrame) -> float:
    """Return the log-loss that is expected under the truth, less that of the truth itself."""
    truth, said = rows["truth"].to_numpy(), rows["said"].to_numpy()
    loss = [
        truth * row_losses(np.ones(len(p)), p) + (1 - truth) * row_losses(np.zeros(len(p)), p) for p in (said, truth)
    ]
    return float((loss[0] - loss[1]).mean())


def promotions(rows: Sequence[dict[str, Any]], said: Said, place: Place) -> list[dict[str, Any]]:
    """Compare each promoted model with the one before it on the lists of the next month.

    Where a change was planted before the outcomes of that month were known, nobody could know of it: the two models are
    compared once more in the same world without it, `unchanged`.
    """
    found = []
    switched = [(before, row) for before, row in pairwise(rows[:-MONTH]) if row["champion"] != before["champion"]]
    for before, row in switched:
        start, end = pd.Timestamp(row["day"]), pd.Timestamp(row["day"]) + MONTH * WEEK
        lists = [pd.Timestamp(one["day"]) for one in rows if start < pd.Timestamp(one["day"]) <= end]
        models = row["champion"], before["champion"]
        judged = {"day": row["day"]} | month_after(models, lists, said, place.params, len(switched))
        known = end + pd.Timedelta(days=place.params.snapshots.horizon_days)
        shocks = place.params.simulate.shocks
        if any(start <= pd.Timestamp(shock.day) <= known for shock in shocks):  # a list is of its day's first moment
            calm = place.scenario([shock for shock in shocks if pd.Timestamp(shock.day) < start])
            without = sayings(place, calm, f"unchanged from {row['day']}")
            judged["unchanged"] = month_after(models, lists, without, place.params, len(switched))
        found.append(judged)
    return found


def month_after(
    models: tuple[str, str], lists: Sequence[pd.Timestamp], said: Said, params: Params, among: int
) -> dict[str, Any]:
    """Compare a model with the one before it on some lists, by what came, with intervals.

    Beside the interval of `evaluate.confidence` stands one that is free of error for all promotions together
    (Bonferroni); `among` is how many there are.
    """
    new, old = (said(model, lists) for model in models)
    judged = {"rows": len(new), "truly_better_by": expected_loss(old) - expected_loss(new)}
    for name, doubt in (("", 1.0), ("_all", float(among))):
        confidence = 1 - (1 - params.evaluate.confidence) / doubt
        asked = params.evaluate.model_copy(update={"resamples": RESAMPLES, "confidence": confidence})
        gap = compare(new, new["said"].to_numpy(), old["said"].to_numpy(), asked, params.project.seed)
        judged |= gap.flat(f"gap{name}")
    return judged


def run(place: Place, world: Simulated, days: pd.DatetimeIndex) -> list[dict[str, Any]]:
    """Live through every week; weeks.json in the work folder is whole after each."""
    rows: list[dict[str, Any]] = []
    for number, day in enumerate(days):
        if number == 0:  # the first model is there before the first list
            export(world, day, place.data)
            first = (
                "--params",
                place.overlay,
                "--data",
                place.data,
                "--lists",
                place.lists,
                "--as-of",
                f"{day:%Y-%m-%d}",
            )
            leadscore("nightly", "retrain", *first)
        row = run_week(place, world, day)
        if number == 0:
            row["answer"] = "promoted"
        keep_models(place, row)
        rows.append(row)
        write_json(rows, place.work / "weeks.json")
        print(f"{row['day']} score {row['score']} monitor {row['monitor']} {row['alerts']} retrain {row['retrain']} "
              f"{row['why']} {row['answer']} {row['seconds']:.1f} s", flush=True)  # fmt: skip
    return rows


def read_rows(work: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((work / "weeks.json").read_text(encoding="utf-8"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--leads", type=int, default=20000)
    parser.add_argument("--world", type=int, default=0, help="its number: the world with another seed")
    parser.add_argument("--first", default="2025-04-07", help="the Monday of the first model")
    parser.add_argument("--last", default="2027-03-29")
    parser.add_argument("--judge", action="store_true", help="judge the weeks that lie in the work folder again")
    parser.add_argument("--to", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = parser.parse_args()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    overlay = work / "params.yaml"
    overlay.write_text(overlay_of(asked.leads, LAST_DAY, SHOCKS, work), encoding="utf-8")
    place = Place(work, overlay, load(overlay), asked.world)
    world = place.scenario(place.params.simulate.shocks)
    rows = read_rows(work) if asked.judge else run(place, world, pd.date_range(asked.first, asked.last, freq=WEEK))
    tree = {
        "world": asked.world,
        "leads": asked.leads,
        "weeks": len(rows),
        "first": asked.first,
        "last": asked.last,
        "noticed": noticed(rows, place),
        "before_any_change": false_alarms(rows, place),
    }
    tree |= {
        "seconds": sum(row["seconds"] for row in rows),
        "bytes": {"first": rows[0]["bytes"], "last": rows[-1]["bytes"]},
    }
    tree |= judge(rows, place, world)
    tree["rows"] = rows
    write_json(finite(tree), asked.to)


if __name__ == "__main__":
    main()
