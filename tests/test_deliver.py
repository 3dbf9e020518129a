"""Scores reach a CRM exactly once, whatever breaks: its records are those of the newest list, none changed twice."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PARAMS
from crm_server import SLOW_S, TOKEN, CrmServer, Trouble, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import DataError, DeliveryError, ParamsError
from pipelines import cli, deliver
from pipelines.crm import Answer, Message, base_url, retry_after
from pipelines.outbox import Outbox, message_key, open_outbox
from pipelines.params import Delivery, Params
from pipelines.sinks import write_parquet

Kind = Literal["hubspot", "salesforce"]
KINDS: tuple[Kind, ...] = ("hubspot", "salesforce")
VARIABLES = {"hubspot": "HUBSPOT_TOKEN", "salesforce": "SALESFORCE_TOKEN"}
Scores = dict[str, tuple[int, str]]


class CrashError(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, TOKEN)


@pytest.fixture(params=KINDS)
def crm(request: pytest.FixtureRequest) -> Iterator[CrmServer]:
    with serving(request.param) as server:
        yield server


def section(crm: CrmServer, folder: Path, **changed: Any) -> dict[str, Any]:
    """What a test's params say of delivery."""
    mine: dict[str, Any] = {"state": str(folder / "state"), "timeout_s": SLOW_S / 2, crm.kind: {"base_url": crm.url}}
    for key, value in changed.items():
        mine[key] = mine.get(key, {}) | value if isinstance(value, dict) else value
    return mine


def params_for(crm: CrmServer, folder: Path, **changed: Any) -> Params:
    tree = PARAMS.delivery.model_dump(by_alias=True)
    for key, value in section(crm, folder, **changed).items():
        tree[key] = tree[key] | value if isinstance(value, dict) and key in KINDS else value
    return PARAMS.model_copy(update={"delivery": Delivery.model_validate(tree)})


def put(folder: Path, scores: Scores, day: str = "2026-11-01") -> Path:
    """A finished folder with these leads' scores and tiers."""
    rows = pd.DataFrame(
        {
            "lead_id": pd.Series(list(scores), dtype="str"),
            "as_of": pd.Series([pd.Timestamp(day)] * len(scores), dtype="datetime64[us]"),
            "score": np.array([score for score, _ in scores.values()], dtype="int64"),
            "tier": pd.Series([tier for _, tier in scores.values()], dtype="str"),
            "probability": [score / 100 for score, _ in scores.values()],
        }
    )
    write_parquet(rows, folder / "scores" / "scores.parquet")
    return folder / "scores"


def many(n: int, score: int = 50) -> Scores:
    return {f"L{number:04d}": (score + number % 7, "warm") for number in range(n)}


def run(crm: CrmServer, folder: Path, scores: Scores, day: str = "2026-11-01", **changed: Any) -> list[float]:
    """Deliver a list and return the waits that were asked for."""
    waits: list[float] = []
    deliver.deliver(params_for(crm, folder, **changed), put(folder, scores, day), crm.kind, waits.append)
    return waits


def held(crm: CrmServer) -> Scores:
    """What the CRM shows."""
    names = ("lead_score", "lead_tier") if crm.kind == "hubspot" else ("Lead_Score__c", "Lead_Tier__c")
    return {lead: (int(record[names[0]]), record[names[1]]) for lead, record in crm.records.items()}


def books(params: Params, kind: str) -> dict[str, Any]:
    """Everything in the state file."""
    (path,) = Path(params.delivery.state).glob(f"{kind}-*.sqlite")
    with sqlite3.connect(path) as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("held", "outbox")}


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
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_loses_nothing_and_doubles_nothing(crm: CrmServer, trouble: Trouble, tmp_path: Path) -> None:
    first = many(250)
    crm.troubles = ["", trouble, trouble]
    waits = run(crm, tmp_path, first)
    assert held(crm) == first
    assert crm.changes == Counter(dict.fromkeys(first, 1))
    assert (max(waits, default=0.0) > 0) == (trouble != "unnamed")
    asked = {"busy": 7.0, "busy_until": 9.0}.get(trouble, 0.0)
    assert all(wait >= asked for wait in waits)
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

    def now(place: str) -> None:
        count[place] += 1
        if place == moment and count[place] == turn:
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
from pipelines.deliver import deliver
from pipelines.params import load
deliver(load(Path(sys.argv[1])), Path(sys.argv[2]), "hubspot", lambda seconds: None)
"""


def test_killed_for_good_in_the_middle_of_a_request(tmp_path: Path) -> None:
    """SIGKILL before the CRM has written a batch, and after it has written one and not answered."""
    with serving("hubspot") as crm:
        overlay = tmp_path / "mine.yaml"
        overlay.write_text(yaml.safe_dump({"delivery": section(crm, tmp_path, timeout_s=30)}))
        command = [sys.executable, "-c", KILLED, str(overlay), str(put(tmp_path, many(450)))]

        def start(kill: Literal["before", "after", ""], turn: int) -> int:
            process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
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
    asked = crm.requests
    run(crm, tmp_path, first, "2026-11-02")  # a dead letter stays one until somebody has looked at it
    assert crm.requests == asked
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
    assert caught.value.exit_code == 5
    assert crm.requests == 8 and deliver.dead_letters(params_for(crm, tmp_path), crm.kind) == []
    crm.troubles = []
    run(crm, tmp_path, many(700))
    assert held(crm) == many(700) and set(crm.changes.values()) == {1}


@pytest.mark.parametrize("fault", ["token", "place", "moved"])
def test_a_fault_of_the_mapping_ends_the_run_at_once(
    crm: CrmServer, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[crm.kind], "0ther" if fault == "token" else TOKEN)
    crm.troubles = ["moved"] if fault == "moved" else []
    changed: dict[str, Any] = {crm.kind: {"object": "nothing"}} if fault == "place" else {}
    status = {"token": 401, "place": 404, "moved": 302}[fault]
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


# What is sent


def test_fields_are_those_of_the_mapping(tmp_path: Path) -> None:
    fields = {"s": "score", "p": "probability", "d": "as_of", "t": "tier"}
    for kind in KINDS:
        with serving(kind) as crm:
            (tmp_path / kind).mkdir()
            run(crm, tmp_path / kind, {"a": (70, "hot")}, **{kind: {"fields": fields}})
            record = crm.records["a"]
            assert record.pop("lead_id" if kind == "hubspot" else "Lead_Id__c") == "a"
            for name in ("lead_score", "lead_tier", "Lead_Score__c", "Lead_Tier__c"):
                record.pop(name, None)
            text = {"s": "70", "p": "0.7", "d": "2026-11-01", "t": "hot"}
            assert record == (text if kind == "hubspot" else text | {"s": 70, "p": 0.7})


def test_a_lead_that_left_the_list_is_told_once(crm: CrmServer, tmp_path: Path) -> None:
    tier = "lead_tier" if crm.kind == "hubspot" else "Lead_Tier__c"
    gone: dict[str, Any] = {crm.kind: {"gone": {tier: ""}}}
    run(crm, tmp_path, {"a": (1, "cold"), "b": (2, "hot")}, **gone)
    for day in ("02", "03"):
        run(crm, tmp_path, {"a": (1, "cold"), "c": (3, "hot")}, f"2026-11-{day}", **gone)
    assert held(crm) == {"a": (1, "cold"), "b": (2, ""), "c": (3, "hot")}
    assert crm.sent.total() == 4
    run(crm, tmp_path, {"b": (2, "hot")}, "2026-11-04")
    assert held(crm)["b"] == (2, "hot") and held(crm)["a"] == (1, "cold")


def test_a_key_tells_system_lead_and_content_apart() -> None:
    keys = [
        message_key(target, lead, fields)
        for target in ("x", "y")
        for lead in ("a", "b")
        for fields in ({"s": 1}, {"s": 2}, {"s": "1"}, {"t": 1}, {"s": None})
    ]
    assert len(set(keys)) == len(keys)
    assert message_key("x", "a", {"s": 1, "t": 2}) == message_key("x", "a", {"t": 2, "s": 1})


def test_another_address_is_another_system(tmp_path: Path) -> None:
    with serving("hubspot") as sandbox, serving("hubspot") as real:
        run(sandbox, tmp_path, many(3))
        run(real, tmp_path, many(3))
        assert held(sandbox) == held(real) == many(3)


def test_an_older_list_does_not_turn_the_records_back(crm: CrmServer, tmp_path: Path) -> None:
    run(crm, tmp_path, {"a": (2, "hot")}, "2026-11-02")
    with pytest.raises(ParamsError, match="scores are of 2026-11-01, but those of 2026-11-02 were delivered"):
        run(crm, tmp_path, {"a": (1, "cold")}, "2026-11-01")
    run(crm, tmp_path, {"a": (3, "hot")}, "2026-11-02")
    assert held(crm) == {"a": (3, "hot")}


def test_a_dry_run_shows_the_requests_and_touches_nothing(crm: CrmServer, tmp_path: Path) -> None:
    params, folder = params_for(crm, tmp_path), put(tmp_path, many(201))
    lines = [json.loads(line) for line in deliver.preview(params, folder, crm.kind)]
    assert not (tmp_path / "state").exists() and crm.requests == 0
    assert [len(line["body"].get("inputs") or line["body"]["records"]) for line in lines] == (
        [100, 100, 1] if crm.kind == "hubspot" else [200, 1]
    )
    assert lines[0]["url"].startswith(crm.url) and TOKEN not in json.dumps(lines)
    run(crm, tmp_path, many(201))
    kept = books(params, crm.kind)
    assert list(deliver.preview(params, folder, crm.kind)) == []
    assert len(list(deliver.preview(params, put(tmp_path, many(201, score=9)), crm.kind))) == len(lines)
    assert books(params, crm.kind) == kept


# Faults of the call


@pytest.mark.parametrize(
    "url",
    ["http://crm.example.com", "http://10.0.0.1", "ftp://127.0.0.1", "", "crm.example.com", "https://",
     "https://me:s3cret@crm.example.com", "https://crm.example.com/?token=s3cret", "http://127.0.0.1.example.com"],
)  # fmt: skip
def test_only_https_leaves_this_machine(url: str) -> None:
    with pytest.raises(ParamsError, match="https://host") as caught:
        base_url(url)
    assert "s3cret" not in str(caught.value)


def test_https_and_the_loopback_will_do() -> None:
    assert base_url("https://crm.example.com/") == "https://crm.example.com"
    assert base_url("http://127.0.0.1:80") and base_url("http://[::1]:80") and base_url("http://localhost:80")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("pat-s3cret", "", "is to name an environment variable"), ("NO_TOKEN", "", "NO_TOKEN is not set"),
     ("HUBSPOT_TOKEN", "two s3cret", "holds characters that no token has")],
)  # fmt: skip
def test_a_token_is_never_repeated(
    name: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value:
        monkeypatch.setenv(name, value)
    with serving("hubspot") as crm, pytest.raises(ParamsError, match=said) as caught:
        run(crm, tmp_path, many(1), hubspot={"token": name})
    assert "s3cret" not in str(caught.value)


def test_no_token_in_state_logs_or_output(
    crm: CrmServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server repeats the token in its refusals; nothing here keeps it."""
    caplog.set_level(logging.DEBUG)
    crm.troubles, crm.poison = ["failed", "reset", "busy"], {"L0001": "alone", "L0002": "whole"}
    with pytest.raises(DeliveryError) as caught:
        run(crm, tmp_path, many(20))
    letters = deliver.dead_letters(params_for(crm, tmp_path), crm.kind)
    assert "***" in letters[0].reason
    shown = capfd.readouterr()
    texts = [str(caught.value), caplog.text, shown.out, shown.err, repr(letters)]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(TOKEN in text for text in texts)
    assert not any(TOKEN.encode() in content for content in files)


def test_two_deliveries_to_one_system_do_not_run_at_once(crm: CrmServer, tmp_path: Path) -> None:
    run(crm, tmp_path, many(2))
    (path,) = (tmp_path / "state").glob("*.sqlite")
    with open_outbox(path, "x") as first:
        first.requeue()
        with pytest.raises(DeliveryError, match="wait until the other delivery"):
            run(crm, tmp_path, many(3), "2026-11-02")
    run(crm, tmp_path, many(3), "2026-11-02")
    assert held(crm) == many(3)


def test_a_damaged_state_file_is_said(tmp_path: Path) -> None:
    with serving("hubspot") as crm:
        run(crm, tmp_path, many(2))
        (path,) = (tmp_path / "state").glob("*.sqlite")
        path.write_bytes(b"no database at all, but long enough to look at" * 50)
        with pytest.raises(DeliveryError, match="remove it to send all anew"):
            run(crm, tmp_path, many(2))


def test_scores_that_are_no_list_are_refused(tmp_path: Path) -> None:
    with serving("hubspot") as crm:
        params, folder = params_for(crm, tmp_path), put(tmp_path, many(2))
        twice = pd.read_parquet(folder / "scores.parquet")
        write_parquet(pd.concat([twice, twice]), folder / "scores.parquet")
        with pytest.raises(DataError, match=r"found 4 rows of 2 leads and 1 days; expected one row a lead"):
            deliver.deliver(params, folder, "hubspot", lambda _: None)
        (folder / "scores.parquet").write_bytes(b"PAR1")
        with pytest.raises(DataError, match="cannot be read"):
            deliver.deliver(params, folder, "hubspot", lambda _: None)
        (folder / "scores.parquet").unlink()
        with pytest.raises(DataError, match=r"found no scores\.parquet"):
            deliver.deliver(params, folder, "hubspot", lambda _: None)
        with pytest.raises(ParamsError, match="no column 'grade'"):
            run(crm, tmp_path, many(2), hubspot={"fields": {"x": "grade"}})
        assert crm.requests == 0


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def leadscore(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["leadscore", "deliver", "--to", "hubspot", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    with serving("hubspot") as crm:
        overlay = tmp_path / "mine.yaml"
        overlay.write_text(yaml.safe_dump({"delivery": section(crm, tmp_path)}))
        rest = ("--params", str(overlay), "--scores", str(put(tmp_path, many(3))))
        assert leadscore(*rest, "--dry-run") == 0
        assert json.loads(capsys.readouterr().out)["method"] == "POST" and crm.records == {}
        crm.poison = {"L0001": "alone"}
        assert leadscore(*rest) == 5
        assert "did not take 1 leads" in capsys.readouterr().err
        assert leadscore(*rest, "--dead-letters") == 0
        assert capsys.readouterr().out.startswith("L0001\t1\tVALIDATION_ERROR")
        crm.poison = {}
        assert leadscore(*rest, "--requeue") == 0 and held(crm) == many(3)
        monkeypatch.delenv("HUBSPOT_TOKEN")
        assert leadscore(*rest) == 2
