"""From the user's files to the contract: typing, faults, duplicates, determinism, and the real data sets."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.stages.ingest import ingest
from pipelines.storage.data_profile import read_profile
from pipelines.storage.layout import Layout
from tests.support.paths import REAL
from tests.support.small_source import (
    EVENTS,
    EXAMPLES,
    LEADS,
    UNDATED,
    WON,
    as_typed,
    contract_bytes,
    reasons,
    run,
    table,
)


def test_three_files_become_the_contract(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leadscore"):
        profile, layout = run(tmp_path)
    leads, events = pd.read_parquet(layout.leads.path), pd.read_parquet(layout.events.path)
    assert leads["lead_id"].tolist() == ["a", "b", "c"]
    assert leads["position"].tolist() == [0, 1, 2]
    assert leads["country"].tolist()[:2] == ["NA", "DE"]  # Namibia is not "not known"
    assert leads["country"].isna().tolist() == [False, False, True]
    assert leads["size"].tolist()[::2] == [10.0, 250.5]
    assert (events["known_at"] == events["event_at"]).all()
    assert events["direction"].unique().tolist() == ["inbound"]
    outcomes = pq.read_table(layout.outcomes.path).to_pylist()
    assert [(row["lead_id"], row["converted"], row["lost_at"]) for row in outcomes] == [("a", True, None)]
    assert pq.read_metadata(layout.stages.path).num_rows == 0
    assert pq.read_schema(layout.attribute_history.path).names == ["lead_id", "valid_from"]
    assert (profile.data_from, profile.data_until) == ("2024-01-01T00:00:00", "2024-01-10T00:00:00")
    assert read_profile(layout) == profile
    assert "events: 3 rows read, 3 kept" in caplog.messages


def test_csv_parquet_and_duckdb_give_the_same_bytes(tmp_path: Path) -> None:
    from_csv, _ = run(tmp_path, out="csv")
    for name, changed in as_typed(tmp_path).items():
        profile, layout = run(tmp_path, out=name, **changed)
        assert profile.fingerprint == from_csv.fingerprint
        assert pq.read_schema(layout.events.path).field("event_at").type == pa.timestamp("us")


def test_every_table_and_column_of_a_funnel_survives_any_format(tmp_path: Path) -> None:
    day = pd.Timestamp("2024-05-01")
    frame = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "created": [day, day, pd.NaT],
            "country": pd.Categorical(["DE", None, "FR"]),
            "size": [1.5, np.nan, 3],
        }
    )
    data = tmp_path / "data"
    data.mkdir()
    frame.to_parquet(data / "leads.parquet")
    leads = table("leads", path="leads.parquet", format="parquet")
    profile, layout = run(
        tmp_path, {"events.csv": EVENTS.replace("\na,", "\n1,").replace("\nb,", "\n2,"), "outcomes.csv": "id,won\n"},
        leads=leads, limit=0.5,
    )  # fmt: skip
    assert pd.read_parquet(layout.leads.path)["lead_id"].tolist() == ["1", "2"]  # whole numbers, as text
    assert reasons(profile, "leads") == {"created_at is empty": 1}
    assert profile.tables["leads"].columns["size"].missing == 1  # NaN is a null, not a bad number


def many_events(rows: int = 400) -> list[str]:
    random = np.random.default_rng(7)
    times = pd.Timestamp("2024-01-05") + pd.to_timedelta(random.integers(0, 90_000, rows), unit="s")
    return [
        f"{lead},{time},{kind},{value}"
        for lead, time, kind, value in zip(
            random.choice(["a", "b", "c"], rows), times, random.choice(["visit", "mail"], rows),
            random.integers(0, 9, rows), strict=True,
        )
    ]  # fmt: skip


def test_permuted_events_give_the_same_bytes(tmp_path: Path) -> None:
    lines = many_events()
    one, first = run(tmp_path, {"events.csv": "id,at,kind,minutes\n" + "\n".join(lines)}, out="one")
    two, second = run(tmp_path, {"events.csv": "id,at,kind,minutes\n" + "\n".join(lines[::-1])}, out="two")
    assert contract_bytes(first) == contract_bytes(second)
    assert one.fingerprint == two.fingerprint


def test_threads_do_not_change_a_byte(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"events.csv": "id,at,kind,minutes\n" + "\n".join(many_events(3000))}
    layouts = [run(tmp_path, files, threads=threads, out=f"out{threads}")[1] for threads in (1, 2)]
    assert contract_bytes(layouts[0]) == contract_bytes(layouts[1])
    assert layouts[0].profile.path.read_bytes() == layouts[1].profile.path.read_bytes()


def test_another_value_gives_another_fingerprint(tmp_path: Path) -> None:
    one, _ = run(tmp_path, out="one")
    two, _ = run(tmp_path, {"leads.csv": LEADS.replace("250.5", "250.6")}, out="two")
    assert one.fingerprint != two.fingerprint


# Rows that break the contract


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'id', 'Created', .*Did you mean 'Created'\? Correct source.leads.columns.cre"
    ):
        run(tmp_path, {"leads.csv": LEADS.replace("created", "Created")})


def test_a_column_of_names_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'size': found not one value that fits, such as 'big' in row 1.*kind: category"
    ):
        run(tmp_path, {"leads.csv": "id,created,country,size\na,2024-01-01,DE,big\n"})


def test_a_bad_number_goes_to_the_quarantine(tmp_path: Path) -> None:
    profile, layout = run(tmp_path, {"leads.csv": LEADS.replace("250.5", "many")}, limit=0.5)
    assert reasons(profile, "leads") == {"size is not a number": 1}
    (row,) = pq.read_table(layout.quarantine.path).to_pylist()
    content = {"id": "c", "created": "2024-01-03", "country": "", "size": "many"}
    assert (row["table"], row["path"], row["row"], row["column"]) == ("leads", "leads.csv", 3, "size")
    assert json.loads(row["content"]) == content


def test_a_lead_seen_twice(tmp_path: Path) -> None:
    copied = LEADS + "a,2024-01-01,NA,10\n"
    profile, _ = run(tmp_path, {"leads.csv": copied}, out="copied")
    assert profile.tables["leads"].copies == 1
    assert reasons(profile, "leads") == {}
    profile, layout = run(tmp_path, {"leads.csv": LEADS + "a,2024-01-01,DE,10\n"}, limit=0.5)
    assert reasons(profile, "leads") == {"lead_id already seen with other values": 1}
    assert pq.read_table(layout.quarantine.path)["row"].to_pylist() == [4]
    assert pd.read_parquet(layout.leads.path)["country"].tolist()[0] == "NA"


def test_an_event_of_an_unknown_lead(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"events.csv": EVENTS + "x,2024-01-02 10:00:00,visit,1\n"}
    profile, _ = run(tmp_path, files, limit=0.5)
    assert reasons(profile, "events") == {"lead_id is not in leads": 1}
    with pytest.raises(DataError, match=r"1 bad rows of 4: 1 lead_id is not in leads, first in row 4.*at most 5\.0%"):
        run(tmp_path, files)


def test_two_formats_in_one_column_show_one_of_each(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"events.csv": EVENTS + "a,31/01/2024 10:00,visit,1\n"}
    with pytest.raises(DataError, match=r"'31/01/2024 10:00' in row 4 \(while '2024-01-02 10:00:00' in row 1 fits\)"):
        run(tmp_path, files)
    profile, _ = run(tmp_path, files, limit=0.5)
    assert reasons(profile, "events") == {"event_at is not a time in the format iso": 1}


def test_a_wrong_time_format_is_no_quarantine(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"not one value that fits, .*times in the format %d/%m/%Y.*Set source.events\[0\]"
    ):
        run(tmp_path, events=[table("events", time_format="%d/%m/%Y")], limit=1.0)
    with pytest.raises(ParamsError, match=r"source.events\[0\].time_format: '%Q' is no strptime pattern"):
        run(tmp_path, events=[table("events", time_format="%Q")])


def test_ids_that_differ_in_spelling_are_compared_as_declared(tmp_path: Path) -> None:
    leads = "id,created,country,size\n007,2024-01-01,NA,1\n008,2024-01-02,DE,2\n"
    files: dict[str, str | bytes] = {"leads.csv": leads, "outcomes.csv": "id,won\n'7,2024-01-10\n"}
    files["events.csv"] = "id,at,kind,minutes\n7.0,2024-01-02 10:00:00,visit,5\n8,2024-01-03 11:00:00,mail,\n"
    with pytest.raises(DataError, match=r"and '007': write lead_id: \{column: ..., normalise: \[strip, integer\]\}"):
        run(tmp_path, files)
    alike = {"lead_id": {"column": "id", "normalise": ["integer", "strip"]}, "created_at": "created"}
    _, layout = run(tmp_path, files, leads={"path": "leads.csv", "columns": alike})
    tables = {name: pq.read_table(layout.contract / f"{name}.parquet") for name in ("leads", "events", "outcomes")}
    assert {name: table["lead_id"].to_pylist() for name, table in tables.items()} == {
        "leads": ["007", "008"],  # as leads spell them
        "events": ["007", "008"],
        "outcomes": ["007"],
    }
    twice = files | {"leads.csv": leads + "7,2024-01-03,FR,3\n"}
    profile, _ = run(tmp_path, twice, limit=0.5, leads={"path": "leads.csv", "columns": alike})
    assert reasons(profile, "leads") == {"lead_id already seen with other values": 1}


def label(values: str) -> dict[str, str | bytes]:
    return {
        "outcomes.csv": "id,won\n"
        + "".join(f"{lead},{value}\n" for lead, value in zip("abc", values.split("|"), strict=True))
    }


def test_a_label_with_a_third_value(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'won': found the values 'No', 'maybe', 'yes'; expected spellings in yes_values"
    ):
        run(tmp_path, label("yes|No|maybe"), limit=1.0, **UNDATED)
    _, layout = run(tmp_path, label("YES|No|"), **UNDATED)
    assert pq.read_table(layout.outcomes.path)["converted"].to_pylist() == [True, False, None]


@pytest.mark.parametrize("values", ["yes|yes|yes", "no|no|no"])
def test_one_class_alone_is_for_training_to_judge(tmp_path: Path, values: str) -> None:
    profile, _ = run(tmp_path, label(values), **UNDATED)
    assert profile.tables["outcomes"].kept == 3
    assert profile.data_until is None


def test_labels_from_a_data_frame_with_gaps(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pd.DataFrame({"id": ["a", "b", "c"], "won": [1.0, 0.0, np.nan]}).to_parquet(tmp_path / "data" / "won.parquet")
    outcomes = UNDATED["outcomes"] | {"path": "won.parquet", "format": "parquet"}
    _, layout = run(tmp_path, **(UNDATED | {"outcomes": outcomes}))
    assert pq.read_table(layout.outcomes.path)["converted"].to_pylist() == [True, False, None]


def test_the_earliest_of_several_purchases_counts(tmp_path: Path) -> None:
    profile, layout = run(tmp_path, {"outcomes.csv": WON + "a,2024-01-05\nb,2024-02-01\na,2024-03-01\n"})
    assert profile.tables["outcomes"].repeats == 2
    assert pd.read_parquet(layout.outcomes.path)["converted_at"].astype(str).tolist() == ["2024-01-05", "2024-02-01"]


def test_won_before_the_lead_was_there(tmp_path: Path) -> None:
    leads = LEADS.replace("2024-01-02", "2024-01-02 15:00:00")
    outcomes = WON + "b,2024-01-02\nc,2024-01-01\n"  # on the day, at no known hour; and two days early
    profile, layout = run(tmp_path, {"leads.csv": leads, "outcomes.csv": outcomes}, limit=0.5)
    assert reasons(profile, "outcomes") == {"converted_at is before created_at": 1}
    assert pd.read_parquet(layout.outcomes.path)["lead_id"].tolist() == ["a", "b"]


def test_a_date_and_a_label_must_agree(tmp_path: Path) -> None:
    columns = {"lead_id": "id", "converted_at": "won", "converted": "done", "lost_at": "lost"}
    files: dict[str, str | bytes] = {"outcomes.csv": "id,won,done,lost\na,2024-01-10,no,\nb,,yes,\nc,,,2024-02-01\n"}
    profile, layout = run(tmp_path, files, outcomes=table("outcomes", columns=columns), limit=0.7)
    assert reasons(profile, "outcomes") == {
        "not converted, but converted_at is set": 1,
        "converted without a converted_at": 1,
    }
    assert pq.read_table(layout.outcomes.path)["converted"].to_pylist() == [False]  # lost is not open


def test_known_before_it_happened(tmp_path: Path) -> None:
    events = "id,at,seen,kind\na,2024-01-02 10:00:00,2024-01-02 09:00:00,visit\na,2024-01-02 10:00:00,2024-01-02,mail\n"
    columns = {"lead_id": "id", "event_at": "at", "known_at": "seen", "event_type": "kind"}
    profile, layout = run(tmp_path, {"events.csv": events}, events=[table("events", columns=columns)], limit=0.5)
    assert reasons(profile, "events") == {"known before it happened": 1}
    kept = pd.read_parquet(layout.events.path)
    assert kept["known_at"].tolist() == kept["event_at"].tolist()  # known on that day: not before it happened


def test_copies_of_an_event_are_dropped_but_not_its_twins(tmp_path: Path) -> None:
    twins = "no,id,at,kind,minutes\n1,a,2024-01-02,exam,5\n2,a,2024-01-02,exam,5\n2,a,2024-01-02,exam,5\n"
    profile, _ = run(tmp_path, {"events.csv": twins})
    assert profile.tables["events"].copies == 1
    assert profile.tables["events"].kept == 2  # two exams on one day are two exams


def test_empty_keys_and_types(tmp_path: Path) -> None:
    events = EVENTS + ",2024-01-02,visit,1\na,2024-01-02,,1\na,,visit,1\n"
    profile, _ = run(tmp_path, {"events.csv": events}, limit=0.5)
    assert reasons(profile, "events") == {"lead_id is empty": 1, "event_at is empty": 1, "event_type is empty": 1}


def test_direction_and_channel(tmp_path: Path) -> None:
    events = "id,at,kind,way\na,2024-01-02,visit,Inbound\na,2024-01-03,mail,\na,2024-01-03,mail,sideways\n"
    columns = {"lead_id": "id", "event_at": "at", "event_type": "kind", "direction": "way"}
    tables = [table("events", columns=columns, constants={"channel": "offline"})]
    profile, layout = run(tmp_path, {"events.csv": events}, events=tables, limit=0.5)
    assert reasons(profile, "events") == {"direction is not one of inbound, outbound": 1}
    kept = pd.read_parquet(layout.events.path)
    assert kept["direction"].tolist() == ["inbound", "inbound"]
    assert kept["channel"].tolist() == ["offline", "offline"]
    with pytest.raises(
        DataError, match=r"found not one value that fits, such as 'outbnd'; expected one of inbound, outb"
    ):
        run(tmp_path, events=[table("events", constants={"direction": "outbnd"})])


def test_history_is_one_row_a_moment(tmp_path: Path) -> None:
    history = "id,since,size\na,2024-01-02,20\na,2024-01-02,20\na,2024-01-02,30\nb,2024-01-05,\n"
    edits = {"path": "history.csv", "columns": {"lead_id": "id", "valid_from": "since"}}
    attributes = {"country": {}, "size": {"kind": "number", "known": "history"}}
    changed: dict[str, Any] = {"attributes": attributes, "attribute_history": [edits]}
    profile, layout = run(tmp_path, {"history.csv": history}, limit=0.5, **changed)
    assert reasons(profile, "attribute_history") == {"lead_id and valid_from already seen with other values": 1}
    assert profile.tables["attribute_history"].copies == 1
    assert pd.read_parquet(layout.attribute_history.path).columns.tolist() == ["lead_id", "valid_from", "size"]
    with pytest.raises(DataError, match="column 'size': found no such column"):
        run(tmp_path, {"history.csv": "id,since\na,2024-01-02\n"}, **changed)


def test_stages(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "stages.csv": "id,stage,day\nb,MQL,2024-01-05\na,MQL,2024-01-04\nb,MQL,2024-01-05\n"
    }
    columns = {"lead_id": "id", "stage": "stage", "entered_at": "day"}
    profile, layout = run(tmp_path, files, stages=[{"path": "stages.csv", "columns": columns}])
    assert pd.read_parquet(layout.stages.path)["lead_id"].tolist() == ["a", "b"]
    assert profile.tables["stages"].copies == 1


def test_where_and_constants_make_events_of_a_wide_table(tmp_path: Path) -> None:
    wide = "id,day,quiz,exam\na,2024-01-02,1,0\nb,2024-01-02,1,1\nc,2024-01-03,0,0\n"
    columns = {"lead_id": "id", "event_at": "day"}
    tables = [
        table("events", columns=columns, where={flag: ["1"]}, constants={"event_type": flag})
        for flag in ("quiz", "exam")
    ]
    profile, layout = run(tmp_path, {"events.csv": wide}, events=tables)
    assert pd.read_parquet(layout.events.path)["event_type"].tolist() == ["quiz", "exam", "quiz"]
    assert profile.tables["events"].filtered == 3


def test_an_hour_moves_to_utc_and_a_day_does_not(tmp_path: Path) -> None:
    _, layout = run(tmp_path, timezone="America/New_York")
    assert str(pd.read_parquet(layout.events.path)["event_at"][0]) == "2024-01-02 15:00:00"
    assert str(pd.read_parquet(layout.leads.path)["created_at"][0]) == "2024-01-01 00:00:00"


def test_row_numbers_stand_in_for_an_id(tmp_path: Path) -> None:
    one, other = table("leads", columns={}), table("leads", columns={"converted": "country"})
    changed = UNDATED | {"order": "rows", "leads": one, "outcomes": other}
    _, layout = run(tmp_path, {"leads.csv": LEADS.replace("NA", "yes").replace("DE", "no")}, **changed)
    assert pd.read_parquet(layout.leads.path)["lead_id"].tolist() == ["1", "2", "3"]
    assert pq.read_table(layout.outcomes.path)["converted"].to_pylist() == [True, False, None]
    with pytest.raises(ParamsError, match="the row number can stand in for it only where"):
        run(tmp_path, **(changed | {"outcomes": table("outcomes", columns={"converted": "won"})}))


CELLS = st.sampled_from(
    ["a", "b", "c", "x", "", "2024-01-05", "2024-01-05 10:00", "1", "-3.5", "inf", "soon", '"q', "é", "a,b"]
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=25))
def test_no_row_is_lost_whatever_it_holds(tmp_path: Path, rows: list[list[str]]) -> None:
    text = pd.DataFrame(rows, columns=["id", "at", "kind", "minutes"]).to_csv(index=False)
    try:
        profile, layout = run(tmp_path, {"events.csv": text}, limit=1.0)
    except DataError as error:
        assert "not one value that fits" in str(error)
        return
    events = profile.tables["events"]
    quarantined = sum(events.quarantined.values())
    assert events.read == len(rows) == events.kept + events.copies + quarantined
    assert pq.read_metadata(layout.quarantine.path).num_rows == quarantined
    assert pq.read_metadata(layout.events.path).num_rows == events.kept


def test_the_profile_shows_no_person(tmp_path: Path) -> None:
    rows = "".join(f"p{row},2024-01-01,{'DE' if row else 'only-one@example.com'},{row}\n" for row in range(20))
    files: dict[str, str | bytes] = {"leads.csv": "id,created,country,size\n" + rows}
    profile, _ = run(tmp_path, files | {"events.csv": "id,at,kind,minutes\n", "outcomes.csv": "id,won\n"})
    assert profile.tables["leads"].columns["country"].levels == {"DE": 19}
    assert profile.tables["leads"].columns["size"].max == 19.0
    assert "p1" not in profile.model_dump_json()


# Real data


def test_real_deals(tmp_path: Path) -> None:
    """Two deals were engaged nine years later: each is set aside as a lead and as an outcome."""
    name = "crm_opportunities"
    if not (REAL / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the project, in ../shared/data")
    params, layout = load(EXAMPLES / f"{name}.yaml"), Layout.folder(tmp_path)
    profile = ingest(params.source, params.ingest, params.project, REAL / name, layout)
    assert profile.tables["leads"].kept == 8_300
    assert pd.read_parquet(layout.outcomes.path)["converted"].sum() == 4_238
    assert profile.tables["events"].kept == 0
    assert pq.read_metadata(layout.quarantine.path).num_rows == 4
