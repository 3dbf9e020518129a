"""One file of leads for each owner, made of a score list and what people are shown of its leads."""

from __future__ import annotations

import logging
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.schema.errors import DataError, first_line
from models.lists.allocation import allocate
from models.lists.candidates import candidates, notes_of, one_space, owners_table, rules_of
from models.lists.results import OwnersSummary
from models.lists.summary import owners_summary
from pipelines.config.params import Params
from pipelines.lists.spreadsheet import check_writer, write_excel
from pipelines.revenue.deal_values import RANK_COLUMN, rank_value
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.scoring.tier_inputs import DEAL_VALUE
from pipelines.storage.contract_store import Display
from pipelines.storage.files import staged_folder, write_csv, write_json, write_parquet
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
FOLDER = "by_owner"
ASSIGNED = "assigned.parquet"
OWNERS = "owners.csv"
READ = ["lead_id", "as_of", "probability", "points", "score", "tier", "tier_reason", "explored"]
PEOPLE = ["rank", "lead_id", "tier", "score", "probability", "grade", "tier_reason", "reasons_text"]  # of a file
PERCENT = ("probability",)
RESERVED = {"con", "prn", "aux", "nul", Path(OWNERS).stem, Path(ASSIGNED).stem}
RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
LONGEST = 60  # characters of a file's name


@dataclass(frozen=True)
class ListInputs:
    """What the lists of one day are made of.

    Attributes
    ----------
    scores
        The score list.
    tiers
        Names, best first.
    previous
        ASSIGNED of the lists before; there may be none.
    """

    scores: Path
    display: Display
    tiers: Sequence[str]
    previous: Path


@dataclass(frozen=True)
class OwnerLists:
    """The lists of one day.

    Attributes
    ----------
    leads
        lead_id, owner, held_by (whose list it was on before), since (the day of that list); those with either.
    owners
        See `owners_table`.
    """

    leads: pd.DataFrame
    owners: pd.DataFrame
    summary: OwnersSummary


def write_run_lists(run: RunContext, tiers: Sequence[str], scores: Path | None = None, note: str = "") -> None:
    """Write the owners' lists beside the run's score list, or remove old ones where the parameters ask for none.

    score_summary.json says what they come to.

    Parameters
    ----------
    tiers
        The names on the list, best first.
    scores
        Another list of the same leads that they are made of; None: the run's own.
    note
        What is said of that, first of all.
    """
    layout, folder = run.layout, run.layout.owner_lists
    if not run.params.lists.owner:
        shutil.rmtree(folder, ignore_errors=True)
        return
    summary = read_result(ScoreSummary, layout.score_summary.path, "score")
    display = Display.read_mapped(layout, run.params.source.leads)
    with staged_folder(folder) as staged:
        by_owner = add_owner_lists(
            staged, ListInputs(scores or layout.scores.path, display, tiers, folder / ASSIGNED), run.params
        )
    by_owner = by_owner.model_copy(update={"notes": [note] * bool(note) + by_owner.notes})
    write_json(summary.model_copy(update={"by_owner": by_owner}).model_dump(), layout.score_summary.path)


def add_owner_lists(folder: Path, inputs: ListInputs, params: Params) -> OwnersSummary:
    """Write the owners' lists into a folder, log what they come to, and return it."""
    lists = build_lists(inputs, params)
    write_lists(lists, inputs, params, folder)
    for line in lists.summary.lines:
        log.info("lists: %s", line)
    return lists.summary


def build_lists(inputs: ListInputs, params: Params) -> OwnerLists:
    """Hand the leads of a score list to owners."""
    return hand_out(read_ranked(inputs.scores, READ, params), inputs, params)


def read_ranked(scores: Path, columns: Sequence[str], params: Params) -> pd.DataFrame:
    """Read columns of a score list, and with money its deal values and what it is ranked by."""
    by = [name for name in (DEAL_VALUE, *RANK_COLUMN.values()) if name in pq.read_schema(scores).names]
    return rank_value(pq.read_table(scores, columns=[*columns, *by]).to_pandas(), params.money)


def hand_out(listed: pd.DataFrame, inputs: ListInputs, params: Params) -> OwnerLists:
    """Hand leads to owners; `listed` has READ of each."""
    day = listed["as_of"].max()
    before = _before(inputs.previous, day)
    held = before.set_index("lead_id")["held_by"]
    since = before["since"].max()
    days = 1 if pd.isna(since) or pd.isna(day) else max((day.floor("D") - since.floor("D")).days, 1)
    leads = candidates(listed, inputs.display.cells, held, params.lists, inputs.tiers, params.features.free_domains)
    rules = rules_of(leads, inputs.display.cells, params.lists, params.capacity.per_period, days)
    lists = allocate(leads, rules)
    known = set(one_space(inputs.display.cells[params.lists.owner]))
    summary = owners_summary(leads, lists, rules, params.evaluate.confidence, notes_of(leads, rules, known))
    rows = pd.DataFrame(
        {
            "lead_id": listed["lead_id"],
            "as_of": listed["as_of"],
            "owner": lists["list_owner"],
            "rank": leads["rank"],
            "held_by": leads["held_by"],
            "since": pd.Series(since, index=listed.index, dtype="datetime64[us]"),
        }
    )
    kept = rows[(rows["owner"] != "") | (rows["held_by"] != "")].sort_values(["owner", "rank", "lead_id"])
    return OwnerLists(kept.reset_index(drop=True), owners_table(leads, lists, rules), summary)


def _before(path: Path, day: pd.Timestamp) -> pd.DataFrame:
    """Return lead_id, held_by and since of the lists before this day's; a day made again is compared as it was then."""
    none = pd.DataFrame({"lead_id": pd.Series(dtype="str"), "held_by": pd.Series(dtype="str"),
                         "since": pd.Series(dtype="datetime64[us]")})  # fmt: skip
    if not path.is_file():
        return none
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            path.name,
            "",
            found=f"a file that cannot be read ({first_line(error)})",
            expected="whose list each lead was on",
            fix=f"Restore {path}, or remove it so that all leads count as new.",
        ) from None
    at = rows["as_of"].max()
    if rows.empty or (not pd.isna(day) and at > day):
        return none
    if at == day or (pd.isna(at) and pd.isna(day)):
        return rows.loc[rows["held_by"] != "", ["lead_id", "held_by", "since"]]
    rows = rows[rows["owner"] != ""]
    return rows[["lead_id"]].assign(held_by=rows["owner"], since=at)


def write_lists(lists: OwnerLists, inputs: ListInputs, params: Params, folder: Path) -> None:
    """Write a CSV, and with `lists.excel` an Excel file, for each owner."""
    if params.lists.excel:
        check_writer()
    on_lists = lists.leads[lists.leads["owner"] != ""]
    columns = [name for name in PEOPLE if name != "rank"]
    rows = _rows_of(inputs.scores, columns, on_lists["lead_id"])
    rows = rows.assign(probability=rows["probability"].round(3)).set_index("lead_id")
    files = file_names(lists.owners["owner"])
    for owner, mine in [(owner, on_lists[on_lists["owner"] == owner]) for owner in lists.owners["owner"]]:
        table = rows.loc[mine["lead_id"]].reset_index().assign(rank=range(1, len(mine) + 1))
        sheet = inputs.display.beside(table[PEOPLE])[["rank", "lead_id", *inputs.display.cells, *PEOPLE[2:]]]
        write_csv(sheet, folder / f"{files[owner]}.csv")
        if params.lists.excel:
            write_excel(sheet, folder / f"{files[owner]}.xlsx", PERCENT)
    named = lists.owners.assign(
        file=[f"{files[owner]}.csv" for owner in lists.owners["owner"]], wins=lists.owners["wins"].round(2)
    )
    write_csv(named, folder / OWNERS)
    write_parquet(lists.leads, folder / ASSIGNED)


def _rows_of(scores: Path, columns: list[str], lead_ids: pd.Series[str]) -> pd.DataFrame:
    wanted = pc.field("lead_id").isin(pa.array(lead_ids, pa.string()))  # typed, as there may be none
    return pq.read_table(scores, columns=columns, filters=wanted).to_pandas()


def file_names(owners: Iterable[str]) -> Mapping[str, str]:
    """Return a file's name, without its ending, for each owner: on any system, and no two alike whatever the case."""
    names: dict[str, str] = {}
    taken = set(RESERVED)
    for owner in sorted(owners):
        kept = [sign if sign.isalnum() or sign == "-" else "_" for sign in unicodedata.normalize("NFC", owner)]
        stem = "_".join(part for part in "".join(kept).split("_") if part)[:LONGEST] or "owner"
        number, name = 1, stem
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names[owner] = name
    return names
