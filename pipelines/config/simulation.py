"""What the simulated market of the embedded data is asked to be; see `simulate` in params.yaml."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, model_validator

from features.schema.spec import MOST_DAYS, Spec


class Feedback(Spec):
    """How sales follows a score in the simulated market."""

    share_called: float = Field(
        gt=0, lt=1, description="On every list day this share of the open leads, the best, is called."
    )
    explored: float = Field(ge=0, le=1, description="Any other lead is called with this chance.")
    call_factor: float = Field(
        ge=1, le=1000, description="Whoever is called decides this many times as readily until the next list."
    )


class Deals(Spec):
    """What won deals bring in the simulated market."""

    spread: float = Field(
        default=0.9,
        ge=0,
        le=2,
        description="Of the logs of deals that are alike; at 0.9 the dearest of a hundred is worth eight times the "
        "median.",
    )


class Shock(Spec):
    """A sudden change of the simulated market: what, from which day on, for how many days, and how strong."""

    kind: Literal["price", "channel", "sales", "tracker", "feed"] = Field(
        description=(
            "price: log-change of demand; sales: log-change of how often sales writes and calls; channel:"
            " this many leads of a source that is new, for each that comes otherwise; tracker: share of "
            "website events that are never recorded; feed: no event is known before the shock is over "
            "(size is not read)."
        )
    )
    day: dt.date = Field(description="First day.")
    days: int | None = Field(default=None, ge=1, le=MOST_DAYS, description="How long it lasts; null: for good.")
    size: float = Field(ge=-20, le=20, description="How strong.")


class Simulate(Spec):
    """Size, period and flaws of the export, and what happens in its world."""

    leads: int = Field(default=20000, ge=100, le=100_000_000, description="How many leads.")
    first_day: dt.date = Field(default=dt.date(2024, 7, 1), description="The first lead is created on this day.")
    last_day: dt.date = Field(
        default=dt.date(2026, 6, 30), description="The export is taken at the end of this day; nothing later is known."
    )
    drift: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Strength of the slow drift in demand and in the mix of sources; 0 turns it off.",
    )
    late_share: float = Field(
        default=0.03, ge=0, lt=1, description="Share of events that reach the systems days after they happened."
    )
    duplicate_share: float = Field(default=0.005, ge=0, lt=1, description="Share of events written twice.")
    missing_share: float = Field(default=0.06, ge=0, lt=1, description="Share of attribute values left empty.")
    fast_share: float = Field(
        default=0.0,
        ge=0,
        le=0.9,
        exclude_if=lambda share: share == 0,
        description="About this share of all buyers is in a hurry: they ask for a quote within hours and buy on the "
        "day they come, before most lists; 0: none.",
    )
    feedback: Feedback | None = Field(
        default=None,
        description=(
            "null: calls follow no score. To see what a score does to the history it learns from, such as"
            " {share_called: 0.2, explored: 0.03, call_factor: 4.0}; writes contacts.csv, to be mapped in"
            " source.contacts."
        ),
    )
    deals: Deals | None = Field(
        default=None,
        exclude_if=lambda deals: deals is None,
        description="null: deals have no value. {spread: 0.9}: leads.csv says in `deal_value` what each won deal "
        "brought, by company size and industry, and the truth says what it brings on average.",
    )
    shocks: list[Shock] = Field(
        default=[],
        description=(
            "Sudden changes at known dates, to see who notices them, such as {kind: price, day: "
            '"2026-01-12", days: null, size: -0.7}.'
        ),
    )

    @model_validator(mode="after")
    def _days_ascend(self) -> Simulate:
        if self.first_day >= self.last_day:
            raise ValueError(f"first_day {self.first_day} is not before last_day {self.last_day}")
        return self
