"""Two runs side by side, in the terminal, as JSON and as one page."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from features.schema.errors import DataError
from models.evaluation.results import EvaluationResult
from models.explanation.results import ExplanationResult
from models.promotion.run_comparison import ComparedRun, side_by_side
from models.tiers.results import TierFlow
from pipelines.config.params import Params
from pipelines.reporting.charts import Chart, svg, theme_moves, tier_flows
from pipelines.reporting.page import figure_text, page, points
from pipelines.storage.files import finite, staged_file, write_json
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_result

log = logging.getLogger("leadscore")
SHOWN = 15  # themes in the terminal and on the page; compare.json has all
LEAST = 0.05  # points; smaller differences are not drawn
WORDS = {"paired": "The same rows", "scores": "The score lists", "precision_at_k": "Conversions at capacity"}


def compare_runs(run_a: Path, run_b: Path, params: Params) -> tuple[dict[str, Any], RenderableType]:
    """Compare two folders.

    Returns
    -------
    dict, renderable
        The tree of compare.json, and the same for `rich` to print.

    Raises
    ------
    DataError
        Where a folder has no complete run with a model.
    """
    tree: dict[str, Any] = finite(side_by_side(_read(run_a), _read(run_b), params.evaluate, params.project.seed))
    return tree, _shown(tree)


def write_comparison(tree: dict[str, Any], params: Params, out: Path) -> None:
    """Write compare.json and compare.html, one file that needs no network."""
    drawn = {name: svg(chart) for name, chart in _charts(tree, params).items()}
    contents = {**tree, "shown": SHOWN, "words": WORDS, "charts": drawn}
    text = page("compare.html.j2", contents, params.project.name)
    write_json(tree, out / "compare.json")
    with staged_file(out / "compare.html") as staged:
        staged.write_text(text, encoding="utf-8", newline="\n")
    log.info("compare: %s", out / "compare.html")


def _charts(tree: dict[str, Any], params: Params) -> dict[str, Chart]:
    """Return the pictures, by the id on the page: flows between tiers, and the themes whose weight differs most."""
    gaps = [(one["label"], (one["b"] or 0.0) - (one["a"] or 0.0)) for one in tree["importance"]["themes"]]
    gaps = sorted((one for one in gaps if abs(one[1]) >= LEAST), key=lambda one: -abs(one[1]))[:SHOWN]
    figures = {"weights": theme_moves(gaps, "mean absolute points, B less A")} if gaps else {}
    if tree["scores"] is not None:
        moved = [TierFlow.model_validate(one) for one in tree["scores"]["tiers"]]
        figures["flows"] = tier_flows(moved, params.tiers.names, "A", "B")
    return figures


def _read(folder: Path) -> ComparedRun:
    layout = Layout.folder(folder)
    if not layout.metrics.path.is_file():
        layout = Layout.workspace(folder)
    return ComparedRun(
        name=folder.resolve().name,
        metrics=read_result(EvaluationResult, _existing(layout.metrics.path, folder), "evaluate"),
        selection=_json(layout.selection.path, folder),
        explanation=read_result(ExplanationResult, _existing(layout.explanation.path, folder), "explain"),
        metadata=_json(layout.bundle / "card.json", folder),
        predictions=pd.read_parquet(_existing(layout.predictions.path, folder)),
        scores=pd.read_parquet(_existing(layout.scores.path, folder)),
    )


def _json(path: Path, folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(_existing(path, folder).read_text(encoding="utf-8"))
    return tree


def _existing(path: Path, folder: Path) -> Path:
    if not path.is_file():
        raise DataError(
            path.name,
            "",
            found=f"no such file in {folder}",
            expected="the folder of a complete `leadscore run` that trained a model",
            fix="Choose another folder, or run it again.",
        )
    return path


def _shown(tree: dict[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [_runs(tree["runs"]), _figures(tree)]
    parts += [Text(line) for line in (_paired_line(tree["paired"]), _scores_line(tree["scores"])) if line]
    parts += [Text(f"{WORDS[one['what']]} were not compared: {one['why']}.") for one in tree["refused"]]
    if tree["settings"]:
        parts.append(_table("setting that differs", [[one["key"], one["a"], one["b"]] for one in tree["settings"]]))
    parts += [Text(line) for line in _feature_lines(tree["features"])]
    importance = tree["importance"]["themes"][:SHOWN]
    rows = [[one["label"], *(_mean_points(one[side]) for side in "ab")] for one in importance]
    return Group(*parts, _table("mean absolute points", rows))


def _runs(runs: dict[str, Any]) -> Table:
    rows = [
        ["run", *(runs[side]["name"] for side in "ab")],
        ["model", *(runs[side]["model_id"] for side in "ab")],
        ["data", *(runs[side]["fingerprint"][:16] for side in "ab")],
        ["horizon, days", *(str(runs[side]["horizon_days"] or "none") for side in "ab")],
        ["trained until", *(str(runs[side]["trained_until"] or "no dates")[:10] for side in "ab")],
        ["test rows / leads", *(f"{runs[side]['n']:,.0f} / {runs[side]['n_leads']:,.0f}" for side in "ab")],
        ["test period", *(_period(runs[side]["period"]) for side in "ab")],
    ]
    return _table("", rows)


def _period(period: dict[str, str | None]) -> str:
    return f"{period['first']} to {period['last']}" if period["first"] else "no dates"


def _figures(tree: dict[str, Any]) -> Table:
    rows = [[one["label"], *(_estimate(one[side], one["form"]) for side in "ab")] for one in tree["measures"]]
    return _table("on its own test rows", rows)


def _estimate(figure: dict[str, float | None], form: str) -> str:
    value, low, high = (figure_text(figure[name], form) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _table(title: str, rows: list[list[str | None]]) -> Table:
    """Build a table of plain text: data are never markup."""
    shown = Table(title, "A", "B", box=None, pad_edge=False)
    for row in rows:
        shown.add_row(*(Text("–" if cell is None else cell) for cell in row))
    return shown


def _paired_line(paired: dict[str, Any] | None) -> str:
    if paired is None:
        return ""
    gaps = ", ".join(
        f"{words} {paired[name]:+.4f} ({paired[f'{name}_low']:+.4f} to {paired[f'{name}_high']:+.4f})"
        for name, words in (("log_loss_gap", "log-loss of A minus that of B"), ("auc_gap", "AUC of B minus that of A"))
    )
    n = f"{paired['n']:,} rows, {paired['n_positive']:,} converted, of {paired['n_leads']:,} leads"
    return f"On the rows that tested both ({n}): {gaps}; above 0, B is better. So {paired['verdict']}."


def _scores_line(scores: dict[str, Any] | None) -> str:
    if scores is None:
        return ""
    alike = scores["rank_correlation"]
    correlation = "not defined" if alike is None else f"{alike:.3f}"
    return (
        f"{scores['n']:,} leads on both lists: {scores['tier_changed']:,} change tier, "
        f"{points(scores['mean_difference'], 1)} points on average, "
        f"{scores['mean_absolute_difference']:.1f} absolute, rank correlation {correlation}; "
        f"{scores['only_a']:,} only on the list of A, {scores['only_b']:,} only on that of B."
    )


def _feature_lines(features: dict[str, Any]) -> list[str]:
    lines = [f"{features['both']:,} features in both."]
    for side in "ab":
        for name, words in ((f"only_{side}", "only in"), (f"left_out_{side}", "left out by")):
            if features[name]:
                more = f" and {len(features[name]) - SHOWN} more" if len(features[name]) > SHOWN else ""
                lines.append(f"{words} {side.upper()}: {', '.join(features[name][:SHOWN])}{more}")
    return lines


def _mean_points(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
