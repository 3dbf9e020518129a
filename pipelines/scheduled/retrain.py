"""Give the champion a challenger: fresh data through every stage, into the registry, before the gate.

Everything is made in a folder of its own, whose name tells the data, the parameters and the program. So a champion's
files are never touched, a run that was killed goes on at the stage it had reached, and the same question is not asked
twice. The one step that changes what scores is the gate's own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.schema.errors import DataError, RefusedError
from pipelines.config.params import Params
from pipelines.registry.promote import promote
from pipelines.scheduled.input_files import digests
from pipelines.stages.run_all import stages
from pipelines.stages.track import track
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout
from pipelines.storage.versions import versions

log = logging.getLogger("leadscore")
RECORD, DONE = "retrained.json", "done.json"
FEED = "MN01"  # a feed that has stopped is mended, not learned from


@dataclass(frozen=True)
class RetrainRequest:
    """What is asked of a retraining.

    Attributes
    ----------
    data
        The folder of the user's files.
    to
        The folder of lists, which holds what the monitor found.
    day
        The day that decides whether a retraining is due.
    at
        When the decision is made; goes into its record.
    force
        Retrain, due or not.
    """

    data: Path
    to: Path
    day: pd.Timestamp
    at: pd.Timestamp
    force: bool

    @property
    def folder(self) -> Path:
        """Where challengers are made; also what must be held while one is."""
        return self.to / "retrain"


def retrain(params: Params, request: RetrainRequest, overlay: Path | None) -> list[str]:
    """Train a challenger where one is due, register it, and promote it where it passes the gate.

    The caller holds the lock on `request.folder`; scoring is not held up.

    Returns
    -------
    list of str
        What was done and why, for people.

    Raises
    ------
    RefusedError
        Where the gate refuses; the champion stays, and the reason is recorded.
    NotReadyError, DataError, ModelError
        As the stages and `promote` do; the champion stays.
    """
    last = _read(request.folder / RECORD)
    why = (
        "asked for" if request.force else due(params, last, _read(request.to / "monitor" / "monitor.json"), request.day)
    )
    if not why:
        return [
            f"not due: the last retraining was on {last['day']}, and nothing has been found since that asks for one"
        ]
    name = _name(params, request.data)
    if last.get("name") == name and not request.force:
        return [f"nothing to learn: the data, the parameters and the program are those of {last['day']}"]
    log.info("retrain: %s", why)
    layout = _make(params, request, name)
    track(params, layout, overlay)
    return [f"retrained: {why}", *_decide(params, request, layout, {"name": name, "why": why})]


def due(params: Params, last: dict[str, Any], found: dict[str, Any], day: pd.Timestamp) -> str:
    """Say why a retraining is due, "" where none is.

    Parameters
    ----------
    last
        The record of the last retraining; empty where there is none.
    found
        What the monitor found last; empty where it has not run.
    """
    if not last:
        return "the first one"
    since, limits = (day - pd.Timestamp(last["day"])).days, params.retrain
    if since >= limits.every_days:
        return f"on schedule, {since} days after the last one"
    alerts = found.get("alerts", []) if limits.on_alert and found.get("as_of", "") > last["day"] else []
    if alerts and FEED not in alerts and since >= limits.rest_days:
        return f"the monitor's alert of {found['as_of']}: {', '.join(alerts)}"
    return ""


def _name(params: Params, data: Path) -> str:
    """Name a retraining by all that decides what comes of it."""
    asked = params.model_dump(mode="json", exclude={"simulate", "job", "monitor", "retrain", "delivery", "track"})
    files = digests(params.source, data)
    if not files:
        raise DataError(
            "source", "", found=f"none of its files in {data}", expected="the export", fix="Correct --data."
        )
    text = json.dumps({"params": asked, "files": files, "versions": versions()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _make(params: Params, request: RetrainRequest, name: str) -> Layout:
    """Run the stages that have not run yet; those of another question, which nobody will end, go."""
    work = request.folder / "runs" / name
    for other in work.parent.glob("*"):
        if other.name != name:
            shutil.rmtree(other)
    layout = Layout.folder(work)
    done: list[str] = _read(work / DONE).get("stages", [])
    for stage, run in stages(params, request.data, layout).items():
        if stage not in done:
            log.info("retrain: %s", stage)
            run()
            done = [*done, stage]
            write_json({"stages": done}, work / DONE)
    return layout


def _decide(params: Params, request: RetrainRequest, layout: Layout, record: dict[str, Any]) -> list[str]:
    """RetrainRequest the gate, and write down what it said."""
    record |= {"day": request.day.date().isoformat()}
    try:
        lines = promote(params, layout, layout.bundle, request.at)
    except RefusedError as refusal:
        write_json(record | {"answer": "refused", "reason": str(refusal)}, request.folder / RECORD)
        raise
    write_json(record | {"answer": "promoted", "reason": lines[-1]}, request.folder / RECORD)
    return lines


def _read(path: Path) -> dict[str, Any]:
    """Read a record; one that is not there or not whole is none."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
