"""One file of leads for each owner: complete, in order, safe in a spreadsheet, and the same when made again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from features.schema.errors import ParamsError
from models.lists.declarations import ListParams
from pipelines.config.params import Params, load
from pipelines.lists import spreadsheet
from pipelines.lists.owner_lists import ASSIGNED, OWNERS, ListInputs, add_owner_lists, file_names
from pipelines.scoring.score_list import SCORES
from pipelines.storage.contract_store import Display
from pipelines.storage.files import staged_folder, write_parquet
from tests.support.tables import PARAMS

TIERS = ["hot", "cold"]
MONDAY = pd.Timestamp("2026-06-01")


def params(**lists: Any) -> Params:
    """The parameters with lists by owner, two places each."""
    given = ListParams.model_validate({"owner": "agent", "capacity": 2} | lists)
    return PARAMS.model_copy(update={"lists": given})


def inputs(
    folder: Path, day: pd.Timestamp = MONDAY, n: int = 6, owners: str = "AABB  ", excluded: int = 0
) -> ListInputs:
    """A list of some leads, the best first, whose owners are called by a letter, " " is nobody; the last excluded."""
    ids = [f"L{number}" for number in range(n)]
    rows: dict[str, object] = {name: [None] * n for name in SCORES.names}
    tiers = ["excluded" if n - number <= excluded else "hot" if number < 2 else "cold" for number in range(n)]
    rows |= {"lead_id": ids, "as_of": [day.to_pydatetime()] * n, "tier": tiers}
    rows |= {"probability": np.linspace(0.6, 0.1, n), "points": np.linspace(90.0, 10.0, n), "tier_reason": [""] * n}
    rows |= {
        "score": [*range(90, 90 - n, -1)],
        "explored": ["no"] * n,
        "reasons_text": ["=1+1"] * n,
        "grade": ["A1"] * n,
    }
    write_parquet(pa.table(rows, SCORES), folder / "scores.parquet")
    cells = pd.DataFrame(
        {"agent": [None if one == " " else one for one in owners]}, index=pd.Index(ids, name="lead_id")
    )
    return ListInputs(folder / "scores.parquet", Display(cells), TIERS, folder / "by_owner" / ASSIGNED)


def written(given: ListInputs, chosen: Params) -> dict[str, pd.DataFrame]:
    """What the folder of lists holds, by file name; tables as text."""
    with staged_folder(given.previous.parent) as staged:
        add_owner_lists(staged, given, chosen)
    return {path.name: pd.read_csv(path, dtype=str) for path in given.previous.parent.glob("*.csv")}


CAPS = st.none() | st.integers(1, 3)
PLACES = st.lists(st.integers(0, 6), min_size=3, max_size=3)


@settings(max_examples=3)
@example(seed=0, n=1, places=[0, 0, 0], firms=None, new=None, excluded=0)
@given(st.integers(0, 10**6), st.integers(1, 14), PLACES, CAPS, CAPS, st.integers(0, 3))
def test_the_files_keep_every_cap_and_without_caps_are_the_whole_list(
    seed: int, n: int, places: list[int], firms: int | None, new: int | None, excluded: int
) -> None:
    """On two days with random owners and companies."""
    rng, capacity = np.random.default_rng(seed), dict(zip("ABC", places, strict=True))
    chosen = params(capacity=capacity, company="firm", max_per_company=firms, max_new_per_day=new)
    before: dict[str, set[str]] = {}
    with TemporaryDirectory() as folder:
        for day in (MONDAY, MONDAY + pd.Timedelta(days=1)):
            given = inputs(Path(folder), day, n, "".join(rng.choice(list("ABC "), n)), excluded)
            cells = given.display.cells.assign(firm=rng.choice(["Acme", "Beta", ""], n))
            given, owner = replace(given, display=Display(cells)), cells["agent"].fillna("")
            called = set(cells.index[: max(n - excluded, 0)])
            lists = {name: rows["lead_id"] for name, rows in by_owner(written(given, chosen)).items()}
            on_lists = [lead for leads in lists.values() for lead in leads]
            assert len(on_lists) == len(set(on_lists)) and set(on_lists) <= called
            assert all(len(leads) <= capacity[name] for name, leads in lists.items())
            assert all(owner[lead] in ("", name) for name, leads in lists.items() for lead in leads)
            assert firms is None or cells["firm"][on_lists].replace("", np.nan).value_counts().le(firms).all()
            fresh = [len(set(leads) - before.get(name, set())) for name, leads in lists.items()]
            assert new is None or max(fresh, default=0) <= new
            before = {name: set(leads) for name, leads in lists.items()}
        free = by_owner(written(given, params(capacity=dict.fromkeys("ABC", n))))
        assert sorted(lead for rows in free.values() for lead in rows["lead_id"]) == sorted(called)


@settings(max_examples=3)
@given(st.integers(1, 14), st.integers(1, 6))
def test_the_files_of_equals_expect_equal_wins(n: int, places: int) -> None:
    """Nobody's file is ahead by more than one lead, nor by more wins than the best lead brings."""
    with TemporaryDirectory() as folder:
        given = inputs(Path(folder), n=n, owners=" " * n)
        files = by_owner(written(given, params(capacity=dict.fromkeys("ABC", places))))
    assert np.ptp([rows["probability"].astype(float).sum() for rows in files.values()]) <= 0.6 + 1e-9
    assert np.ptp([len(rows) for rows in files.values()]) <= 1 and len(files) == 3


def by_owner(files: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Each owner's file, which is as long as the owners' table says."""
    assert [len(files[f"{name}.csv"]) for name in files[OWNERS]["owner"]] == files[OWNERS]["leads"].astype(int).tolist()
    return {name: files[f"{name}.csv"] for name in files[OWNERS]["owner"]}


def test_owners_lists_are_the_list(tmp_path: Path) -> None:
    files = written(inputs(tmp_path), params(capacity=3))
    assert set(files) == {"A.csv", "B.csv", OWNERS}
    assert files["A.csv"]["lead_id"].tolist() == ["L0", "L1", "L5"]
    assert files["B.csv"]["lead_id"].tolist() == ["L2", "L3", "L4"], "B expects fewer wins, so that it gets the better"
    assert files["A.csv"].columns.tolist() == [
        "rank", "lead_id", "agent", "tier", "score", "probability", "grade", "tier_reason", "reasons_text",
    ]  # fmt: skip
    assert files["A.csv"]["reasons_text"].tolist() == ["'=1+1"] * 3, "no formula in a spreadsheet"
    assert files[OWNERS][["owner", "leads", "dealt", "wins", "file"]].to_numpy().tolist() == [
        ["A", "3", "1", "1.2", "A.csv"], ["B", "3", "1", "0.9", "B.csv"],
    ]  # fmt: skip


def test_a_day_made_again_is_the_same_and_the_next_one_keeps_what_was_dealt(tmp_path: Path) -> None:
    """Without a memory of what was dealt, L5 would be Ben's on the second day, and two people would call it."""
    chosen = params(capacity=3, max_new_per_day=3)
    first = written(inputs(tmp_path), chosen)
    again = written(inputs(tmp_path), chosen)
    assert all(first[name].equals(again[name]) for name in first)
    later = inputs(tmp_path, MONDAY + pd.Timedelta(days=2), owners="BAAB  ")
    second = written(later, chosen)
    assert set(second["A.csv"]["lead_id"]) >= {"L5"}
    assert set(second["B.csv"]["lead_id"]) >= {"L4"}
    assert second[OWNERS]["new"].tolist() == ["1", "1"], "the leads that changed their owner"


def test_what_each_rule_costs_is_said(tmp_path: Path) -> None:
    given = inputs(tmp_path, owners="AAAABB")
    with staged_folder(given.previous.parent) as staged:
        summary = add_owner_lists(staged, given, params(max_new_per_day=1))
    assert (summary.leads, summary.capacity, summary.left_out) == (2, 4, {"over the cap of new leads": 4})
    assert {one.rule: round(one.wins, 2) for one in summary.costs} == {
        "each lead stays with its owner": 0.4,  # the best four leads win 1.8, two for each owner 1.4
        "at most 1 new leads a list": 0.6,
    }
    assert "A.csv" not in " ".join(summary.lines), "nobody is named where figures are kept"


def test_scores_by_rules_have_lists_without_wins(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    rows = pd.read_parquet(given.scores).assign(probability=np.nan)
    write_parquet(pa.Table.from_pandas(rows, SCORES, preserve_index=False), given.scores)
    with staged_folder(given.previous.parent) as staged:
        summary = add_owner_lists(staged, given, params())
    assert (summary.leads, summary.wins, summary.costs) == (4, None, [])


def test_excel_files_hold_text_and_numbers_alone_and_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    first = inputs(tmp_path / "one", owners="AABB  ")
    for one in (first, replace(first, previous=tmp_path / "two" / "by_owner" / ASSIGNED)):
        written(one, params(excel=True))
    sheets = [tmp_path / name / "by_owner" / "A.xlsx" for name in ("one", "two")]
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    rows = CalamineWorkbook.from_filelike(io.BytesIO(sheets[0].read_bytes())).get_sheet_by_index(0).to_python()
    assert rows[0][:3] == ["rank", "lead_id", "agent"]
    assert rows[1] == [1.0, "L0", "A", "hot", 90.0, 0.6, "A1", "", "'=1+1"]


def test_without_the_library_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xlsxwriter", None)
    with pytest.raises(ParamsError, match="leadscore\\[excel\\]"):
        spreadsheet.check_writer()
    with pytest.raises(ParamsError):
        written(inputs(tmp_path), params(excel=True))
    assert not (tmp_path / "by_owner").exists()


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_file_names_are_safe_and_differ_whatever_the_case(owners: list[str]) -> None:
    names = file_names(owners)
    assert set(names) == set(owners)
    assert len({name.casefold() for name in names.values()}) == len(owners)
    for name in names.values():
        assert all(sign.isalnum() or sign in "-_" for sign in name)
        assert 0 < len(f"{name}.xlsx".encode()) < 255
    assert names == file_names(reversed(owners))


def test_names_of_devices_and_of_other_files_are_not_taken() -> None:
    names = file_names(["CON", "owners", "../../etc/passwd", "José  Pérez", "Li/Wei", "", "a", "A"])
    assert names == {
        "": "owner", "../../etc/passwd": "etc_passwd", "A": "A", "CON": "CON-2", "José  Pérez": "José_Pérez",
        "Li/Wei": "Li_Wei", "a": "a-2", "owners": "owners-2",
    }  # fmt: skip


def test_labels_that_nobody_is_shown_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("lists: {owner: agent}\n")
    with pytest.raises(ParamsError, match=r"mine.yaml.*lists.owner: 'agent' is no label of source.leads.display"):
        load(file)
    file.write_text("lists: {max_new_per_day: 3}\n")
    with pytest.raises(ParamsError, match="max_new_per_day needs `owner`"):
        load(file)
    file.write_text("source: {leads: {display: {agent: crm_rating}}}\nlists: {owner: agent, max_per_company: 2}\n")
    with pytest.raises(ParamsError, match="max_per_company needs `company`"):
        load(file)
