"""The base of all that a business declares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

MOST_DAYS = 36_500  # a century: dates that are computed with it stay within the calendar of pandas, 1677 to 2262


class Spec(BaseModel):
    """A frozen declaration that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
