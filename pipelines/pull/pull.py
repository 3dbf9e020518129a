"""Command pull: what changed at a CRM since the last pull, and from it the whole tables of a folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from features.schema.errors import DataError, DeliveryError, ParamsError
from pipelines.config.params import Params
from pipelines.config.pull import PULLED, HubSpotPull, Pull, SalesforcePull
from pipelines.delivery.crm import base_url, bearer
from pipelines.delivery.deliver import Pace
from pipelines.delivery.http import MOST_BYTES, TooLongError
from pipelines.pull.client import Client
from pipelines.pull.hubspot import HubSpot
from pipelines.pull.salesforce import Salesforce, renews, token_of
from pipelines.pull.store import MERGED, Content, Page, PullStore, open_store, store_of
from pipelines.storage.files import staged_folder, write_json, write_parquet
from pipelines.storage.lock import hold

OVERLAP_S = 600  # read again of the time before a pull began: a CRM's index may lag by minutes
ROWS = 10_000  # of a table at once
EVENT = ("lead_id", "event_at", "known_at", "event_type", "direction", "channel")
ALIAS = ("lead_id", "merged_into", "merged_at")
DEAL = ("lead_id", "deal_id", "status", "stage", "closed_at", "created_at", "amount")
TABLES = ("leads", "events", "aliases", "deals", "history")
WRITTEN = {*(f"{name}.parquet" for name in TABLES), PULLED}  # all that a folder may hold
log = logging.getLogger("leadscore")


class Crm(Protocol):
    """A CRM's way of answering."""

    @property
    def params(self) -> SalesforcePull | HubSpotPull:
        """What is asked for."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is read, in this order; the first is the leads."""

    def columns(self, client: Client) -> tuple[list[str], int]:
        """The fields of leads, and the time of day there in seconds since 1970."""

    def page(self, client: Client, kind: str, columns: list[str], since: int | None, last: str) -> Page:
        """The records behind a place that changed since a moment."""

    def events(self, store: PullStore) -> Iterator[Content]:
        """What was done, with the columns of EVENT."""

    def deals(self, store: PullStore) -> Iterator[Content]:
        """How the deals of leads ended, with the columns of DEAL."""

    def history(self, store: PullStore) -> Iterator[Content]:
        """What fields of leads held, with `lead_id` and `valid_from`."""


def pull(
    params: Params, name: str, folder: Path, sleep: Callable[[float], None], *, whole: bool = False
) -> dict[str, int]:
    """Bring a folder of tables up to a CRM.

    Parameters
    ----------
    params
        `pull` sets the system; `project.seed` the random part of waits.
    name
        A CRM by the name of its section of `pull`.
    folder
        Replaced as a whole; it holds nothing else. What has been read so far is kept beside it.
    sleep
        Waits a number of seconds.
    whole
        Read every record, so that what was deleted for good is noticed.

    Returns
    -------
    dict
        Rows of each table.

    Raises
    ------
    ParamsError
        Where `pull` is not valid, or the folder holds other files.
    DeliveryError
        Where the CRM did not give everything; the next run goes on there.
    """
    crm, client = _opened(params.pull, name, Pace(params.pull, np.random.default_rng(params.project.seed), sleep))
    folder = folder.resolve()
    _check_own(folder)
    path = store_of(folder)
    with hold(path.parent), open_store(path, f"{name} {client.base_url}") as store:
        goes_on = True
        while goes_on:  # after one that was cut off, what has changed since then
            goes_on = _read(crm, client, store, whole=whole)
            whole = False
        return _write(crm, store, folder, {"crm": name, "base_url": client.base_url})


def _check_own(folder: Path) -> None:
    """A folder is replaced as a whole, so what somebody else put into it would be lost."""
    names = [path.name for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []
    others = sorted(names if PULLED not in names else set(names) - WRITTEN)
    if others:
        raise ParamsError(
            f"{folder} holds files that `pull` did not write, such as {others[0]}; name a folder of its own"
        )


def at(params: Params, name: str, url: str | None) -> Params:
    """The parameters with another address of a CRM, where one is given."""
    if url is None:
        return params
    section = getattr(params.pull, name).model_copy(update={"base_url": url})
    return params.model_copy(update={"pull": params.pull.model_copy(update={name: section})})


def _opened(params: Pull, name: str, pace: Pace) -> tuple[Crm, Client]:
    if name == "hubspot":
        hubspot = params.hubspot
        return HubSpot(hubspot), Client(base_url(hubspot.base_url), bearer(hubspot.token, "pull.hubspot"), pace)
    salesforce = params.salesforce
    if not salesforce.base_url:
        raise ParamsError("pull.salesforce.base_url is empty; give --url https://mycompany.my.salesforce.com")
    url = base_url(salesforce.base_url)
    if renews(salesforce):
        return Salesforce(salesforce), Client(url, None, pace, lambda client: token_of(salesforce, client))
    return Salesforce(salesforce), Client(url, bearer(salesforce.token, "pull.salesforce"), pace)


def _read(crm: Crm, client: Client, store: PullStore, *, whole: bool) -> bool:
    """Read what has changed; returns whether it was the rest of an earlier pull."""
    try:
        columns, now = crm.columns(client)
        settings = {"columns": columns, "kinds": crm.kinds, "history": crm.params.history}
        goes_on = store.begin(json.dumps(settings), now - OVERLAP_S, whole=whole)
        for kind in crm.kinds:
            _read_kind(crm, client, store, kind, columns)
    except TooLongError:
        raise DeliveryError(
            f"{client.base_url}: an answer of more than {MOST_BYTES:,} bytes; what has been read stays"
        ) from None
    except (LookupError, TypeError, AttributeError) as error:
        raise DeliveryError(
            f"{client.base_url}: an answer that does not fit the published schema ({type(error).__name__}: {error}); "
            "what has been read stays"
        ) from None
    store.end()
    return goes_on


def _read_kind(crm: Crm, client: Client, store: PullStore, kind: str, columns: list[str]) -> None:
    last, done = store.place(kind)
    read = 0
    while not done:
        page = crm.page(client, kind, columns, store.since(), last)
        if page.more and page.last == last:
            raise DeliveryError(f"{kind}: the same page again, behind {last!r}; what has been read stays")
        store.take(kind, page)
        last, done = page.last, not page.more
        read += len(page.kept) + len(page.gone)
    log.info("pull: %s %s have changed", f"{read:,}", kind)


def _write(crm: Crm, store: PullStore, folder: Path, about: dict[str, str]) -> dict[str, int]:
    """Write the tables, each in the order of the CRM's ids, so that the same records are the same bytes."""
    columns = json.loads(store.settings())["columns"]
    leads = ({name: content.get(name) for name in columns} for _, content in store.records(crm.kinds[0]))
    aliases = ({"lead_id": old} | content for old, content in store.records(MERGED))
    if not store.count(crm.kinds[0]):
        raise DataError(
            crm.kinds[0], "", found="no record", expected="leads", fix="Check that the token may read them."
        )
    tables = {"leads": (columns, leads), "events": (EVENT, crm.events(store)), "aliases": (ALIAS, aliases)}
    if next(crm.deals(store), None):  # without any, what became of leads is in their own table
        tables["deals"] = (DEAL, crm.deals(store))
    if first := next(crm.history(store), None):
        tables["history"] = ([*first], crm.history(store))
    with staged_folder(folder) as staged:
        rows = {
            name: write_parquet(_reader(fields, records), staged / f"{name}.parquet")
            for name, (fields, records) in tables.items()
        }
        write_json(about, staged / PULLED)
    return rows


def _reader(columns: Iterable[str], records: Iterator[Content]) -> pa.RecordBatchReader:
    """Records as text, as an export writes them."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    batches = (
        pa.RecordBatch.from_pylist([{name: _text(one[name]) for name in schema.names} for one in some], schema)
        for some in iter(lambda: list(islice(records, ROWS)), [])
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
