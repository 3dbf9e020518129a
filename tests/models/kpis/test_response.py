"""How fast sales answers, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from models.kpis.response import Contacts, entries, firings, response_times, starts_of
from models.kpis.summary import answered

AT = pd.Timestamp("2026-03-02 09:00").as_unit("us")
MINUTE, DAY = pd.Timedelta(minutes=1), pd.Timedelta(days=1)
NO_OUTCOMES = pd.DataFrame({"lead_id": ["x"], "converted_at": [pd.NaT], "lost_at": [pd.NaT]}).astype(
    {"converted_at": "datetime64[us]", "lost_at": "datetime64[us]"}
)


def starts(*rows: tuple[str, pd.Timestamp]) -> pd.DataFrame:
    return pd.DataFrame(
        {"lead_id": [lead for lead, _ in rows], "at": [at for _, at in rows], "kind": "trigger"}
    ).astype({"at": "datetime64[us]"})


def log(*rows: tuple[str, pd.Timestamp]) -> Contacts:
    frame = pd.DataFrame({"lead_id": [lead for lead, _ in rows], "contacted_at": [at for _, at in rows]})
    return Contacts(frame.astype({"contacted_at": "datetime64[us]"}), "contact log")


def test_a_lead_enters_where_the_list_before_had_it_elsewhere() -> None:
    rows = [("a", 0, "hot"), ("a", 1, "hot"), ("a", 2, "warm"), ("a", 3, "hot"), ("b", 1, "hot"), ("b", 3, "hot"),
            ("c", 0, "warm"), ("c", 1, "warm")]  # fmt: skip
    listed = pd.DataFrame([{"lead_id": lead, "snapshot_at": AT + day * DAY, "tier": tier} for lead, day, tier in rows])
    found = entries(listed, "hot")
    assert list(zip(found["lead_id"], (found["at"] - AT).dt.days, strict=True)) == [("a", 3), ("b", 1), ("b", 3)]


def test_a_trigger_fires_once_in_its_days_and_the_list_after_it_is_no_news() -> None:
    events = pd.DataFrame({"lead_id": ["a"] * 3, "known_at": [AT, AT + 2 * DAY, AT + 12 * DAY]})
    fired = firings(events, 7)
    assert list((fired["at"] - AT).dt.days) == [0, 12]
    assert len(firings(events, None)) == 1
    entered = pd.DataFrame({"lead_id": ["a", "a"], "at": [AT + DAY, AT + 10 * DAY], "kind": "entered the tier"})
    both = starts_of(entered, fired, 7)
    assert list(zip((both["at"] - AT).dt.days, both["kind"], strict=True)) == [
        (0, "trigger"), (10, "entered the tier"), (12, "trigger"),
    ]  # fmt: skip


def test_minutes_the_share_in_time_and_who_was_never_called() -> None:
    """In time, too late, never, won before the time was up, and after the end of the log."""
    begun = starts(("a", AT), ("b", AT), ("c", AT), ("d", AT), ("e", AT + 9 * DAY))
    contacts = log(("a", AT - MINUTE), ("a", AT + 5 * MINUTE), ("b", AT + 90 * MINUTE), ("z", AT + DAY))
    outcomes = pd.DataFrame({"lead_id": ["d"], "converted_at": [AT + 10 * MINUTE], "lost_at": [pd.NaT]}).astype(
        {"lost_at": "datetime64[us]"}
    )
    times = response_times(begun, contacts, outcomes, 60, 0.9)
    assert (times.n, times.contacted, times.open_without_contact) == (4, 2, 1)
    assert (times.within_sla, times.within_sla_n) == (pytest.approx(1 / 3), 3)
    assert [one.minutes for one in times.minutes] == [5.0, 90.0, None]
    assert "half were contacted within 90 minutes; 33.3%" in answered(times, "hot")


def test_a_log_by_the_day_says_no_minutes() -> None:
    begun, contacts = starts(("a", AT), ("b", AT)), log(("a", AT.floor("D")), ("b", AT.floor("D") + DAY))
    times = response_times(begun, contacts, NO_OUTCOMES, 60, 0.9)
    assert times.by_day and times.within_sla is None and times.contacted == 2
    assert "contacts by the day do not say" in answered(times, "hot")
    assert response_times(begun, contacts, NO_OUTCOMES, 1440, 0.9).within_sla == 1.0
    assert "too early to say" in answered(response_times(begun, contacts, NO_OUTCOMES, 9 * 1440, 0.9), "hot")


def test_a_start_whose_time_has_not_passed_counts_for_nobody_and_one_that_nobody_logged_neither() -> None:
    """Else of the last starts the quick answers alone would count, and of those before the log none."""
    begun = starts(("a", AT), ("b", AT + DAY - 30 * MINUTE), ("c", AT + DAY - 30 * MINUTE), ("d", AT - 5 * DAY))
    contacts = log(("a", AT + 90 * MINUTE), ("b", AT + DAY - 20 * MINUTE), ("z", AT + DAY))
    times = response_times(begun, contacts, NO_OUTCOMES, 60, 0.9)
    assert (times.within_sla, times.within_sla_n) == (0.0, 1)
    assert (times.n, times.contacted, times.open_without_contact) == (3, 2, 1)


def test_who_has_closed_before_is_no_start() -> None:
    won = pd.DataFrame({"lead_id": ["a"], "converted_at": [AT - DAY], "lost_at": [pd.NaT]})
    outcomes = won.astype({"lost_at": "datetime64[us]"})
    times = response_times(starts(("a", AT), ("b", AT)), log(("z", AT), ("z", AT + DAY)), outcomes, 60, 0.9)
    assert (times.n, times.triggers, times.within_sla_n) == (1, 1, 1)
