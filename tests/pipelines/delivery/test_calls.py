"""What a delivery sends, what it refuses to do, and that no secret shows."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from features.schema.errors import DataError, DeliveryError, ParamsError
from features.schema.spec import Spec
from pipelines.cli import app as cli
from pipelines.cli.delivery import Target
from pipelines.config.delivery import Crm, Delivery, HubSpot
from pipelines.delivery import deliver
from pipelines.delivery.crm import HubSpotObjects, LeadStatus, Message, base_url, crm_named
from pipelines.delivery.databases import DATABASES
from pipelines.delivery.http import Reply
from pipelines.delivery.outbox import message_key, open_outbox
from pipelines.storage.files import write_parquet
from tests.support.crm_server import TOKEN, CrmServer, serving
from tests.support.small_delivery import KINDS, books, held, many, params_for, put, run, section

pytestmark = pytest.mark.usefixtures("tokens")

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


@pytest.mark.parametrize(
    "results",
    [[{"objectWriteTraceId": "ka"}, {"objectWriteTraceId": "ka"}], [{"id": "7"}, {"id": "7"}],
     [{"properties": {"lead_id": "a"}}, {"objectWriteTraceId": "ka"}], [{"objectWriteTraceId": "ka"}]],
)  # fmt: skip
def test_a_lead_that_the_answer_leaves_out_is_sent_again(results: list[dict[str, Any]]) -> None:
    batch = [Message("a", "ka", {}), Message("b", "kb", {})]
    verdicts = HubSpotObjects(HubSpot()).verdicts(batch, Reply(200, {}, json.dumps({"results": results}).encode()))
    assert verdicts["b"][0] is LeadStatus.retry


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
    ("name", "value", "message"),
    [("pat-s3cret", "", "is to name an environment variable"), ("NO_TOKEN", "", "NO_TOKEN is not set"),
     ("HUBSPOT_TOKEN", "two s3cret", "holds characters that no token has")],
)  # fmt: skip
def test_a_token_is_never_repeated(
    name: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value:
        monkeypatch.setenv(name, value)
    with serving("hubspot") as crm, pytest.raises(ParamsError, match=message) as caught:
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
        with pytest.raises(DeliveryError, match="remove it to send everything again"):
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
        monkeypatch.setattr("sys.argv", ["leadscore", "deliver", "hubspot", *words])
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
        assert leadscore(*rest) == 6
        assert "did not take 1 leads" in capsys.readouterr().err
        assert leadscore(*rest, "--dead-letters") == 0
        assert capsys.readouterr().out.startswith("L0001\t1\tVALIDATION_ERROR")
        crm.poison = {}
        assert leadscore(*rest, "--requeue") == 0 and held(crm) == many(3)
        monkeypatch.delenv("HUBSPOT_TOKEN")
        assert leadscore(*rest) == 2


# Targets


def test_every_section_is_a_target_of_the_command_and_has_what_takes_the_scores() -> None:
    sections = {name: field.default for name, field in Delivery.model_fields.items() if isinstance(field.default, Spec)}
    assert set(sections) == {*Target, "notices"}
    crms = {name for name, section in sections.items() if isinstance(section, Crm)}
    assert {*DATABASES, *crms, "webhook", "apprise"} == set(Target)
    for name in crms:
        assert crm_named(Delivery(), name).params == sections[name]
