"""How money is counted, as a business declares it in params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from features.schema.spec import Spec


class MoneyParams(Spec):
    """Expected revenue beside the probability; ranking by it, and revenue by tier, source, owner and month."""

    deal_value: str = Field(
        default="",
        description="A number in `source.attributes` that says what a won deal brought, usually `known: outcome`; a "
        "model of its own learns it from the deals won. Empty: no figures of money.",
    )
    rank_by: Literal["probability", "revenue", "revenue_per_hour"] = Field(
        default="probability",
        description="What a list is ranked by: the probability, the expected revenue, or that for each hour of work.",
    )
    hours: float = Field(default=1.0, gt=0, le=10_000, description="Hours to work a lead for one period.")
    hours_attribute: str = Field(
        default="",
        description="A number in `source.attributes` with the hours of the lead itself, used where it is known.",
    )
    groups: list[str] = Field(
        default=[],
        description="Categories in `source.attributes` by which revenue is shown, such as lead_source, beside tier "
        "and month.",
    )
    owner: str = Field(
        default="",
        description="The label in `source.leads.display` of who works a lead: revenue by owner, in "
        "`revenue_by_owner.csv` alone, as it names people.",
    )

    @model_validator(mode="after")
    def _values_are_known(self) -> MoneyParams:
        changed = [name for name, field in MoneyParams.model_fields.items() if getattr(self, name) != field.default]
        if changed and not self.deal_value:
            raise ValueError(f"{changed[0]} needs `deal_value`, the attribute that says what a won deal brought")
        return self
