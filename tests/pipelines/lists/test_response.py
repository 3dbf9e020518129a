"""Which starts count, and which contacts: of the lists in front of people, and by the end of the data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from features.rules.conditions import EventSeen
from models.kpis.results import ResponseTimes
from models.tiers.tier_rules import TierRule
from pipelines.lists.not_called import not_called, write_not_called
from pipelines.lists.response import response
from pipelines.storage.contract_store import Display
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.tables import PARAMS

DAY = pd.Timedelta(days=1)
FIRST = pd.Timestamp("2026-03-02").as_unit("us")
EVENTS = [("z", 1, "call", "outbound"), ("a", -3, "demo", "inbound"),
          ("a", 2, "demo", "inbound"), ("b", 3, "demo", "inbound"),
          ("b", 4, "call", "outbound"), ("a", 6, "call", "outbound"), ("b", 40, "call", "outbound")]  # fmt: skip


def contract() -> Any:
    rows = [(lead, FIRST + day * DAY, kind, direction) for lead, day, kind, direction in EVENTS]
    events = pd.DataFrame(rows, columns=["lead_id", "event_at", "event_type", "direction"])
    events["known_at"] = events["event_at"]
    outcomes = pd.DataFrame({"lead_id": ["z"], "converted_at": [FIRST], "lost_at": [FIRST]})
    return SimpleNamespace(
        events=ibis.memtable(pa.Table.from_pandas(events)), outcomes=outcomes, data_until=FIRST + 20 * DAY
    )


def run(folder: Path) -> RunContext:
    trigger = TierRule(name="asked", when=EventSeen(types=["demo"], days=None), tier=PARAMS.tiers.names[0])
    tiers = PARAMS.tiers.model_copy(update={"triggers": [trigger]})
    return RunContext(PARAMS.model_copy(update={"tiers": tiers}), Layout.folder(folder))


def asked(tier: str, folder: Path, days: list[int]) -> ResponseTimes | str:
    listed = pd.DataFrame({"lead_id": "c", "snapshot_at": [FIRST + day * DAY for day in days], "tier": tier})
    return response(listed, tier, contract(), run(folder))


def test_a_trigger_that_held_before_the_first_list_fires_no_more_and_booked_calls_are_none(tmp_path: Path) -> None:
    times = asked(PARAMS.tiers.names[0], tmp_path, [0, 7])
    assert isinstance(times, ResponseTimes)
    assert (times.n, times.triggers, times.contacted) == (1, 1, 1), "b on day 3; a's demo was seen before"
    assert times.until[:10] == "2026-03-09", "by the day, so to the end of 8 March"


def test_where_nobody_entered_that_is_said_and_not_that_there_is_no_log(tmp_path: Path) -> None:
    found = asked("best", tmp_path, [30])
    assert isinstance(found, str) and found.startswith("nobody entered best")


def test_who_waits_is_carried_from_list_to_list_until_somebody_calls(tmp_path: Path) -> None:
    best = PARAMS.tiers.names[0]

    def day(number: int, hot: dict[str, str], before: Path | None) -> tuple[list[tuple[str, int]], Path]:
        leads = pd.DataFrame({"lead_id": list(hot), "score": 90, "tier": best, "tier_reason": "",
                              "previous_tier": list(hot.values())})  # fmt: skip
        listed: Any = SimpleNamespace(as_of=FIRST + number * DAY, leads=leads)
        found = not_called(listed, contract(), run(tmp_path), before)
        assert found is not None
        folder = tmp_path / f"list {number}"
        folder.mkdir()
        write_not_called(found, folder, Display())
        return list(zip(found["lead_id"], found["minutes"] // 1440, strict=True)), folder

    first, last = day(1, {"c": "", "d": "", "z": ""}, None)
    assert first == [("c", 0), ("d", 0)], "z was called on this very day"
    second, last = day(3, {"c": best, "d": best, "a": "warm", "z": best}, last)
    assert second == [("c", 2), ("d", 2), ("a", 0)], "a's demo is older than the log"
    third, last = day(5, {"c": best, "a": best, "b": ""}, last)
    assert third == [("c", 4), ("a", 2), ("b", 0)], "d left the tier; b was called, and came in after it"
    assert day(6, {"a": best}, last)[0] == []
