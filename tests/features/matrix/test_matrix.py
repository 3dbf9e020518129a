"""The matrix knows nothing of the future, of other leads, or of how it was computed; and is what its catalogue says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cohort.snapshots import at_risk
from features.events.aggregation import DECAY_UNIT
from features.events.definitions import count_events
from features.matrix.matrix import LeadTables, MatrixSpec, feature_matrix
from features.schema.errors import ParamsError
from features.schema.vocabulary import Vocabulary
from pipelines.config.params import load
from pipelines.config.sections import Project
from pipelines.stages.ingest import ingest
from pipelines.storage import contract_store as store
from pipelines.storage.contract_store import Contract
from pipelines.storage.data_profile import DataProfile, TableProfile
from pipelines.storage.layout import Layout
from tests.support.pandas_reference import reference_matrix
from tests.support.paths import REAL, ROOT
from tests.support.tables import (
    ATTRIBUTES,
    DAY,
    FEATURES,
    MONDAY,
    PARAMS,
    SPEC,
    VOCABULARY,
    Row,
    Scenario,
    attribute,
    crowd,
    event_rows,
    frame,
    moments,
    scenarios,
    table,
    versions,
)

CALENDAR = ["created_weekday", "created_month", "created_hour"]
TIMES = (MONDAY, MONDAY + 7 * DAY)
few = settings(max_examples=6)


def matrix(scenario: Scenario, spec: MatrixSpec = SPEC) -> pd.DataFrame:
    return feature_matrix(scenario.tables, spec)


def assert_same(result: pd.DataFrame, expected: pd.DataFrame, but: tuple[str, ...] = ()) -> None:
    """Bit for bit, columns and their order included."""
    kept = [name for name in expected if name not in but]
    pd.testing.assert_frame_equal(result[kept], expected[kept], check_exact=True)
    assert list(result) == list(expected)


def seen(event: Row, at: pd.Timestamp = MONDAY) -> bool:
    return bool(event["event_at"] < at and event["known_at"] <= at)


# What may not matter


@few
@given(scenarios(), st.data())
def test_what_is_not_known_yet_changes_nothing(scenario: Scenario, data: st.DataObject) -> None:
    """Later events and edits replaced by others, and what the CRM shows today of edited leads."""
    ids = [row["lead_id"] for row in scenario.leads]
    known = [row for row in scenario.events if seen(row)]
    edits = [row for row in scenario.history if row["valid_from"] < MONDAY]
    edited = {row["lead_id"] for row in edits}
    later = [row for row in data.draw(event_rows(ids, [MONDAY, MONDAY + 3 * DAY])) if not seen(row)]
    written = [{"lead_id": lead, "valid_from": MONDAY + data.draw(st.integers(0, 3)) * DAY} for lead in sorted(edited)]
    other = Scenario(
        scenario.pairs,
        [row | data.draw(versions) if row["lead_id"] in edited else row for row in scenario.leads],
        edits + [row | data.draw(versions) for row in written],
        known + later,
    )
    assert_same(matrix(other), matrix(scenario))


def test_what_is_not_known_yet_changes_nothing_in_a_crowd() -> None:
    scenario = crowd((MONDAY,))
    known = [row for row in scenario.events if seen(row)]
    louder = [row if seen(row) else row | {"event_type": "visit", "value": 7.0} for row in scenario.events]
    assert 0 < len(known) < len(scenario.events)
    for events in (known, louder, louder + [row | {"direction": "inbound"} for row in louder if not seen(row)]):
        assert_same(matrix(replace(scenario, events=events)), matrix(scenario))


@few
@given(scenarios(TIMES), st.sampled_from([-70, -1, 1, 3, 7, 365]))
def test_only_calendar_features_change_with_a_shifted_clock(scenario: Scenario, days: int) -> None:
    weeks = days % 7 == 0
    but = ("created_month",) if weeks else ("created_month", "created_weekday")
    assert_same(matrix(scenario.shifted(days * DAY)), matrix(scenario), but)


@few
@given(scenarios(TIMES), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(scenario: Scenario, random: Any) -> None:
    mixed = {name: random.sample(rows, len(rows)) for name, rows in vars(scenario).items()}
    indices = [scenario.pairs.index(pair) for pair in mixed["pairs"]]
    assert_same(matrix(Scenario(**mixed)), matrix(scenario).iloc[indices].reset_index(drop=True))


@settings(max_examples=3)
@given(scenarios(TIMES), st.data())
def test_other_leads_change_nothing(scenario: Scenario, data: st.DataObject) -> None:
    """Neither in the tables nor among the snapshots."""
    crowded = crowd(TIMES, 5, 20)
    both = Scenario(*(getattr(crowded, name) + rows for name, rows in vars(scenario).items()))
    expected = matrix(scenario)
    assert_same(matrix(both).tail(len(scenario.pairs)).reset_index(drop=True), expected)
    assert_same(matrix(replace(both, pairs=scenario.pairs)), expected)
    one = data.draw(st.integers(0, len(scenario.pairs) - 1))
    assert_same(matrix(replace(scenario, pairs=[scenario.pairs[one]])), expected.iloc[[one]].reset_index(drop=True))


def profile_of(leads: int, events: int) -> DataProfile:
    kept = {"leads": leads, "events": events}
    tables = {
        name: TableProfile(read=n, filtered=0, kept=n, copies=0, repeats=0, quarantined={}, columns={})
        for name, n in kept.items()
    }
    return DataProfile(tables=tables, data_from=None, data_until=None, fingerprint="")


def sharded(scenario: Scenario, file: Path, threads: int) -> pd.DataFrame:
    tables = scenario.tables
    project = Project.model_validate(PARAMS.project.model_dump() | {"threads": threads})
    profile = profile_of(len(tables.leads), len(scenario.events))
    events = store.connect(project).read_parquet(file)
    contract = Contract(tables.leads, frame("outcomes", []), tables.history, events, profile)
    result = list(contract.matrix(tables.snapshots, SPEC))
    assert len(result) == contract.count_shards(tables.snapshots)
    return pd.concat(result, ignore_index=True)


def test_neither_threads_nor_shards_change_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, file = crowd(TIMES, 40, 4_000), tmp_path / "events.parquet"
    pq.write_table(table("events", scenario.events), file, row_group_size=500)  # for two threads to share
    expected = sharded(scenario, file, 1)
    assert_same(expected[[entry.name for entry in SPEC.catalogue]], matrix(scenario))
    assert_same(sharded(scenario, file, 2), expected)
    for limit, size in (("SHARD_LEADS", 13), ("SHARD_LEADS", 39), ("SHARD_EVENTS", 1_000), ("SHARD_EVENTS", 1)):
        monkeypatch.setattr(store, limit, size)
        assert_same(sharded(scenario, file, 2), expected)


def test_a_shard_holds_no_more_events_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 leads of 50 events each, on 3 days: 150 pairs a lead."""
    leads = pd.DataFrame({"lead_id": [f"L{number:03d}" for number in range(100)]})
    profile = profile_of(100, 5_000)
    contract = Contract(leads, frame("outcomes", []), leads, ibis.memtable(table("events", [])), profile)
    snapshots = pd.concat([leads] * 3).assign(snapshot_at=MONDAY)
    monkeypatch.setattr(store, "SHARD_EVENTS", 1_500)
    assert [shard.leads["lead_id"].nunique() for shard in contract.shards(snapshots)] == [10] * 10
    monkeypatch.setattr(store, "SHARD_LEADS", 4)
    assert contract.count_shards(snapshots) == 25


@given(st.integers(0, 2**32 - 1))
def test_shards_hold_their_leads_whatever_the_order_of_the_tables(seed: int) -> None:
    """Each its range of leads, with all their rows, in the order of the tables."""
    draw = np.random.default_rng(seed)
    ids = [f"L{number:02d}" for number in range(30)]
    leads, history = (pd.DataFrame({"lead_id": draw.permutation(ids)}).assign(number=range(30)) for _ in range(2))
    snapshots = pd.DataFrame({"lead_id": draw.choice(ids, 40)}).assign(snapshot_at=MONDAY, number=range(40))
    profile = profile_of(30, 0)
    contract = Contract(leads, frame("outcomes", []), history, ibis.memtable(table("events", [])), profile)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SHARD_LEADS", 7)
        shards = list(contract.shards(snapshots))
    lead_ids = sorted(snapshots["lead_id"].unique())
    assert [sorted(shard.rows["lead_id"].unique()) for shard in shards] == [
        lead_ids[start : start + 7] for start in range(0, len(lead_ids), 7)
    ]
    for shard in shards:
        own = shard.rows["lead_id"]
        pd.testing.assert_frame_equal(shard.rows, snapshots[snapshots["lead_id"].isin(own)].reset_index(drop=True))
        for part, complete in ((shard.leads, leads), (shard.history, history)):
            assert set(own) <= set(part["lead_id"])
            pd.testing.assert_frame_equal(part, complete[complete["lead_id"].between(own.min(), own.max())])


# What it is


def test_the_catalogue_is_the_columns() -> None:
    result = matrix(crowd((MONDAY,), 5, 20))
    assert [entry.name for entry in SPEC.catalogue] == list(result)
    assert len(set(result)) == len(result.columns)
    assert set(result.dtypes) == {np.dtype("float32")}
    for entry in SPEC.catalogue:
        column = result[entry.name].dropna()
        if entry.levels is not None:
            assert column.isin(range(len(entry.levels))).all(), entry.name
        assert entry.empty == "missing" or entry.group == "fit" or len(column) == len(result) or entry.empty == "none"


def test_labels_are_plain_english() -> None:
    for entry in SPEC.catalogue:
        assert not {"_", "  "} & set(entry.label + entry.theme_label), entry
    labels = [entry.label for entry in SPEC.catalogue]
    assert len(set(labels)) == len(labels)
    assert any("site visit" in label for label in labels)


def test_a_theme_is_one_thing() -> None:
    spec = with_attributes(visit=attribute("number", label="visits before"))
    themes = {(entry.theme, entry.theme_label) for entry in spec.catalogue}
    assert len({theme for theme, _ in themes}) == len(themes)


def with_attributes(**attributes: Any) -> MatrixSpec:
    levels = VOCABULARY.levels | {name: ["a"] for name in attributes}
    vocabulary = VOCABULARY.model_copy(update={"levels": levels})
    return MatrixSpec(
        attributes=ATTRIBUTES | attributes, event_labels={}, event_units={}, params=FEATURES, vocabulary=vocabulary
    )


@pytest.mark.parametrize(
    "name",
    [
        *("lead_age", "created_month", "missing_attributes", "recency__visit", "count__any_event__7d", "mail__kind"),
        *("sector__frequency", "job__seniority", "label", "part", "snapshot_at", "known_at", "matured"),
    ],
)
def test_an_attribute_may_not_be_called_like_another_column(name: str) -> None:
    spec = with_attributes(**{name: attribute("number")})
    with pytest.raises(ParamsError, match=f"two columns called '{name}'.*source.attributes"):
        feature_matrix(crowd((MONDAY,), 2, 2).tables, spec)


@pytest.mark.parametrize("sort_keys", [True, False])
def test_a_spec_survives_json(sort_keys: bool) -> None:
    scenario = crowd((MONDAY,), 20, 100)
    text = json.dumps(SPEC.model_dump(mode="json"), sort_keys=sort_keys)
    again = MatrixSpec.model_validate_json(text)
    assert again == SPEC
    assert again.catalogue == SPEC.catalogue
    assert_same(matrix(scenario, again), matrix(scenario))


def test_leads_without_dates_and_events() -> None:
    nothing = Vocabulary.model_validate(
        VOCABULARY.model_dump() | {"event_types": [], "event_groups": [], "has_other": False, "dated": False}
    )
    spec = SPEC.model_copy(update={"vocabulary": nothing})
    leads = frame("leads", [{"lead_id": "a", "sector": "food"}, {"lead_id": "b", "size": 2.0}])
    rows, history = moments([("b", pd.NaT), ("a", pd.NaT)]), frame("attribute_history", [])
    events = ibis.memtable(table("events", []))
    result = feature_matrix(LeadTables(rows, leads.drop(columns="created_at"), history, events), spec)
    assert list(result) == [entry.name for entry in spec.catalogue]
    np.testing.assert_array_equal(result["sector"], [np.nan, 1.0])
    np.testing.assert_array_equal(result["size"], [2.0, np.nan])


# Real data

SCHOOL = REAL / "learning_365"
EXAMPLE = ROOT / "examples" / "learning_365.yaml"
AUGUST = pd.Timestamp("2022-08-01")


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, MatrixSpec, pd.DataFrame]:
    """The contract tables of a real school, a vocabulary of what was known in August, and the leads open then."""
    if not SCHOOL.is_dir() or not EXAMPLE.is_file():
        pytest.skip("the real event log is not here: ../shared/data/learning_365 with examples/learning_365.yaml")
    params, layout = load(EXAMPLE), Layout.folder(tmp_path_factory.mktemp("school"))
    ingest(params.source, params.ingest, params.project, SCHOOL, layout)
    contract = Contract.open(layout, params.project)
    rows = at_risk(contract.leads, contract.outcomes, pd.DatetimeIndex([AUGUST]).as_unit("us"), params.snapshots)
    counts = count_events(contract.events, ibis.literal(AUGUST.to_pydatetime())).to_pyarrow().to_pandas()
    spec = MatrixSpec(
        attributes=params.source.attributes,
        event_labels=params.source.event_labels,
        event_units=params.source.event_units,
        params=params.features,
        vocabulary=Vocabulary.learn(params.source.attributes, contract.leads, counts, params.features),
    )
    return contract, spec, rows


def test_real_events_equal_the_reference(school: tuple[Contract, MatrixSpec, pd.DataFrame]) -> None:
    contract, spec, rows = school
    result = pd.concat(contract.matrix(rows, spec), ignore_index=True)
    busy = result[result["count__any_event__ever"] > 0]
    some = pd.concat([busy.sample(25, random_state=1), busy.nlargest(3, "count__any_event__ever"), result.head(5)])
    wanted = contract.events.filter(contract.events.lead_id.isin(list(some["lead_id"])))
    events = wanted.to_pyarrow().to_pandas()
    expected = reference_matrix(some, events, spec.params, spec.vocabulary)
    assert len(spec.vocabulary.event_types) == 6
    for name in expected:
        slack = 1000 / DECAY_UNIT if name.startswith("decayed") else 1e-6
        np.testing.assert_allclose(some[name], expected[name], rtol=1e-6, atol=slack, err_msg=name)


def test_real_events_after_the_snapshot_change_nothing(school: tuple[Contract, MatrixSpec, pd.DataFrame]) -> None:
    contract, spec, rows = school
    result = pd.concat(contract.matrix(rows, spec), ignore_index=True)
    before = contract.events.filter(contract.events.event_at < ibis.literal(AUGUST.to_pydatetime()))
    assert before.count().to_pyarrow().as_py() < contract.events.count().to_pyarrow().as_py()
    assert_same(pd.concat(replace(contract, events=before).matrix(rows, spec), ignore_index=True), result)
