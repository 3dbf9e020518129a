"""Over HTTP a lead has the figures of the batch; what is posted is kept once; what is wrong is said in one line."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.cohort.moments import all_moments
from features.matrix.matrix import feature_matrix
from features.schema.contract import TABLES
from features.schema.declarations import MomentParams
from features.schema.errors import ModelError, ParamsError
from models.learners.calibration import Sigmoid
from models.tiers.declarations import TierParams
from pipelines.scoring.override_store import STORE, add_override, take_back
from pipelines.serving import server
from pipelines.serving.bodies import EventFacts, LeadFacts
from pipelines.serving.moment import BETWEEN
from pipelines.storage.bundle import save_bundle
from tests.support.small_model import metadata, scorer
from tests.support.small_server import REASONS, SmallServer, event_body, lead_body, small_server, zoned
from tests.support.tables import DAY, HOUR, MONDAY, PARAMS, SPEC, TICK, Row, Scenario, crowd

AT = MONDAY + 9 * HOUR + TICK
LEAD: dict[str, Any] = {"lead_id": "n1", "created_at": "2024-02-01T10:00:00+01:00", "attributes": {"sector": "steel"}}
VISIT: dict[str, Any] = {"id": "e1", "lead_id": "n1", "event_at": "2024-03-01T12:00:00Z", "event_type": "visit"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> SmallServer:
    return small_server(tmp_path_factory.mktemp("serve"))


@pytest.fixture
def fresh(served: SmallServer, tmp_path: Path) -> SmallServer:
    """The same model with an empty store."""
    (tmp_path / "model").symlink_to(served.folder / "model")
    return small_server(tmp_path)


def bodies(scenario: Scenario) -> list[dict[str, Any]]:
    """A request of each lead, all of its facts in the body."""
    return [
        {
            "lead": lead_body(lead),
            "events": [
                event_body(row, known_at=zoned(row["known_at"]))
                for row in scenario.events
                if row["lead_id"] == lead["lead_id"]
            ],
            "attribute_history": [edit(row) for row in scenario.history if row["lead_id"] == lead["lead_id"]],
            "as_of": zoned(AT),
        }
        for lead in scenario.leads
    ]


def edit(row: Row) -> dict[str, Any]:
    return {
        "valid_from": zoned(row["valid_from"]),
        "attributes": {name: row[name] for name in ("size", "job", "stage")},
    }


def test_a_lead_has_the_bits_of_the_batch(served: SmallServer) -> None:
    scenario = replace(crowd((MONDAY,), n_leads=12, n_events=150))
    scenario = replace(scenario, pairs=[(lead["lead_id"], AT) for lead in scenario.leads])
    matrix = feature_matrix(scenario.tables, SPEC).assign(lead_id=[lead for lead, _ in scenario.pairs])
    batch = scorer().score(matrix, REASONS)
    for body, expected in zip(bodies(scenario), batch.to_dict("records"), strict=True):
        answer = served.post("/score", body).tree
        for name in ("probability", "score", "points", "fit", "engagement", "grade", "reasons_text", "lead_id"):
            assert answer[name] == expected[name], name
        assert answer["reasons"] == json.loads(expected["reasons"])
        assert (answer["model_id"], answer["as_of"]) == (scorer().model_id, zoned(AT))


def test_rows_that_a_model_learns_from_between_lists_have_the_bits_of_the_server(served: SmallServer) -> None:
    """At creation, an hour, a day and a week later, and right after leads acted."""
    scenario = crowd((MONDAY,), n_leads=8, n_events=60)
    rows = all_moments(scenario.tables.leads, scenario.event_table, MomentParams(), "times").drop_duplicates(
        ["lead_id", "snapshot_at"]
    )
    scenario = replace(scenario, pairs=list(zip(rows["lead_id"], rows["snapshot_at"], strict=True)))
    matrix = feature_matrix(scenario.tables, SPEC).assign(lead_id=[lead for lead, _ in scenario.pairs])
    batch = scorer().score(matrix, REASONS)
    body_of, compared = {body["lead"]["lead_id"]: body for body in bodies(scenario)}, Counter[str]()
    born = {lead["lead_id"]: lead["created_at"] for lead in scenario.leads}
    for (lead, at), kind, expected in zip(scenario.pairs, rows["moment"], batch.to_dict("records"), strict=True):
        if born[lead] < at:  # the scenario has events before their lead
            answer = served.post("/score", body_of[lead] | {"as_of": zoned(at)}).tree
            compared[kind] += 1
            for name in ("probability", "score", "points", "grade", "reasons_text"):
                assert answer[name] == expected[name], (kind, name)
    assert min(compared.values()) > 2 and len(compared) == 5


def test_what_was_posted_scores_as_the_same_facts_in_a_body(fresh: SmallServer) -> None:
    fresh.clock[0] = MONDAY + HOUR
    assert fresh.post("/leads", {"leads": [LEAD]}).tree == {"new": 1, "repeated": 0}
    before = fresh.get("/leads/n1/score").tree
    assert fresh.post("/events", {"events": [VISIT]}).tree == {"new": 1, "repeated": 0}
    same_moment = fresh.get("/leads/n1/score").tree
    whole = {"lead": LEAD, "events": [{name: VISIT[name] for name in ("event_at", "event_type")}], "as_of": zoned(AT)}
    fresh.clock[0] = AT
    assert fresh.get("/leads/n1/score").tree == fresh.post("/score", whole).tree
    assert same_moment["probability"] != before["probability"]


def test_an_edit_holds_from_its_arrival_on(fresh: SmallServer) -> None:
    first, second = ({**LEAD, "attributes": {"size": size}} for size in (1.0, 5000.0))
    fresh.post("/leads", {"leads": [first]})
    fresh.clock[0] = MONDAY + DAY
    assert fresh.post("/leads", {"leads": [second]}).tree["new"] == 1
    assert fresh.post("/leads", {"leads": [second]}).tree["new"] == 0
    lead = fresh.service.store.lead("n1", SPEC.attributes)
    assert lead is not None
    assert [(at, cells["size"]) for at, cells in lead.history] == [
        (pd.Timestamp("2024-02-01 09:00"), 1.0),
        (MONDAY + DAY, 5000.0),
    ]


def test_the_same_event_counts_once_and_another_under_its_id_is_refused(fresh: SmallServer) -> None:
    fresh.post("/leads", {"leads": [LEAD]})
    more = {**VISIT, "id": "e2"}
    assert fresh.post("/events", {"events": [VISIT, VISIT, more]}).tree == {"new": 2, "repeated": 1}
    assert fresh.post("/events", {"events": [VISIT]}).tree == {"new": 0, "repeated": 1}
    other = fresh.post("/events", {"events": [{**VISIT, "id": "e3"}, {**VISIT, "event_type": "call"}]})
    assert other.status == 409
    assert "'call' for 'e1'" in other.tree["error"]
    lead = fresh.service.store.lead("n1", SPEC.attributes)
    assert lead is not None
    assert len(lead.events) == 2  # nothing of the batch that was refused


@pytest.mark.parametrize(
    ("path", "body", "status", "line"),
    [
        ("/leads", {"leads": [{**LEAD, "created_at": "1.2.2024"}]}, 422,
         "leads[0].created_at: found '1.2.2024', expected a day such as"),
        ("/leads", {"leads": [{**LEAD, "created_at": "2024-02-01T10:00:00"}]}, 422, "a moment with its zone"),
        ("/leads", {"leads": [{**LEAD, "created_at": "1850-02-01"}]}, 422, "a time from 1900-01-01"),
        ("/leads", {"leads": [{**LEAD, "name": "Ann"}]}, 422, "leads[0].name: found a key that is not known"),
        ("/leads", {"leads": [{**LEAD, "attributes": {"colour": "red"}}]}, 422, "column 'colour'"),
        ("/leads", {"leads": [{**LEAD, "attributes": {"size": "big"}}]}, 422, "found 'big'; expected a number"),
        ("/leads", {"leads": [{**LEAD, "attributes": {"size": True}}]}, 422, "expected a text, a number or null"),
        ("/leads", {"leads": []}, 422, "leads: found a list of 0"),
        ("/events", {"events": [{**VISIT, "value": 1e13}]}, 422, "expected a value of a trillion at most"),
        ("/events", {"events": [{**VISIT, "direction": "up"}]}, 422, "events[0].direction: found 'up', expected"),
        ("/events", {"events": [{**VISIT, "lead_id": ""}]}, 422, "events[0].lead_id: found '', expected a text"),
        ("/events", {"events": [{"id": "e1"}]}, 422, "found nothing, expected a value"),
        ("/events", {"events": [{**VISIT, "lead_id": "n9"}]}, 409, "'n9', which is no lead that was posted"),
        ("/events", {"events": [{**VISIT, "event_at": "2024-03-05"}]}, 409, "later than now"),
        ("/score", {"lead": LEAD, "as_of": "2024-01-01"}, 422, "a lead created before the moment"),
        ("/score", {"lead": LEAD, "events": [{"event_at": "2024-03-01", "event_type": "visit",
                                              "known_at": "2024-02-01"}]}, 422, "nothing is known before it happened"),
        ("/score", b"{", 422, "found"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(
    served: SmallServer, path: str, body: object, status: int, line: str
) -> None:
    answer = served.post(path, body)
    assert answer.status == status
    assert line in answer.tree["error"]
    assert "\n" not in answer.tree["error"]


def test_the_body_has_the_columns_of_the_contract() -> None:
    columns = {name: {field.name for field in TABLES[name]} for name in ("leads", "events")}
    assert set(EventFacts.model_fields) == columns["events"] - {"lead_id", "known_at"}
    assert set(LeadFacts.model_fields) - {"attributes"} == columns["leads"]
    choices = {field.name: field.choices for field in TABLES["events"] if field.choices}
    assert {name: set(options) for name, options in choices.items()} == {
        name: set(EventFacts.model_json_schema()["properties"][name]["anyOf"][0]["enum"]) for name in choices
    }


def test_events_by_the_day_are_said_and_so_is_an_age_that_training_did_not_see(served: SmallServer) -> None:
    events = [
        {"event_at": "2024-03-04", "event_type": "visit"},
        {"event_at": "2024-03-03T10:00Z", "event_type": "visit"},
    ]
    answer = served.post("/score", {"lead": LEAD, "events": events, "as_of": zoned(AT)}).tree
    between, caution = answer["cautions"]
    assert between == BETWEEN
    assert caution.startswith("1 of 2 events are given by the day alone")
    young = {"lead": {**LEAD, "created_at": zoned(AT - HOUR)}, "as_of": zoned(AT)}
    assert "0.0417 days old" in served.post("/score", young).tree["cautions"][0]


def test_a_moment_between_lists_is_said_unless_the_model_learned_from_such(served: SmallServer, tmp_path: Path) -> None:
    young, between = {**LEAD, "created_at": zoned(AT - HOUR)}, {"lead": LEAD, "as_of": zoned(AT + HOUR)}
    assert served.post("/score", between).tree["cautions"] == [BETWEEN]
    population = PARAMS.snapshots.model_copy(update={"moments": MomentParams()})
    learned = replace(scorer(), metadata=metadata(snapshots=population))
    other = small_server(tmp_path, learned)
    assert other.post("/score", between).tree["cautions"] == []
    assert other.post("/score", {"lead": young, "as_of": zoned(AT)}).tree["cautions"] == []


def test_who_has_no_token_stays_outside(served: SmallServer, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = SmallServer(served.folder, replace(served.service, token="secret"), served.clock)  # noqa: S106
    body = {"lead": LEAD}
    assert guarded.post("/score", body).status == 401
    assert guarded.post("/score", body, authorization="Bearer secreT").status == 401
    assert guarded.get("/metrics").status == 401
    assert guarded.post("/score", body, authorization="Bearer secret").status == 200
    assert (guarded.get("/healthz").status, guarded.get("/readyz").status) == (200, 200)
    monkeypatch.delenv(server.TOKEN, raising=False)
    assert server.token_for("127.0.0.1") is None
    with pytest.raises(ParamsError, match="LEADSCORE_TOKEN"):
        server.token_for("0.0.0.0")  # noqa: S104
    monkeypatch.setenv(server.TOKEN, "secret")
    assert server.token_for("0.0.0.0") == "secret"  # noqa: S104


def test_large_slow_and_too_many_requests_are_refused(served: SmallServer) -> None:
    small = small_server(served.folder, body=1000, per_second=3)
    assert small.post("/score", {"lead": {**LEAD, "lead_id": "n" * 1000}}).status == 413
    assert [small.get("/metrics").status for _ in range(4)] == [200, 200, 429, 429]
    slow = small_server(served.folder, seconds=0.0)
    assert slow.post("/score", {"lead": LEAD}).status == 503


def test_neither_ids_nor_values_are_logged(served: SmallServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "leadscore"):
        served.post("/score", {"lead": {**LEAD, "lead_id": "secret-1", "attributes": {"sector": "secret-2"}}})
        served.get("/leads/secret-3/score")
        served.post("/leads", {"leads": [{**LEAD, "created_at": "secret-4"}]})
    assert "secret" not in caplog.text
    assert '"route": "/leads/{lead_id}/score", "status": 404' in caplog.text
    assert 'route="/score",status="200"' in served.get("/metrics").text


def test_a_new_model_is_taken_whole_and_a_damaged_one_refused(tmp_path: Path) -> None:
    small = small_server(tmp_path)
    champion, old = small.service.champion, scorer().model_id
    other = replace(scorer(), metadata=metadata(sigmoid=Sigmoid(intercept=1.0, slope=0.9)))
    save_bundle(other, tmp_path / "model")
    assert small.post("/score", {"lead": LEAD}).tree["model_id"] == old
    champion.look()
    assert small.post("/score", {"lead": LEAD}).tree["model_id"] == other.model_id != old
    save_bundle(scorer(), tmp_path / "model")
    text = (tmp_path / "model" / "booster_1.txt").read_text(encoding="utf-8")
    (tmp_path / "model" / "booster_1.txt").write_text(text.replace("5", "6", 1), encoding="utf-8")
    champion.look()
    ready = small.get("/readyz").tree
    assert ready["model_id"] == other.model_id
    assert "booster_1.txt is not what train saved" in ready["refused"]
    save_bundle(scorer(), tmp_path / "model")
    champion.look()
    assert small.get("/readyz").tree == {
        "ready": True, "store": True, "model_id": old, "tier_by": "fixed scores of tiers.ladder", "refused": "",
    }  # fmt: skip


def test_an_override_is_taken_as_on_a_list_and_taken_back(fresh: SmallServer) -> None:
    file, champion = fresh.folder / STORE, fresh.service.champion
    own = fresh.post("/score", {"lead": LEAD}).tree
    tier, stage = ("warm", "MQL") if own["tier"] == "hot" else ("hot", "SQL")
    row = {"lead_id": LEAD["lead_id"], "who": "Anna", "why": "met", "given_at": fresh.clock[0], "tier": tier}
    add_override(file, row | {"until": fresh.clock[0] + DAY})
    champion.look()
    told = fresh.post("/score", {"lead": LEAD}).tree
    changed = {
        "tier": tier,
        "stage": stage,
        "tier_reason": f"override by Anna until {fresh.clock[0] + DAY:%Y-%m-%d}: met",
    }
    assert own["tier"] == own["earned_tier"] != tier
    assert told == own | changed
    fresh.clock[0] += 2 * DAY
    assert fresh.post("/score", {"lead": LEAD}).tree["tier"] == own["tier"], "it counts no more"
    fresh.clock[0] -= 2 * DAY
    take_back(file, LEAD["lead_id"], fresh.clock[0])
    add_override(file, row | {"tier": "", "points": 1000.0 if tier == "hot" else -1000.0})
    champion.look()
    changed_tier = "hot" if tier == "hot" else "cold"
    assert fresh.post("/score", {"lead": LEAD}).tree["tier"] == changed_tier, "points, with which it would be there"


def test_overrides_that_cannot_be_read_are_refused_and_the_old_ones_go_on(fresh: SmallServer) -> None:
    add_override(fresh.folder / STORE, {"lead_id": "n1", "who": "Anna", "tier": "hottest"})
    fresh.service.champion.look()
    assert "tier 'hottest'" in fresh.get("/readyz").tree["refused"]
    assert fresh.post("/score", {"lead": LEAD}).status == 200


def test_tiers_that_ask_for_what_the_model_does_not_read_are_refused(served: SmallServer) -> None:
    when = {"attribute": "colour", "test": "is", "value": ["red"]}
    tiers = TierParams.model_validate({"exclusions": [{"name": "red one", "when": when, "tier": "cold"}]})
    with pytest.raises(ModelError, match="'red one' tests attribute 'colour'"):
        replace(served.service.champion.origin, tiers=tiers).read()
