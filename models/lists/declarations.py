"""How leads are handed to the people who call, as a business declares it in params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from features.schema.spec import Spec

Capacity = Annotated[int, Field(ge=0, le=1_000_000)]


class ListParams(Spec):
    """One list for each owner of leads; ranking, score and tier stay as they are."""

    owner: str = Field(
        default="",
        description="The label in `source.leads.display` of who works a lead; with it each owner gets a list of its "
        "own, the best leads first. Empty: no lists by owner.",
    )
    team: str = Field(default="", description="The label of the owner's team, shown beside the owners.")
    territory: str = Field(default="", description="The label of the territory, shown beside the owners.")
    capacity: Capacity | dict[str, Capacity] | None = Field(
        default=None,
        description="Leads that an owner can work in one period: one number for everybody, or {owner: number}, where "
        "an owner who is not named gets no list. null: `capacity.per_period` in equal parts.",
    )
    without_owner: Literal["dealt", "left out"] = Field(
        default="dealt",
        description="Leads without an owner. dealt: to owners with capacity left, in proportion to it, so that owners "
        "with equal capacity expect equally many wins; a lead stays with whom it was dealt to on the last list.",
    )
    within_territory: bool = Field(
        default=False,
        description="Leads without an owner are dealt to owners of their own `territory` alone, which is the one of "
        "most of an owner's leads; a lead of a territory that nobody has is on no list, and counted.",
    )
    company: str = Field(default="", description="The label of the company's name, for `max_per_company`.")
    max_per_company: int | None = Field(
        default=None, ge=1, description="On all lists together, leads of one company; the best of them. null: any."
    )
    mail: str = Field(default="", description="The label of the mail address or domain, for `max_per_mail_domain`.")
    max_per_mail_domain: int | None = Field(
        default=None,
        ge=1,
        description="The same of one mail domain; the domains of free mail (`features.free_domains`) are no company's.",
    )
    max_new_per_day: int | None = Field(
        default=None,
        ge=0,
        description="Leads on an owner's list that were not on its last one, for each day since that; all leads of a "
        "first list are new, which counts as one day. null: any.",
    )
    excel: bool = Field(
        default=False,
        description="Each list as an Excel file too, beside the CSV; needs `pip install leadscore[excel]`.",
    )

    @property
    def labels(self) -> dict[str, str]:
        """The labels that are named, by key."""
        keys = ("owner", "team", "territory", "company", "mail")
        return {key: label for key in keys if (label := getattr(self, key))}

    @model_validator(mode="after")
    def _rules_say_what_they_count(self) -> ListParams:
        for key, label in (("max_per_company", "company"), ("max_per_mail_domain", "mail")):
            if getattr(self, key) is not None and not getattr(self, label):
                raise ValueError(f"{key} needs `{label}`, the label in source.leads.display that it counts by")
        if self.within_territory and not self.territory:
            raise ValueError("within_territory needs `territory`, the label in source.leads.display of a lead's own")
        changed = [name for name, field in ListParams.model_fields.items() if getattr(self, name) != field.default]
        if changed and not self.owner:
            raise ValueError(f"{changed[0]} needs `owner`, the label in source.leads.display of who works a lead")
        return self
