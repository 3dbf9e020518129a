"""Notices of a list and of the monitor reach a webhook once each, whatever breaks; people are told by Apprise."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from features.schema.errors import DeliveryError, ParamsError
from pipelines.config.delivery import AppriseUrls, Delivery, Notices, Webhook
from pipelines.config.params import Params
from pipelines.delivery import hand_over
from pipelines.delivery.outbox import open_outbox
from pipelines.delivery.webhook import Signed, signed_by
from pipelines.privacy.databases import forget_in_outboxes
from tests.support import webhook_receiver
from tests.support.small_delivery import Scores, put
from tests.support.tables import PARAMS
from tests.support.webhook_receiver import SECRET, VARIABLE, Fault, receiving

LIST: Scores = {"L1": (90, "hot"), "L2": (80, "hot"), "L3": (40, "warm")}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[webhook_receiver.Webhook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(VARIABLE, SECRET)
    with receiving() as found:
        yield found


def params_for(hook: webhook_receiver.Webhook, folder: Path, **notices: Any) -> Params:
    delivery = Delivery(
        state=str(folder / "state"), timeout_s=0.2, webhook=Webhook(url=hook.url), notices=Notices(**notices)
    )
    return PARAMS.model_copy(update={"delivery": delivery})


def send(params: Params, folder: Path, scores: Scores, day: str = "2026-11-01", to: str = "webhook") -> list[float]:
    waits: list[float] = []
    hand_over.hand_over(params, put(folder, scores, day), to, lambda: 1.8e9, waits.append)
    return waits


def told(hook: webhook_receiver.Webhook) -> list[tuple[str, str]]:
    return sorted((one["data"]["lead_id"], one["timestamp"]) for one in hook.taken.values())


def test_the_signature_is_that_of_the_published_scheme() -> None:
    """The example of github.com/standard-webhooks/standard-webhooks, libraries/python/tests."""
    import base64

    secret, body = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), '{"test": 2432232314}'
    request = requests.Request(
        "POST", "http://127.0.0.1", data=body, headers={"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek"}
    ).prepare()
    headers = Signed(secret, lambda: 1614265330.9)(request).headers
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_lead_is_told_when_it_enters_the_tier_and_when_it_comes_back(
    hook: webhook_receiver.Webhook, tmp_path: Path
) -> None:
    params = params_for(hook, tmp_path)
    send(params, tmp_path, LIST)
    send(params, tmp_path, LIST)
    send(params, tmp_path, LIST, "2026-11-02")
    assert told(hook) == [("L1", "2026-11-01"), ("L2", "2026-11-01")]
    one = next(iter(hook.taken.values()))
    assert one["type"] == "lead.tier_entered" and {"tier", "score", "reasons"} <= one["data"].keys()
    send(params, tmp_path, LIST | {"L1": (10, "warm")}, "2026-11-03")
    send(params, tmp_path, LIST, "2026-11-04")
    assert told(hook) == [("L1", "2026-11-01"), ("L1", "2026-11-04"), ("L2", "2026-11-01")]
    with pytest.raises(ParamsError, match="2026-11-04 were delivered"):
        send(params, tmp_path, LIST, "2026-11-02")


@pytest.mark.parametrize("fault", ["failed", "slow", "reset", "reset_after", "slow_after", "duplicate", "busy"])
def test_a_fault_loses_nothing_and_doubles_nothing(
    hook: webhook_receiver.Webhook, fault: Fault, tmp_path: Path
) -> None:
    hook.faults = [fault, "", fault]
    waits = send(params_for(hook, tmp_path), tmp_path, LIST)
    assert told(hook) == [("L1", "2026-11-01"), ("L2", "2026-11-01")]
    assert hook.forged == 0 and (fault == "duplicate") == (not waits)
    assert set(hook.seen.values()) <= ({1, 2, 3} if fault in webhook_receiver.TAKEN_FIRST else {1})


def test_what_fails_too_often_is_set_aside_named_and_sent_again_on_demand(
    hook: webhook_receiver.Webhook, tmp_path: Path
) -> None:
    params = params_for(hook, tmp_path, attempts=2, tiers=["warm"])
    hook.faults = ["failed", "failed"]
    with pytest.raises(DeliveryError):
        send(params, tmp_path, LIST)
    (dead,) = hand_over.dead_notices(params, "webhook", lambda: 0.0)
    assert (dead.lead_id, dead.reason) == ("lead.tier_entered L3 warm 2026-11-01", "HTTP 500")
    hand_over.requeue_notices(params, "webhook", lambda: 0.0)
    send(params, tmp_path, LIST)
    assert told(hook) == [("L3", "2026-11-01")]
    hook.faults = ["gone"]
    with pytest.raises(DeliveryError, match="HTTP 410; check address"):
        send(params, tmp_path, LIST | {"L4": (1, "warm")}, "2026-11-02")


def test_an_alert_of_the_monitor_is_told_once(hook: webhook_receiver.Webhook, tmp_path: Path) -> None:
    result = {
        "as_of": "2026-11-01", "list": "2026-11-01", "model_id": "m", "tested_id": "m", "tested_until": "2026-01-01",
        "data_fingerprint": "f", "reference": {"lists": 0, "first": None, "last": None},
        "matured": {"lists": 0, "first": None, "last": None}, "checks": [], "alerts": ["MN03"], "lines": ["fewer"],
    }  # fmt: skip
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "monitor.json").write_text(json.dumps(result), encoding="utf-8")
    params = params_for(hook, tmp_path)
    for _ in range(2):
        send(params, tmp_path, {"L3": (40, "warm")})
    (alert,) = hook.taken.values()
    assert (alert["type"], alert["data"]["alerts"], alert["data"]["lines"]) == ("monitor.alert", ["MN03"], ["fewer"])


def test_the_preview_sends_nothing_and_a_forgotten_lead_leaves_the_outbox(
    hook: webhook_receiver.Webhook, tmp_path: Path
) -> None:
    params = params_for(hook, tmp_path)
    lines = hand_over.preview(params, put(tmp_path, LIST), "webhook", lambda: 0.0)
    assert [json.loads(line)["data"]["lead_id"] for line in lines] == ["L1", "L2"]
    assert not hook.seen
    send(params, tmp_path, LIST)
    state = tmp_path / "state"
    assert forget_in_outboxes(["L1"], state) == 3  # what it holds, its notice and the tier that was told
    (path,) = state.glob("webhook-*.sqlite")
    assert b"L1" not in path.read_bytes()
    with open_outbox(path, "x") as outbox:
        assert outbox.connection.execute("SELECT lead_id FROM announced").fetchall() == [("L2",)]


def test_a_secret_that_is_none_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("hunter2hunter2hunter2hunter2", "whsec_c2hvcnQ="):
        monkeypatch.setenv(VARIABLE, given)
        with pytest.raises(ParamsError, match="24 to 64 bytes in base64") as refused:
            signed_by(VARIABLE, lambda: 0.0)
        assert given not in str(refused.value)


def test_people_are_told_in_words_by_each_address_of_apprise(
    hook: webhook_receiver.Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str, str]] = []
    fails = ["slack://secret"]

    class Apprise:
        def add(self, url: str) -> bool:
            self.url = url
            return "://" in url

        def notify(self, title: str, body: str) -> bool:
            if self.url in fails:
                fails.remove(self.url)
                return False
            said.append((self.url, title, body))
            return True

    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=Apprise))
    monkeypatch.setenv("TOLD", "slack://secret mailto://secret")
    base = params_for(hook, tmp_path)
    params = base.model_copy(
        update={"delivery": base.delivery.model_copy(update={"apprise": AppriseUrls(urls="TOLD")})}
    )
    send(params, tmp_path, {"L1": (90, "hot")}, to="apprise")
    assert [(url, title) for url, title, _ in said] == [
        ("slack://secret", "Lead L1 is hot"),
        ("mailto://secret", "Lead L1 is hot"),
    ]
    assert "score 90" in said[0][2]
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "state").iterdir())
    fails += ["slack://secret"] * 20  # one receiver that is gone keeps nothing from the other
    with pytest.raises(DeliveryError, match="apprise: 20 requests in a row failed"):
        send(params, tmp_path, {"L2": (90, "hot")}, "2026-11-02", to="apprise")
    assert [(url, title) for url, title, _ in said[2:]] == [("mailto://secret", "Lead L2 is hot")]
    monkeypatch.setenv("TOLD", "secret")
    with pytest.raises(ParamsError, match="does not know") as refused:
        send(params, tmp_path, LIST, to="apprise")
    assert "secret" not in str(refused.value)
