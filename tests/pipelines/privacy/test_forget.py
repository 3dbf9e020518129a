"""A lead is forgotten: every byte of every store is searched for its id, before and after."""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError, ParamsError
from features.schema.lead_ids import Tombstones
from pipelines.config.params import load
from pipelines.config.source import TableSource
from pipelines.delivery.databases import read_list, to_duckdb
from pipelines.delivery.outbox import open_outbox
from pipelines.privacy.files import Wanted, forget_in_folder
from pipelines.privacy.forget import Receipt, forget_lead
from pipelines.pull.store import Page, open_store, store_of
from pipelines.scheduled.input_files import check_contract
from pipelines.serving.bodies import LeadFacts, PostedEvent
from pipelines.serving.facts import Defaults
from pipelines.serving.store import FactStore
from pipelines.storage.files import file_digest, write_csv, write_json, write_parquet
from pipelines.storage.run_context import RunContext
from tests.support.small_source import EVENTS, LEADS, WON, contract_bytes, run
from tests.support.spreadsheets import write_xlsx

ARRIVAL = pd.Timestamp("2024-01-04")
ID = "zoë-77Q"
LIST = pd.DataFrame(
    {
        "lead_id": ["a", ID, "=b"],
        "as_of": pd.to_datetime(["2024-01-06"] * 3).as_unit("us"),
        "score": [90, 80, 70],
        "reasons_text": ["x,\ny", "visit", "a mail"],
    }
)
FILES: dict[str, str | bytes] = {
    "leads.csv": LEADS + f"{ID},2024-01-03,DE,7\n",
    "events.csv": EVENTS + f"{ID},2024-01-04 10:00:00,visit,5\n{ID},soon,visit,5\n{ID},2024-01-04,visit\n",
    "outcomes.csv": WON + f"{ID},2024-01-12\n",
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """A run, published lists, delivered scores, logs and pages, all with the lead in them."""
    monkeypatch.chdir(tmp_path)
    _, layout = run(tmp_path, FILES, limit=0.9)
    params = load(tmp_path / "overlay.yaml")
    write_csv(LIST, layout.scores_csv.path)
    for artifact in (layout.scores, layout.matrix, layout.predictions, layout.oracle, layout.change):
        write_parquet(LIST, artifact.path)
    layout.report.path.write_text(f'<tr><th scope="row">{ID}</th><td>80</td></tr>', encoding="utf-8")
    (layout.reports / "other.html").write_text("<p>nobody</p>", encoding="utf-8")
    (layout.reports / "night.log").write_text(f"score: 3 leads\nreject {ID}: no mail\nend\n", encoding="utf-8")
    page = tmp_path / params.track.artifacts / "1" / "report.html"
    page.parent.mkdir(parents=True)
    shutil.copy(layout.report.path, page)
    listed = tmp_path / "lists" / "runs" / "2024-01-06-abc"
    write_csv(LIST, listed / "scores.csv")
    write_parquet(LIST, listed / "scores.parquet")
    outputs = {name: file_digest(listed / name) for name in ("scores.csv", "scores.parquet")}
    write_json({"outputs": outputs, "as_of": "2024-01-06"}, listed / "manifest.json")
    kept = tmp_path / "lists"
    write_list(listed / "by_owner", "A", "assigned")
    write_list(listed, "nurture", "not_called")
    write_list(
        kept, "overrides", "monitor/rows", "shadow/shadow", ".work/shards/day/0", "retrain/runs/x/data/contract/leads"
    )
    write_json({"n": 3, "movers": [{"lead_id": ID, "moved": 9}, {"lead_id": "a"}]}, kept / "shadow" / "shadow.json")
    to_duckdb(read_list(listed), params.delivery.duckdb)
    with open_outbox(Path(params.delivery.state) / "hubspot-1.sqlite", "x") as outbox:
        outbox.put("2024-01-06", [(ID, {"score": 80}), ("a", {"score": 90})], {})
    store = FactStore.open(FactStore.url_of(layout.artifacts / "serve.sqlite"), Defaults("inbound", "online", "UTC"))
    for lead in (ID, "a"):
        store.keep_leads([LeadFacts(lead_id=lead, created_at="2024-01-02", attributes={})], ARRIVAL)
        event = {"id": f"1 of {lead}", "lead_id": lead, "event_at": "2024-01-03", "event_type": "visit"}
        store.keep_events([PostedEvent.model_validate(event)], ARRIVAL)
    store.close()
    return RunContext(params, layout)


def write_list(folder: Path, *names: str) -> None:
    """The list as a table of each name, for people and for programs."""
    for name in names:
        write_csv(LIST, folder / f"{name}.csv")
        write_parquet(LIST, folder / f"{name}.parquet")


def named(folder: Path, needle: str = ID) -> set[str]:
    """The files below a folder, the user's own aside, in whose bytes an id stands."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent != folder / "data")
    texts = [needle.encode(), json.dumps(needle).strip('"').encode()]
    return {path.relative_to(folder).as_posix() for path in found if any(one in path.read_bytes() for one in texts)}


def stored(folder: Path) -> set[str]:
    """The same for columns of Parquet, which is compressed."""
    frames = {path: pd.read_parquet(path) for path in folder.rglob("*.parquet") if path.parent != folder / "data"}
    return {
        path.name
        for path, rows in frames.items()
        if rows.astype(str).apply(lambda c: c.str.contains(ID)).any(axis=None)
    }


def test_nothing_is_left_of_a_lead_and_all_of_the_others(world: RunContext, tmp_path: Path) -> None:
    before = named(tmp_path) | stored(tmp_path)
    assert before >= {
        "leads.parquet", "events.parquet", "outcomes.parquet", "quarantine.parquet", "scores.parquet", "matrix.parquet",
        "predictions.parquet", "oracle.parquet", "change.parquet", "out/scores.csv", "out/report.html", "out/night.log",
        "mlartifacts/1/report.html", "lists/runs/2024-01-06-abc/scores.csv", "delivery/hubspot-1.sqlite",
        "scores.duckdb", "out/artifacts/serve.sqlite", "lists/shadow/shadow.json", "lists/shadow/shadow.csv",
        "lists/runs/2024-01-06-abc/nurture.csv", "lists/runs/2024-01-06-abc/not_called.csv", "not_called.parquet",
        "lists/runs/2024-01-06-abc/by_owner/A.csv", "assigned.parquet", "overrides.parquet", "0.parquet",
    }  # fmt: skip
    receipt = forget_lead(ID, world, [tmp_path / "lists"], postgres=False)
    assert named(tmp_path) | stored(tmp_path) == set()
    others = {"out/scores.csv", "delivery/hubspot-1.sqlite", "scores.duckdb", "out/artifacts/serve.sqlite"}
    assert named(tmp_path, "a") >= others
    assert (tmp_path / "out/other.html").is_file()
    kept = ['"a","2024-01-06",90,"x,', 'y"', '"\'=b","2024-01-06",70,"a mail"']
    assert (tmp_path / "out/scores.csv").read_text().splitlines()[1:] == kept
    assert (tmp_path / "out/night.log").read_text() == "score: 3 leads\nend\n"
    assert receipt.gone["scores.parquet"] == receipt.gone["*.html"] == receipt.gone["leads.parquet"] == 2
    assert receipt.gone["quarantine.parquet"] == 2
    assert json.loads((tmp_path / "lists/shadow/shadow.json").read_text()) == {"n": 3, "movers": [{"lead_id": "a"}]}
    assert ID not in "\n".join(receipt.lines())
    assert forget_lead(ID, world, [tmp_path / "lists"], postgres=False).gone.total() == 0


def test_what_pull_has_read_is_forgotten_too(world: RunContext, tmp_path: Path) -> None:
    folder = tmp_path / "crm"
    tables = {"leads": {"lead_id": [ID, "a"]}, "aliases": {"lead_id": [ID], "merged_into": ["b"], "merged_at": [""]}}
    for name, columns in tables.items():
        write_parquet(pd.DataFrame(columns), folder / f"{name}.parquet")
    write_json({"crm": "hubspot"}, folder / "pulled.json")
    with open_store(store_of(folder), "hubspot") as store:
        store.begin("[]", 1, whole=False)
        store.take("contacts", Page([("contacts", one, {"company": ID}) for one in (ID, "a")], [], "2", more=False))
        store.take("calls", Page([("calls", "1", {"contacts": [ID, "a"]})], [], "1", more=False))
    receipt = forget_lead(ID, world, [], postgres=False, data=folder)
    assert receipt.gone["what `pull` has read"] == receipt.gone["leads.parquet"] == 2  # a table of the contract, too
    assert pd.read_parquet(folder / "leads.parquet")["lead_id"].tolist() == ["a"]
    with open_store(store_of(folder), "hubspot") as store:
        assert [key for key, _ in store.records("contacts")] == ["a"]
        assert list(store.records("calls")) == [("1", {"contacts": ["a"]})]
    assert ID.encode() not in store_of(folder).read_bytes().replace(b'"company": "' + ID.encode(), b"")


def test_what_is_left_is_whole(world: RunContext, tmp_path: Path) -> None:
    forget_lead(ID, world, [tmp_path / "lists"], postgres=False)
    check_contract(world.layout)
    listed = tmp_path / "lists/runs/2024-01-06-abc"
    outputs = json.loads((listed / "manifest.json").read_text())["outputs"]
    assert outputs == {name: file_digest(listed / name) for name in ("scores.csv", "scores.parquet")}
    assert pd.read_parquet(listed / "scores.parquet").equals(LIST[LIST["lead_id"] != ID].reset_index(drop=True))


def test_the_next_ingest_leaves_the_lead_out(world: RunContext, tmp_path: Path) -> None:
    forget_lead(ID, world, [tmp_path / "lists"], postgres=False)
    for folder in (tmp_path / "out/data", tmp_path / "lists/.work/feed/data"):
        assert stat.S_IMODE((folder / "forgotten.json").stat().st_mode) == 0o600
    profile, layout = run(tmp_path, FILES, limit=0.0)
    assert stored(tmp_path) == set()
    assert profile.tables["leads"].kept == 3
    clean, other = run(tmp_path, {"leads.csv": LEADS, "events.csv": EVENTS, "outcomes.csv": WON}, out="clean")
    assert contract_bytes(layout) == contract_bytes(other)
    assert clean.fingerprint == profile.fingerprint


def test_a_damaged_tombstone_stops_ingest(world: RunContext, tmp_path: Path) -> None:
    (world.layout.data / "forgotten.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"forgotten\.json damaged, which holds the digests of forgotten leads"):
        run(tmp_path, FILES, limit=0.9)


def test_ids_are_compared_as_the_source_says(tmp_path: Path) -> None:
    rows = pd.DataFrame({"Id": ["0101.0", "101", "1010"], "n": [1, 2, 3]})
    write_parquet(rows, tmp_path / "x.parquet")
    write_csv(rows, tmp_path / "x.csv")
    wanted = Wanted(("101",), ("integer",), frozenset({"Id"}))
    assert forget_in_folder(tmp_path, wanted).gone == {"x.parquet": 2, "x.csv": 2}
    assert pd.read_parquet(tmp_path / "x.parquet")["Id"].tolist() == ["1010"]
    known = Tombstones(salt="0" * 64)
    assert known.digest("101") != Tombstones(salt="1" * 64).digest("101")


def test_what_cannot_be_meant_is_refused(world: RunContext, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="the id is empty"):
        forget_lead(" ", world, [], postgres=False)
    with pytest.raises(ParamsError, match="no such folder"):
        forget_lead(ID, world, [tmp_path / "nowhere"], postgres=False)


def test_an_excel_list_with_the_lead_is_removed_and_others_stay(tmp_path: Path) -> None:
    listed = tmp_path / "runs" / "day"
    (listed / "by_owner").mkdir(parents=True)
    mine = write_xlsx(listed / "by_owner" / "A.xlsx", {"list": [["rank", "lead_id"], [1, ID]]})
    other = write_xlsx(listed / "by_owner" / "B.xlsx", {"list": [["rank", "lead_id"], [1, f"{ID}2"]]})
    write_json({"outputs": {f"by_owner/{path.name}": file_digest(path) for path in (mine, other)}},
               listed / "manifest.json")  # fmt: skip
    (listed / "notes.xlsx").write_bytes(b"no sheet")
    cleared = forget_in_folder(tmp_path, Wanted((ID,)))
    assert cleared.gone.total() == 1 and cleared.unread == [listed / "notes.xlsx"]
    assert sorted(path.name for path in listed.rglob("*.xlsx")) == ["B.xlsx", "notes.xlsx"]
    assert list(json.loads((listed / "manifest.json").read_text())["outputs"]) == ["by_owner/B.xlsx"]


@pytest.mark.parametrize("name", ["A.xlsx", "scores.parquet"])
def test_a_file_that_cannot_be_read_is_named_and_all_else_is_done(tmp_path: Path, name: str) -> None:
    write_csv(LIST, tmp_path / "scores.csv")
    (tmp_path / name).write_bytes(b"PK cut off")
    cleared = forget_in_folder(tmp_path, Wanted((ID,)))
    assert cleared.gone == {"scores.csv": 1} and cleared.unread == [tmp_path / name]
    with pytest.raises(DataError, match=rf"{name}.*found a file that cannot be read.*Restore or delete"):
        Receipt(cleared.gone, Counter(), unread=tuple(map(str, cleared.unread))).check()


def test_all_ids_that_were_merged_are_forgotten(world: RunContext, tmp_path: Path) -> None:
    (tmp_path / "data/merges.csv").write_text(f"old,new\n{ID},b\nc,{ID}\n", encoding="utf-8")
    aliases = TableSource(path="merges.csv", columns={"lead_id": "old", "merged_into": "new"})
    source = world.params.source.model_copy(update={"aliases": [aliases]})
    merged = RunContext(world.params.model_copy(update={"source": source}), world.layout)
    receipt = forget_lead("b", merged, [tmp_path / "lists"], postgres=False, data=tmp_path / "data")
    assert receipt.ids == 3 and "with 2 ids that were merged with it" in receipt.lines()[0]
    assert named(tmp_path) | stored(tmp_path) == set()
    assert pd.read_parquet(world.layout.leads.path)["lead_id"].tolist() == ["a"]
    (tmp_path / "data/merges.csv").unlink()
    with pytest.raises(DataError, match=r"aliases.*merges\.csv"):
        forget_lead("a", merged, [tmp_path / "lists"], postgres=False, data=tmp_path / "data")
    assert pd.read_parquet(world.layout.leads.path)["lead_id"].tolist() == ["a"]
