"""The scheduled run: what it publishes, that it is the same every time, and what stops it."""

from __future__ import annotations

import gc
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from features.schema.errors import DataError, FeedError, ModelError, ParamsError
from models.scoring.scorer import Scorer
from pipelines.config.params import reasons_asked, with_as_of
from pipelines.scheduled.job import backfill
from pipelines.scheduled.published import PublishedLists
from pipelines.stages.score import score_leads
from pipelines.storage.run_context import RunContext
from tests.support.small_job import TODAY, Job, digests, export, job, small_shards, still
from tests.support.small_model import matrix, scorer
from tests.support.tables import DAY, MONDAY, crowd

OTHERS = {"_duckdb", "ibis", "lightgbm", "pandas", "pyarrow", "re", "rich", "sqlglot"}
HOLDERS = {"features", "models", "pipelines"} | OTHERS


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def published(ready: Job) -> Path:
    """The folder of lists after the run of TODAY."""
    here = elsewhere(ready, ready.overlay.parent / "published")
    here.run()
    return here.to


def elsewhere(ready: Job, folder: Path) -> Job:
    return ready.request_with(to=folder / "to")


@pytest.fixture
def here(ready: Job, published: Path, tmp_path: Path) -> Job:
    """A job that has published the list of TODAY."""
    shutil.copytree(published, tmp_path / "to", symlinks=True)
    return elsewhere(ready, tmp_path)


def test_the_list_is_the_stage_s_list_byte_for_byte(
    ready: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = elsewhere(ready, tmp_path)
    small_shards(monkeypatch)
    lines = here.run()
    monkeypatch.undo()
    params = with_as_of(here.params, f"{TODAY:%Y-%m-%d}")
    score_leads(
        RunContext(params.model_copy(update={"score": params.score.model_copy(update={"reasons": 3})}), here.layout)
    )
    for name in ("scores.parquet", "scores.csv"):
        assert (here.to / "current" / name).read_bytes() == (here.layout.reports / name).read_bytes()
    assert len(lines) == 1 and "published 2024-03-04-" in lines[0]


def test_the_manifest_says_what_went_in_and_what_came_out(here: Job) -> None:
    manifest = json.loads((here.to / "current" / "manifest.json").read_text())
    scores = pd.read_parquet(here.to / "current" / "scores.parquet")
    assert manifest["n"] == len(scores) == 60
    assert manifest["tiers"] == {"hot": 20, "warm": 40, "cold": 0}
    assert manifest["as_of"] == "2024-03-04" and manifest["model_id"] == scorer().model_id
    assert manifest["rows"]["leads"] == {"read": 60, "kept": 60, "quarantined": 0}
    beside = {"inputs.parquet", "not_called.parquet", "not_called.csv"}
    assert set(manifest["outputs"]) == {"scores.parquet", "scores.csv"} | beside and "leadscore" in manifest["versions"]
    assert manifest["drift"]["score_shift"] is None and manifest["previous"] is None


def test_tiers_are_counted_best_first_however_low_a_trigger_reaches(here: Job) -> None:
    name = (here.to / "current").readlink().name
    path = here.to / "runs" / name / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"lowest_score": {"hot": 1, "warm": 40}}))
    assert here.run()[0].endswith("(hot 20, warm 40, cold 0)")


def test_a_rerun_leaves_every_byte_and_writes_nothing(here: Job) -> None:
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in here.to.rglob("[!.]*")}
    here.run()
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in here.to.rglob("[!.]*")} == before


def test_shards_threads_and_the_clock_change_no_byte(
    ready: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = elsewhere(ready, tmp_path / "one"), elsewhere(ready, tmp_path / "other")
    one.run()
    small_shards(monkeypatch)
    alone = other.params.project.model_copy(update={"threads": 1})
    backwards = iter(range(10**6, 0, -1))
    replace(other, params=other.params.model_copy(update={"project": alone})).run(clock=lambda: float(next(backwards)))
    assert digests(one.to) == digests(other.to)


def test_foreign_or_damaged_manifests_count_as_no_lists(
    ready: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = elsewhere(ready, tmp_path)
    texts = ["[]", "{}", '{"outputs": 1}', '{"as_of": "2024-03-03"}', "\x00", ""]
    foreign = {here.to / "runs" / f"2024-03-03-{number}" / "manifest.json": text for number, text in enumerate(texts)}
    for path, text in foreign.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert here.run()[0].startswith("published 2024-03-04-")
    assert all(f"{path} is no manifest of a list" in caplog.text for path in foreign)
    assert here.run(TODAY + DAY)[0].startswith("published 2024-03-05-")
    assert {path: path.read_text() for path in foreign} == foreign


def test_what_decides_a_list_decides_its_name(here: Job, tmp_path: Path) -> None:
    first = PublishedLists(here.to).current_name()
    here.request_with(reasons="all").run()
    here.run(TODAY + DAY)
    more = job(tmp_path / "more", crowd((MONDAY,), n_events=500)).request_with(to=here.to)
    more.run()
    other = job(tmp_path / "other", base_rate=0.31).request_with(to=here.to)
    other.run()
    names = [path.name for path in PublishedLists(here.to).runs.iterdir()]
    assert len(set(names)) == len(names) == 3  # of a day only the current list and the one it replaced stay
    assert first is not None and all(name != first for name in names if "03-05" in name)


def test_a_damaged_list_is_made_again(here: Job) -> None:
    complete = digests(here.to)
    for name in ("scores.csv", "manifest.json"):
        file = here.to / "current" / name
        file.write_bytes(file.read_bytes()[:-40])
        here.run()
        assert digests(here.to) == complete


def test_a_later_list_stays_current(ready: Job, tmp_path: Path) -> None:
    here = elsewhere(ready, tmp_path)
    here.run(TODAY + DAY)
    current = PublishedLists(here.to).current_name()
    lines = here.run(TODAY)
    assert PublishedLists(here.to).current_name() == current
    assert "a later day stays current" in lines[0]
    assert len(list(PublishedLists(here.to).runs.iterdir())) == 2


def test_backfill_makes_each_day_s_own_list(ready: Job, tmp_path: Path) -> None:
    here, single = elsewhere(ready, tmp_path / "all"), elsewhere(ready, tmp_path / "single")
    days = pd.date_range(MONDAY, periods=3, freq="7D")
    backfill(RunContext(here.params, here.layout), here.request, "2024-03-01", "2024-03-18", None, lambda: 0.0)
    for day in days:
        single.run(day)
    assert len(list(PublishedLists(here.to).runs.iterdir())) == 3
    assert digests(here.to) == digests(single.to)


def test_backfill_by_days_steps_over_the_change_of_clocks(ready: Job, tmp_path: Path) -> None:
    here = elsewhere(ready, tmp_path)
    backfill(RunContext(here.params, here.layout), here.request, "2024-03-09", "2024-03-11", 1, lambda: 0.0)
    names = sorted(path.name[:10] for path in PublishedLists(here.to).runs.iterdir())
    assert names == ["2024-03-09", "2024-03-10", "2024-03-11"]


def test_dry_run_changes_nothing_and_says_what_would(ready: Job, tmp_path: Path) -> None:
    here = elsewhere(ready, tmp_path)
    assert "no current list" in here.request_with(dry_run=True).run()[1]
    here.run()
    before = digests(here.to)
    lines = here.request_with(dry_run=True).run(TODAY + 3 * DAY)
    assert digests(here.to) == before
    assert not list((here.to / ".work").rglob("shard-*"))
    here.run(TODAY + 3 * DAY)
    old, new = (
        pd.read_parquet(path / "scores.parquet").set_index("lead_id") for path in sorted((here.to / "runs").iterdir())
    )
    both = old.join(new, how="inner", suffixes=("", "_new"))
    tier, points = ((both[name] != both[f"{name}_new"]).sum() for name in ("tier", "score"))
    assert f"{len(new) - len(both)} leads new, {len(old) - len(both)} gone" in lines[1]
    assert f"{tier} in another tier, {points} with another score" in lines[1]


def test_days_beyond_those_kept_go(ready: Job, tmp_path: Path) -> None:
    here = elsewhere(ready, tmp_path).params_with(keep_days=2)
    for number in range(3):
        here.run(TODAY + number * DAY)
    here.request_with(reasons="none").run(TODAY + 2 * DAY)
    names = sorted(path.name[:10] for path in PublishedLists(here.to).runs.iterdir())
    assert names == ["2024-03-05", "2024-03-06", "2024-03-06"]
    assert not list((here.to / ".work").rglob("shard-*"))


# What stops it


def test_a_feed_that_stopped_publishes_nothing(here: Job) -> None:
    strict = here.params_with(max_silence_days=2)
    strict.run(TODAY + 2 * DAY)  # the last events are of the first moment of TODAY
    before = digests(here.to)
    with pytest.raises(FeedError, match="stopped: on 2024-03-07 the newest record is of 2024-03-04"):
        strict.run(TODAY + 3 * DAY)
    assert digests(here.to) == before


@pytest.mark.parametrize("what", ["leads", "events"])
def test_a_feed_that_shrank_publishes_nothing(what: str, here: Job, tmp_path: Path) -> None:
    before = digests(here.to)
    scenario = crowd((MONDAY,))
    kept = {row["lead_id"] for row in scenario.leads[: 29 if what == "leads" else None]}
    rows = {
        name: [row for row in getattr(scenario, name) if row["lead_id"] in kept]
        for name in ("leads", "history", "events")
    }
    if what == "events":
        rows["events"] = rows["events"][:200]
    shrunk = job(tmp_path / "shrunk", replace(scenario, **rows)).request_with(to=here.to)
    with pytest.raises(FeedError, match=what):
        shrunk.run(TODAY + DAY)
    assert digests(here.to) == before
    shrunk.params_with(min_volume_share=0.0).run(TODAY + DAY)
    assert PublishedLists(here.to).current_name() != before["current"]


def test_tables_that_are_cut_off_or_replaced_are_refused(ready: Job, tmp_path: Path) -> None:
    here = job(tmp_path / "job")
    here.run()
    before, events = digests(here.to), here.layout.events.path
    complete = events.read_bytes()
    for spoilt in (complete[: len(complete) // 2], complete[:-200] + bytes(1) + complete[-199:], b""):
        events.write_bytes(spoilt)
        with pytest.raises(DataError, match="not as they were written"):
            here.run(TODAY + DAY)
        assert digests(here.to) == before
    events.write_bytes(complete)
    here.run(TODAY + DAY)


def test_tables_replaced_while_they_are_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = job(tmp_path / "job"), job(tmp_path / "other", crowd((MONDAY,), n_events=500))
    original = Scorer.score

    def score_and_swap(self: Scorer, matrix: pd.DataFrame, reasons: int) -> pd.DataFrame:
        for name in ("events.parquet", "profile.json"):
            (other.layout.contract / name).replace(here.layout.contract / name)
        monkeypatch.undo()
        return original(self, matrix, reasons)

    small_shards(monkeypatch)
    monkeypatch.setattr(Scorer, "score", score_and_swap)
    with pytest.raises(DataError, match="replaced while they were read"):
        here.run()
    assert not (here.to / "current").exists()


def test_the_user_s_files_are_read_once_and_again_when_they_change(ready: Job, tmp_path: Path) -> None:
    data = export(tmp_path / "data", crowd((MONDAY,)))
    here = elsewhere(ready, tmp_path).request_with(data=data)
    here.run()
    assert (here.to / "current/scores.parquet").read_bytes() == _of_contract(ready, tmp_path)
    profile = here.to / ".work/feed/data/contract/profile.json"
    first = profile.stat().st_ino
    here.run(TODAY + DAY)
    assert profile.stat().st_ino == first
    export(data, crowd((MONDAY,), n_events=700))
    here.run(TODAY + DAY)
    assert profile.stat().st_ino != first
    manifest = json.loads((here.to / "current" / "manifest.json").read_text())
    assert set(manifest["inputs"]) == {"leads.parquet", "events.parquet", "history.parquet", "outcomes.parquet"}
    events = data / "events.parquet"
    events.write_bytes(events.read_bytes()[:-100])
    before = digests(here.to)
    with pytest.raises(DataError, match=r"events\.parquet"):
        here.run(TODAY + 2 * DAY)
    assert digests(here.to) == before


def _of_contract(ready: Job, folder: Path) -> bytes:
    here = ready.request_with(to=folder / "plain")
    here.run()
    return (here.to / "current/scores.parquet").read_bytes()


def test_no_model_is_a_model_error(ready: Job, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        elsewhere(ready, tmp_path).request_with(model=str(tmp_path)).run()


# Only what changed


@pytest.mark.parametrize("quiet", [True, False])
def test_since_last_gives_the_full_run_s_bytes(quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every day another export: more events, edits, one event taken back, a lead that is new."""
    if quiet:
        small_shards(monkeypatch)
    metadata = {"left_out": still()} if quiet else {}
    unchanged = []
    for number in range(3 if quiet else 2):
        scenario = crowd((MONDAY,), n_events=150)
        events = scenario.events[: 110 + 20 * number]
        today = replace(scenario, leads=scenario.leads[: 57 + number], events=events[number:])
        known = {row["lead_id"] for row in today.leads}
        today = replace(today, events=[row for row in today.events if row["lead_id"] in known],
                        history=[row for row in today.history if row["lead_id"] in known])  # fmt: skip
        full = job(tmp_path / f"{number}", today, **metadata).request_with(to=tmp_path / "full")
        part = full.request_with(to=tmp_path / "part", since_last=True)
        full.run(TODAY + number * DAY)
        part.run(TODAY + number * DAY)
        unchanged.append(json.loads((part.to / "current" / "timings.json").read_text())["unchanged"])
    assert digests(tmp_path / "full") == digests(tmp_path / "part")
    assert unchanged[0] == 0
    assert all(5 < n < 57 for n in unchanged[1:]) if quiet else unchanged == [0, 0]


def test_without_dates_there_is_one_list_and_nothing_changes_by_itself(tmp_path: Path) -> None:
    one = job(tmp_path / "one", replace(crowd((MONDAY,)), history=[]), snapshots=None, trained_until=None)
    one.run()
    more = replace(crowd((MONDAY,)), history=[])
    more.leads[1]["mail"] = "x@cs.mit.edu" if more.leads[1]["mail"] != "x@cs.mit.edu" else None
    other = job(tmp_path / "other", more, snapshots=None, trained_until=None).request_with(to=one.to, since_last=True)
    other.run()
    current = one.to / "current"
    assert current.readlink().name.startswith("undated-")
    scores = pd.read_parquet(current / "scores.parquet")
    assert scores["as_of"].isna().all()
    assert json.loads((current / "timings.json").read_text())["unchanged"] == len(scores) - 1
    with pytest.raises(DataError, match="without dates"):
        backfill(RunContext(one.params, one.layout), one.request, "2024-03-01", "2024-03-18", None, lambda: 0.0)


def test_another_model_s_list_is_no_help(tmp_path: Path) -> None:
    one = job(tmp_path / "one", left_out=still())
    one.run()
    other = job(tmp_path / "other", left_out=still(), base_rate=0.31).request_with(to=one.to, since_last=True)
    other.run()
    assert json.loads((one.to / "current" / "timings.json").read_text())["unchanged"] == 0


def test_features_not_read_move_no_figure() -> None:
    """What `since_last` rests on, on the model itself."""
    model = replace(scorer(), metadata=scorer().metadata.model_copy(update={"left_out": still()}))
    rows = matrix().head(50).reset_index(drop=True)
    unread = [name for name in model.feature_names if name not in model.features_read]
    assert set(still()) <= set(unread) and len(model.features_read) > 5
    moved = rows.assign(**{name: rows[name] + 7 for name in unread})
    assert model.score(rows, 9).equals(model.score(moved, 9))
    for name in model.features_read:
        assert name in model.feature_names


# Words


@pytest.mark.parametrize(("text", "n"), [("top-5", 5), ("top-0", 0), ("none", 0)])
def test_reasons_are_understood(text: str, n: int) -> None:
    assert reasons_asked(text) == n
    assert reasons_asked("all") > 1000


@pytest.mark.parametrize("text", ["5", "top", "top--1", "top-5.5", "All", ""])
def test_other_words_are_a_usage_error(text: str) -> None:
    with pytest.raises(ParamsError, match="top-5"):
        reasons_asked(text)


def held_in_memory() -> Counter[str]:
    """Objects alive, by their kind: those of this program and of what it computes with."""
    gc.collect()
    kinds = [type(one) for one in gc.get_objects()]
    homes = [str(kind.__module__) for kind in kinds]
    named = zip(homes, kinds, strict=True)
    return Counter(f"{home}.{kind.__name__}" for home, kind in named if home.split(".")[0] in HOLDERS)


def test_a_run_leaves_nothing_of_itself_in_memory(ready: Job, tmp_path: Path) -> None:
    data = export(tmp_path / "data", crowd((MONDAY,)))

    def run(number: int) -> None:
        one = elsewhere(ready, tmp_path / f"{number}").request_with(data=data)
        assert "published" in one.run(TODAY + number * DAY)[0]

    for number in (0, 1):
        run(number)
    before, arrow = held_in_memory(), pa.total_allocated_bytes()
    for number in (2, 3, 4):
        run(number)
    assert held_in_memory() - before == Counter()
    assert pa.total_allocated_bytes() <= arrow
