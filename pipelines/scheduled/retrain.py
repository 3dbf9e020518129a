"""Train a challenger on fresh data through every stage, register it, and let the promotion gate decide.

Everything is written to a folder of its own, named by the data, the parameters and the program. So a champion's files
are never touched, a run that was killed goes on at the stage it had reached, and the same training is not repeated. The
only step that changes the scoring model is the promotion.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ValidationError

from features.schema.errors import DataError, RefusedError
from features.schema.spec import Spec
from models.monitoring.results import MonitorResult
from pipelines.config.params import Params
from pipelines.registry.promote import champion_scale, promote
from pipelines.registry.prune import BY_RETRAIN, prune
from pipelines.scheduled.input_files import digests
from pipelines.stages.run_all import stages
from pipelines.stages.track import track
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import versions

log = logging.getLogger("leadscore")
RECORD, DONE = "retrained.json", "done.json"
FEED = "MN01"  # a feed that has stopped is fixed, not learned from


@dataclass(frozen=True)
class RetrainRequest:
    """The request for a retraining.

    Attributes
    ----------
    data
        The folder of the user's files.
    to
        The folder of lists, which holds monitor.json.
    day
        The day for which it is decided whether a retraining is due.
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
        """Where challengers are trained; locked while one is."""
        return self.to / "retrain"


class RetrainRecord(Spec):
    """retrained.json: the last retraining, its reason and the gate's answer."""

    name: str
    why: str
    day: str
    answer: Literal["promoted", "refused"]
    reason: str


def retrain(params: Params, request: RetrainRequest, overlay: Path | None) -> list[str]:
    """Train a challenger where one is due, register it, and promote it where it passes the gate.

    The caller has locked `request.folder`; scoring does not wait.

    Returns
    -------
    list of str
        What was done and why, for people.

    Raises
    ------
    RefusedError
        Where the gate rejects it; the champion stays, and the reason is recorded.
    NotReadyError, DataError, ModelError
        As the stages and `promote` do; the champion stays.
    """
    params = _tested_on_few(params)
    last, monitored = read_record(request.folder), request.to / "monitor" / "monitor.json"
    why = "requested" if request.force else due(params, last, _monitored(monitored), request.day)
    if last and not why:
        return [f"not due: the last retraining was on {last.day}, and no alert since then requires one"]
    name = _name(params, request)
    if last and last.name == name and not request.force:
        return [f"nothing new: the data, the parameters and the program are those of {last.day}"]
    log.info("retrain: %s", why)
    run = _make(_on_champions_scale(params), request, name)
    track(run, overlay, BY_RETRAIN)
    try:
        lines = _decide(run, request, name, why)
    except RefusedError:  # refused challengers are what fills a disk
        _prune(params)
        raise
    _prune(params)
    return [f"retrained: {why}", *lines]


def _prune(params: Params) -> None:
    for line in prune(params, every=False) if params.track.prune else []:
        log.info("retrain: %s", line)


def _tested_on_few(params: Params) -> Params:
    split = params.split.model_copy(update={"test_conversions": params.retrain.test_conversions})
    return params.model_copy(update={"split": split})


def due(params: Params, last: RetrainRecord | None, monitored: MonitorResult | None, day: pd.Timestamp) -> str:
    """Return why a retraining is due, "" where none is.

    Parameters
    ----------
    last
        The record of the last retraining; None where there is none.
    monitored
        What the monitor found last; None where it has not run.
    """
    if last is None:
        return "the first one"
    since, limits = (day - pd.Timestamp(last.day)).days, params.retrain
    if since >= limits.every_days:
        return f"on schedule, {since} days after the last one"
    if monitored is None or not limits.on_alert or monitored.as_of <= last.day:
        return ""
    if monitored.alerts and FEED not in monitored.alerts and since >= limits.rest_days:
        return f"the monitor's alert of {monitored.as_of}: {', '.join(monitored.alerts)}"
    return ""


def _name(params: Params, request: RetrainRequest) -> str:
    """Name a retraining by all that decides its result; of a live table the day stands for the rows."""
    settings = params.model_dump(
        mode="json", exclude={"paths", "simulate", "job", "monitor", "retrain", "delivery", "pull", "track"}
    )
    files = digests(params.source, request.data)
    live = any(table.is_live for table in params.source.tables)
    if not files and not live:
        raise DataError(
            "source", "", found=f"none of its files in {request.data}", expected="the export", fix="Correct --data."
        )
    tree = {"params": settings, "files": files, "versions": versions()}
    day = {"day": request.day.date().isoformat()} if live else {}
    text = json.dumps(tree | day, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _on_champions_scale(params: Params) -> Params:
    """Return the parameters with which scores mean what those of the champion do; unchanged without a champion."""
    scale = champion_scale(params)
    return params if scale is None else params.model_copy(update={"points": params.points.kept(scale)})


def _make(params: Params, request: RetrainRequest, name: str) -> RunContext:
    """Run the stages that have not run yet; those of other retrainings, which no run will finish, are removed."""
    work = request.folder / "runs" / name
    for other in work.parent.glob("*"):
        if other.name != name:
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    run = RunContext(params, Layout.folder(work))
    done: list[str] = _read(work / DONE).get("stages", [])
    for name, stage in stages(run, request.data).items():
        if name not in done:
            log.info("retrain: %s", name)
            stage()
            done = [*done, name]
            write_json({"stages": done}, work / DONE)
    return run


def _decide(run: RunContext, request: RetrainRequest, name: str, why: str) -> list[str]:
    """Let the gate decide, and record its answer."""

    def record(answer: Literal["promoted", "refused"], reason: str) -> None:
        day = request.day.date().isoformat()
        entry = RetrainRecord(name=name, why=why, day=day, answer=answer, reason=reason)
        write_json(entry.model_dump(), request.folder / RECORD)

    try:
        lines = promote(run, run.layout.bundle, request.at)
    except RefusedError as rejection:
        record("refused", str(rejection))
        raise
    record("promoted", lines[-1])
    return lines


def read_record(folder: Path) -> RetrainRecord | None:
    """Read the record of the last retraining; None where there is none, or a damaged one."""
    try:
        return RetrainRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def _monitored(path: Path) -> MonitorResult | None:
    """Read what the monitor found last; None where it has not run, or the file is damaged."""
    return read_result(MonitorResult, path, "monitor", "leadscore nightly") if _read(path) else None


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or damaged one is empty."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
