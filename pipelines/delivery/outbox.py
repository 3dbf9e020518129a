"""The state of delivery to each CRM: what its records hold, and what is still to be sent. A SQLite file.

A lead's record counts as unknown from before a request until its answer is recorded. A crash in between sends the same
content again under the same key, which changes nothing there: an upsert of what the record already holds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from features.schema.errors import DeliveryError, ParamsError
from pipelines.delivery.crm import Cell, Message

FORMAT = 1
OWNER_ONLY = 0o600
SQLITE = b"SQLite format 3\x00"  # the first bytes of every database
RESTORE = "restore it, or remove it to send everything again"
FIXES = {  # by SQLite's message
    "locked": "wait until the other delivery to it has ended",
    "malformed": RESTORE,
    "not a database": RESTORE,
    "disk": "make room where it lies, and run it again; requests without an answer are sent again under their old key",
}
MADE_BEFORE = ("target", "held")  # the outbox; alone where there was no room for it
TABLES = """
    CREATE TABLE IF NOT EXISTS target (name TEXT NOT NULL, as_of TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS held (
        lead_id TEXT PRIMARY KEY,
        key TEXT  -- of the record's content; NULL: unknown, as a request had no answer
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS outbox (
        lead_id TEXT PRIMARY KEY, key TEXT NOT NULL, fields TEXT NOT NULL, attempts INTEGER NOT NULL,
        dead INTEGER NOT NULL, reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS turn ON outbox (dead, attempts, lead_id);
    CREATE TABLE IF NOT EXISTS notices (  -- every one ever queued, by the name that it has as a lead_id of `outbox`
        name TEXT PRIMARY KEY, lead_id TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS announced (lead_id TEXT PRIMARY KEY, tier TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Notice:
    """Something that is told once.

    Attributes
    ----------
    name
        What happened, to whom and when: the same for the same happening, however often it is found.
    lead_id
        "" where it is about no lead.
    tier
        That the lead has entered; "" for none.
    fields
        What is sent.
    """

    name: str
    lead_id: str
    tier: str
    fields: Mapping[str, Cell]


@dataclass(frozen=True)
class DeadLetter:
    """A lead whose record could not be brought up to date, and why."""

    lead_id: str
    attempts: int
    reason: str


def message_key(target: str, lead_id: str, fields: Mapping[str, Cell]) -> str:
    """Return a key that is the same for the same system, lead and content: SHA-256 of their JSON, 32 hex digits."""
    return hashlib.sha256(_json([target, lead_id, dict(fields)]).encode()).hexdigest()[:32]


def _json(tree: object) -> str:
    return json.dumps(tree, sort_keys=True, ensure_ascii=False, allow_nan=False)


def outbox_path(folder: Path, name: str, target: str) -> Path:
    """Return the file of one system: another address is another system, which holds nothing yet."""
    return folder / f"{name}-{hashlib.sha256(target.encode()).hexdigest()[:12]}.sqlite"


@dataclass(frozen=True)
class Outbox:
    """The database of one system; every method is one transaction."""

    connection: sqlite3.Connection
    target: str

    def put(self, as_of: str, wanted: Iterable[tuple[str, Mapping[str, Cell]]], gone: Mapping[str, Cell]) -> int:
        """Compare a complete list with the records, and queue what differs for sending.

        Newer content replaces queued or set-aside content; attempts are counted from zero in each run.

        Parameters
        ----------
        as_of
            The list's day, or "" where there are no dates.
        wanted
            Every lead on the list and the content of its record.
        gone
            The content for leads that were sent before and are not on this list; empty: unchanged.

        Returns
        -------
        int
            Leads on the list.

        Raises
        ------
        ParamsError
            Where a newer list was delivered before: a CRM shows one score, which must not be replaced by an older one.
        """
        with self.connection as database:
            database.execute("BEGIN IMMEDIATE")
            self._reject_older(as_of)
            database.execute("CREATE TEMP TABLE wanted (lead_id TEXT PRIMARY KEY, key TEXT, fields TEXT) WITHOUT ROWID")
            rows = ((lead, message_key(self.target, lead, fields), _json(dict(fields))) for lead, fields in wanted)
            database.executemany("INSERT INTO wanted VALUES (?, ?, ?)", rows)
            (listed,) = database.execute("SELECT count(*) FROM wanted").fetchone()
            if gone:
                database.create_function("gone_key", 1, lambda lead: message_key(self.target, lead, gone))
                left = "INSERT OR IGNORE INTO wanted SELECT lead_id, gone_key(lead_id), ? FROM held"
                database.execute(left, [_json(dict(gone))])
            database.execute("""
                DELETE FROM outbox WHERE lead_id IN (SELECT lead_id FROM wanted JOIN held USING (lead_id, key))
                OR lead_id NOT IN (SELECT lead_id FROM wanted UNION ALL SELECT lead_id FROM held)""")
            database.execute("UPDATE outbox SET attempts = 0 WHERE dead = 0")
            database.execute("""
                INSERT INTO outbox SELECT lead_id, wanted.key, fields, 0, 0, ''
                FROM wanted LEFT JOIN held USING (lead_id) WHERE held.key IS NOT wanted.key
                ON CONFLICT DO UPDATE SET key = excluded.key, fields = excluded.fields, attempts = 0, dead = 0,
                    reason = '' WHERE outbox.key <> excluded.key""")
            database.execute("DELETE FROM target")
            database.execute("INSERT INTO target VALUES (?, ?)", [self.target, as_of])
            database.execute("DROP TABLE wanted")
        return int(listed)

    def _reject_older(self, as_of: str) -> None:
        before = self.connection.execute("SELECT as_of FROM target").fetchone()
        if before and as_of < before[0]:
            raise ParamsError(f"the scores are of {as_of}, but those of {before[0]} were delivered to {self.target}")

    def announce(self, notices: Iterable[Notice]) -> int:
        """Queue notices that were never queued before, and note which tier of a lead is told; returns how many."""
        with self.connection as database:
            database.execute("BEGIN IMMEDIATE")
            return sum(self._queue(one) for one in notices)

    def announce_list(self, as_of: str, entered: Iterable[Notice]) -> int:
        """Queue a notice of each lead of a list in a tier that is to be told, unless it was told of that tier before.

        A lead that is not among them may be told again when it comes back.

        Raises
        ------
        ParamsError
            Where a newer list was announced before.
        """
        with self.connection as database:
            database.execute("BEGIN IMMEDIATE")
            self._reject_older(as_of)
            told = dict(database.execute("SELECT lead_id, tier FROM announced"))
            listed = list(entered)
            database.execute("DELETE FROM announced")
            queued = sum(self._queue(one) for one in listed if told.get(one.lead_id) != one.tier)
            again = "INSERT OR REPLACE INTO announced VALUES (?, ?)"
            database.executemany(again, [(one.lead_id, one.tier) for one in listed])
            database.execute("DELETE FROM target")
            database.execute("INSERT INTO target VALUES (?, ?)", [self.target, as_of])
        return queued

    def _queue(self, one: Notice) -> bool:
        database = self.connection
        new = database.execute("INSERT OR IGNORE INTO notices VALUES (?, ?)", [one.name, one.lead_id]).rowcount > 0
        if new:
            row = [one.name, message_key(self.target, one.name, {}), _json(dict(one.fields))]
            database.execute("INSERT INTO outbox VALUES (?, ?, ?, 0, 0, '')", row)
        if one.tier:
            database.execute("INSERT OR REPLACE INTO announced VALUES (?, ?)", [one.lead_id, one.tier])
        return new

    def waiting(self) -> int:
        """Count the leads that are still to be sent."""
        return int(self.connection.execute("SELECT count(*) FROM outbox WHERE dead = 0").fetchone()[0])

    def pages(self, size: int) -> Iterator[list[Message]]:
        """Everything that is queued, in batches, for display."""
        rows = self.connection.execute("SELECT lead_id, key, fields, attempts FROM outbox WHERE dead = 0 ORDER BY 1")
        while page := rows.fetchmany(size):
            yield [_message(*row) for row in page]

    def batch(self, most: int, attempts: int) -> list[Message]:
        """The next leads to send: fewest failures first.

        Each failure halves the size of a batch, and the last attempt is of one lead, so that a bad lead does not
        block the others.
        """
        (failures,) = self.connection.execute("SELECT min(attempts) FROM outbox WHERE dead = 0").fetchone()
        if failures is None:
            return []
        size = 1 if failures >= attempts - 1 else max(1, most >> failures)
        rows = self.connection.execute(
            """SELECT lead_id, key, fields, attempts FROM outbox WHERE dead = 0 AND attempts = ?
               ORDER BY lead_id LIMIT ?""",
            [failures, size],
        )
        return [_message(*row) for row in rows]

    def sending(self, batch: Sequence[Message]) -> None:
        """Record, before they are sent, that the content of these records is unknown."""
        with self.connection as database:
            database.execute("BEGIN IMMEDIATE")
            unknown = "INSERT INTO held VALUES (?, NULL) ON CONFLICT DO UPDATE SET key = NULL"
            database.executemany(unknown, [(one.lead_id,) for one in batch])

    def settle(
        self,
        taken: Sequence[Message],
        failed: Sequence[tuple[Message, str]],
        dead: Sequence[tuple[Message, str]],
    ) -> None:
        """Record the result of a request: accepted, to be tried again, or set aside."""
        with self.connection as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("UPDATE held SET key = ? WHERE lead_id = ?", [(one.key, one.lead_id) for one in taken])
            database.executemany("DELETE FROM outbox WHERE lead_id = ?", [(one.lead_id,) for one in taken])
            again = "UPDATE outbox SET attempts = attempts + 1, dead = ?, reason = ? WHERE lead_id = ?"
            database.executemany(again, [(0, reason, one.lead_id) for one, reason in failed])
            database.executemany(again, [(1, reason, one.lead_id) for one, reason in dead])

    def dead_letters(self) -> list[DeadLetter]:
        """Leads set aside, by lead_id."""
        rows = self.connection.execute("SELECT lead_id, attempts, reason FROM outbox WHERE dead = 1 ORDER BY lead_id")
        return [DeadLetter(*row) for row in rows]

    def requeue(self) -> int:
        """Queue the leads set aside for sending again; returns how many."""
        with self.connection as database:
            return database.execute("UPDATE outbox SET dead = 0, attempts = 0 WHERE dead = 1").rowcount


def _message(lead_id: str, key: str, fields: str, attempts: int) -> Message:
    return Message(lead_id, key, json.loads(fields), attempts)


@contextmanager
def open_outbox(path: Path, target: str, *, copy: bool = False) -> Iterator[Outbox]:
    """Open the database of one system for exclusive use; a second delivery to it is refused meanwhile.

    Parameters
    ----------
    path
        The file; it is created where it is missing.
    target
        The system, as `message_key` takes it.
    copy
        Open a copy in memory, for a preview; the file stays as it is.

    Raises
    ------
    DeliveryError
        Where another delivery holds the file, it is damaged, or there is no room to write it.
    """
    try:
        with _connected(path, copy) as connection:
            yield Outbox(connection, target)
    except sqlite3.Error as error:
        fix = next((fix for sign, fix in FIXES.items() if sign in str(error)), "run it again")
        raise DeliveryError(f"{path}: {error}; {fix}") from None


def _reject_foreign(path: Path) -> None:
    """SQLite takes a file of zeros for an empty database, and so would send everything again without a word."""
    with path.open("rb") as file:
        head = file.read(len(SQLITE))
    if head and head != SQLITE:
        what = "zeros" if not head.strip(b"\x00") else "another kind of file"
        raise DeliveryError(f"{path} holds {what}, no outbox; {RESTORE}")


@contextmanager
def _connected(path: Path, copy: bool) -> Iterator[sqlite3.Connection]:
    if not copy:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=OWNER_ONLY)
        with suppress(PermissionError):  # another user's, who has let this one write
            path.chmod(OWNER_ONLY)  # one of an older version, too; SQLite gives its journals the same mode
        _reject_foreign(path)
    with closing(sqlite3.connect(":memory:" if copy else path, isolation_level=None, timeout=1.0)) as connection:
        if copy and path.is_file():
            _reject_foreign(path)
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
                database.backup(connection)
        others = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name = 'outbox' DESC, name"
        names = [name for (name,) in connection.execute(others) if name not in MADE_BEFORE]
        if names and names[0] != "outbox":
            raise DeliveryError(f"{path} is another program's database, with a table {names[0]!r:.60}; {RESTORE}")
        if not copy:
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                connection.execute(f"PRAGMA {setting}")
        connection.executescript(TABLES)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, FORMAT):
            raise DeliveryError(f"{path} was written by another version of leadscore (format {version}, not {FORMAT})")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        yield connection
