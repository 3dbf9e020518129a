"""What the imagined world of the embedded data is asked to be; see `simulate` in params.yaml."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Feedback(BaseModel):
    """How sales follows a score in the imagined world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share_called: float = Field(gt=0, lt=1)
    explored: float = Field(ge=0, le=1)
    call_factor: float = Field(ge=1)


class Shock(BaseModel):
    """A sudden change of the imagined world: what, from which day on, for how many days, and how strong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["price", "channel", "sales", "tracker", "feed"]
    day: dt.date
    days: int | None = Field(ge=1)
    size: float


class Simulate(BaseModel):
    """Size, period and flaws of the export, and what happens in its world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leads: int = Field(ge=100)
    first_day: dt.date
    last_day: dt.date
    drift: float = Field(ge=0)
    late_share: float = Field(ge=0, lt=1)
    duplicate_share: float = Field(ge=0, lt=1)
    missing_share: float = Field(ge=0, lt=1)
    feedback: Feedback | None
    shocks: list[Shock]
