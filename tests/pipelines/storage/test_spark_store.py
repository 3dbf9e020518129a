"""Spark gives what DuckDB gives: features, rule points, scores, tiers and reasons, shard by shard."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import BusyError, ParamsError
from models.tiers.declarations import TierParams
from pipelines.config.sections import SparkParams
from pipelines.scheduled.feed_checks import feed_at
from pipelines.stages.ingest import ingest
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout
from pipelines.storage.spark_store import SparkContract, start
from tests.models.scoring.test_rule_scorer import EVERY_KIND
from tests.pipelines.cli.test_app import leadscore
from tests.support.services import needs
from tests.support.small_job import TODAY, Job, digests, export, job, small_shards
from tests.support.tables import DAY, MONDAY, PARAMS, crowd

PYSPARK = importlib.util.find_spec("pyspark") is not None
JAVA = bool(shutil.which("java") or os.environ.get("JAVA_HOME"))


def needs_spark(test: Callable[..., None]) -> Callable[..., None]:
    """Run in the environment of `make test-spark`, which has PySpark, and where there is a Java."""
    without = pytest.mark.skipif(not PYSPARK, reason="PySpark is not in this environment; `make test-spark` has one")
    return without(needs(JAVA, "no Java here")(test))


pytestmark = [
    # PySpark and Ibis call pandas 3 by old names; nothing of ours to change.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]
SMALL = SparkParams(
    master="local[2]",
    bucket_events=300,
    settings={
        "spark.driver.memory": "600m",
        # What runs once, on a handful of rows, is not worth compiling.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": False,
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": False,
    },
)
ASKED = {
    "triggers": [
        {"name": "had a call", "when": {"types": ["call"], "days": 7}, "tier": "hot"},
        {"name": "row", "when": {"attribute": "size", "test": "at_least", "value": 4000.0}, "tier": "warm"},
    ],
    "exclusions": [{"name": "a chat", "when": {"types": ["chat"], "days": 1}, "tier": "excluded"}],
}
TWICE = (MONDAY, MONDAY - 7 * DAY)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job whose tiers ask about events and attributes, and a session of Spark that ends with the tests."""
    tiers = TierParams.model_validate(PARAMS.tiers.model_dump() | ASKED)
    made = job(tmp_path_factory.mktemp("a user's folder"))
    yield replace(made, params=made.params.model_copy(update={"tiers": tiers}))
    if PYSPARK and JAVA:
        start(SMALL).stop()


def on_spark(here: Job) -> Job:
    return here.request_with(opened=partial(SparkContract.opened, SMALL))


def opened(here: Job) -> AbstractContextManager[Contract]:
    return closing(here.request.opened(here.layout, here.params.project))


def snapshots(of: Contract) -> pd.DataFrame:
    """Each lead twice, in no order and with a column of the caller's."""
    twice = [of.leads[["lead_id"]].assign(snapshot_at=at) for at in TWICE]
    return pd.concat(twice).sample(frac=1, random_state=1).assign(label=1.0).reset_index(drop=True)


@needs_spark
def test_features_and_rule_points_are_those_of_duckdb(ready: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    spec = load_bundle(Path(ready.request.model), 1).metadata.matrix
    with opened(ready) as here, opened(on_spark(ready)) as there:
        ours, theirs = (pd.concat(one.matrix(snapshots(one), spec, EVERY_KIND)) for one in (there, here))
        assert feed_at(there, MONDAY) == feed_at(here, MONDAY)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert ours["count__any_event__ever"].gt(0).mean() > 0.9 and ours["rule_points"].nunique() > 20


@needs_spark
def test_a_list_by_spark_is_the_list_by_duckdb_byte_for_byte(
    ready: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch)
    lists = ready.request_with(to=tmp_path / "duckdb"), on_spark(ready).request_with(to=tmp_path / "spark")
    for one in lists:
        one.run()
    assert digests(lists[0].to) == digests(lists[1].to)
    scores = pd.read_parquet(lists[1].to / "current" / "scores.parquet")
    assert set(scores["tier_reason"]) >= {"trigger: had a call", "trigger: row", "excluded: a chat"}
    assert scores["reasons_text"].str.len().min() > 0


@needs_spark
def test_shards_of_a_killed_run_are_taken_up_and_the_rest_is_done(
    ready: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch)
    here = ready.request_with(to=tmp_path / "to")
    monkeypatch.setattr("pipelines.scheduled.job.rank_leads", _killed)
    with pytest.raises(KeyboardInterrupt):
        here.run()
    (first, second) = sorted((tmp_path / "to" / ".work" / "shards").glob("*/shard-*.arrow"))
    second.unlink()
    made = first.stat().st_mtime_ns
    with pytest.raises(KeyboardInterrupt):
        on_spark(here).run()
    assert second.is_file() and first.stat().st_mtime_ns == made


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@needs_spark
def test_new_events_are_read_anew_and_lie_by_lead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = job(tmp_path)
    with opened(on_spark(here)) as contract:
        before = feed_at(contract, TODAY)
    data = export(tmp_path / "more", crowd((MONDAY,), n_events=700))
    ingest(here.params.source, here.params.ingest, here.params.project, data, here.layout)
    with opened(on_spark(here)) as contract:
        after = feed_at(contract, TODAY)
        counted = contract.events.group_by("lead_id").aggregate(n=contract.events.count())
        start(SMALL).sql(counted.compile()).explain()
    assert after.events > before.events
    assert len(list((here.layout.artifacts / "spark").glob("events_*"))) == 1
    plan = capsys.readouterr().out
    assert "Bucketed: true" in plan and "Exchange" not in plan  # a query of a lead moves no event


@needs_spark
def test_what_a_killed_run_handed_over_goes_and_two_do_not_work_at_once(ready: Job) -> None:
    work = ready.layout.artifacts / "spark"
    with opened(on_spark(ready)):
        made = {path.name: path.stat().st_mtime_ns for path in work.glob("events_*")}
        with pytest.raises(BusyError), opened(on_spark(ready)):
            pass
    for left in ("tmpk1lled/moments", ".events_0.4194305.staged", "events_0"):
        (work / left).mkdir(parents=True)
    with opened(on_spark(ready)):
        assert {path.name: path.stat().st_mtime_ns for path in work.iterdir() if path.is_dir()} == made


def test_without_java_or_pyspark_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/java")
    with pytest.raises(ParamsError, match=r"needs PySpark.*\.venv-spark"):
        start(SMALL)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ParamsError, match="needs Java 17"):
        start(SMALL)


@pytest.mark.parametrize("words", [("stage", "build-features"), ("score",), ("nightly", "score", "--lists", "lists")])
def test_the_commands_open_the_tables_on_the_engine(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, opened_with = job(tmp_path), []

    def opened(spark: SparkParams, layout: Layout, project: object) -> Contract:
        opened_with.append((spark.master, layout))
        raise ParamsError("enough")

    monkeypatch.setattr(SparkContract, "opened", opened)
    monkeypatch.chdir(tmp_path)
    where = ("--params", here.overlay, "--out", here.overlay.parent / "out")
    assert leadscore(monkeypatch, *words, *where, "--engine", "spark") == 2
    assert opened_with == [("local[2]", here.layout)]


def test_rules_are_not_scored_on_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leadscore(monkeypatch, "score", "--by", "rules", "--engine", "spark", "--out", tmp_path) == 2
