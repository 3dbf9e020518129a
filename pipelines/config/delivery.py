"""`delivery` in params.yaml: the systems that finished scores are handed to."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from features.schema.spec import Spec

MOST_SECONDS = 1_000_000.0


class ScoreTables(Spec):
    """Where a database keeps scores: every list ever delivered, and a view of the newest."""

    database: str = Field(
        default="LEADSCORE_DATABASE",
        description='postgres: the environment variable that holds the connection string ("" leaves it to PGHOST '
        "and its kin). duckdb: the file, from the working folder.",
    )
    schema_name: str = Field(
        default="leadscore",
        alias="schema",
        min_length=1,
        description="Made where it is missing, like the table and the view.",
    )
    history: str = Field(
        default="score_history",
        min_length=1,
        description="Table of every list delivered: one row a lead and day.",
    )
    current: str = Field(
        default="current_scores",
        min_length=1,
        description="View of the newest list alone; a lead that has left the list is not in it.",
    )


class PostgresTables(ScoreTables):
    """The same in PostgreSQL, and how long it may take."""

    lock_wait_s: float = Field(
        default=60.0,
        gt=0,
        le=MOST_SECONDS,
        description="Wait so long for another delivery, or for readers of the view.",
    )
    timeout_s: float = Field(
        default=1800.0,
        gt=0,
        le=MOST_SECONDS,
        description="One statement may take so long; a million leads take minutes.",
    )


class DuckdbTables(ScoreTables):
    """The same in a DuckDB file."""

    database: str = Field(default="scores.duckdb", description="The file, from the working folder.")
    schema_name: str = Field(default="main", alias="schema", min_length=1, description="Made where it is missing.")


class Crm(Spec):
    """A CRM's HTTP API, and which of its fields get which column of the scores."""

    base_url: str = Field(description="Address of the API.")
    token: str = Field(description="Environment variable that holds the access token; no secret stands here.")
    object: str = Field(min_length=1, description="Kind of record that is updated.")
    id_field: str = Field(min_length=1, description="The field that holds lead_id; the CRM knows it to be unique.")
    batch: int = Field(ge=1, description="Leads a request.")
    fields: dict[str, str] = Field(
        min_length=1, description="{field: column of the scores}; a lead is sent when one of them changes."
    )
    gone: dict[str, str | float | None] = Field(
        default={},
        description='{field: value}, sent once for leads that left the list, such as {lead_tier: ""}; {}: they keep '
        "what they have.",
    )


class HubSpot(Crm):
    """Batch upsert of CRM objects, by a property that HubSpot knows to be unique."""

    base_url: str = Field(default="https://api.hubapi.com", description="Address of the API.")
    token: str = Field(
        default="HUBSPOT_TOKEN", description="Environment variable that holds the access token of a private app."
    )
    object: str = Field(default="contacts", min_length=1, description="Kind of record that is updated.")
    id_field: str = Field(default="lead_id", min_length=1, description="The unique property that holds lead_id.")
    batch: int = Field(default=100, ge=1, le=100, description="Leads a request; HubSpot takes no more than 100.")
    fields: dict[str, str] = Field(
        default={"lead_score": "score", "lead_tier": "tier"},
        min_length=1,
        description="{property: column of the scores}; a lead is sent when one of them changes.",
    )


class Salesforce(Crm):
    """sObject collections, upsert by external id."""

    base_url: str = Field(default="", description="Such as https://mycompany.my.salesforce.com.")
    token: str = Field(
        default="SALESFORCE_TOKEN", description="Environment variable that holds the OAuth access token."
    )
    version: str = Field(default="v62.0", pattern=r"^v\d+\.0$", description="Of the REST API.")
    object: str = Field(default="Lead", min_length=1, description="Kind of record that is updated.")
    id_field: str = Field(default="Lead_Id__c", min_length=1, description="The external id field that holds lead_id.")
    batch: int = Field(default=200, ge=1, le=200, description="Leads a request; Salesforce takes no more than 200.")
    fields: dict[str, str] = Field(
        default={"Lead_Score__c": "score", "Lead_Tier__c": "tier"},
        min_length=1,
        description="{field: column of the scores}; a lead is sent when one of them changes.",
    )


class Dynamics(Crm):
    """Dynamics 365 Sales: rows of msdyn_predictivescores, upsert by the lead's own id; not tried on a live account."""

    base_url: str = Field(default="", description="Such as https://mycompany.crm.dynamics.com.")
    token: str = Field(default="DYNAMICS_TOKEN", description="Environment variable that holds the OAuth access token.")
    version: str = Field(default="v9.2", pattern=r"^v\d+\.\d+$", description="Of the Web API.")
    object: Literal["lead", "opportunity"] = Field(
        default="lead", description="What lead_id is the id (GUID) of: msdyn_entitytype."
    )
    id_field: str = Field(default="msdyn_entityid", min_length=1, description="The field that holds lead_id.")
    batch: int = Field(default=100, ge=1, le=1000, description="Leads a request; they are taken all or none.")
    fields: dict[str, str] = Field(
        default={"msdyn_score": "score", "msdyn_grade": "tier"},
        min_length=1,
        description="{field: column of the scores}; a lead is sent when one of them changes.",
    )
    grades: dict[str, int] = Field(
        default={"hot": 0, "warm": 1, "cold": 2, "excluded": 3},
        description="{tier: msdyn_grade}, 0 for grade A to 3 for grade D; a tier that is not named has no grade.",
    )


class Notices(Spec):
    """What is told the moment it happens: leads that enter a tier, triggers that fire, alerts of the monitor."""

    tiers: list[str] = Field(
        default=[], description="Leads that enter one of these tiers are told; []: the best tier alone."
    )
    attempts: int = Field(
        default=20,
        ge=2,
        le=100,
        description="Of one notice before it is set aside: an hour, with the waits that `delivery` has by default.",
    )


class Webhook(Spec):
    """Notices by HTTP POST, signed and numbered as https://www.standardwebhooks.com says."""

    url: str = Field(default="", description='Where notices are posted, by HTTPS unless on this machine; "": nowhere.')
    secret: str = Field(
        default="LEADSCORE_WEBHOOK_SECRET",
        description="Environment variable that holds the shared secret: `whsec_` and 24 to 64 bytes in base64.",
    )


class AppriseUrls(Spec):
    """Notices as messages to people, by the library Apprise (extra `notify`): Slack, Teams, e-mail and others."""

    urls: str = Field(
        default="",
        description="Environment variable that holds Apprise's addresses, with spaces between them; they hold secrets. "
        '"": nobody is told.',
    )


class Waits(Spec):
    """How long requests to another system may take, and how often they are tried."""

    timeout_s: float = Field(
        default=30.0, gt=0, le=MOST_SECONDS, description="A CRM's whole answer is to be there after so long."
    )
    attempts: int = Field(default=8, ge=2, le=100, description="This many failed requests in a row end the run.")
    first_wait_s: float = Field(
        default=1.0,
        ge=0,
        le=MOST_SECONDS,
        description="Before the second attempt; doubled with each failure, less a random part.",
    )
    longest_wait_s: float = Field(
        default=300.0,
        gt=0,
        le=MOST_SECONDS,
        description="Between attempts; a CRM that asks for more ends the run, and the rest waits.",
    )

    @model_validator(mode="after")
    def _waits_ascend(self) -> Self:
        if self.first_wait_s > self.longest_wait_s:
            raise ValueError(
                f"first_wait_s {self.first_wait_s:g} is longer than longest_wait_s {self.longest_wait_s:g}"
            )
        return self


class Delivery(Waits):
    """`leadscore deliver` hands finished scores to other systems; no secret stands here."""

    state: str = Field(
        default="delivery",
        min_length=1,
        description="Folder that remembers what each CRM holds; where it is lost, every lead is sent once more.",
    )
    attempts: int = Field(
        default=8,
        ge=2,
        le=100,
        description="Of one lead before it is set aside; this many failed requests in a row end the run, and the rest "
        "waits.",
    )
    postgres: PostgresTables = Field(default=PostgresTables(), description="`leadscore deliver postgres`.")
    duckdb: DuckdbTables = Field(default=DuckdbTables(), description="`leadscore deliver duckdb`.")
    hubspot: HubSpot = Field(default=HubSpot(), description="`leadscore deliver hubspot`.")
    salesforce: Salesforce = Field(default=Salesforce(), description="`leadscore deliver salesforce`.")
    dynamics: Dynamics = Field(default=Dynamics(), description="`leadscore deliver dynamics`.")

    notices: Notices = Field(default=Notices(), description="What `webhook` and `apprise` tell.")
    webhook: Webhook = Field(default=Webhook(), description="`leadscore deliver webhook`, and `serve` at the moment.")
    apprise: AppriseUrls = Field(
        default=AppriseUrls(), description="`leadscore deliver apprise`, and `serve` at the moment."
    )
