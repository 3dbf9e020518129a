"""Command deliver: all scores to a database, or changed ones to a CRM."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests

from features.schema.errors import DeliveryError, ParamsError
from pipelines.config.delivery import Delivery, Waits
from pipelines.config.params import Params
from pipelines.delivery.crm import (
    Answer,
    Cell,
    LeadStatus,
    Message,
    RequestStatus,
    System,
    base_url,
    bearer,
    crm_named,
    send,
)
from pipelines.delivery.databases import DATABASES, ScoreList, read_list
from pipelines.delivery.outbox import DeadLetter, Outbox, open_outbox, outbox_path

log = logging.getLogger("leadscore")


def deliver(params: Params, folder: Path, to: str, sleep: Callable[[float], None]) -> None:
    """Deliver the scores of a folder.

    Parameters
    ----------
    params
        `delivery` sets the target; `project.seed` the random part of waits.
    folder
        Where scores.parquet lies.
    to
        A database or a CRM by the name of its section of `delivery`.
    sleep
        Waits a number of seconds.

    Raises
    ------
    DataError
        Where the scores are missing or not what score writes.
    ParamsError
        Where `delivery` is not valid, or a newer list was delivered before.
    DeliveryError
        Where the system did not accept everything; the rest is queued for the next run.
    """
    scores = read_list(folder)
    if to in DATABASES:
        written = DATABASES[to](scores, getattr(params.delivery, to))
        log.info("deliver: %s: %s leads of %s, %s rows written", to, f"{scores.rows:,}", scores.day, f"{written:,}")
    else:
        _to_crm(params, scores, to, sleep)


def preview(params: Params, folder: Path, to: str) -> Iterator[str]:
    """Yield what would be sent, one line of JSON a request, or what would be written; sends and writes nothing."""
    scores = read_list(folder)
    if to in DATABASES:
        tables = getattr(params.delivery, to)
        yield f"{scores.rows} rows of {scores.day} to {tables.schema_name}.{tables.history} ({to})"
        return
    system = crm_named(params.delivery, to)
    with _outbox(params.delivery, system, to, copy=True) as outbox:
        outbox.put(scores.day, _wanted(scores, system.params.fields), system.params.gone)
        log.info("deliver: %s: %s leads, %s to send", to, f"{scores.rows:,}", f"{outbox.waiting():,}")
        for page in outbox.pages(system.params.batch):
            request = system.request(page)
            line = {"method": request.method, "url": request.url, "body": request.body}
            yield json.dumps(line, ensure_ascii=False)


def dead_letters(params: Params, to: str) -> list[DeadLetter]:
    """Return the leads that a CRM did not accept and that are set aside."""
    with _outbox(params.delivery, crm_named(params.delivery, to), to, copy=True) as outbox:
        return outbox.dead_letters()


def requeue(params: Params, to: str) -> int:
    """Let the next run send the leads again that are set aside; returns how many."""
    with _outbox(params.delivery, crm_named(params.delivery, to), to) as outbox:
        return outbox.requeue()


def _outbox(params: Delivery, system: System, to: str, *, copy: bool = False) -> AbstractContextManager[Outbox]:
    crm = system.params
    target = f"{base_url(crm.base_url)}/{crm.object}/{crm.id_field}"
    return open_outbox(outbox_path(Path(params.state), to, target), target, copy=copy)


# The content of a record


def _wanted(scores: ScoreList, fields: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Cell]]]:
    """Each lead and the CRM's fields with their values."""
    missing = sorted(set(fields.values()) - set(scores.schema.names))
    if missing:
        raise ParamsError(f"delivery: the scores have no column {missing[0]!r}; they have {scores.schema.names}")
    for batch in scores.batches(sorted({"lead_id", *fields.values()})):
        for row in batch.to_pylist():
            yield row["lead_id"], {name: _cell(row[column]) for name, column in fields.items()}


def _cell(value: Any) -> Cell:
    """A value as JSON can hold it; a day without a time of day is a date."""
    if isinstance(value, pd.Timestamp) or hasattr(value, "isoformat"):
        moment = pd.Timestamp(value)
        return moment.date().isoformat() if moment == moment.normalize() else moment.isoformat() + "Z"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


# Sending


def _to_crm(params: Params, scores: ScoreList, to: str, sleep: Callable[[float], None]) -> None:
    system = crm_named(params.delivery, to)
    auth = bearer(system.params.token, f"delivery.{to}")
    with _outbox(params.delivery, system, to) as outbox, requests.Session() as session:
        listed = outbox.put(scores.day, _wanted(scores, system.params.fields), system.params.gone)
        waiting = outbox.waiting()

        def one(batch: Sequence[Message]) -> Answer:
            return send(system, batch, session, auth, params.delivery.timeout_s)

        rng = np.random.default_rng(params.project.seed)
        pace = Pace(params.delivery, rng, sleep)
        dead = empty(outbox, system.params.batch, one, pace)
        taken = waiting - dead
        log.info("deliver: %s: %s leads, %s changed and taken, %s not", to, f"{listed:,}", f"{taken:,}", f"{dead:,}")
        if dead:
            raise DeliveryError(f"{to} did not take {dead:,} leads; `leadscore deliver {to} --dead-letters` lists them")
        if old := len(outbox.dead_letters()):
            log.warning("deliver: %s: %s leads are still set aside from earlier runs", to, f"{old:,}")


@dataclass
class Pace:
    """How long to wait before a request, and when to give up.

    Attributes
    ----------
    in_a_row
        Requests that failed since one was answered with a lead taken.
    requested_wait_s
        Seconds that the CRM asked to wait in its last answer.
    """

    params: Waits
    rng: np.random.Generator
    sleep: Callable[[float], None]
    in_a_row: int = 0
    requested_wait_s: float = 0.0

    def wait(self, failures: int) -> None:
        """Wait as the CRM asks, and at least a doubling, half random time after failures.

        Exponential backoff with jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        longest = self.params.longest_wait_s
        if self.requested_wait_s > longest:
            raise DeliveryError(
                f"the CRM asks to wait {self.requested_wait_s:,.0f} s, more than longest_wait_s; the rest waits"
            )
        turns = max(failures, self.in_a_row)
        doubled = min(self.params.first_wait_s * 2.0 ** (turns - 1), longest) if turns else 0.0
        seconds = max(doubled * float(self.rng.uniform(0.5, 1.0)), self.requested_wait_s)
        if seconds:
            self.sleep(seconds)

    def note(self, answer: Answer, size: int, any_taken: bool) -> None:
        """Record an answer; raises DeliveryError where too many requests in a row have failed.

        A rejection of a single lead is that lead's fault, and does not count.
        """
        self.requested_wait_s = answer.wait_s
        if not (answer.status is RequestStatus.rejected and size == 1):
            self.in_a_row = 0 if any_taken else self.in_a_row + 1
        if self.in_a_row >= self.params.attempts:
            why = answer.reason or next((reason for _, reason in answer.leads.values()), "")
            raise DeliveryError(f"{self.in_a_row} requests in a row failed, the last with {why!r}; the rest waits")


def empty(outbox: Outbox, most: int, send_one: Callable[[Sequence[Message]], Answer], pace: Pace) -> int:
    """Send until nothing is queued.

    Parameters
    ----------
    outbox
        The queue.
    most
        Leads a request at most.
    send_one
        Sends a batch and returns the answer.
    pace
        Waits, and gives up after too many failures in a row; the rest stays queued.

    Returns
    -------
    int
        Leads that were set aside.
    """
    attempts, dead = pace.params.attempts, 0
    while batch := outbox.batch(most, attempts):
        pace.wait(batch[0].attempts)
        outbox.sending(batch)
        answer = send_one(batch)
        verdicts = [(one, *_judged(one, answer, len(batch), attempts)) for one in batch]
        taken = [one for one, verdict, _ in verdicts if verdict is LeadStatus.accepted]
        failed = [(one, reason) for one, verdict, reason in verdicts if verdict is LeadStatus.retry]
        rejected = [(one, reason) for one, verdict, reason in verdicts if verdict is LeadStatus.rejected]
        if answer.status is not RequestStatus.busy:
            outbox.settle(taken, failed, rejected)
        dead += len(rejected)
        pace.note(answer, len(batch), bool(taken))
    return dead


def _judged(one: Message, answer: Answer, size: int, attempts: int) -> tuple[LeadStatus, str]:
    """Decide on a lead: it is set aside when it was rejected, or when its last attempt failed.

    No answer, or one that asks to wait, never counts as a lead's failure.
    """
    if answer.status is RequestStatus.ok:
        verdict, reason = answer.leads[one.lead_id]
    else:
        alone = answer.status is RequestStatus.rejected and size == 1
        verdict, reason = LeadStatus.rejected if alone else LeadStatus.retry, answer.reason
    last = one.attempts + 1 >= attempts and answer.status in (RequestStatus.ok, RequestStatus.failed)
    return (LeadStatus.rejected if verdict is LeadStatus.retry and last else verdict), reason
