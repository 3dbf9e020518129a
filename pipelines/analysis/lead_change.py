"""Why the score of one lead changed, as a table: every theme's points, and what became known between."""

from __future__ import annotations

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from features.cohort.moments import moment_text
from features.matrix.catalogue import scope_label
from features.matrix.counterfactual import new_events
from features.schema.errors import ParamsError
from models.explanation.score_change import PARTS, ScoreChange, table
from models.points.scale import score
from pipelines.analysis.score_change import ChangeRequest, End, edits_between, ends, explained, union
from pipelines.storage.contract_store import Contract, Shard
from pipelines.storage.run_context import RunContext

MIN_SHOWN = 0.05  # points; less is summed up as the rest


def explain_lead_change(lead_id: str, request: ChangeRequest, run: RunContext) -> Group:
    """Return what `rich` prints of one lead: a sentence, the points of each part by theme, new events and edits.

    Raises
    ------
    ParamsError
        Where the lead is not on both lists, or there is nothing to compare.
    ModelError
        Where a model does not fit the data.
    """
    contract = Contract.open(run.layout, run.params.project)
    old, new, later = ends(request, contract, run)
    leads = union(old, new)
    row = leads[leads["lead_id"] == lead_id]
    if row.empty or not (row["on_from"] & row["on_to"]).all():
        raise ParamsError(_not_on_both(lead_id, row, old, new))
    one = next(explained(contract, old, new, later, row))
    shard = next(contract.shards(row))
    text = table(one.change, one.counts, 0)["text"].item()
    before, after = score(one.change.start).item(), score(one.change.end).item()
    title = Text(f"{lead_id}{_days(old, new)}: score {before} to {after}. {text}")
    facts = [] if pd.isna(old.at) else _facts(shard, old, new)
    return Group(title, _points(one.change), *facts)


def _not_on_both(lead_id: str, row: pd.DataFrame, old: End, new: End) -> str:
    where = [("earlier", "on_from", old), ("later", "on_to", new)]
    missing = [
        f"the {name} list" + ("" if pd.isna(end.at) else f" (open on {moment_text(end.at)})")
        for name, on, end in where
        if row.empty or not row[on].item()
    ]
    return f"lead {lead_id!r} is not on {' nor on '.join(missing)}; a change needs a lead that is on both"


def _days(old: End, new: End) -> str:
    return "" if pd.isna(old.at) else f", {moment_text(old.at)} to {moment_text(new.at)}"


def _points(change: ScoreChange) -> Table:
    shown = Table("from", "about", box=None, pad_edge=False)
    shown.add_column("points", justify="right")
    shown.add_row("", "at first", f"{change.start[0]:.1f}")
    for part in PARTS:
        total = float(change.parts[part].iloc[0])
        shown.add_row(Text(part.replace("_", " "), "bold"), "", Text(f"{total:+.1f}", "bold"))
        themes = change.themes.get(part, pd.DataFrame(index=[0])).iloc[0].sort_values(key=lambda one: -one.abs())
        large = themes[themes.abs() >= MIN_SHOWN]
        for theme, points in large.items():
            shown.add_row("", Text(change.labels[str(theme)]), f"{points:+.1f}")
        if abs(total - large.sum()) >= MIN_SHOWN:
            shown.add_row("", "the rest", f"{total - large.sum():+.1f}")
    shown.add_row("", "in the end", f"{change.end[0]:.1f}")
    return shown


def _facts(shard: Shard, old: End, new: End) -> list[Table]:
    return [table for table in (_event_table(shard, old, new), _edit_table(shard, old, new)) if table.row_count]


def _event_table(shard: Shard, old: End, new: End) -> Table:
    events = new_events(shard.events, old.at, new.at).order_by(["event_at", "known_at", "event_type"])
    shown = Table("new event", "happened", "became known", box=None, pad_edge=False)
    labels = old.scorer.metadata.matrix.event_labels
    for event in events.to_pyarrow().to_pylist():
        what = scope_label(event["event_type"], labels)
        shown.add_row(Text(what), f"{event['event_at']:%Y-%m-%d %H:%M}", f"{event['known_at']:%Y-%m-%d %H:%M}")
    return shown


def _edit_table(shard: Shard, old: End, new: End) -> Table:
    attributes = old.scorer.metadata.matrix.attributes
    shown = Table("edited attribute", "then", "now", box=None, pad_edge=False)
    for edit in edits_between(shard, shard.rows["lead_id"], old, new).to_dict("records"):
        label = attributes[edit["attribute"]].label or attributes[edit["attribute"]].column
        shown.add_row(Text(label), *(Text(_value(edit[side])) for side in ("then", "now")))
    return shown


def _value(value: object) -> str:
    if value is None or value != value:  # a missing number is not equal to itself
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)
