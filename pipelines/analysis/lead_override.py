"""One lead's override, given or taken back: kept beside the lists, with what the model had said of the lead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from features.schema.errors import ParamsError
from models.tiers.tier_rules import EXCLUDED
from pipelines.scheduled.published import SCORES, PublishedLists
from pipelines.scoring.override_store import STORE, add_override, take_back
from pipelines.scoring.rule_scoring import tier_names
from pipelines.storage.lock import hold
from pipelines.storage.run_context import RunContext

OWN = ["lead_id", "as_of", "earned_tier", "score", "probability"]


def give_override(
    lead_id: str, wanted: Mapping[str, str | float | None], run: RunContext, lists: Path | None, now: pd.Timestamp
) -> str:
    """Keep an override beside the lists, and say what will be.

    Parameters
    ----------
    wanted
        tier or points, who, why, until and given, as they were typed.
    lists
        The folder of published lists; None: the run's own list.

    Raises
    ------
    ParamsError
        Where it cannot be meant, or the lead is on no list.
    """
    tier, points = wanted["tier"], wanted["points"]
    if (tier is None) == (points is None):
        raise ParamsError("say what the lead is to be: --tier TIER, or --points N; or take it back with --take-back")
    known = list(dict.fromkeys([*run.params.tiers.names, *tier_names(run.params), EXCLUDED]))
    if tier is not None and tier not in known:
        raise ParamsError(f"--tier {tier!r} is no tier; write one of {', '.join(known)}")
    if not str(wanted["who"]).strip():
        raise ParamsError("--who is empty; an override without a name is nobody's")
    if wanted["until"] is None:
        raise ParamsError("--expires is missing; say the last day on which it counts, such as 2026-12-24")
    until, given_at = (
        _day("--expires", wanted["until"]),
        now if wanted["given"] is None else _day("--given", wanted["given"]),
    )
    if until < given_at.floor("D"):
        raise ParamsError(f"--expires {until:%Y-%m-%d} lies before {given_at:%Y-%m-%d}, from when on it would count")
    folder, scores = _kept_in(run, lists)
    own = _own(lead_id, scores)
    row: dict[str, object] = {"lead_id": lead_id, "until": until, "given_at": given_at}
    row |= {name: wanted[name] for name in ("tier", "points", "who", "why")}
    row |= {"own_tier": own["earned_tier"], "own_score": own["score"], "own_probability": own["probability"]}
    with hold(folder):
        add_override(folder / STORE, row)
    what = f"in tier {tier}" if tier is not None else f"{points:+g} points"
    return f"{lead_id}: {what} from {given_at:%Y-%m-%d} until {until:%Y-%m-%d}; by its score {own['earned_tier']}"


def take_override_back(lead_id: str, run: RunContext, lists: Path | None, now: pd.Timestamp) -> str:
    """Take back what was said of a lead, and say how much that was."""
    folder, _ = _kept_in(run, lists)
    with hold(folder):
        n = take_back(folder / STORE, lead_id, now)
    if not n:
        raise ParamsError(f"lead {lead_id!r} has no current override in {folder / STORE}")
    return f"{lead_id}: {n:,} override{'s' if n > 1 else ''} taken back"


def _kept_in(run: RunContext, lists: Path | None) -> tuple[Path, Path]:
    """The folder of overrides, and the score list that they are about."""
    if lists is None:
        return run.layout.reports, run.layout.scores.path
    return lists, PublishedLists(lists).current / SCORES


def _own(lead_id: str, scores: Path) -> pd.Series[str]:
    """What the model says of the lead itself."""
    if not scores.is_file():
        raise ParamsError(f"{scores}: there is no list; run `leadscore score`, or name the folder of --lists")
    rows = pd.read_parquet(scores, columns=OWN, filters=[("lead_id", "==", lead_id)])
    if rows.empty:
        raise ParamsError(f"lead {lead_id!r} is not on {scores}; write its id as it is there")
    return rows.iloc[0]


def _day(option: str, text: object) -> pd.Timestamp:
    try:
        return pd.Timestamp(dt.date.fromisoformat(str(text))).as_unit("us")
    except ValueError:
        raise ParamsError(f"{option} {text!r} is not a day; write it as 2026-12-24") from None
