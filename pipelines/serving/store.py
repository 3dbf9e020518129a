"""What was posted: leads, their edits and their events, in SQLite by default, or in any database by its SQLAlchemy URL.

A batch is kept whole or not at all, and an answer is given only after it has reached the disk. Times are texts with
their zone, which `ingest` reads as they stand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import sqlalchemy as sql
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite

from features.attributes.one_lead import Cell
from features.matrix.one_lead import Lead
from features.schema.declarations import AttributeSpec
from features.schema.errors import DataError, ParamsError, first_line
from pipelines.serving.bodies import Kept, LeadFacts, PostedEvent, in_text, in_time, is_day
from pipelines.serving.facts import Defaults, cells_of, events_table

STATE = "serve.sqlite"  # beside the artifacts, unless told
SQLITE = ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000")  # FULL: what is kept survives a power cut
OWNER_ONLY = 0o600
WAITING = 200  # arrivals looked at together
AHEAD = pd.Timedelta(minutes=5)  # clocks of callers may be so much ahead of ours
EVENT = ("lead_id", "event_at", "event_type", "direction", "channel", "value")


class ConflictError(DataError):
    """What was posted contradicts what is kept."""


@dataclass(frozen=True)
class Arrival:
    """Something new of a lead: the moment from which it counts, and whether the lead itself was new."""

    at: pd.Timestamp
    lead_id: str
    new: bool


@dataclass(frozen=True)
class FactStore:
    """The database of posted facts."""

    engine: Engine
    leads: Table
    edits: Table
    events: Table
    arrivals: Table
    defaults: Defaults
    watched: bool = False

    @classmethod
    def open(cls, url: str, defaults: Defaults, *, watched: bool = False) -> Self:
        """Open a database and make its tables where they are missing.

        Parameters
        ----------
        watched
            Somebody asks for `waiting` arrivals; else none is noted.

        Raises
        ------
        ParamsError
            Where it cannot be opened.
        """
        columns = sql.MetaData()
        leads = sql.Table(
            "leads", columns, sql.Column("lead_id", sql.Text, primary_key=True),
            sql.Column("created_at", sql.Text, nullable=False), sql.Column("known_at", sql.Text, nullable=False),
        )  # fmt: skip
        edits = sql.Table(
            "lead_edits", columns, sql.Column("number", sql.Integer, primary_key=True),
            sql.Column("lead_id", sql.Text, sql.ForeignKey(leads.c.lead_id), nullable=False, index=True),
            sql.Column("valid_from", sql.Text, nullable=False), sql.Column("attributes", sql.Text, nullable=False),
        )  # fmt: skip
        events = sql.Table(
            "events", columns, sql.Column("id", sql.Text, primary_key=True),
            *(sql.Column(name, sql.Text, nullable=False) for name in EVENT[:-1]),
            sql.Column("value", sql.Double), sql.Column("known_at", sql.Text, nullable=False),
            sql.Index("events_by_lead", "lead_id"),
        )  # fmt: skip
        arrivals = sql.Table(
            "arrivals", columns, sql.Column("at", sql.Text, primary_key=True),
            sql.Column("lead_id", sql.Text, primary_key=True), sql.Column("new", sql.Boolean, nullable=False),
        )  # fmt: skip
        try:
            engine = sql.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
            if engine.dialect.name == "sqlite":
                sql.event.listen(engine, "connect", _set_up)
            with suppress(sql.exc.SQLAlchemyError):  # another server makes the same tables at this moment
                columns.create_all(engine)
            columns.create_all(engine)
        except (sql.exc.SQLAlchemyError, ImportError, OSError) as error:
            reason = first_line(error)
            raise ParamsError(f"--state: no database that can be written: {reason}; give a file or a URL") from None
        return cls(engine, leads, edits, events, arrivals, defaults, watched)

    @staticmethod
    def url_of(file: Path) -> str:
        """Return the URL of a SQLite file; its folder is made, and a new file is readable by its owner alone."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # `open` says why
            file.touch(mode=OWNER_ONLY)
        return f"sqlite:///{file}"

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def answers(self) -> bool:
        """Whether the database answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(sql.select(self.leads.c.lead_id).limit(1)).all()
        except sql.exc.SQLAlchemyError:
            return False
        return True

    def keep_leads(self, leads: Sequence[LeadFacts], arrival: pd.Timestamp) -> Kept:
        """Keep leads; one that is there already with the same attributes is not kept again.

        Raises
        ------
        ConflictError
            Where a lead is there with another time of creation.
        """
        with self.engine.begin() as connection:
            in_order = sorted(leads, key=lambda lead: lead.lead_id)  # so that no two writers wait for each other
            new = sum(self._keep_lead(connection, lead, arrival) for lead in in_order)
        return Kept(new=new, repeated=len(leads) - new)

    def keep_events(self, events: Sequence[PostedEvent], arrival: pd.Timestamp) -> Kept:
        """Keep events, known from their arrival on; an id that is there already counts once.

        Raises
        ------
        ConflictError
            Where an id is there with other values, no lead has been posted for it, or it has not happened yet.
        """
        rows: dict[str, dict[str, Any]] = {}
        for event in events:
            row = self._row(event, arrival)
            _check_same(event.id, rows.setdefault(event.id, row), row)
        with self.engine.begin() as connection:
            self._check_leads(connection, {row["lead_id"] for row in rows.values()})
            there = self._known(connection, list(rows))
            fresh = self._insert(connection, self.events, [rows[name] for name in sorted({*rows} - {*there})])
            self._note(connection, {(rows[name]["known_at"], rows[name]["lead_id"]) for name in fresh}, new=False)
            for name, kept in self._known(connection, list(rows)).items():
                _check_same(name, kept, rows[name])
        return Kept(new=len(fresh), repeated=len(events) - len(fresh))

    def lead(self, lead_id: str, attributes: Mapping[str, AttributeSpec]) -> Lead | None:
        """Return all that is known of a lead; None where there is none of this id."""
        with self.engine.connect() as connection:
            found = connection.execute(sql.select(self.leads).where(self.leads.c.lead_id == lead_id)).first()
            if found is None:
                return None
            of_lead = sql.select(self.edits).where(self.edits.c.lead_id == lead_id).order_by(self.edits.c.number)
            edits = connection.execute(of_lead).all()
            rows = connection.execute(sql.select(self.events).where(self.events.c.lead_id == lead_id)).mappings().all()
        cells = [_declared(json.loads(edit.attributes), attributes) for edit in edits]
        historic = [name for name, spec in attributes.items() if spec.known == "history"]
        history = [
            (in_time(edit.valid_from), {name: one[name] for name in historic})
            for edit, one in zip(edits, cells, strict=True)
        ]
        events = events_table(lead_id, {name: [row[name] for row in rows] for name in (*EVENT[1:], "known_at")})
        return Lead(lead_id, in_time(found.created_at), cells[-1], history if len(history) > 1 else [], events)

    def _keep_lead(self, connection: Connection, lead: LeadFacts, arrival: pd.Timestamp) -> bool:
        attributes = json.dumps(lead.attributes, sort_keys=True)
        row = {"lead_id": lead.lead_id, "created_at": lead.created_at}
        self._insert(connection, self.leads, [row | {"known_at": in_text(arrival)}])
        of_id = sql.select(self.leads).where(self.leads.c.lead_id == lead.lead_id).with_for_update()
        found = connection.execute(of_id).one()  # its edits come one after another
        if found.created_at != lead.created_at:
            raise _conflict("leads", "created_at", lead.lead_id, found.created_at, lead.created_at)
        of_lead = sql.select(self.edits).where(self.edits.c.lead_id == lead.lead_id)
        last = connection.execute(of_lead.order_by(self.edits.c.number.desc()).limit(1)).first()
        if last is not None and last.attributes == attributes:
            return False
        valid_from = lead.created_at if last is None else in_text(arrival)
        edit = {"lead_id": lead.lead_id, "valid_from": valid_from, "attributes": attributes}
        connection.execute(self.edits.insert(), [edit])
        at = valid_from if last is not None else in_text(max(arrival, in_time(lead.created_at)))
        self._note(connection, {(at, lead.lead_id)}, new=last is None)
        return True

    def waiting(self, now: pd.Timestamp) -> list[Arrival]:
        """Return arrivals that nobody has looked at yet, oldest first; `AHEAD` clocks of callers come later."""
        due = sql.select(self.arrivals).where(self.arrivals.c.at < in_text(now))
        with self.engine.connect() as connection:
            rows = connection.execute(due.order_by(self.arrivals.c.at, self.arrivals.c.lead_id).limit(WAITING)).all()
        return [Arrival(in_time(row.at), row.lead_id, row.new) for row in rows]

    def looked_at(self, arrivals: Sequence[Arrival]) -> None:
        """Forget arrivals: what follows from them is on the disk."""
        with self.engine.begin() as connection:
            for one in arrivals:
                same = (self.arrivals.c.at == in_text(one.at)) & (self.arrivals.c.lead_id == one.lead_id)
                connection.execute(self.arrivals.delete().where(same))

    def _note(self, connection: Connection, arrivals: set[tuple[str, str]], *, new: bool) -> None:
        if self.watched:
            rows = [{"at": at, "lead_id": lead_id, "new": new} for at, lead_id in sorted(arrivals)]
            self._insert(connection, self.arrivals, rows)

    def _row(self, event: PostedEvent, arrival: pd.Timestamp) -> dict[str, Any]:
        if self.defaults.is_early(event.event_at, arrival + AHEAD):
            raise ConflictError(
                "events",
                "event_at",
                found=f"{event.event_at}, which is later than now",
                expected="an event that has happened",
                fix="Correct the clock or the time zone of what sends it.",
            )
        known_at = arrival if is_day(event.event_at) else max(arrival, in_time(event.event_at))
        given = event.model_dump(exclude_none=True) | {"known_at": in_text(known_at)}
        return {"value": None, "direction": self.defaults.direction, "channel": self.defaults.channel} | given

    def _check_leads(self, connection: Connection, ids: set[str]) -> None:
        found = connection.execute(sql.select(self.leads.c.lead_id).where(self.leads.c.lead_id.in_(ids))).scalars()
        if missing := sorted(ids.difference(found)):
            raise ConflictError(
                "events",
                "lead_id",
                found=f"{missing[0]!r:.60}, which is no lead that was posted",
                expected="a lead that is there",
                fix="POST /leads first.",
            )

    def _known(self, connection: Connection, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        rows = connection.execute(sql.select(self.events).where(self.events.c.id.in_(ids))).mappings()
        return {row["id"]: dict(row) for row in rows}

    def _insert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Insert rows but those whose key is there already, also where another writer is inserting it now.

        Returns the first column of the rows that were inserted.
        """
        if not rows:
            return []
        dialect = postgresql if self.engine.dialect.name == "postgresql" else sqlite
        insert = dialect.insert(table).on_conflict_do_nothing().returning(table.columns[0])
        return list(connection.execute(insert, rows).scalars())


def _set_up(connection: Any, _: object) -> None:
    for setting in SQLITE:
        connection.execute(f"PRAGMA {setting}")


def _declared(cells: Mapping[str, Cell], attributes: Mapping[str, AttributeSpec]) -> dict[str, Cell]:
    """Return the attributes that a model declares; a later model may declare fewer than were posted."""
    return cells_of({name: cell for name, cell in cells.items() if name in attributes}, attributes)


def _check_same(name: str, kept: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for column in EVENT:
        if kept[column] != given[column]:
            raise _conflict("events", column, name, kept[column], given[column])


def _conflict(table: str, column: str, name: str, kept: object, given: object) -> ConflictError:
    return ConflictError(
        table,
        column,
        found=f"{given!r:.60} for {name!r:.60}",
        expected=f"{kept!r:.60}, as it was posted before",
        fix="Give another id, or send what was sent before.",
    )
