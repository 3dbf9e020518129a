"""The explanation of one lead for people: as tables in the terminal, and as a page of its own."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.cohort.moments import is_day, moment_text
from models.explanation.lead_explanation import EventEffect, NextStep, Row, SimilarLeads, WaterfallStep, bars
from pipelines.analysis.explain_lead import LeadExplanation
from pipelines.reporting.page import page, percent, points
from pipelines.storage.files import staged_file

log = logging.getLogger("leadscore")
STEPS = 6  # of similar leads, the most frequent
BAR = 24  # characters of the waterfall's bars in the terminal
NOT_CAUSAL = (
    "The score if one more such event had happened an hour earlier. Not an effect: leads who do this by themselves "
    "differ from leads who are made to."
)
NOBODY = "The test period has no other lead."
NO_MOVES = "These data have no events, so there is nothing to try: attributes do not change by what anybody does."


def show(lead: LeadExplanation, console: Console) -> None:
    """Print the explanation; data are printed as plain text, without control characters."""
    now = lead.standing
    console.print(Text(_plain(f"Lead {lead.lead_id}{when(lead)}"), style="bold"))
    console.print(Text(f"Score {now.score}, probability {percent(now.probability)}{within(lead)}. {listing(lead)}"))
    if lead.nurture:
        console.print(Text(lead.nurture))
    for label, text in lead.display.items():
        console.print(Text(_plain(f"{label}: {text}")))
    for caution in lead.cautions:
        console.print(Text(f"Note: {caution}", style="yellow"))
    _print(console, "Points", _waterfall_table(now.steps))
    console.print(Text(sum_line(lead)))
    moves = clear_moves(lead)
    _print(console, "What would change the score", _moves_table(moves) if lead.event_effects else NO_MOVES)
    if lead.event_effects:
        console.print(Text(unclear_line(lead) + NOT_CAUSAL))
    _print(console, "Similar leads", "\n".join(likeness(one, lead) for one in lead.similar) or NOBODY)
    for one in lead.similar:
        if steps := lead.next_steps.get(one.how, [])[:STEPS]:
            _print(console, f"What those {one.how} did next", _steps_table(steps))
    _print(console, "Known attributes", _attributes_table(lead.attributes))
    if lead.left_out:
        console.print(
            Text(f"Never used, because they are written with the outcome: {_plain(', '.join(lead.left_out))}.")
        )
    _print(console, "Events, newest first", _events_table(lead.events) if lead.events else timeline_line(lead))
    if lead.events:
        console.print(Text(timeline_line(lead)))


def write_lead_page(lead: LeadExplanation, path: Path, project: str) -> None:
    """Write the explanation as one self-contained HTML page."""
    text = lead_page(lead, project)
    with staged_file(path) as staged:
        staged.write_text(text, encoding="utf-8", newline="\n")
    log.info("explain: %s, %.0f kB; it holds personal data", path, len(text.encode()) / 1e3)


def lead_page(lead: LeadExplanation, project: str) -> str:
    """Fill the page: equal explanations give equal bytes."""
    contents = {
        "lead": lead,
        "now": lead.standing,
        "bars": bars(lead.standing.steps),
        "when": when(lead),
        "within": within(lead),
        "listing": listing(lead),
        "sum_line": sum_line(lead),
        "timeline_line": timeline_line(lead),
        "lanes": lanes(lead.events),
        "moves": clear_moves(lead),
        "not_causal": unclear_line(lead) + NOT_CAUSAL,
        "next_steps": {how: steps[:STEPS] for how, steps in lead.next_steps.items()},
        "no_moves": NO_MOVES,
        "nobody": NOBODY,
        "likeness": {one.how: likeness(one, lead) for one in lead.similar},
        "metrics": {"model_id": lead.model_id, "snapshots": {"order": lead.order}},
        "profile": {"fingerprint": lead.fingerprint},
    }
    return page("lead.html.j2", contents, project)


def when(lead: LeadExplanation) -> str:
    """Say the moment in words; tables without dates have none."""
    return "" if pd.isna(lead.at) else f" at {'the start of ' if is_day(lead.at) else ''}{moment_text(lead.at)}"


def within(lead: LeadExplanation) -> str:
    """Say the horizon in words; tables without dates have none."""
    return "" if lead.horizon_days is None else f" within {lead.horizon_days} days"


def clear_moves(lead: LeadExplanation) -> list[EventEffect]:
    """Return the changes that are larger than their own error."""
    return [move for move in lead.event_effects or [] if move.clear]


def unclear_line(lead: LeadExplanation) -> str:
    """Name what is not shown, because the boosters differ more about it than it changes."""
    hidden = [move.label for move in lead.event_effects or [] if not move.clear]
    return f"Not shown, as the change is smaller than its own error: {', '.join(hidden)}. " if hidden else ""


def listing(lead: LeadExplanation) -> str:
    """Describe the lead's rank on the published list."""
    one = lead.listed
    if one is None:
        return "It is not on the last score list, so it has no tier."
    why = f" ({one['tier_reason']})" if one["tier_reason"] else ""
    grade = f", grade {one['grade']}" if one["grade"] else ""
    rank = f"{one['tier']}{why}{grade}, number {one['rank']:,} of {one['n']:,}"
    if one["same"]:
        return f"On the score list: {rank}."
    as_of: pd.Timestamp = one["as_of"]
    day = "" if pd.isna(as_of) else f" of {moment_text(as_of)}"
    return f"The last score list{day} is of another day or another model: there {rank}, with score {one['score']}."


def sum_line(lead: LeadExplanation) -> str:
    """Write the sum of the shown points, which is the score."""
    now = lead.standing
    shown = round(sum(step.shown for step in now.steps), 1)
    exact = f" (exactly {now.points:.4f})" if 0 <= shown <= 100 and round(shown) != now.score else ""
    clipped = "" if 0 <= shown <= 100 else ", limited to 0 to 100"
    parts = f"fit {points(now.fit, 1)} and engagement {points(now.engagement, 1)}"
    return f"Sum {shown:.1f}{exact}{clipped}: score {now.score}. Of it {parts}."


def timeline_line(lead: LeadExplanation) -> str:
    """Say how many events there are, how many are shown, and how many do not count."""
    if lead.n_events is None:
        return "These data have no events."
    shown = "" if len(lead.events) == lead.n_events else f"; the newest {len(lead.events):,} are shown"
    later = f" {lead.not_counted:,} more happened or became known later, and do not count."
    word = "event counts" if lead.n_events == 1 else "events count"
    return f"{lead.n_events:,} {word}{when(lead)}{shown}." + (later if lead.not_counted else "")


def lanes(events: list[Row]) -> dict[str, list[Row]]:
    """Lay the events out in time, from the oldest on the left to the moment on the right: by whom, in percent."""
    reach = max((one["days"] for one in events), default=0.0) or 1.0
    placed: dict[str, list[Row]] = {"the lead": [], "sales": []}
    for one in reversed(events):
        text = f"{one['label']}, {one['event_at']:%Y-%m-%d %H:%M}"
        placed[one["by"]].append({"left": round(100 * (1 - one["days"] / reach), 1), "text": text})
    return placed


def likeness(one: SimilarLeads, lead: LeadExplanation) -> str:
    """Describe the outcomes of similar leads, with n, period and interval."""
    what = "nearest in score" if one.how == "by score" else "whose points come from nearly the same themes"
    period = "" if pd.isna(one.first) else f" ({one.first:%Y-%m-%d} to {one.last:%Y-%m-%d})"
    return (
        f"Of the {one.n:,} other leads of the test period{period} {what}, {one.converted:,} converted{within(lead)}: "
        f"{percent(one.rate)} ({percent(one.low)} to {percent(one.high)}, {lead.confidence:.0%} interval). The model "
        f"predicted {percent(one.predicted)} on average, from {percent(one.lowest)} to {percent(one.highest)}."
    )


def _waterfall_table(steps: list[WaterfallStep]) -> Table:
    table = _table("Why", "Group", ">Points", ">Sum", "From 0 to the score")
    for bar in bars(steps):
        step = bar["step"]
        before = math.floor(bar["left"] / 100 * BAR)
        length = max(1, round(bar["width"] / 100 * BAR))
        mark = "-" if bar["side"] == "down" else "+" if bar["side"] == "up" else "="
        bar = " " * min(before, BAR - 1) + mark * length
        group = "" if step.group in ("base", "rest") else step.group
        table.add_row(_text(step.text), group, points(step.shown, 1), f"{step.end:.1f}", bar[: BAR + 1])
    return table


def _moves_table(event_effects: list[EventEffect]) -> Table:
    table = _table("One more", "By", ">Points", ">Score", ">Probability")
    for move in event_effects:
        table.add_row(_text(move.label), move.by, points(move.points, 1), str(move.score), percent(move.probability))
    return table


def _steps_table(steps: list[NextStep]) -> Table:
    table = _table("Within the horizon, before a conversion", ">Leads")
    for one in steps:
        table.add_row(_text(one.label), percent(one.share))
    return table


def _attributes_table(attributes: list[Row]) -> Table:
    table = _table("Attribute", "Value", "")
    for one in attributes:
        table.add_row(_text(one["label"]), _text(one["value"]), one["note"])
    return table


def _events_table(events: list[Row]) -> Table:
    table = _table("When", ">Days before", "What", "By", "Channel", ">Value", "")
    for one in events:
        late = f"known {one['late']:.1f} days later" if one["late"] >= 1 else ""
        value = "" if one["value"] is None else f"{one['value']:,.6g}"
        note = "; ".join(part for part in (late, one["note"]) if part)
        at = f"{one['event_at']:%Y-%m-%d %H:%M}"
        table.add_row(at, f"{one['days']:.1f}", _text(one["label"]), one["by"], one["channel"], value, note)
    return table


def _table(*columns: str) -> Table:
    """Begin a table; a column whose name begins with > is aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table


def _print(console: Console, title: str, body: Table | str) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(Text(body) if isinstance(body, str) else body)


def _text(value: str) -> Text:
    return Text(_plain(value))


def _plain(value: str) -> str:
    """Remove control characters."""
    return "".join(character if character.isprintable() else " " for character in value)
