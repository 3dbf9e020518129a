"""What is told, and in which words: leads that enter a tier, triggers that fire, alerts of the monitor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from features.schema.errors import ParamsError
from models.monitoring.results import MonitorResult
from pipelines.config.params import Params
from pipelines.delivery.databases import ScoreList
from pipelines.delivery.outbox import Notice

ENTERED, FIRED, ALERT = "lead.tier_entered", "lead.trigger_fired", "monitor.alert"
SHOWN = ("lead_id", "tier", "tier_reason", "score", "probability", "grade", "reasons_text", "model_id")
Tree = Mapping[str, object]


def told_tiers(params: Params) -> list[str]:
    """Return the tiers whose new leads are told; raises ParamsError where one is not on the ladder."""
    names = params.tiers.names
    if unknown := [name for name in params.delivery.notices.tiers if name not in names]:
        raise ParamsError(f"delivery.notices.tiers: {unknown[0]!r} is no tier; the ladder has {', '.join(names)}")
    return params.delivery.notices.tiers or names[:1]


def notice(kind: str, happened: str, data: Tree, tier: str = "") -> Notice:
    """Return a notice.

    Parameters
    ----------
    happened
        When: of a lead's notices the moment or the day, of an alert's the day and the checks that failed.
    data
        What is sent of it; `lead_id`, where it is about a lead.
    tier
        That the lead has entered.
    """
    lead_id = str(data.get("lead_id", ""))
    body = {"type": kind, "timestamp": str(data["as_of"]), "data": dict(data)}
    name = " ".join(part for part in (kind, lead_id, tier, happened) if part)
    return Notice(name, lead_id, tier, {"body": json.dumps(body, ensure_ascii=False, allow_nan=False)})


def of_list(scores: ScoreList, tiers: Sequence[str]) -> Iterator[Notice]:
    """Yield a notice of each lead of a list that is in one of the tiers."""
    columns = [name for name in (*SHOWN, "reasons") if name in scores.schema.names]
    for batch in scores.batches(columns):
        for row in batch.to_pylist():
            if row["tier"] in tiers:
                known = {name: None if value != value else value for name, value in row.items()}  # NaN is no JSON
                reasons = json.loads(known.pop("reasons", None) or "[]")
                data = known | {"reasons": reasons, "as_of": scores.day}
                yield notice(ENTERED, scores.day, data, row["tier"])


def of_monitor(folder: Path) -> list[Notice]:
    """Return the alert of the monitor beside a list, if there is one: in its folder, or in `monitor` of all lists."""
    folder = folder.resolve()
    places = (folder / "monitor.json", folder.parent / "monitor" / "monitor.json",
              folder.parent.parent / "monitor" / "monitor.json")  # fmt: skip
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        return []
    try:
        result = MonitorResult.model_validate_json(found.read_bytes())
    except ValidationError:
        raise ParamsError(f"{found}: found no result of the monitor; run `leadscore nightly monitor` again") from None
    if not result.alerts:
        return []
    data = {"as_of": result.as_of, "alerts": result.alerts, "lines": result.lines, "model_id": result.model_id}
    return [notice(ALERT, f"{result.as_of} {','.join(result.alerts)} {result.model_id}", data)]


def in_words(message: Tree) -> tuple[str, str]:
    """Return a title and a text for people."""
    data = message["data"]
    if not isinstance(data, Mapping):
        raise TypeError("data")
    if message["type"] == ALERT:
        return f"Monitor of {data['as_of']}: {', '.join(data['alerts'])}", "\n".join(data["lines"])
    title = f"Lead {data['lead_id']} is {data['tier']}"
    facts = [f"score {data['score']}" if "score" in data else "", str(data.get("tier_reason") or ""),
             str(data.get("reasons_text") or ""), f"as of {data['as_of']}"]  # fmt: skip
    return title, "\n".join(line for line in facts if line)
