"""Retraining: when it is due, what it leaves when killed between any two steps, and that it asks nothing twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import BusyError, DataError, RefusedError
from models.monitoring.results import ListPeriod, MonitorResult
from pipelines.config.params import Params
from pipelines.config.source import TableSource
from pipelines.registry.promote import champion_scale, promote
from pipelines.registry.registry import CHALLENGER, Registry
from pipelines.scheduled import retrain as door
from pipelines.scheduled.retrain import RetrainRecord, RetrainRequest, due, retrain
from pipelines.storage.bundle import load_bundle
from pipelines.storage.layout import Layout
from pipelines.storage.lock import hold
from pipelines.storage.run_context import RunContext
from tests.pipelines.registry.test_promote import LENIENT, KilledError, champion, moved
from tests.support.tiny import empty_store, tiny_copy, tiny_params

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
AT = pd.Timestamp("2026-07-01 03:00")
STAGES = ["ingest", "build_features", "train", "report"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return tiny_copy(tmp_path_factory, tmp_path_factory.mktemp("made") / "out")


@pytest.fixture(scope="module")
def first(made: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a champion, and the files of its models."""
    folder = tmp_path_factory.mktemp("first")
    empty_store(tmp_path_factory, folder / "mlflow.db")
    promote(RunContext(registered(folder, folder), made), moved(made, folder, 0.5), AT)
    return folder


def registered(folder: Path, files: Path) -> Params:
    tracking = f"\ntrack: {{uri: 'sqlite:///{folder}/mlflow.db', artifacts: '{files}/files'}}\n"
    return tiny_params(folder, LENIENT + tracking)


@pytest.fixture
def scenario(
    made: Layout, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Params, RetrainRequest, str]:
    """A registry of its own with the champion, and a forced retraining."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow writes it, and it goes first
    shutil.copy(first / "mlflow.db", tmp_path / "mlflow.db")
    params = registered(tmp_path, first)
    request = RetrainRequest(
        made.raw, tmp_path / "lists", pd.Timestamp("2026-07-01"), AT + pd.Timedelta(hours=1), force=False
    )
    return params, request, champion(params, tmp_path)


@pytest.fixture
def ran(made: Layout, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages that take what a run has made out of a drawer; their names in the order they ran."""
    names: list[str] = []

    def taken(name: str, copy: Callable[[], object]) -> Callable[[], object]:
        def stage() -> None:
            names.append(name)
            copy()

        return stage

    def stages(run: RunContext, data: Path) -> dict[str, Callable[[], object]]:
        def reports() -> None:
            for path in made.reports.glob("*.*"):
                shutil.copy(path, run.layout.reports / path.name)
            shutil.copytree(made.plots, run.layout.plots, dirs_exist_ok=True)

        copies: dict[str, Callable[[], object]] = {
            "ingest": lambda: shutil.copytree(made.contract, run.layout.contract, dirs_exist_ok=True),
            "build_features": lambda: shutil.copytree(made.artifacts, run.layout.artifacts, dirs_exist_ok=True),
            "train": lambda: None,
            "report": reports,
        }
        return {name: taken(name, copy) for name, copy in copies.items()}

    monkeypatch.setattr(door, "stages", stages)
    return names


def record(request: RetrainRequest) -> dict[str, str]:
    record: dict[str, str] = json.loads((request.folder / "retrained.json").read_text())
    return record


def test_a_retraining_keeps_the_scale_of_the_champion(
    scenario: tuple[Params, RetrainRequest, str], tmp_path: Path
) -> None:
    params, _, _ = scenario
    scale = champion_scale(params)
    assert scale is not None
    assert door._on_champions_scale(params).points.scale(base_rate=0.5) == scale != params.points.scale(0.5)
    own = params.model_copy(update={"points": params.points.model_copy(update={"anchor_probability": 0.3})})
    assert door._on_champions_scale(own) == own, "a data scientist may set another"


def test_it_trains_registers_asks_the_gate_and_says_why(
    scenario: tuple[Params, RetrainRequest, str], ran: list[str], made: Layout, tmp_path: Path
) -> None:
    params, request, old = scenario
    others = request.folder / "runs"
    (others / "of another day").mkdir(parents=True)
    (others / "somebody's notes").touch()
    lines = retrain(params, request, None)
    assert lines[0] == "retrained: the first one"
    assert len(list(others.iterdir())) == 1
    assert "promoted" in lines[-1]
    assert ran == STAGES
    refitted = load_bundle(made.bundle, 1)
    assert champion(params, tmp_path) == refitted.model_id != old
    assert refitted.tested_id == json.loads(made.metrics.path.read_text())["model_id"] != refitted.model_id
    assert (record(request)["answer"], record(request)["day"], record(request)["why"]) == (
        "promoted",
        "2026-07-01",
        "the first one",
    )
    versions = Registry.open(params).client.search_model_versions("name = 'lead-scoring'")
    again = retrain(params, request, None)
    later = retrain(params, replace(request, day=request.day + pd.Timedelta(days=40)), None)
    assert (again[0][:7], later[0][:7]) == ("not due", "nothing")
    assert ran == STAGES
    assert len(Registry.open(params).client.search_model_versions("name = 'lead-scoring'")) == len(versions)


@pytest.mark.parametrize("killed", ["report", "register", "alias", "decision", "record"])
def test_killed_anywhere_the_champion_is_whole_and_a_rerun_goes_on(
    killed: str, scenario: tuple[Params, RetrainRequest, str], ran: list[str], made: Layout, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    params, request, old = scenario
    new = load_bundle(made.bundle, 1).model_id

    def die(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as trap:
        if killed in STAGES:
            usual = door.stages

            def broken(*words: object) -> dict[str, Callable[[], object]]:
                return dict(usual(*words)) | {killed: die}  # type: ignore[arg-type]  # as they came

            trap.setattr(door, "stages", broken)
        elif killed == "record":
            trap.setattr(door, "write_json", lambda tree, path: die() if "answer" in tree else None)
        else:
            name = {"register": "register", "alias": "set_alias", "decision": "record"}[killed]
            trap.setattr(Registry, name, die)
        with pytest.raises(KilledError):
            retrain(params, request, None)
    assert champion(params, tmp_path) == (new if killed == "record" else old)
    assert not (request.folder / "retrained.json").exists()
    before = list(ran)
    assert retrain(params, request, None)
    assert champion(params, tmp_path) == new
    assert record(request)["answer"] == "promoted"
    repeated = STAGES if killed == "record" else STAGES[len(before) :]
    assert ran == before + repeated
    assert len({one.tags["model_id"] for one in Registry.open(params).client.search_model_versions("")}) == 2


def test_a_refused_challenger_leaves_the_champion_and_a_reason(
    scenario: tuple[Params, RetrainRequest, str], ran: list[str], tmp_path: Path
) -> None:
    params, request, old = scenario
    strict = params.model_copy(update={"promotion": params.promotion.model_copy(update={"min_positive": 10_000})})
    with pytest.raises(RefusedError, match="PG03"):
        retrain(strict, request, None)
    assert champion(params, tmp_path) == old
    assert "PG03" in record(request)["reason"]
    assert record(request)["answer"] == "refused"
    registry = Registry.open(params)
    assert registry.aliases()[CHALLENGER] != registry.aliases()["champion"]
    with hold(request.folder), pytest.raises(BusyError), hold(request.folder):
        pass


LAST = RetrainRecord(name="n", why="the first one", day="2026-06-01", answer="promoted", reason="")
NO_LISTS = ListPeriod(lists=0, first=None, last=None)


def alerted(day: str, *alerts: str) -> MonitorResult:
    return MonitorResult(
        as_of=day, list=day, model_id="m", tested_id="t", tested_until="2026-05-01", data_fingerprint="f",
        reference=NO_LISTS,
        matured=NO_LISTS, checks=[], alerts=list(alerts), lines=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("last", "monitored", "day", "why"),
    [
        (None, None, "2026-06-02", "first"),
        (LAST, None, "2026-06-28", ""),
        (LAST, None, "2026-06-29", "schedule"),
        (LAST, alerted("2026-06-10", "MN03"), "2026-06-10", "MN03"),
        (LAST, alerted("2026-06-05", "MN03"), "2026-06-05", ""),
        (LAST, alerted("2026-06-01", "MN03"), "2026-06-10", ""),
        (LAST, alerted("2026-06-10"), "2026-06-10", ""),
        (LAST, alerted("2026-06-10", "MN01", "MN02"), "2026-06-10", ""),
    ],
)
def test_when_it_is_due(
    last: RetrainRecord | None, monitored: MonitorResult | None, day: str, why: str, tmp_path: Path
) -> None:
    params = tiny_params(tmp_path)
    answer = due(params, last, monitored, pd.Timestamp(day))
    assert (why in answer, bool(answer)) == (True, bool(why))
    deaf = params.model_copy(update={"retrain": params.retrain.model_copy(update={"on_alert": False})})
    assert bool(due(deaf, last, monitored, pd.Timestamp(day))) == (why in ("first", "schedule"))


def test_of_a_live_table_the_day_stands_for_the_rows(tmp_path: Path) -> None:
    """A table of a database has no file whose digest could say that its rows are others."""
    params = tiny_params(tmp_path, "")
    tables = {"events": (TableSource(path="EVENTS", format="postgres", table="events"),)}
    live = params.model_copy(update={"source": params.source.model_copy(update=tables)})
    requests = [
        RetrainRequest(tmp_path, tmp_path, AT.normalize() + pd.Timedelta(days=d), AT, force=False) for d in (0, 1)
    ]
    assert len({door._name(live, one) for one in requests}) == 2
    with pytest.raises(DataError, match="none of its files"):
        door._name(params, requests[0])
