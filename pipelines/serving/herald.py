"""What serve tells at the moment: a lead that has entered a tier, or whose trigger has fired, by what has just arrived.

An arrival is noted in the transaction that keeps it, so that none is lost by a kill. It is looked at by the lead as it
was known a microsecond before and a microsecond after: the same facts and the same model find the same notice again,
which counts once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

import pandas as pd
from sqlalchemy.exc import SQLAlchemyError

from features.schema.errors import DataError, DeliveryError
from pipelines.delivery.hand_over import Courier
from pipelines.delivery.notices import ENTERED, FIRED, notice
from pipelines.delivery.outbox import Notice
from pipelines.serving.bodies import MomentScore, in_text
from pipelines.serving.champion import Champion
from pipelines.serving.moment import MomentScorer
from pipelines.serving.store import Arrival, FactStore

log = logging.getLogger("leadscore")
LOOK_EVERY_S = 0.5
SETTLED = pd.Timedelta(seconds=1)  # what arrived earlier, in requests that ran at once, is on the disk by then
TICK = pd.Timedelta(microseconds=1)
TRIGGER = "trigger: "
SENT = {"lead_id", "as_of", "tier", "tier_reason", "tier_by", "score", "probability", "grade", "reasons",
        "reasons_text", "cautions", "model_id"}  # fmt: skip


@dataclass
class Herald:
    """Looks at what has arrived, and hands over what follows.

    Attributes
    ----------
    tiers
        Whose new leads are told.
    now
        The moment, in UTC without a zone.
    unscored
        How many arrivals were left out because the lead could not be scored.
    """

    store: FactStore
    champion: Champion
    couriers: Sequence[Courier]
    tiers: Sequence[str]
    now: Callable[[], pd.Timestamp]
    unscored: int = 0
    _stop: Event = field(default_factory=Event)

    def look(self) -> None:
        """Queue the notices of all arrivals so far, and send what is queued."""
        while arrivals := self.store.waiting(self.now() - SETTLED):
            model = self.champion.current
            notices = [one for arrival in arrivals for one in self._of(arrival, model)]
            if notices:
                for courier in self.couriers:
                    courier.queue(notices)
            self.store.looked_at(arrivals)
        for courier in self.couriers:
            courier.go()

    def watch(self) -> Thread:
        """Look again and again, until `stop`."""

        def run() -> None:
            while not self._stop.wait(LOOK_EVERY_S):
                try:
                    self.look()
                except DeliveryError as error:  # the outbox is another's for now
                    log.info("serve: notices wait: %s", error)
                except Exception as error:  # whatever it is, arrivals stay noted
                    log.warning("serve: notices wait: %s", type(error).__name__)

        thread = Thread(target=run, daemon=True, name="herald")
        thread.start()
        return thread

    def stop(self) -> None:
        """End `watch`."""
        self._stop.set()

    def _of(self, arrival: Arrival, model: MomentScorer) -> list[Notice]:
        before, after = self._around(arrival, model)
        if after is None or after.tier not in self.tiers:
            return []
        data, happened = after.model_dump(include=SENT), in_text(arrival.at)
        if before is None or before.tier != after.tier:
            was = {"tier_before": None if before is None else before.tier}
            return [notice(ENTERED, happened, data | was, after.tier)]
        if after.tier_reason.startswith(TRIGGER) and after.tier_reason != before.tier_reason:
            return [notice(FIRED, happened, data | {"tier_before": before.tier}, after.tier)]
        return []

    def _around(self, arrival: Arrival, model: MomentScorer) -> tuple[MomentScore | None, MomentScore | None]:
        """Score the lead without what has arrived, and with it; neither where it cannot be: the others go on."""
        try:
            lead = self.store.lead(arrival.lead_id, model.attributes)
            if lead is None:  # forgotten meanwhile
                return None, None
            earlier, there = arrival.at - TICK, not arrival.new
            known = there and (lead.created_at is None or lead.created_at < earlier)
            return model.score(lead, earlier) if known else None, model.score(lead, arrival.at + TICK)
        except SQLAlchemyError:  # the store is away for now
            raise
        except Exception as error:
            self.unscored += 1
            what = f"column {error.column}" if isinstance(error, DataError) else type(error).__name__
            log.warning("serve: an arrival cannot be scored and is left out: %s", what)
            return None, None
