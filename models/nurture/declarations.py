"""How leads that are not ready are kept in view, as a business declares it in params.yaml."""

from __future__ import annotations

from pydantic import Field

from features.schema.spec import Spec


class NurtureParams(Spec):
    """A list of the leads of the last tier that are likely to be ready later; tiers stay as they are."""

    on: bool = Field(
        default=False,
        description="Write nurture.csv beside the list: leads of the last tier, each with the day to look again.",
    )
    expires_days: int = Field(
        default=90,
        ge=2,
        le=730,
        description="Days after which a lead that has not become ready leaves this list, until it acts.",
    )
    least_chance: float = Field(
        default=0.15,
        gt=0,
        lt=1,
        description="Of becoming ready within `expires_days`, or the part of them that past lists cover: the least.",
    )
    wake_on: list[str] = Field(
        default=[],
        description="Event types by which a lead is looked at again at once. Empty: whatever the lead itself does.",
    )
