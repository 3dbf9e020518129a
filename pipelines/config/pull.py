"""`pull` in params.yaml: CRMs whose tables are read by their APIs."""

from __future__ import annotations

from pydantic import Field

from features.schema.spec import Spec
from pipelines.config.delivery import Waits

PULLED = "pulled.json"  # in a folder of tables that `pull` wrote: which CRM it is of


class SalesforcePull(Spec):
    """Leads, tasks, events, campaign members and opportunities of Salesforce."""

    base_url: str = Field(default="", description="Such as https://mycompany.my.salesforce.com.")
    token: str = Field(
        default="SALESFORCE_TOKEN",
        description="Environment variable that holds an OAuth access token, which lives for hours.",
    )
    client_id: str = Field(
        default="SALESFORCE_CLIENT_ID",
        description="Environment variable that holds the consumer key of a connected app with the client credentials "
        "flow; where it is set, tokens are fetched and renewed with it.",
    )
    client_secret: str = Field(default="SALESFORCE_CLIENT_SECRET", description="The same of its consumer secret.")
    version: str = Field(default="v62.0", pattern=r"^v\d+\.0$", description="Of the REST API.")
    fields: list[str] = Field(default=[], description="Fields of leads to read; []: all that this user may see.")
    campaigns: bool = Field(default=True, description="Also read campaign members, for who responded and when.")
    deals: bool = Field(default=True, description="Also read opportunities, for how those of converted leads ended.")
    history: list[str] = Field(
        default=[],
        description="Fields of leads whose history is read, where Salesforce tracks it, such as [Status].",
    )
    page: int = Field(default=1000, ge=1, le=2000, description="Records a request.")


class HubSpotPull(Spec):
    """Contacts, calls, emails, meetings, form submissions and deals of HubSpot."""

    base_url: str = Field(default="https://api.hubapi.com", description="Address of the API.")
    token: str = Field(
        default="HUBSPOT_TOKEN", description="Environment variable that holds the access token of a private app."
    )
    properties: list[str] = Field(
        default=[],
        description="Properties of contacts to read beside those that say who a lead is, where it came from and when "
        "its stages began; []: every property of one's own.",
    )
    forms: bool = Field(default=True, description="Also read which forms were submitted, by whom and when.")
    deals: bool = Field(default=True, description="Also read deals, for how those of contacts ended.")
    history: list[str] = Field(
        default=[],
        description="Properties of contacts whose history is read, such as [lifecyclestage, hs_lead_status].",
    )
    page: int = Field(default=200, ge=1, le=200, description="Records a request; HubSpot gives no more than 200.")


class Pull(Waits):
    """`leadscore pull` reads leads, what they did and who was merged from a CRM; no secret stands here."""

    salesforce: SalesforcePull = Field(default=SalesforcePull(), description="`leadscore pull salesforce`.")
    hubspot: HubSpotPull = Field(default=HubSpotPull(), description="`leadscore pull hubspot`.")
