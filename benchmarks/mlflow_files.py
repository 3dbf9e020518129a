"""How large MLflow's files are after 104 weekly retrainings, each file of the size that the default run has.

`.venv/bin/python -m benchmarks.mlflow_files --work FOLDER`. Every sixth challenger is promoted, as in two_years.md; the
others are refused. Nothing is trained: runs, versions, aliases, decisions and pruning are the real ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from pipelines.config.params import load
from pipelines.config.sections import Track
from pipelines.registry.prune import BY_RETRAIN, prune
from pipelines.registry.registry import Registry, open_experiment

REPORT, CODE, MODEL = (
    1_060_000,
    2_640_000,
    835_000,
)  # bytes: of a run, of a version's code, and of each of its two models
WEEKS, PROMOTED = 104, 6


def add(registry: Registry, experiment: str) -> str:
    """A run and a version, as `track` leaves them."""
    client = registry.client
    run = client.create_run(experiment, tags={"made_by": BY_RETRAIN})
    client.log_text(run.info.run_id, "x" * REPORT, "report.html")
    model = client.create_logged_model(experiment, name="model", source_run_id=run.info.run_id)
    folder = Path(model.artifact_location.removeprefix("file://"))
    sizes = {"code/all.py": CODE, "artifacts/model/booster_0.txt": MODEL, "artifacts/tested_model/booster_0.txt": MODEL}
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x" * size)
    client.set_terminated(run.info.run_id)
    place = model.artifact_location
    return str(client.create_model_version(registry.name, place, run.info.run_id, model_id=model.model_id).version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    work = parser.parse_args().work.resolve()
    (work / "files").mkdir(parents=True)
    track = Track(uri=f"sqlite:///{work}/mlflow.db", artifacts=str(work / "files"))
    params = load().model_copy(update={"track": track})
    registry = Registry.open(params)
    open_experiment(params)
    known = registry.client.get_experiment_by_name(params.project.name)
    assert known is not None  # noqa: S101  # just created
    registry.client.create_registered_model(registry.name)
    champion, largest, without = "", 0.0, 0
    for week in range(WEEKS):
        version = add(registry, known.experiment_id)
        registry.set_alias("challenger", version)
        at, promoted = pd.Timestamp("2026-01-05") + pd.Timedelta(weeks=week), week % PROMOTED == 0
        answer = {"action": "promote", "answer": "promoted" if promoted else "refused", "version": version}
        registry.finish(registry.record(answer, [], at), at)
        if promoted:
            if champion:
                registry.set_alias("previous", champion)
            registry.set_alias("champion", version)
            registry.set_alias("reference", version)
            champion = version
        without += REPORT + CODE + 2 * MODEL
        prune(params, every=False)
        size = sum(path.stat().st_size for path in (work / "files").rglob("*") if path.is_file()) / 1e6
        largest = max(largest, size)
    print(
        f"{WEEKS} weeks: {size:.1f} MB of files at the end, {largest:.1f} MB at most; unpruned {without / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
