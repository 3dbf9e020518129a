"""Scores reach a CRM exactly once, whatever breaks: its records are those of the newest list, none changed twice."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.schema.errors import DeliveryError
from pipelines.delivery import deliver
from pipelines.delivery.crm import Answer, Message, retry_after
from pipelines.delivery.outbox import Outbox
from tests.support.crm_server import TOKEN, CrmServer, Trouble, serving
from tests.support.paths import ROOT
from tests.support.small_delivery import KINDS, VARIABLES, Kind, Scores, held, many, params_for, put, run, section

pytestmark = pytest.mark.usefixtures("tokens")


class CrashError(BaseException):
    """The process dies here."""


# Exactly once


def test_every_lead_once_then_only_what_changed(crm: CrmServer, tmp_path: Path) -> None:
    first = many(450)
    assert run(crm, tmp_path, first) == []
    assert held(crm) == first
    assert set(crm.sent.values()) == {1} and crm.requests == {"hubspot": 5, "salesforce": 3}[crm.kind]
    run(crm, tmp_path, first, "2026-11-02")
    assert crm.sent.total() == 450
    second = first | {"L0003": (99, "hot"), "L0400": (1, "cold"), "new": (5, "cold")}
    run(crm, tmp_path, second, "2026-11-03")
    assert held(crm) == second and crm.sent.total() == 453
    assert crm.changes == Counter(dict.fromkeys(first, 1)) + Counter({"L0003": 1, "L0400": 1, "new": 1})
    assert crm.kind == "salesforce" or set(crm.keys.values()) == {1}


TROUBLES: list[Trouble] = [
    "busy",
    "busy_until",
    "failed",
    "broken",
    "reset",
    "reset_after",
    "torn",
    "partly",
    "unnamed",
    "forgotten",
    "twice",
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_loses_nothing_and_doubles_nothing(crm: CrmServer, trouble: Trouble, tmp_path: Path) -> None:
    first = many(250)
    crm.troubles = ["", trouble, trouble]
    waits = run(crm, tmp_path, first)
    assert held(crm) == first
    assert crm.changes == Counter(dict.fromkeys(first, 1))
    assert (max(waits, default=0.0) > 0) == (trouble != "unnamed")
    requested = {"busy": 7.0, "busy_until": 9.0}.get(trouble, 0.0)
    assert all(wait >= requested for wait in waits)
    if trouble == "partly":  # those that were taken are not sent again
        assert set(crm.sent.values()) == {1}
    run(crm, tmp_path, first, "2026-11-02")
    assert sum(crm.changes.values()) == 250


@pytest.mark.parametrize("trouble", ["slow", "slow_after"])
def test_an_answer_that_does_not_come_in_time(trouble: Trouble, tmp_path: Path) -> None:
    with serving("hubspot") as crm:
        crm.troubles = [trouble]
        run(crm, tmp_path, many(30))
        assert held(crm) == many(30) and set(crm.changes.values()) == {1}


def test_only_what_failed_is_sent_again(crm: CrmServer, tmp_path: Path) -> None:
    crm.troubles = ["partly"]
    run(crm, tmp_path, many(9))
    contents = Counter(lead for lead, _ in crm.sent.elements())
    assert contents == Counter(dict.fromkeys(many(9), 1)) and crm.requests > 1


crashes = st.sampled_from(["", "", "before", "unsent", "unanswered", "unsettled"])
troubles = st.lists(st.sampled_from(["", "", *TROUBLES]), max_size=6)
versions = st.dictionaries(
    st.sampled_from([f"L{number}" for number in range(12)]), st.tuples(st.integers(1, 2), st.sampled_from(["hot"])),
    min_size=1,
)  # fmt: skip
nights = st.lists(st.tuples(versions, crashes, st.integers(1, 3), troubles), min_size=1, max_size=5)


def crash_at(moment: str, turn: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die at the given moment of the given request."""
    count = Counter[str]()
    sending, settle, send = Outbox.sending, Outbox.settle, deliver.send

    def now(step: str) -> None:
        count[step] += 1
        if step == moment and count[step] == turn:
            raise CrashError

    def crashing_sending(self: Outbox, batch: Sequence[Message]) -> None:
        now("before")
        sending(self, batch)
        now("unsent")

    def crashing_send(*args: Any) -> Answer:
        answer = send(*args)
        now("unanswered")
        return answer

    def crashing_settle(self: Outbox, *args: Any) -> None:
        settle(self, *args)
        now("unsettled")

    patch.setattr(Outbox, "sending", crashing_sending)
    patch.setattr(Outbox, "settle", crashing_settle)
    patch.setattr(deliver, "send", crashing_send)


@settings(max_examples=25)
@given(story=nights, kind=st.sampled_from(KINDS))
def test_whatever_breaks_the_records_end_as_the_newest_list_says(
    story: list[tuple[Scores, str, int, list[Trouble]]], kind: Kind, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Scores go up and down between nights, requests fail, and the process dies at any step of any request."""
    folder = tmp_path_factory.mktemp("story")
    wanted: Scores = {}
    most: Counter[str] = Counter()  # how often the wanted content of a lead has changed
    with serving(kind) as crm:
        for night, (scores, moment, turn, ordered) in enumerate(story):
            most.update(lead for lead, content in scores.items() if wanted.get(lead) != content)
            wanted |= scores
            crm.troubles = list(ordered)
            with pytest.MonkeyPatch.context() as patch:
                crash_at(moment, turn, patch)
                with contextlib.suppress(CrashError, DeliveryError):
                    run(crm, folder, wanted, f"2026-11-{night + 1:02d}", **{kind: {"batch": 4}})
            assert all(crm.changes[lead] <= most[lead] for lead in wanted)  # nothing doubled, at any time
        crm.troubles = []
        run(crm, folder, wanted, "2026-11-29", **{kind: {"batch": 4}})
        assert held(crm) == wanted
        assert all(1 <= crm.changes[lead] <= most[lead] for lead in wanted)
        before = crm.sent.total()
        run(crm, folder, wanted, "2026-11-30", **{kind: {"batch": 4}})
        assert crm.sent.total() == before


KILLED = """
import sys
from pathlib import Path
from pipelines.delivery.deliver import deliver
from pipelines.config.params import load
deliver(load(Path(sys.argv[1])), Path(sys.argv[2]), "hubspot", lambda seconds: None)
"""


def test_killed_for_good_in_the_middle_of_a_request(tmp_path: Path) -> None:
    """SIGKILL before the CRM has written a batch, and after it has written one and not answered."""
    with serving("hubspot") as crm:
        overlay = tmp_path / "mine.yaml"
        overlay.write_text(yaml.safe_dump({"delivery": section(crm, tmp_path, timeout_s=30)}))
        command = [sys.executable, "-c", KILLED, str(overlay), str(put(tmp_path, many(450)))]

        def start(kill: Literal["before", "after", ""], turn: int) -> int:
            process = subprocess.Popen(command, cwd=ROOT)
            turns = iter(range(1, 100))

            def lives() -> bool:
                if next(turns) != turn:
                    return True
                process.kill()
                process.wait()
                return False

            crm.before = lives if kill == "before" else lambda: True
            crm.after = lives if kill == "after" else lambda: None
            return process.wait()

        assert start("before", 2) == -signal.SIGKILL and len(crm.records) == 100
        assert start("after", 2) == -signal.SIGKILL and len(crm.records) == 300
        assert start("", 0) == 0
        assert held(crm) == many(450) and crm.changes == Counter(dict.fromkeys(many(450), 1))
        assert Counter(crm.sent.values()) == {1: 350, 2: 100}  # the batch in doubt was sent once more, to no effect


def test_a_score_that_goes_back_while_its_update_is_in_doubt_is_sent(crm: CrmServer, tmp_path: Path) -> None:
    """The CRM took B, and the process died before it knew; the next list says A again, which it holds by its books."""
    run(crm, tmp_path, {"a": (1, "cold")})
    with pytest.MonkeyPatch.context() as patch:
        crash_at("unanswered", 1, patch)
        with pytest.raises(CrashError):
            run(crm, tmp_path, {"a": (2, "hot")}, "2026-11-02")
    assert held(crm) == {"a": (2, "hot")}
    run(crm, tmp_path, {"a": (1, "cold")}, "2026-11-03")
    assert held(crm) == {"a": (1, "cold")}


def test_an_update_that_was_never_sent_is_forgotten_when_the_score_goes_back(crm: CrmServer, tmp_path: Path) -> None:
    run(crm, tmp_path, {"a": (1, "cold")})
    with pytest.MonkeyPatch.context() as patch:
        crash_at("before", 1, patch)
        with pytest.raises(CrashError):
            run(crm, tmp_path, {"a": (2, "hot")}, "2026-11-02")
    run(crm, tmp_path, {"a": (1, "cold")}, "2026-11-03")
    assert crm.requests == 1


# Leads that cannot be delivered


@pytest.mark.parametrize("how", ["alone", "whole", "crash"])
def test_a_lead_that_is_refused_is_set_aside_and_holds_nobody_up(
    crm: CrmServer, how: Literal["alone", "whole", "crash"], tmp_path: Path
) -> None:
    first = many(230)
    crm.poison = {"L0000": how, "L0123": how}
    with pytest.raises(DeliveryError, match=r"did not take 2 leads; `leadscore deliver .* --dead-letters` lists them"):
        run(crm, tmp_path, first)
    good = {lead: score for lead, score in first.items() if lead not in crm.poison}
    assert held(crm) == good and {crm.changes[lead] for lead in good} == {1}
    assert crm.requests <= 60
    params = params_for(crm, tmp_path)
    letters = deliver.dead_letters(params, crm.kind)
    assert [letter.lead_id for letter in letters] == ["L0000", "L0123"]
    assert all(letter.reason and TOKEN not in letter.reason for letter in letters)
    crm.poison = {}
    before = crm.requests
    run(crm, tmp_path, first, "2026-11-02")  # a dead letter stays one until somebody has looked at it
    assert crm.requests == before
    assert deliver.requeue(params, crm.kind) == 2
    run(crm, tmp_path, first, "2026-11-03")
    assert held(crm) == first and deliver.dead_letters(params, crm.kind) == []


def test_a_dead_letter_with_a_new_score_is_tried_anew(crm: CrmServer, tmp_path: Path) -> None:
    crm.poison = {"a": "alone"}
    with pytest.raises(DeliveryError):
        run(crm, tmp_path, {"a": (1, "cold"), "b": (1, "cold")})
    crm.poison = {}
    run(crm, tmp_path, {"a": (2, "cold"), "b": (1, "cold")}, "2026-11-02")
    assert held(crm) == {"a": (2, "cold"), "b": (1, "cold")}
    assert deliver.dead_letters(params_for(crm, tmp_path), crm.kind) == []


@pytest.mark.parametrize("trouble", ["busy", "failed", "reset", "broken"])
def test_an_outage_ends_the_run_and_sets_nobody_aside(crm: CrmServer, trouble: Trouble, tmp_path: Path) -> None:
    crm.troubles = [trouble] * 100
    with pytest.raises(DeliveryError, match=r"^8 requests in a row failed.*the rest waits") as caught:
        run(crm, tmp_path, many(700))
    assert caught.value.exit_code == 6
    assert crm.requests == 8 and deliver.dead_letters(params_for(crm, tmp_path), crm.kind) == []
    crm.troubles = []
    run(crm, tmp_path, many(700))
    assert held(crm) == many(700) and set(crm.changes.values()) == {1}


@pytest.mark.parametrize("trouble", ["busy", "reset"])
def test_silence_is_held_against_no_lead(crm: CrmServer, trouble: Trouble, tmp_path: Path) -> None:
    """Not even against one that is tried alone: the CRM did not say anything of it."""
    crm.troubles = [trouble] * 8
    with pytest.raises(DeliveryError, match="8 requests in a row failed"):
        run(crm, tmp_path, many(1))
    assert deliver.dead_letters(params_for(crm, tmp_path), crm.kind) == []
    run(crm, tmp_path, many(1))
    assert held(crm) == many(1)


@pytest.mark.parametrize("fault", ["token", "address", "moved"])
def test_a_fault_of_the_mapping_ends_the_run_at_once(
    crm: CrmServer, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[crm.kind], "0ther" if fault == "token" else TOKEN)
    crm.troubles = ["moved"] if fault == "moved" else []
    changed: dict[str, Any] = {crm.kind: {"object": "nothing"}} if fault == "address" else {}
    status = {"token": 401, "address": 404, "moved": 302}[fault]
    with pytest.raises(DeliveryError, match=f"127.0.0.1 answers HTTP {status}"):
        run(crm, tmp_path, many(5), **changed)
    assert crm.requests == 1 and crm.records == {}
    monkeypatch.setenv(VARIABLES[crm.kind], TOKEN)
    run(crm, tmp_path, many(5))
    assert held(crm) == many(5)


# Waiting


def test_waits_grow_and_are_the_same_for_a_seed(tmp_path: Path) -> None:
    with serving("hubspot") as crm:
        waits = []
        for attempt in ("a", "b"):
            (tmp_path / attempt).mkdir()
            crm.troubles = ["failed"] * 7
            waits.append(run(crm, tmp_path / attempt, many(1)))
    assert waits[0] == waits[1]
    assert len(waits[0]) == 7
    assert all(0.5 * 2**turn <= wait <= 2.0**turn for turn, wait in enumerate(waits[0]))
    assert len(set(np.round(np.array(waits[0]) / 2.0 ** np.arange(len(waits[0])), 6))) > 1


def test_a_crm_that_asks_to_wait_for_long_ends_the_run(crm: CrmServer, tmp_path: Path) -> None:
    crm.troubles = ["busy"]
    with pytest.raises(DeliveryError, match="asks to wait 7 s, more than longest_wait_s"):
        run(crm, tmp_path, many(3), longest_wait_s=5)
    run(crm, tmp_path, many(3), longest_wait_s=5)
    assert held(crm) == many(3)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12),
        ("", 0),
        ("soon", 0),
        ("-3", 0),
        ("Sun, 01 Nov 2026 10:01:00 GMT", 60),
        ("Sun, 01 Nov 2026 09:00:00 GMT", 0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after({"Retry-After": header, "Date": "Sun, 01 Nov 2026 10:00:00 GMT"}) == seconds
