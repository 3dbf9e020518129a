"""The scorecard as people and a CRM read it: a table in plain English, Markdown, and a draft for HubSpot."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from features.catalogue import Catalogue, Entry
from models.card_search import Condition
from models.reasons import MONTHS
from models.scorecard import Line, Scorecard

GROUP_NAMES = {"fit": "Fit", "engagement": "Engagement"}
WINDOWED = ("count", "active_days", "value_sum")  # measures whose feature's name ends with a window
CONTACTS = "0-1"  # HubSpot's object type of people
ENDPOINT = "POST /marketing/lead-scoring/2026-09-beta/scores"
GUESSED = (
    "configuration.filterBranch: the shape is that of HubSpot's list filters, not documented for scores",
    "groupCategory: documented as a string without its values",
    "property: one contact property for each feature, called like it; create and fill them first",
)


def table(card: Scorecard, entries: Catalogue) -> pd.DataFrame:
    """Return the card, one row a line, most points first.

    Returns
    -------
    DataFrame
        group, criterion (plain English), points, leads (training rows that fulfil it), conversion_rate (theirs).
    """
    rows = [
        {
            "group": entries[line.feature].group,
            "criterion": describe(line.condition, entries[line.feature]),
            "points": line.points,
            "leads": line.n,
            "conversion_rate": line.rate,
        }
        for line in _ordered(card)
    ]
    return pd.DataFrame(rows, columns=["group", "criterion", "points", "leads", "conversion_rate"])


def to_markdown(card: Scorecard, entries: Catalogue) -> str:
    """Return the table as Markdown, and in a sentence what its points mean."""
    rows = [f"| {_cell(line, entries)} | {line.points:+d} | {line.n:,} | {line.rate:.1%} |" for line in _ordered(card)]
    head = ["| criterion | points | leads | conversion rate |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *rows, "", meaning(card)]) + "\n"


def _cell(line: Line, entries: Catalogue) -> str:
    """A bar in a level's name would end the cell."""
    return describe(line.condition, entries[line.feature]).replace("|", "/")


def meaning(card: Scorecard) -> str:
    """Say what the points of a card mean."""
    start = f"A lead without points converts at {1 / (1 + math.exp(-card.base)):.1%}"
    if not card.lines:
        return f"{start}; no criterion is known to change that."
    return f"Every line that holds counts. {start}; {math.log(2) / card.slope:.0f} points more double the odds."


def describe(condition: Condition, entry: Entry) -> str:
    """Say a condition in plain English, as a marketer would type it."""
    if condition.kind == "level":
        levels = [(entry.levels or [])[level].replace("_", " ") for level in condition.levels]
        return f"{entry.label} is {levels[0] if len(levels) == 1 else ', '.join(levels[:-1]) + ' or ' + levels[-1]}"
    if condition.kind == "missing":
        never = {"recency": f"{entry.theme_label}, never", "mean_gap": f"{entry.theme_label}, once at most"}
        return never.get(entry.measure, f"{entry.label} not known")
    if entry.measure == "recency":
        return f"{entry.theme_label}, last one {_bound(condition, 'days')} ago"
    if entry.measure in WINDOWED:
        unit = {"count": "", "active_days": "days"}.get(entry.measure, "in total")
        return f"{entry.theme_label}, {_bound(condition, unit)} {_window(entry)}"
    if entry.measure == "calendar":
        return f"{entry.label}: {_since(condition, entry.unit)}"
    return f"{entry.label}: {_bound(condition, '' if entry.unit in ('value', 'events') else entry.unit)}"


def _bound(condition: Condition, unit: str) -> str:
    number = f"{condition.threshold:,.10g}"
    return (
        f"{number} or more {unit}".rstrip() if condition.kind == "at_least" else f"less than {number} {unit}".rstrip()
    )


def _since(condition: Condition, unit: str) -> str:
    number = round(condition.threshold)
    moment = MONTHS[number - 1] if unit == "month" else f"{number}:00"
    return f"from {moment} on" if condition.kind == "at_least" else f"before {moment}"


def _window(entry: Entry) -> str:
    window = entry.name.rsplit("__", 1)[-1].removesuffix("d")
    return {"ever": "so far", "1": "in the last day"}.get(window, f"in the last {window} days")


def hubspot_draft(card: Scorecard, entries: Catalogue, name: str) -> dict[str, Any]:
    """Draft the request that creates the card as a lead score in HubSpot.

    The fields of the body follow the public reference of HubSpot's lead-scoring API (beta); what that does not document
    is named under `guessed`, so nothing of it should be sent unread.

    Returns
    -------
    dict
        `endpoint`, `guessed` and `body`.
    """
    groups = [_group(card, entries, group) for group in GROUP_NAMES]
    filled = [group for group in groups if group["ruleConfigurations"]]
    body = {
        "name": name,
        "objectTypeId": CONTACTS,
        "maxScore": sum(max(line.points, 0) for line in card.lines),
        "allowedGroupTypes": [],
        "groupConfigs": filled,
    }
    return {"endpoint": ENDPOINT, "guessed": list(GUESSED), "body": body}


def _group(card: Scorecard, entries: Catalogue, group: str) -> dict[str, Any]:
    lines = [line for line in _ordered(card) if entries[line.feature].group == group]
    return {
        "groupName": GROUP_NAMES[group],
        "groupCategory": group.upper(),
        "minValue": sum(min(line.points, 0) for line in lines),
        "maxValue": sum(max(line.points, 0) for line in lines),
        "ruleConfigurations": [_rule(line, entries[line.feature]) for line in lines],
    }


def _rule(line: Line, entry: Entry) -> dict[str, Any]:
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


def _operation(condition: Condition, entry: Entry) -> dict[str, Any]:
    if condition.kind == "missing":
        return {"operationType": "ALL_PROPERTY", "operator": "IS_UNKNOWN"}
    if condition.kind == "level":
        values = [(entry.levels or [])[level] for level in condition.levels]
        return {"operationType": "ENUMERATION", "operator": "IS_ANY_OF", "values": values}
    operator = "IS_GREATER_THAN_OR_EQUAL_TO" if condition.kind == "at_least" else "IS_LESS_THAN"
    return {"operationType": "NUMBER", "operator": operator, "value": condition.threshold}


def _ordered(card: Scorecard) -> list[Line]:
    return sorted(card.lines, key=lambda line: (-line.points, line.feature))
