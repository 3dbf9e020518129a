"""The scorecard as a draft for HubSpot's lead-scoring API."""

from __future__ import annotations

from typing import TypedDict

from features.matrix.catalogue import Catalogue, Entry
from models.scorecard.fitting import ScorecardCondition
from models.scorecard.scorecard import Line, Scorecard
from pipelines.reporting.scorecard_table import describe, ordered

GROUP_NAMES = {"fit": "Fit", "engagement": "Engagement"}
CONTACTS = "0-1"  # HubSpot's object type of people
ENDPOINT = "POST /marketing/lead-scoring/2026-09-beta/scores"
READ_FIRST = (
    "This is a draft. Nothing was sent, and it has not been tried in an account.",
    "HubSpot renames fields between beta versions of this API (2027-03-beta has minValue and maxValue in each rule, "
    "maxScorePerCategory, and no groupCategory); compare it with the version of your account.",
    "The score is created as a draft there too, until it is published with POST .../scores/{scoreId}/draft/publish.",
    "Windows, such as the last 7 days, are part of a property's name here; update those properties each day, or "
    "replace their rules with HubSpot's own event criteria.",
)
ADAPT = (
    "configuration.filterBranch: has the shape of HubSpot's list filters; not documented for scores",
    "groupCategory: documented as a string, without its possible values",
    "property: one contact property for each feature, with the name in `properties`; create and fill them first",
    "values of a property with levels: spelt as in your data; HubSpot expects its own option values",
)


class Rule(TypedDict):
    """What meeting one criterion is worth."""

    enabled: bool
    minimumValue: int
    maximumValue: int
    configuration: dict[str, object]


class RuleGroup(TypedDict):
    """The rules of one group, and the points that they can add up to."""

    groupName: str
    groupCategory: str
    minValue: int
    maxValue: int
    ruleConfigurations: list[Rule]


class ScoreBody(TypedDict):
    """The body of the request."""

    name: str
    objectTypeId: str
    maxScore: int
    allowedGroupTypes: list[str]
    groupConfigs: list[RuleGroup]


class HubspotDraft(TypedDict):
    """The request, and what to know before it is sent; `properties`: each with its criteria in words."""

    read_first: list[str]
    adapt: list[str]
    endpoint: str
    properties: dict[str, list[str]]
    body: ScoreBody


def hubspot_draft(card: Scorecard, entries: Catalogue, name: str) -> HubspotDraft:
    """Draft the request that creates the card as a lead score in HubSpot.

    The fields of the body follow the public reference of HubSpot's lead-scoring API (beta); what it does not document
    is listed under `adapt`. Read the draft before you send it.
    """
    groups = [_group(card, entries, group) for group in GROUP_NAMES]
    filled = [group for group in groups if group["ruleConfigurations"]]
    body: ScoreBody = {
        "name": name,
        "objectTypeId": CONTACTS,
        "maxScore": sum(max(line.points, 0) for line in card.lines),
        "allowedGroupTypes": [],
        "groupConfigs": filled,
    }
    return {
        "read_first": list(READ_FIRST),
        "adapt": list(ADAPT),
        "endpoint": ENDPOINT,
        "properties": _properties(card, entries),
        "body": body,
    }


def _properties(card: Scorecard, entries: Catalogue) -> dict[str, list[str]]:
    criteria: dict[str, list[str]] = {}
    for line in ordered(card):
        entry = entries[line.feature]
        criteria.setdefault(entry.name, []).append(f"{describe(line.condition, entry)}: {line.points:+d}")
    return criteria


def _group(card: Scorecard, entries: Catalogue, group: str) -> RuleGroup:
    lines = [line for line in ordered(card) if entries[line.feature].group == group]
    return {
        "groupName": GROUP_NAMES[group],
        "groupCategory": group.upper(),
        "minValue": sum(min(line.points, 0) for line in lines),
        "maxValue": sum(max(line.points, 0) for line in lines),
        "ruleConfigurations": [_rule(line, entries[line.feature]) for line in lines],
    }


def _rule(line: Line, entry: Entry) -> Rule:
    filters = [{"filterType": "PROPERTY", "property": entry.name, "operation": _operation(line.condition, entry)}]
    both = {"filterBranchType": "AND", "filterBranches": [], "filters": filters}
    return {
        "enabled": True,
        "minimumValue": min(line.points, 0),
        "maximumValue": max(line.points, 0),
        "configuration": {
            "calculation": {"type": "CONSTANT", "value": line.points},
            "filterBranch": {"filterBranchType": "OR", "filterBranches": [both], "filters": []},
        },
    }


def _operation(condition: ScorecardCondition, entry: Entry) -> dict[str, object]:
    if condition.kind == "missing":
        return {"operationType": "ALL_PROPERTY", "operator": "IS_UNKNOWN"}
    if condition.kind == "level":
        values = [(entry.levels or [])[level] for level in condition.levels]
        return {"operationType": "ENUMERATION", "operator": "IS_ANY_OF", "values": values}
    operator = "IS_GREATER_THAN_OR_EQUAL_TO" if condition.kind == "at_least" else "IS_LESS_THAN"
    return {"operationType": "NUMBER", "operator": operator, "value": condition.threshold}
