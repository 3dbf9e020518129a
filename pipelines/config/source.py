"""`source` in params.yaml: the user's own files, columns and spellings, mapped to the contract."""

from __future__ import annotations

import codecs
import datetime as dt
import re
from pathlib import PurePath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from features.schema.declarations import AttributeSpec
from features.schema.lead_ids import NORMALISERS, Normaliser
from features.schema.number_format import NumberFormat
from features.schema.spec import MOST_DAYS, Spec

FORMATS = {".parquet": "parquet", ".pq": "parquet", ".duckdb": "duckdb", ".ddb": "duckdb", ".db": "duckdb"}
FORMATS |= dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), "excel")
NO_FILES = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")  # encodings of Python's that no file is in
FORMATS |= dict.fromkeys((".json", ".jsonl", ".ndjson"), "json")
LEAD = "{lead_id}"  # stands for the lead in the address of its page
NO_ADDRESS = re.compile(r'[\s<>"\\^`{}|]')
SCORED = {  # columns of scores.csv and of owners' lists, whose names no column beside them may have
    *("lead_id", "as_of", "probability", "score", "fit", "engagement", "grade", "tier", "stage", "tier_reason"),
    *("previous_tier", "earned_tier", "explored", "propensity", "reasons_text", "reasons", "online", "offline"),
    *(
        "other_engagement",
        "negative",
        "points",
        "base_points",
        "raw_score",
        "model_id",
        "data_fingerprint",
        "deal_value",
        "deal_value_low",
        "deal_value_high",
        "expected_revenue",
        "expected_revenue_low",
        "expected_revenue_high",
        "revenue_per_hour",
        "url",
        "rank",
    ),
}


class TableSource(Spec):
    """One file or database table and how its columns map to the contract; its path alone may stand for it."""

    path: str = Field(
        description="File, relative to the data folder; a pattern such as leads/*.csv stands for all files that fit. "
        'With postgres: the environment variable that holds the connection string ("" leaves it to PGHOST and its '
        "kin); no secret stands in this file. With ibis: the one that holds the URL, such as bigquery://project/data."
    )
    format: Literal["csv", "parquet", "duckdb", "excel", "json", "postgres", "ibis", "serve"] = Field(
        default="csv",
        description="Left out: by the ending of the path, csv (gz and zip too) where it says nothing else. excel: "
        "OpenDocument too. serve: the SQLite file of `leadscore serve`; `table` is leads, attribute_history or events, "
        "in the contract's names.",
    )
    table: str = Field(
        default="",
        description="The table's name inside a DuckDB file or a PostgreSQL database, such as crm.leads; a view of a "
        "DuckDB file sees its own tables alone, and may take 600 s. Of a spreadsheet, its sheet (the first where it is "
        "left out).",
    )
    separator: str = Field(default=",", description="csv: the character between fields.")
    skip_rows: int = Field(default=0, ge=0, le=1_000_000, description="csv, excel: lines above the header.")
    encoding: str = Field(default="utf-8", description="csv: latin-1 or cp1252 where a spreadsheet wrote it.")
    time_format: str | list[str] = Field(
        default="iso",
        description='iso, epoch (seconds), epoch_ms, excel (days), or a strptime pattern such as "%d/%m/%Y"; a list is '
        "tried in its order.",
    )
    number_format: NumberFormat | None = Field(
        default=None, description="How the table's numbers are written; left out: plain, such as -1234.5 or 1e6."
    )
    where: dict[str, list[str]] = Field(
        default={}, description="Keep only rows whose column holds one of these values: {column: [value, ...]}."
    )
    columns: dict[str, str] | None = Field(
        default=None,
        description="{the contract's column: your column}. Left out: your columns have the contract's own names. "
        "lead_id may be {column: ..., normalise: [...]}.",
    )
    normalise: list[Normaliser] = Field(
        default=[],
        description="How ids are compared, in all tables, as leads spell them: strip (spaces, quotes), integer "
        "(007 and 7.0 are 7), sf15 (Salesforce ids of 18 characters are those of 15), mail "
        "(mail addresses in small letters).",
    )
    constants: dict[str, str] = Field(
        default={}, description="{the contract's column: one value for every row}, such as {event_type: visit}."
    )
    missing: list[str] = Field(
        default=[""], description='Spellings of "not known"; add "NA" or "Select" only where they mean that.'
    )

    @property
    def in_database(self) -> bool:
        """Whether a database holds it, and no file."""
        return self.format in ("postgres", "ibis")

    @property
    def is_live(self) -> bool:
        """Whether somebody may write into it at any moment, and nothing says that its rows are the same as before."""
        return self.in_database or self.format == "serve"

    @property
    def time_formats(self) -> tuple[str, ...]:
        """The formats of its times, in the order in which they are tried."""
        return (self.time_format,) if isinstance(self.time_format, str) else tuple(self.time_format)

    @field_validator("encoding")
    @classmethod
    def _encoding_is_one_of_files(cls, given: str) -> str:
        try:
            "a".encode(given)
            known = codecs.lookup(given).name not in NO_FILES
        except (LookupError, ValueError):  # unknown, of bytes only, or the one that Python calls undefined
            known = False
        if not known:
            raise ValueError(f"no encoding of files is called {given!r}; try utf-8, latin-1 or cp1252")
        return given

    @model_validator(mode="before")
    @classmethod
    def _normalise_beside_its_column(cls, given: Any) -> Any:
        columns = given.get("columns") if isinstance(given, dict) else None
        if not isinstance(columns, dict):
            return given
        own = columns.get("lead_id")
        if not isinstance(own, dict) or not isinstance(own.get("column"), str) or set(own) - {"column", "normalise"}:
            return given
        return given | {"columns": columns | {"lead_id": own["column"]}, "normalise": own.get("normalise", [])}

    @model_validator(mode="before")
    @classmethod
    def _format_by_ending(cls, given: Any) -> Any:
        if isinstance(given, dict) and "format" not in given and isinstance(given.get("path"), str):
            return given | {"format": FORMATS.get(PurePath(given["path"]).suffix.lower(), "csv")}
        return given


class LeadSource(TableSource):
    """The table of leads, and what people are shown of a lead beside its score."""

    display: dict[str, str] = Field(
        default={},
        description="{label: your column}, such as {name: Full Name, owner: Owner}: shown beside the scores in "
        "scores.csv, in the report, on the page of a lead and by `lead explain`, as the file says it today, whatever "
        "the day of the list. No feature, model, MLflow run or log holds it.",
    )
    url_template: str = Field(
        default="",
        description="Address of a lead in your CRM, such as https://crm.example/leads/{lead_id}, shown in the same "
        "places.",
    )

    @property
    def shown(self) -> list[str]:
        """The names of what people are shown, in this order."""
        return [*self.display, *(["url"] if self.url_template else [])]

    @field_validator("display")
    @classmethod
    def _labels_are_new_names(cls, display: dict[str, str]) -> dict[str, str]:
        lower = [label.lower() for label in display]
        for label, name in zip(display, lower, strict=True):
            if not label or label != label.strip() or not label.isprintable():
                raise ValueError(f"display: {label!r} is no label; write a word or two")
            if name in SCORED:
                raise ValueError(f"display: the scores have a column {name!r}; call it otherwise, such as 'crm {name}'")
            if lower.count(name) > 1:
                raise ValueError(f"display: two labels are {name!r}; case does not tell labels apart")
        return display

    @field_validator("url_template")
    @classmethod
    def _address_is_of_the_web(cls, given: str) -> str:
        parts = urlsplit(given)
        whole = parts.scheme in ("http", "https") and parts.hostname and LEAD not in parts.netloc
        if given and not (whole and given.count(LEAD) == 1 and not NO_ADDRESS.search(given.replace(LEAD, ""))):
            raise ValueError(
                f"url_template: {given!r} is no address of a lead; write http or https, a host, and {LEAD} once behind "
                "it, such as https://crm.example/leads/{lead_id}"
            )
        return given


class OutcomeSource(TableSource):
    """A table of outcomes; where a status says what became of a lead, with its spellings."""

    won_values: list[str] = Field(
        default=[], description="With a column `status`: its values of a won lead; case does not matter."
    )
    lost_values: list[str] = Field(
        default=[], description="Its values of a lost lead; any other value is a lead that is still open."
    )

    @property
    def by_status(self) -> bool:
        """Whether a status says what became of a lead."""
        return "status" in (self.columns or {})


def _as_table(given: Any) -> Any:
    return {"path": given} if isinstance(given, str) else given


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, str | dict) else given


Table = Annotated[TableSource, BeforeValidator(_as_table, json_schema_input_type=str | TableSource)]
Tables = Annotated[
    list[Table], BeforeValidator(_as_list, json_schema_input_type=str | TableSource | list[str | TableSource])
]
LeadTable = Annotated[LeadSource, BeforeValidator(_as_table, json_schema_input_type=str | LeadSource)]
OutcomeTable = Annotated[OutcomeSource, BeforeValidator(_as_table, json_schema_input_type=str | OutcomeSource)]
OutcomeTables = Annotated[
    list[OutcomeTable],
    BeforeValidator(_as_list, json_schema_input_type=str | OutcomeSource | list[str | OutcomeSource]),
    Field(min_length=1),
]


class EventDefaults(Spec):
    """What an event is whose table has no such column."""

    direction: Literal["inbound", "outbound"] = Field(default="inbound", description="inbound: the lead acts itself.")
    channel: Literal["online", "offline"] = Field(default="online", description="Where it happens.")


class Source(Spec):
    """The user's own files, columns and spellings, mapped to the contract; three paths are enough to begin."""

    order: Literal["dates", "rows", "none"] = Field(
        default="dates",
        description="dates: leads and outcomes carry dates; rows: the order of leads stands in for time, by created_at "
        "where it is mapped, else by row; none: no order at all.",
    )
    outcome_after_days: int = Field(
        default=0,
        ge=0,
        le=MOST_DAYS,
        description="With order: rows and created_at: this many days after its creation a lead that has not converted "
        "counts as not converted; a younger one is still open. 0: every answer in the export is final.",
    )
    exported_at: Literal["data", "file"] | dt.date | dt.datetime = Field(
        default="data",
        union_mode="left_to_right",
        description="When the files were exported: a day, which counts whole, or a moment; later rows have not "
        "happened yet and are left out and counted. file: the day on which each file was last written. data: nothing "
        "says; a few rows that follow a gap like no other are left out.",
    )
    timezone: str = Field(default="UTC", description="The zone of time stamps that carry none.")
    leads: LeadTable = Field(description="One row a lead: lead_id, created_at, and the columns of the attributes.")
    attributes: dict[str, AttributeSpec] = Field(
        default={},
        description="{name: where it is and when it is known}; columns not listed are not read. "
        "`leadscore inspect` proposes them.",
    )
    events: Tables = Field(
        default=[],
        description="What leads did, any number of tables: lead_id, event_at, event_type; also known_at, direction, "
        "channel, value.",
    )
    event_defaults: EventDefaults = Field(
        default=EventDefaults(), description="Of events whose table has no such column."
    )
    event_labels: dict[str, str] = Field(
        default={},
        description="{event type: how reasons and reports call it, singular}; a type not listed is called by its name.",
    )
    event_units: dict[str, str] = Field(
        default={}, description="{event type: what its value counts}, such as minutes or EUR, for reasons in words."
    )
    outcomes: OutcomeTables = Field(
        description="What became of leads, in one table or several: lead_id and converted_at, or converted (yes or "
        "no); also lost_at. One closing date of won and lost deals: status and closed_at, with won_values and "
        "lost_values."
    )
    yes_values: list[str] = Field(
        default=["1", "yes", "true"],
        description="Spellings of a won lead, where outcomes have `converted` and no date.",
    )
    no_values: list[str] = Field(
        default=["0", "no", "false"],
        description="Spellings of a lead that was not won; an empty cell is an open lead.",
    )
    stages: Tables = Field(default=[], description="Lifecycle stages, for velocity: lead_id, stage, entered_at.")
    attribute_history: Tables = Field(
        default=[],
        description="What the CRM overwrote: lead_id, valid_from, and attributes' values from then on.",
    )
    aliases: Tables = Field(
        default=[],
        description="Leads that were merged: lead_id, the old id, and merged_into, the id it was merged into; "
        "also merged_at, from when on the old id's events are known of the lead. Left empty: they always were.",
    )
    contacts: Tables = Field(
        default=[],
        description="Whom sales contacted, so that metrics can be weighted: lead_id, contacted_at, and of the score "
        "list that sales had before it as_of, tier, score, explored (yes or no) and propensity.",
    )
    overrides: Tables = Field(
        default=[],
        description="What people say of single leads: lead_id, who, and tier or points; also why, until (a day, which "
        "counts) and given_at. It moves a lead's tier on the list and nothing else; `leadscore lead override` writes "
        "the same beside the lists.",
    )

    @property
    def by_creation(self) -> bool:
        """Whether leads are ordered by their creation, and outcomes carry no dates."""
        return self.order == "rows" and "created_at" in (self.leads.columns or {})

    @property
    def tables(self) -> list[TableSource]:
        """Every table that is read."""
        lists = (self.outcomes, self.events, self.stages, self.attribute_history, self.aliases, self.contacts)
        return [self.leads, *(table for given in lists for table in given), *self.overrides]

    @property
    def normalise(self) -> tuple[Normaliser, ...]:
        """How ids are compared, whichever table says so."""
        return tuple(name for name in NORMALISERS if any(name in table.normalise for table in self.tables))

    @model_validator(mode="before")
    @classmethod
    def _attributes_are_called_as_their_columns(cls, given: Any) -> Any:
        attributes = given.get("attributes") if isinstance(given, dict) else None
        if not isinstance(attributes, dict):
            return given
        filled = {
            name: {"column": name} | (one or {}) if isinstance(one, dict | None) else one
            for name, one in attributes.items()
        }
        return given | {"attributes": filled}

    @model_validator(mode="after")
    def _order_is_possible(self) -> Source:
        mapped = self.leads.columns
        has_dates = self.order == "dates" if mapped is None else "created_at" in mapped
        if (self.order == "dates" and not has_dates) or (self.order == "none" and has_dates):
            raise ValueError(
                f"order is {self.order!r} but leads.columns {'maps' if has_dates else 'does not map'} created_at; "
                "use order: dates or rows with a created_at column, order: rows or none without"
            )
        if self.outcome_after_days and not self.by_creation:
            raise ValueError("outcome_after_days needs order: rows and leads.columns.created_at")
        has_dates = self.order == "dates"
        if self.attribute_history and not has_dates:
            raise ValueError("attribute_history needs order: dates, as an edit counts only before a snapshot's date")
        if self.contacts and not has_dates:
            raise ValueError("contacts need order: dates, because a call follows from the list before it")
        if self.events and not has_dates:
            raise ValueError("events need order: dates, because an event counts only before a snapshot's date")
        return self

    @model_validator(mode="after")
    def _attributes_are_knowable(self) -> Source:
        for name, attribute in self.attributes.items():
            if attribute.known == "export" and self.order == "dates":
                raise ValueError(
                    f"attribute {name!r} is known: export, so with dates its value may come from after the snapshot; "
                    "use creation, history (with attribute_history) or outcome"
                )
            if attribute.known == "history" and not self.attribute_history:
                raise ValueError(f"attribute {name!r} is known: history, but source.attribute_history lists no table")
        return self
