"""Ten nights in a row with whatever may befall them: after each, the CRM shows the list, by one update a change."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError, DeliveryError
from models.scoring.scorer import Scorer
from pipelines.config.params import load
from pipelines.delivery import deliver
from pipelines.scheduled.published import PublishedLists
from pipelines.stages.ingest import ingest
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import leadscore
from tests.pipelines.delivery.test_deliver import CrashError, crash_at
from tests.support.crm_server import CrmServer, serving
from tests.support.small_delivery import Scores, held, params_for
from tests.support.small_job import Job, export, job, small_shards
from tests.support.tables import DAY, HOUR, MONDAY, Row, crowd

FIRST = pd.Timestamp("2024-03-08")  # clocks in New York change in the night before 10 March
ZONE = "America/New_York"
Patch = pytest.MonkeyPatch


def exported(folder: Path, night: int) -> Path:
    """What the systems hold as a day begins, in New York's time: more leads, events and edits each night."""
    scenario = crowd((MONDAY,), n_events=400)
    leads = scenario.leads[: 50 + night]
    known = [row["lead_id"] for row in leads]
    hours = [FIRST + number * 5 * HOUR for number in range(-10, 24 * 12 // 5)]
    visits = [visit(known[number % 40], at) for number, at in enumerate(hours)]
    events = [
        row for row in scenario.events + visits if row["lead_id"] in known and row["known_at"] < FIRST + night * DAY
    ]
    history = [row for row in scenario.history if row["lead_id"] in known]
    export(folder, replace(scenario, leads=leads, events=events, history=history))
    rows = pd.read_parquet(folder / "events.parquet")
    for name in ("event_at", "known_at"):
        rows[name] = rows[name].dt.tz_localize("UTC").dt.tz_convert(ZONE)
    rows.to_parquet(folder / "events.parquet")
    return folder


def visit(lead: str, at: pd.Timestamp) -> Row:
    rest = {"event_type": "visit", "direction": "inbound", "channel": "online"}
    return {"lead_id": lead, "event_at": at, "known_at": at} | rest


# What may befall a night: each is done before the run that succeeds


def killed_while_scoring(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    whole, calls = Scorer.score, iter(range(9))

    def score(self: Scorer, matrix: pd.DataFrame, reasons: int) -> pd.DataFrame:
        if next(calls) == 1:
            raise CrashError
        return whole(self, matrix, reasons)

    patch.setattr(Scorer, "score", score)
    with pytest.raises(CrashError):
        here.run(day)


def killed_between_list_and_link(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    def die(*_: object) -> bool:
        raise CrashError

    patch.setattr(PublishedLists, "make_current", die)
    with pytest.raises(CrashError):
        here.run(day)


def cut_off_export(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    assert here.request.data is not None
    events = here.request.data / "events.parquet"
    whole = events.read_bytes()
    events.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"events\.parquet"):
        here.run(day)
    events.write_bytes(whole)


def full_disk(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr("os.fsync", full)
    with pytest.raises(DeliveryError, match="No space left"):
        here.run(day)


def clock_set_back(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    """The night before's run is done once more, two days earlier by the machine's clock."""
    assert "a later day stays current" in here.run(day - 3 * DAY)[0]


def events_sent_twice(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    assert here.request.data is not None
    path = here.request.data / "events.parquet"
    rows = pd.read_parquet(path)
    pd.concat([rows, rows.iloc[::-1]], ignore_index=True).to_parquet(path)


def nothing(here: Job, day: pd.Timestamp, patch: Patch) -> None:
    """A quiet night."""


NIGHTS: list[tuple[Callable[[Job, pd.Timestamp, Patch], None], str, list[str]]] = [
    # what befalls the run; where the delivery dies; what the CRM answers
    (nothing, "", []),
    (killed_while_scoring, "before", []),
    (cut_off_export, "unanswered", ["busy"]),
    (full_disk, "unsettled", ["reset_after"]),
    (clock_set_back, "unsent", ["partly"]),
    (events_sent_twice, "", ["torn", "failed"]),
    (killed_between_list_and_link, "unanswered", []),
    (clock_set_back, "", ["partly", "forgotten"]),
    (nothing, "before", ["busy"] * 8),
    (nothing, "", []),
]


def listed(here: Job) -> Scores:
    rows = pd.read_parquet(here.to / "current" / "scores.parquet")
    return {
        lead: (int(score), tier) for lead, score, tier in zip(rows["lead_id"], rows["score"], rows["tier"], strict=True)
    }


@pytest.mark.usefixtures("tokens")
def test_whatever_befalls_a_night_each_changed_lead_has_one_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving("hubspot") as crm:
        _ten_nights(crm, tmp_path, monkeypatch)


def _ten_nights(crm: CrmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    here = job(tmp_path / "job").request_with(data=tmp_path / "data", since_last=True)
    here.overlay.write_text(here.overlay.read_text().replace("timezone: UTC", f"timezone: {ZONE}"))
    here = replace(here, params=load(here.overlay))
    plain = here.request_with(to=tmp_path / "plain", since_last=False)
    params = params_for(crm, tmp_path, **{crm.kind: {"batch": 25}})
    wanted: Scores = {}
    changes: Counter[str] = Counter()

    def send(moment: str = "") -> None:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(CrashError, DeliveryError):
            crash_at(moment, 1, patch)
            deliver.deliver(params, here.to / "current", crm.kind, lambda _: None)

    for night, (fault, moment, troubles) in enumerate(NIGHTS):
        day = FIRST + night * DAY
        exported(tmp_path / "data", night)
        plain.run(day)
        with pytest.MonkeyPatch.context() as patch:
            fault(here, day, patch)
        if night:
            send()  # the scheduler delivers whatever list is current
            assert held(crm) == wanted and crm.changes == changes
        here.run(day)
        assert (here.to / "current/scores.csv").read_bytes() == (plain.to / "current/scores.csv").read_bytes()
        now = listed(here)
        changes.update(lead for lead, content in now.items() if wanted.get(lead) != content)
        wanted |= now
        crm.troubles = list(troubles)
        send(moment)
        crm.troubles = []
        send()
        assert held(crm) == wanted and crm.changes == changes
        before = crm.sent.total()
        send()  # delivered twice
        assert crm.sent.total() == before
    assert len(wanted) == 59 and max(changes.values()) > 3
    assert changes.total() < 59 * len(NIGHTS)


class Clock(dt.datetime):
    """Half past eight in the evening of 9 March in New York, when it is the tenth in UTC."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Clock:
        return cls(2024, 3, 10, 1, 30, tzinfo=dt.UTC).astimezone(tz)


def test_today_is_the_day_in_utc_whatever_the_clocks_on_the_wall_do(tmp_path: Path, monkeypatch: Patch) -> None:
    here = job(tmp_path)
    request_with: list[str] = []

    def run_job(run: RunContext, *_: object) -> list[str]:
        request_with.append(run.params.score.as_of)
        return []

    monkeypatch.setattr("pipelines.cli.options.dt.datetime", Clock)
    monkeypatch.setattr("pipelines.scheduled.job.run_job", run_job)
    words = ("nightly", "score", "--lists", here.to, "--as-of", "today", "--params", here.overlay)
    assert leadscore(monkeypatch, *words, "--out", here.overlay.parent / "out") == 0
    assert request_with == [dt.date(2024, 3, 10)]


def test_local_times_without_an_offset_keep_their_order_over_a_change_of_clocks(tmp_path: Path) -> None:
    """Written down by a clock on the wall: an hour comes twice in autumn, and in spring one is missing."""
    here = job(tmp_path)
    data = here.overlay.parent / "data"
    days = pd.date_range("2024-03-10", periods=1).append(pd.date_range("2024-11-03", periods=1))
    moments = pd.DatetimeIndex([day + number * HOUR / 2 for day in days for number in range(60)])
    wall = moments.tz_localize("UTC").tz_convert(ZONE).tz_localize(None)
    lead = pd.read_parquet(data / "leads.parquet")["lead_id"].iloc[0]
    rows = pd.DataFrame([visit(lead, at) for at in wall]).assign(value=range(len(wall)))
    rows.to_parquet(data / "events.parquet")
    overlay = here.overlay.read_text().replace("timezone: UTC", f"timezone: {ZONE}")
    here.overlay.write_text(overlay)
    params = load(here.overlay)
    ingest(params.source, params.ingest, params.project, data, here.layout)
    kept = pd.read_parquet(here.layout.events.path).sort_values("value")
    assert len(kept) == len(rows)
    doubt = (kept["event_at"].to_numpy() - moments.to_numpy()) / pd.Timedelta(hours=1)
    assert set(doubt) <= {-1.0, 0.0, 1.0}
    assert (doubt != 0).sum() == 2  # the two half hours that came twice are told as one


def test_a_list_made_after_the_clock_was_set_back_is_still_the_newest_of_its_day(tmp_path: Path) -> None:
    here = job(tmp_path)
    here.run(FIRST)
    here.run(FIRST + DAY)
    published = PublishedLists(here.to)
    old = published.days()[f"{FIRST:%Y-%m-%d}"]
    later = pd.Timestamp("2100-01-01").value
    os.utime(published.run(old), ns=(later, later))
    here.request_with(reasons="all").run(FIRST)
    days = published.days()
    assert days[f"{FIRST:%Y-%m-%d}"] != old
    assert published.current_name() == days[f"{FIRST + DAY:%Y-%m-%d}"]
