"""A form comes in by HTTP, and a webhook goes out with tier and reasons: once, whatever breaks on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy.exc import OperationalError

from features.matrix.one_lead import Lead
from models.tiers.declarations import TierParams
from pipelines.config.delivery import Delivery
from pipelines.config.delivery import Webhook as WebhookParams
from pipelines.delivery.hand_over import Courier
from pipelines.delivery.webhook import channels
from pipelines.serving.app import Service
from pipelines.serving.bodies import MomentScore
from pipelines.serving.champion import Champion, Origin
from pipelines.serving.herald import Herald
from pipelines.serving.moment import MomentScorer
from pipelines.serving.store import FactStore
from pipelines.storage.bundle import save_bundle
from tests.support.small_model import scorer
from tests.support.small_server import DEFAULTS, TIERS, SmallServer
from tests.support.tables import MONDAY, PARAMS
from tests.support.webhook_receiver import SECRET, VARIABLE, Fault, Webhook, receiving

SECOND = pd.Timedelta(seconds=1)
LEAD: dict[str, Any] = {"lead_id": "n1", "created_at": "2024-02-01T09:00:00Z", "attributes": {"sector": "steel"}}
HOT = {"name": "came by", "when": {"types": ["visit"], "days": 7}, "tier": "hot"}
LEAST = {"hot": 100, "warm": 99}  # reached by no score here
LADDER = [one.model_dump() | {"min_score": LEAST.get(one.name, 0)} for one in TIERS.ladder]
TRIGGERED = TierParams.model_validate(TIERS.model_dump() | {"ladder": LADDER, "triggers": [HOT]})


class Clocked:
    """A server, its herald, and clocks that a test sets."""

    def __init__(self, folder: Path, url: str, champion: Champion) -> None:
        self.ticks, clock = [0.0], [MONDAY]
        store = FactStore.open(FactStore.url_of(folder / "serve.sqlite"), DEFAULTS, watched=True)
        delivery = Delivery(state=str(folder / "state"), timeout_s=0.2, webhook=WebhookParams(url=url))
        params = PARAMS.model_copy(update={"delivery": delivery})
        couriers = [Courier(one, params, lambda: self.ticks[0]) for one in channels(delivery, "webhook", lambda: 1.8e9)]
        self.herald = Herald(store, champion, couriers, ["hot"], lambda: clock[0])
        service = Service(champion, store, lambda: clock[0], herald=self.herald)
        self.small = SmallServer(folder, service, clock)

    def event(self, number: int, at: pd.Timestamp, kind: str = "visit") -> None:
        self.small.clock[0] = at
        body = {"id": f"e{number}", "lead_id": "n1", "event_at": f"{at.isoformat()}Z", "event_type": kind}
        assert self.small.post("/events", {"events": [body]}).status == 200

    def look(self, turns: int = 10) -> None:
        """Look again and again, while the time passes."""
        for _ in range(turns):
            self.small.clock[0] += 2 * SECOND
            self.ticks[0] += 1000.0
            self.herald.look()


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    folder = tmp_path_factory.mktemp("champion")
    save_bundle(scorer(), folder / "model")
    return Champion.take(Origin(folder / "model", folder / "score_summary.json", TRIGGERED, 3))


@pytest.fixture
def served(hook: Webhook, champion: Champion, tmp_path: Path) -> Clocked:
    return Clocked(tmp_path, hook.url, champion)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(VARIABLE, SECRET)
    with receiving() as found:
        yield found


EVERY: list[Fault] = ["failed", "slow", "reset", "reset_after", "slow_after", "busy", "duplicate"]
FAULTS: list[list[Fault]] = [[], EVERY, ["gone"]]


@pytest.mark.parametrize("faults", FAULTS, ids=["none", "every", "gone"])
def test_a_form_that_comes_in_goes_out_with_tier_and_reasons_once(
    hook: Webhook, served: Clocked, faults: list[Fault]
) -> None:
    served.small.post("/leads", {"leads": [LEAD]})
    served.look(1)
    assert not hook.seen  # a cold lead is no news
    hook.faults = list(faults)
    served.event(1, MONDAY + 60 * SECOND)
    served.look()
    (notice,) = hook.taken.values()
    data = notice["data"]
    assert (notice["type"], data["lead_id"], data["tier_before"], data["tier"]) == (
        "lead.tier_entered", "n1", "cold", "hot",
    )  # fmt: skip
    assert data["tier_reason"] == "trigger: came by" and data["reasons"] and data["model_id"] == scorer().model_id
    assert data["as_of"] == notice["timestamp"] == "2024-03-04T00:01:00.000001Z"
    served.event(2, MONDAY + 120 * SECOND)  # it is hot already
    served.look()
    assert len(hook.taken) == 1 and hook.forged == 0


def test_a_kill_between_any_two_steps_tells_once(
    hook: Webhook, served: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.small.post("/leads", {"leads": [LEAD]})
    served.event(1, MONDAY + 60 * SECOND)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((Courier, "queue"), (type(served.herald.store), "looked_at"), (Courier, "go")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            with pytest.raises(KeyboardInterrupt):
                served.look(1)
    assert not hook.seen
    served.look()
    assert len(hook.taken) == 1 and set(hook.seen.values()) == {1}


def test_a_lead_that_is_hot_when_it_is_first_known_is_told_and_an_edit_is_no_new_lead(
    hook: Webhook, served: Clocked
) -> None:
    always = TierParams.model_validate(TRIGGERED.model_dump() | {"triggers": [], "ladder": [
        one | {"min_score": 1 - index} for index, one in enumerate(LADDER[::2])]})  # fmt: skip
    champion = served.herald.champion
    served.herald.champion = replace(champion, current=replace(champion.current, tiers=always))
    served.small.post("/leads", {"leads": [LEAD]})
    served.look()
    served.small.post("/leads", {"leads": [LEAD | {"attributes": {"sector": "wood"}}]})
    served.look()
    (notice,) = hook.taken.values()
    assert notice["data"]["tier_before"] is None


def test_an_arrival_that_cannot_be_scored_holds_no_other(
    hook: Webhook, served: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = MomentScorer.score

    def faulty(self: MomentScorer, lead: Lead, at: pd.Timestamp) -> MomentScore:
        if lead.lead_id == "n0":
            raise ZeroDivisionError
        return score(self, lead, at)

    monkeypatch.setattr(MomentScorer, "score", faulty)
    served.small.post("/leads", {"leads": [LEAD | {"lead_id": "n0"}, LEAD]})
    served.event(1, MONDAY + 60 * SECOND)
    served.look()
    assert [one["data"]["lead_id"] for one in hook.taken.values()] == ["n1"]
    assert "leadscore_arrivals_unscored 1.0" in served.small.get("/metrics").text

    def away(*_: object) -> Lead | None:
        raise OperationalError("SELECT", {}, Exception())

    served.event(2, MONDAY + 600 * SECOND)
    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(FactStore, "lead", away)
        served.look(1)
    assert len(served.herald.store.waiting(MONDAY + 700 * SECOND)) == 1  # a store that is away loses nothing


def test_figures_of_notices_are_for_prometheus_and_a_receiver_that_is_down_holds_nobody(
    hook: Webhook, served: Clocked
) -> None:
    served.small.post("/leads", {"leads": [LEAD]})
    served.event(1, MONDAY + 60 * SECOND)
    hook.faults = ["failed"] * 2
    served.look(2)
    assert 'leadscore_notices{state="waiting",to="webhook"} 1.0' in served.small.get("/metrics").text
    served.look()
    assert 'leadscore_notices{state="waiting",to="webhook"} 0.0' in served.small.get("/metrics").text
