"""Notices handed over: those of a list and of the monitor on command, those of `serve` as they happen."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.schema.errors import DeliveryError
from pipelines.config.delivery import Delivery
from pipelines.config.params import Params
from pipelines.delivery.databases import read_list
from pipelines.delivery.deliver import Pace, empty
from pipelines.delivery.notices import of_list, of_monitor, told_tiers
from pipelines.delivery.outbox import DeadLetter, Notice, Outbox, open_outbox, outbox_path
from pipelines.delivery.webhook import Channel, Clock, channels

log = logging.getLogger("leadscore")
NOTICES = ("webhook", "apprise")  # sections of `delivery` that take notices


def hand_over(params: Params, folder: Path, to: str, clock: Clock, sleep: Callable[[float], None]) -> None:
    """Tell of the leads of a list that have entered a tier, and of the monitor's alert; each once.

    A receiver that does not answer keeps nothing from the others.

    Raises
    ------
    ParamsError
        Where `delivery` is not valid, or a newer list was announced before.
    DeliveryError
        Where a receiver did not take everything; the rest is queued for the next run.
    """
    faults = []
    for channel in channels(params.delivery, to, clock):
        try:
            with _outbox(params.delivery, channel) as outbox:
                queued = _announce(outbox, params, folder)
                dead = empty(outbox, 1, channel.send, pace_of(params, sleep))
        except DeliveryError as error:
            faults.append(f"{to}: {error}")
            continue
        log.info("deliver: %s: %s new notices, %s not taken", to, f"{queued:,}", f"{dead:,}")
        if dead:
            faults.append(f"{to} did not take {dead:,} notices; `leadscore deliver {to} --dead-letters` lists them")
    if faults:
        raise DeliveryError("; ".join(dict.fromkeys(faults)))


def preview(params: Params, folder: Path, to: str, clock: Clock) -> Iterator[str]:
    """Yield the notices that would be sent, a line of JSON each; sends and writes nothing."""
    for channel in channels(params.delivery, to, clock):
        with _outbox(params.delivery, channel, copy=True) as outbox:
            _announce(outbox, params, folder)
            for page in outbox.pages(1):
                yield json.dumps(json.loads(str(page[0].fields["body"])), ensure_ascii=False)


def dead_notices(params: Params, to: str, clock: Clock) -> list[DeadLetter]:
    """Return the notices that were not taken and are set aside."""
    letters: list[DeadLetter] = []
    for channel in channels(params.delivery, to, clock):
        with _outbox(params.delivery, channel, copy=True) as outbox:
            letters += outbox.dead_letters()
    return letters


def requeue_notices(params: Params, to: str, clock: Clock) -> None:
    """Let the next run send the notices again that are set aside."""
    for channel in channels(params.delivery, to, clock):
        with _outbox(params.delivery, channel) as outbox:
            outbox.requeue()


def pace_of(params: Params, sleep: Callable[[float], None]) -> Pace:
    """Return the waits between notices: those of `delivery`, with attempts of their own."""
    patient = params.delivery.model_copy(update={"attempts": params.delivery.notices.attempts})
    return Pace(patient, np.random.default_rng(params.project.seed), sleep)


def _announce(outbox: Outbox, params: Params, folder: Path) -> int:
    scores = read_list(folder)
    return outbox.announce_list(scores.day, of_list(scores, told_tiers(params))) + outbox.announce(of_monitor(folder))


def _outbox(params: Delivery, channel: Channel, *, copy: bool = False) -> AbstractContextManager[Outbox]:
    path = outbox_path(Path(params.state), channel.name, channel.target)
    return open_outbox(path, channel.target, copy=copy)


# At the moment


class LaterError(Exception):
    """A wait is due, which is not spent with the outbox open."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass
class Courier:
    """Hands notices to one receiver, a little at a time, and never waits: another process can use the outbox meanwhile.

    Attributes
    ----------
    ticks
        Seconds that only rise, to wait by.
    waiting, dead
        Notices that are queued, and set aside.
    """

    channel: Channel
    params: Params
    ticks: Clock
    pace: Pace = field(init=False)
    not_before: float = 0.0
    waited: bool = False
    waiting: int = 0
    dead: int = 0

    def __post_init__(self) -> None:
        self.pace = pace_of(self.params, self._wait)

    def queue(self, notices: Sequence[Notice]) -> int:
        """Queue notices on the disk; raises DeliveryError where another process holds the outbox."""
        with _outbox(self.params.delivery, self.channel) as outbox:
            return outbox.announce(notices)

    def go(self) -> None:
        """Send what is queued until nothing is, or a wait is due."""
        if self.ticks() < self.not_before:
            return
        try:
            with _outbox(self.params.delivery, self.channel) as outbox:
                try:
                    empty(outbox, 1, self.channel.send, self.pace)
                finally:
                    self._count(outbox)
        except LaterError as later:
            self.not_before, self.waited = self.ticks() + later.seconds, True
        except DeliveryError as error:
            self.not_before, self.waited = self.ticks() + self.params.delivery.longest_wait_s, False
            self.pace.in_a_row, self.pace.requested_wait_s = 0, 0.0
            log.warning("serve: %s: %s", self.channel.name, error)

    def _count(self, outbox: Outbox) -> None:
        self.waiting, dead = outbox.waiting(), len(outbox.dead_letters())
        if dead > self.dead:
            name = self.channel.name
            log.warning("serve: %s: %s notices are set aside; `leadscore deliver %s --dead-letters`", name, dead, name)
        self.dead = dead

    def _wait(self, seconds: float) -> None:
        if not self.waited:
            raise LaterError(seconds)
        self.waited = False
