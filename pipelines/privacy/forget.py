"""`leadscore lead forget`: a lead leaves every store, and the next ingest leaves it out."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.schema.errors import DataError, ParamsError
from features.schema.lead_ids import Tombstones
from pipelines.config.pull import PULLED
from pipelines.config.source import Source
from pipelines.ingestion.profile import fingerprint
from pipelines.ingestion.staging import read_tombstones, tombstones_path
from pipelines.privacy.aliases import ids_of_person
from pipelines.privacy.databases import forget_in_duckdb, forget_in_outboxes, forget_in_postgres, forget_posted
from pipelines.privacy.files import Cleared, Wanted, forget_in_folder, not_looked_into
from pipelines.pull.store import forget_pulled
from pipelines.scheduled.job import feed_layout
from pipelines.serving.store import STATE
from pipelines.storage.data_profile import read_profile, write_profile
from pipelines.storage.files import staged_file
from pipelines.storage.layout import Layout
from pipelines.storage.lock import hold
from pipelines.storage.run_context import RunContext

OWNER_ONLY = 0o600


@dataclass(frozen=True)
class Receipt:
    """What is gone, by store and without the lead's id, and what this program does not reach or cannot read."""

    gone: Counter[str]
    others: Counter[str]
    ids: int = 1
    unread: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Lines for the terminal or a file."""
        total = sum(self.gone.values())
        found = [f"{count:>8,}  {store}" for store, count in sorted(self.gone.items())]
        merged = f"; with {self.ids - 1:,} ids that were merged with it" if self.ids > 1 else ""
        lines = [f"forgotten: {total:,} rows, lines and pages in {len(found)} stores{merged}", *found]
        if self.others:
            kinds = ", ".join(f"{count:,} {kind or 'without a suffix'}" for kind, count in sorted(self.others.items()))
            lines.append(f"not looked into: files that this program does not write ({kinds})")
        return [*lines, *LEFT]

    def check(self) -> None:
        """Raise DataError where files could not be read, so that they may still hold the lead."""
        if self.unread:
            raise DataError(
                self.unread[0],
                "",
                found="a file that cannot be read" + (f", as {', '.join(self.unread[1:])}" if self.unread[1:] else ""),
                expected="files that can be searched for the lead",
                fix="Restore or delete them, and run it again; all else is done.",
            )


LEFT = (
    "The next ingest into these folders leaves the lead out; delete it in the source too: other folders read it again.",
    "Records at a CRM, backups, printed lists, letters and pages kept elsewhere are yours to delete.",
    "So is what was posted to a `leadscore serve` whose --state or LEADSCORE_STATE is another database,",
    "and what DVC's cache holds: `dvc repro --force`, then `dvc gc --workspace`; a plain `dvc repro` brings it back.",
    "Models hold no row of a lead and stay as they are; a page that showed the lead is made again by its command.",
)


def forget_lead(
    lead_id: str, run: RunContext, lists: Sequence[Path], *, postgres: bool, data: Path | None = None
) -> Receipt:
    """Delete every row of a lead below the folders of a run and of published lists, and where scores were delivered.

    All ids that `source.aliases` says are the same person go with it. What is killed or fails is continued by running
    it again: the tombstones come first, and each file is replaced as a whole.

    Parameters
    ----------
    data
        Where the tables of `source.aliases` are, or those that `pull` wrote; None for the run's own folder.

    Raises
    ------
    ParamsError
        Where the id is empty, or a folder is not there.
    DataError
        Where a table of aliases cannot be read; nothing is deleted then.
    BusyError
        Where another process uses a folder.
    DeliveryError
        Where a database cannot be written.
    """
    if not lead_id.strip():
        raise ParamsError("the id is empty; give the lead's id as the data hold it")
    if missing := [folder for folder in lists if not folder.is_dir()]:
        raise ParamsError(f"--lists {missing[0]}: no such folder")
    source, cleared, others = run.params.source, Cleared(), Counter[str]()
    data = data or run.layout.raw
    ids = ids_of_person(lead_id, source, data)
    wanted = Wanted(ids, tuple(source.normalise), id_columns(source))
    for layout in [*([run.layout] if run.layout.data.is_dir() else []), *map(feed_layout, lists)]:
        add_tombstones(layout, wanted.keys)
    for folder in lists:
        with hold(folder):
            cleared += forget_in_folder(folder, wanted)
            others += not_looked_into(folder)
    for folder in folders_of(run):
        cleared += forget_in_folder(folder, wanted)
        others += not_looked_into(folder)
    for layout in [run.layout, *map(feed_layout, lists)]:
        _say_changed(layout)
    gone = _in_databases(wanted.spellings, run, postgres=postgres)
    gone += Counter({"what `pull` has read": forget_pulled(data, wanted.is_meant)})
    if (data / PULLED).is_file():  # last, as they say who was merged
        cleared += forget_in_folder(data, wanted)
    gone += cleared.gone
    unread = tuple(str(path.parent / wanted.masked(path)) for path in cleared.unread)
    return Receipt(gone, others, len(wanted.keys), unread)


def folders_of(run: RunContext) -> list[Path]:
    """The folders of a run, none inside another, and where MLflow keeps files on this machine."""
    layout = run.layout
    folders = [layout.data, layout.artifacts, layout.reports, Path(run.params.track.artifacts)]
    there = sorted({folder.resolve() for folder in folders if folder.is_dir()})
    return [one for one in there if not any(other in one.parents for other in there)]


def id_columns(source: Source) -> frozenset[str]:
    """How the user's files call the id of a lead, and how the program's own do; a pair that may be one lead has two."""
    return frozenset(
        {"lead_id", "merged_into", *((table.columns or {}).get("lead_id", "lead_id") for table in source.tables)}
    )


def add_tombstones(layout: Layout, keys: Collection[str]) -> None:
    """Record the salted digests of ids, in a file that its owner alone reads."""
    known = read_tombstones(layout) or Tombstones(salt=secrets.token_hex(32))
    digests = tuple(sorted({*known.digests, *map(known.digest, keys)}))
    with staged_file(tombstones_path(layout)) as staged:
        staged.touch(mode=OWNER_ONLY)
        staged.write_text(Tombstones(salt=known.salt, digests=digests).model_dump_json() + "\n", encoding="utf-8")


def _say_changed(layout: Layout) -> None:
    """Let profile.json say that the tables are whole, although they are not as ingest wrote them."""
    try:
        profile = read_profile(layout)
        now = fingerprint(layout.contract)
    except (DataError, OSError):
        return
    if now not in (profile.fingerprint, profile.tables_digest):
        write_profile(profile.model_copy(update={"tables_digest": now}), layout.profile.path)


def _in_databases(ids: Sequence[str], run: RunContext, *, postgres: bool) -> Counter[str]:
    delivery = run.params.delivery
    found = {
        f"history in {delivery.duckdb.history} (DuckDB)": forget_in_duckdb(ids, delivery.duckdb),
        "outboxes of CRMs": forget_in_outboxes(ids, Path(delivery.state)),
        f"posted facts ({STATE})": forget_posted(ids, run.layout.artifacts / STATE),
    }
    if postgres:
        found[f"history in {delivery.postgres.history} (PostgreSQL)"] = forget_in_postgres(ids, delivery.postgres)
    return Counter({store: count for store, count in found.items() if count})
