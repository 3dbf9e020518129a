"""Buyers in a hurry: some leads come to buy, ask for a quote within hours, and buy on the day they come.

Whether a lead is in a hurry is drawn once, by what its record is worth. For DAY seconds it asks for quotes as a Poisson
process at ASKS, another lead at OTHERS_ASK, and it buys after an exponential time of mean BUYS_AFTER. Given its record
and what it asked, the odds of a hurry are in closed form, and all else that leads do and decide is independent of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.simulation.funnel import LABELS, Ends, Events
from pipelines.simulation.market import DAY, NEVER, Floats, Ints
from pipelines.simulation.prospects import Prospects, worth

HOUR = 3600
SLOW_BUYERS = 0.12  # of all leads, as `funnel` is made
MEAN_PULL = 2.5  # of exp(worth) over the market
MOST_LIKELY = 0.9
ASKS, OTHERS_ASK = 0.5 / HOUR, 0.004 / HOUR
BUYS_AFTER = 5 * HOUR
LARGEST = 1 << 40  # more than any time in seconds


@dataclass(frozen=True)
class Hurry:
    """Who is in a hurry, shape (n,) each.

    Attributes
    ----------
    chance
        Given the record alone.
    bought
        When the lead buys, in seconds; NEVER where it is in no hurry.
    asked
        The quotes that are asked for, by lead and time.
    """

    chance: Floats
    bought: Ints
    asked: Events

    def ends(self, ends: Ends) -> Ends:
        """Return how leads end when those in a hurry buy first."""
        won = np.minimum(ends.converted, self.bought)
        return Ends(np.where(won <= ends.lost, won, NEVER), np.where(ends.lost < won, ends.lost, NEVER))

    def probability(self, created: Ints, lead: Ints, at: Ints, horizon: int) -> Floats:
        """Return the probability that a lead, open at a time, buys in a hurry within the horizon, shape (snapshots,).

        Parameters
        ----------
        lead, at
            The lead's row, and seconds; what was asked before counts.
        horizon
            In days.
        """
        age = at - created[lead]
        key = self.asked.lead * LARGEST + self.asked.moment
        asked = np.searchsorted(key, lead * LARGEST + at) - np.searchsorted(key, lead * LARGEST)
        heard = (ASKS - OTHERS_ASK) * np.minimum(age, DAY) + age / BUYS_AFTER
        chance = self.chance[lead]
        odds = chance / (1 - chance) * np.exp(asked * np.log(ASKS / OTHERS_ASK) - heard)
        return odds / (1 + odds) * -np.expm1(-horizon * DAY / BUYS_AFTER)


def draw_hurry(who: Prospects, share: float, rng: np.random.Generator) -> Hurry:
    """Draw who is in a hurry, so that about this share of all buyers is."""
    mean = share / (1 - share) * SLOW_BUYERS
    chance = np.minimum(mean * np.exp(worth(who)[:, 0]) / MEAN_PULL, MOST_LIKELY)
    hurried = rng.random(len(chance)) < chance
    after = np.rint(rng.exponential(BUYS_AFTER, len(chance))).astype(np.int64) + 1
    count = rng.poisson(np.where(hurried, ASKS, OTHERS_ASK) * DAY)
    lead = np.repeat(np.arange(len(chance)), count)
    moment = who.created[lead] + np.rint(DAY * rng.random(len(lead))).astype(np.int64)
    order = np.lexsort((moment, lead))
    asked = Events(lead[order], moment[order], np.full(len(lead), LABELS.index("quote_request")))
    return Hurry(chance, np.where(hurried, who.created + after, NEVER), asked)
