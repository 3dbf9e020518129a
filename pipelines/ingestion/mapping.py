"""How the user's tables and columns map to the contract, and whether the mapping is possible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from features.schema.cells import Field
from features.schema.contract import BY_STATUS, READ, attribute_fields
from features.schema.errors import ParamsError
from pipelines.config.secrets import from_environment
from pipelines.config.source import OutcomeSource, Source, TableSource

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
ATTRIBUTES_PER_GB, MOST_ATTRIBUTES = 400, 1000  # DuckDB plans each: 700 in 1 GB gave no answer, 1,000 took 2 GB
RESERVED = {"lead_id", "position", "created_at", "valid_from"}


@dataclass
class Entry:
    """One source table of one contract table, and what was read of it.

    Attributes
    ----------
    mapped
        The contract columns that it has, each with the user's column, or "" where there is none (a constant).
    read, filtered
        Data rows taken, and rows that `where` left out.
    """

    table: str
    index: int
    source: TableSource
    mapped: dict[str, str] = field(default_factory=dict)
    read: int = 0
    filtered: int = 0
    alone: bool = False

    @property
    def key(self) -> str:
        """Where it stands in params.yaml."""
        return f"source.{self.table}" + ("" if self.alone else f"[{self.index}]")

    @property
    def by_status(self) -> bool:
        """Whether a status says what became of its leads."""
        return isinstance(self.source, OutcomeSource) and self.source.by_status

    @property
    def label(self) -> str:
        """How errors call it."""
        return f"{self.key} ({self.source.table if self.source.in_database else self.source.path})"

    @property
    def given(self) -> list[str]:
        """The contract columns that the mapping names."""
        return [*(self.source.columns or {}), *self.source.constants]

    def columns_read(self, source: Source, fields: Iterable[Field]) -> list[str]:
        """The user's columns that the mapping names."""
        attributes = [source.attributes[column.name].column for column in fields if column.name in source.attributes]
        own = [*(self.source.columns or {}).values(), *self.source.where]
        return [*own, *attributes, *display_columns(source, self.table).values()]


def tables_read(source: Source) -> list[str]:
    """The tables of a source in the order in which they are read: leads, and which of them are one, before the rest."""
    rest = [table for table in READ if table not in ("leads", "aliases")]
    return ["leads", *(["aliases"] if source.aliases else []), *rest]


def entries_of(source: Source, table: str) -> list[Entry]:
    """The source tables behind one contract table, in the order of params.yaml."""
    given = getattr(source, table)
    tables = given if isinstance(given, list) else [given]
    alone = table == "leads" or (table == "outcomes" and len(tables) == 1)
    return [Entry(table, index, one, alone=alone) for index, one in enumerate(tables)]


def fields_of(source: Source, table: str) -> tuple[Field, ...]:
    """The contract's own columns of a table, then the attributes that belong to it."""
    created = source.order == "dates" or source.by_creation
    own = tuple(column for column in READ[table] if column.name != "created_at" or created)
    if table == "leads":
        return own + attribute_fields(source.attributes)
    if table == "attribute_history":
        return own + attribute_fields(
            {name: spec for name, spec in source.attributes.items() if spec.known == "history"}
        )
    return own


def written_fields(source: Source, table: str) -> tuple[Field, ...]:
    """Those that the contract's table holds: a creation that only orders leads is not among them."""
    fields = fields_of(source, table)
    return tuple(column for column in fields if column.name != "created_at" or source.order == "dates")


def display_columns(source: Source, table: str) -> dict[str, str]:
    """The user's columns that people are shown beside the scores, by the names that they have in staging."""
    shown = source.leads.display.values() if table == "leads" else ()
    return {f"display#{index}": column for index, column in enumerate(shown)}


def check_mapping(source: Source, memory_gb: float) -> None:
    """Check the mapping before any file is read, and whether the memory is enough for its attributes.

    Raises
    ------
    ParamsError
        Naming the key, what was found, and what is possible.
    """
    entries = [entry for table in tables_read(source) for entry in entries_of(source, table)]
    for entry in entries:
        _check_database(entry, source)
        if entry.source.columns is not None:
            _check_columns(entry, source)
    _check_outcomes_together(entries, source)
    _check_width(source, memory_gb)
    _check_attribute_names(source)
    _check_lead_ids(source, entries)
    both = {value.lower() for value in source.yes_values} & {value.lower() for value in source.no_values}
    if both:
        raise ParamsError(f"source.yes_values and source.no_values share {sorted(both)}; a spelling means one of them")


def map_by_name(entry: Entry, source: Source, names: Iterable[str]) -> None:
    """Map the columns of a table that is read by the contract's own names: those it must have, and others it has.

    Raises
    ------
    ParamsError
        Where they cannot be meant together.
    """
    if entry.source.columns is not None:
        return
    must = {column.name for column in READ[entry.table] if column.required}
    by_status = isinstance(entry.source, OutcomeSource) and bool(entry.source.won_values)
    if by_status:
        must.add("status")
    elif entry.table == "outcomes" and (source.order == "dates" or "converted" not in names):
        must.add("converted_at")
    known = [column.name for column in READ[entry.table]]
    known += [name for name in BY_STATUS if by_status]
    fields = [name for name in known if name not in entry.source.constants and not (by_status and name == "converted")]
    columns = {name: name for name in fields if name in must or name in names}
    if source.order != "dates":
        columns.pop("created_at", None)
    entry.source = entry.source.model_copy(update={"columns": columns})
    _check_columns(entry, source)


def _check_database(entry: Entry, source: Source) -> None:
    """A path to a database is the name of a variable, never the secret itself; a table there has no order of rows."""
    if not entry.source.in_database:
        return
    if entry.source.path:
        from_environment(entry.source.path, f"{entry.key}.path")
    if source.order == "rows" and not source.by_creation:
        raise ParamsError(f"{entry.key}: a table of a database has no order of rows; use order: dates or none")


def _check_columns(entry: Entry, source: Source) -> None:
    known = [column.name for column in READ[entry.table]] + list(BY_STATUS if entry.table == "outcomes" else ())
    unknown = [name for name in entry.given if name not in known]
    if unknown:
        raise ParamsError(f"{entry.key}.columns: no column of {entry.table} is called {unknown[0]!r}; use {known}")
    twice = sorted(set(entry.source.columns or ()) & set(entry.source.constants))
    if twice:
        raise ParamsError(f"{entry.key}: {twice[0]!r} is in columns and in constants; it can come from one of them")
    required = [column.name for column in fields_of(source, entry.table) if column.required]
    missing = [name for name in required if name not in entry.given and name != "lead_id"]
    if missing:
        raise ParamsError(f"{entry.key}.columns does not map {missing[0]!r}; map it to a column, or set a constant")
    if len({"explored", "propensity"} & set(entry.given)) == 1:
        raise ParamsError(
            f"{entry.key}.columns maps one of explored and propensity; a propensity needs to know who "
            "was explored, so map both, as they stand in the scores, or neither"
        )
    if isinstance(entry.source, OutcomeSource):
        _check_outcome(entry, entry.source, source)


def _check_outcome(entry: Entry, own: OutcomeSource, source: Source) -> None:
    """A table of outcomes says when a lead was won or lost, or whether; by a status with its spellings or without."""
    given = set(entry.given)
    won, lost = ({value.lower().strip() for value in values} for values in (own.won_values, own.lost_values))
    if won & lost:
        raise ParamsError(
            f"{entry.key}: won_values and lost_values share {sorted(won & lost)}; a status is one of them"
        )
    if bool(won) != ("status" in given) or (lost and not won):
        raise ParamsError(
            f"{entry.key}: won_values, lost_values and columns.status go together; map the status to a column, and "
            "write its values of a won lead into won_values"
        )
    if "status" in given and "converted" in given:
        raise ParamsError(f"{entry.key}.columns maps status and converted; both say what became of a lead, so map one")
    if "closed_at" in given and "status" not in given:
        raise ParamsError(
            f"{entry.key}.columns maps closed_at without a status; a closing date does not say won or lost"
        )
    if not {"converted_at", "converted", "lost_at", "status"} & given:
        raise ParamsError(f"{entry.key}.columns maps neither converted_at nor converted; one of them is the label")
    if source.order == "dates" and not {"converted_at", "lost_at", "closed_at"} & given:
        raise ParamsError(
            f"order is dates, but {entry.key}.columns does not map converted_at: a yes/no does not say when; "
            "map the date, or use order: rows or none"
        )


def _check_outcomes_together(entries: list[Entry], source: Source) -> None:
    """Lost leads alone are no label."""
    wins = {"converted_at", "closed_at"} | (set() if source.order == "dates" else {"converted", "status"})
    mapped = [set(entry.given) for entry in entries if entry.table == "outcomes"]
    by_name = any(entry.source.columns is None for entry in entries if entry.table == "outcomes")
    if not by_name and not any(wins & given for given in mapped):
        named = " or ".join(sorted(wins, reverse=True))
        raise ParamsError(f"source.outcomes: no table maps {named}, so nothing says which leads were won; map one")


def _check_width(source: Source, memory_gb: float) -> None:
    most = max(1, min(MOST_ATTRIBUTES, int(ATTRIBUTES_PER_GB * memory_gb)))
    if len(source.attributes) > most:
        raise ParamsError(
            f"source.attributes names {len(source.attributes):,} columns; project.memory_gb: {memory_gb:g} is enough "
            f"for {most:,}, and nothing for more than {MOST_ATTRIBUTES:,}. Name those that are known of most leads; "
            "columns that are not named cost nothing"
        )


def _check_attribute_names(source: Source) -> None:
    taken = set(RESERVED)
    for name in source.attributes:
        if not NAME.fullmatch(name):
            raise ParamsError(f"source.attributes: {name!r} is no name; use letters, digits and _, a letter first")
        if name.lower() in taken:
            raise ParamsError(f"source.attributes: {name!r} is taken (case does not tell names apart); rename it")
        taken.add(name.lower())


def _check_lead_ids(source: Source, entries: list[Entry]) -> None:
    """A table without an id names its rows by their number; leads and outcomes must then be one and the same table."""
    without = [entry for entry in entries if entry.source.columns is not None and "lead_id" not in entry.given]
    tables = {(entry.source.path, entry.source.table) for entry in entries}
    if without and (len(without) < len(entries) or len(tables) > 1 or source.order == "dates"):
        raise ParamsError(
            f"{without[0].key}.columns does not map lead_id; the row number can stand in for it only where leads and "
            "outcomes are the same table, neither maps lead_id, and order is rows or none"
        )
