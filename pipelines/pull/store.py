"""What has been read of a CRM so far: a SQLite file beside the folder of tables.

A page of records and the place behind it are one transaction, so a kill at any moment loses and doubles nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.schema.errors import DeliveryError, ParamsError
from pipelines.storage.lock import hold

OWNER_ONLY = 0o600
MERGED = "merged"  # the kind of records that say which id was merged into which
MAILS = ("email", "hs_additional_emails")  # of HubSpot's contacts; form submissions name a lead by these alone
PERSONS = ("Lead", "contacts", MERGED)  # kinds whose id is that of a lead; the others name leads in their content
TABLES = """
    CREATE TABLE IF NOT EXISTS records (
        kind TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, content TEXT NOT NULL, PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS places (kind TEXT PRIMARY KEY, last TEXT NOT NULL, done INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS said (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

Content = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Records of one answer.

    Attributes
    ----------
    kept
        (kind, id, content) of records as they are now.
    gone
        (kind, id) of records that were deleted or merged.
    last
        Where the next page begins.
    more
        Whether there may be one.
    """

    kept: Sequence[tuple[str, str, Content]]
    gone: Sequence[tuple[str, str]]
    last: str
    more: bool


@dataclass(frozen=True)
class PullStore:
    """The database; every method is one transaction."""

    connection: sqlite3.Connection

    def begin(self, settings: str, now: int, *, whole: bool) -> bool:
        """Begin a pull, or go on with one that was cut off; returns whether it goes on.

        With other settings, such as a new field, every record is read again.
        """
        known = self._said()
        whole = whole or known.get("settings") != settings
        goes_on = "until" in known and not whole
        if not goes_on:
            said = {"settings": settings, "until": str(now), "number": str(int(known.get("number", "0")) + 1)}
            with self.connection:
                self.connection.execute("DELETE FROM places")
                if whole:
                    self.connection.execute("DELETE FROM said WHERE name = 'since'")
                self.connection.executemany("INSERT OR REPLACE INTO said VALUES (?, ?)", said.items())
        return goes_on

    def since(self) -> int | None:
        """What changed since then is read, in seconds since 1970; None: everything."""
        since = self._said().get("since")
        return None if since is None else int(since)

    def place(self, kind: str) -> tuple[str, bool]:
        """Where the next page of a kind begins, and whether all have been read."""
        row = self.connection.execute("SELECT last, done FROM places WHERE kind = ?", [kind]).fetchone()
        return (row[0], bool(row[1])) if row else ("", False)

    def take(self, kind: str, page: Page) -> None:
        """Keep a page and the place behind it."""
        number = int(self._said()["number"])
        with self.connection:
            self.connection.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)",
                [(of, record, number, _json(content)) for of, record, content in page.kept],
            )
            self.connection.executemany("DELETE FROM records WHERE kind = ? AND id = ?", page.gone)
            self.connection.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", [kind, page.last, not page.more])

    def end(self) -> None:
        """End a pull; after one of everything, records that it did not meet are gone, but not who was merged."""
        known = self._said()
        with self.connection:
            if "since" not in known:
                stale = "DELETE FROM records WHERE number < ? AND kind <> ?"
                self.connection.execute(stale, [int(known["number"]), MERGED])
            self.connection.execute("INSERT OR REPLACE INTO said VALUES ('since', ?)", [known["until"]])
            self.connection.execute("DELETE FROM said WHERE name = 'until'")

    def records(self, kind: str) -> Iterator[tuple[str, Content]]:
        """All records of a kind, in the order of their ids."""
        rows = self.connection.execute("SELECT id, content FROM records WHERE kind = ? ORDER BY id", [kind])
        return ((record, json.loads(content)) for record, content in rows)

    def count(self, kind: str) -> int:
        """How many records of a kind there are."""
        return int(self.connection.execute("SELECT count(*) FROM records WHERE kind = ?", [kind]).fetchone()[0])

    def forget(self, is_meant: Callable[[object], bool]) -> int:
        """Delete what was read of a lead, and its id from what it shares with others; returns from how many records."""
        gone, contacts, mails = self._persons(is_meant)
        changed = []
        others = self.connection.execute("SELECT kind, id, content FROM records WHERE kind NOT IN (?, ?, ?)", PERSONS)
        for kind, record, text in others:
            content = json.loads(text)
            names = [content.get(name) for name in ("WhoId", "LeadId", "ContactId")]
            if contacts.intersection(names) or any(map(is_meant, names)) or content.get("mail") in mails:
                gone.append((kind, record))
            elif any(map(is_meant, content.get("contacts", []))):
                left = [one for one in content["contacts"] if not is_meant(one)]
                changed.append((_json(content | {"contacts": left}), kind, record))
        self.connection.execute("PRAGMA secure_delete = ON")
        with self.connection:
            self.connection.executemany("DELETE FROM records WHERE kind = ? AND id = ?", gone)
            self.connection.executemany("UPDATE records SET content = ? WHERE kind = ? AND id = ?", changed)
        self.connection.execute("VACUUM")
        return len(gone) + len(changed)

    def _persons(self, is_meant: Callable[[object], bool]) -> tuple[list[tuple[str, str]], set[str], set[str]]:
        """Records of a lead, contacts of Salesforce that it became and no other lead did, and its mail addresses."""
        names = [f"json_extract(content, '$.{name}')" for name in ("ConvertedContactId", *MAILS)]
        select = f"SELECT kind, id, {', '.join(names)} FROM records WHERE kind IN (?, ?, ?)"
        gone, of_gone, of_others = list[tuple[str, str]](), set[str](), {None, ""}
        mails_of_gone, mails_of_others = set[str](), {""}
        for kind, record, became, *addresses in self.connection.execute(select, PERSONS):
            mails = set[str]().union(*map(mails_in, addresses))
            if is_meant(record):
                gone.append((kind, record))
                of_gone.add(became)
                mails_of_gone |= mails
            else:
                of_others.add(became)
                mails_of_others |= mails
        return gone, of_gone - of_others, mails_of_gone - mails_of_others

    def settings(self) -> str:
        """What `begin` was given last."""
        return self._said()["settings"]

    def _said(self) -> dict[str, str]:
        return dict(self.connection.execute("SELECT name, value FROM said"))


def mails_in(cell: object) -> set[str]:
    """The mail addresses that a property of HubSpot holds, as they are compared."""
    return {mail.strip().lower() for mail in str(cell or "").split(";")}


def _json(content: Content) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)


def store_of(folder: Path) -> Path:
    """Where what has been read for a folder is kept: beside it."""
    return Path(f"{folder.resolve()}.pull") / "records.sqlite"


def forget_pulled(folder: Path, is_meant: Callable[[object], bool]) -> int:
    """Delete what is kept of a lead beside a folder of tables; returns from how many records."""
    path = store_of(folder)
    if not path.is_file():
        return 0
    with hold(path.parent), _opened(path) as store:
        return store.forget(is_meant)


@contextmanager
def open_store(path: Path, system: str) -> Iterator[PullStore]:
    """Open the file of a folder, which is made and readable by its owner alone.

    Raises
    ------
    ParamsError
        Where it holds the records of another system.
    DeliveryError
        Where it cannot be read or written.
    """
    with _opened(path) as store:
        with store.connection as connection:
            connection.execute("INSERT OR IGNORE INTO said VALUES ('system', ?)", [system])
        if (known := store._said()["system"]) != system:
            raise ParamsError(f"{path} holds records of {known}, not of {system}; name another folder")
        yield store


@contextmanager
def _opened(path: Path) -> Iterator[PullStore]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=OWNER_ONLY)
        with closing(sqlite3.connect(path, isolation_level="IMMEDIATE")) as connection:
            connection.executescript(TABLES)
            yield PullStore(connection)
    except (sqlite3.Error, OSError) as error:
        raise DeliveryError(f"{path}: {error}; restore it, or remove it to read everything again") from None
