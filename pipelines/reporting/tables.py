"""The tables of a run's report: the results of the other stages as rows for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import scipy

from features.matrix.catalogue import Catalogue
from features.schema.declarations import AttributeSpec
from models.evaluation.estimate import ModelMetrics
from models.evaluation.measures import Measure
from models.evaluation.results import BacktestPeriod, EvaluationResult, SnapshotCounts
from models.evaluation.verdict import NAMES
from models.explanation.lead_explanation import WaterfallStep, bars
from models.explanation.results import ChangeResult, DependencePoint, ExplanationResult
from models.points.scale import PointScale
from models.scoring.reasons import level_words
from models.tiers.declarations import TierParams
from models.tiers.tier_rules import DRAWN, REASON
from pipelines.reporting import charts
from pipelines.reporting.charts import value_text
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.storage.contract_store import Display
from pipelines.storage.data_profile import DataProfile

Row = dict[str, Any]
Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """The model or a baseline, with its metrics on the later period."""

    name: str
    label: str
    metrics: ModelMetrics

    @property
    def ranks(self) -> bool:
        """Whether it ranks leads at all; one probability for all leads does not."""
        return self.metrics.auc.high > self.metrics.auc.low


MOVED = 10  # themes in the picture of what changed; change.json has all
PART_WORDS = {
    "train": "Everything known on the first day of the test; forward folds inside it choose among candidate models.",
    "embargo": "Outcomes not yet known on the first day of the test; not used.",
    "test": "The later period, evaluated once; every metric of this page comes from it.",
}
PART_WORDS_UNDATED = {
    "rows": {
        "train": "The first rows; forward folds inside them choose among candidate models.",
        "test": "The last rows, evaluated once; every metric of this page comes from them.",
    },
    "none": {
        "train": "Leads chosen by a hash of their id; folds inside them choose among candidate models.",
        "test": "The rest of the leads, evaluated once; every metric of this page comes from them.",
    },
}

QUESTIONS = {
    "features that drift": "Which features are left out because their values drift from fold to fold?",
    "weight of recent rows": "Do recent rows have more weight in training?",
    "categories in the boosters": "Do the trees use a category's code, or its past conversion rate (target encoding)?",
    "declared directions": "Must the trees follow the directions that the catalogue declares?",
    "settings of the boosters": "Which settings grow the trees?",
    "blend": "Which share of the log-odds comes from the logistic regression, and which from the trees?",
    "recalibration window": "How far back do outcomes count when the intercept is recalibrated?",
    "scorecard": "How strongly is the scorecard regularised?",
}


def evaluated(metrics: EvaluationResult) -> list[Evaluated]:
    """List the model and the baselines, best by log-loss first among the baselines."""
    rivals = sorted(metrics.baselines.items(), key=lambda item: item[1].log_loss.value)
    baselines = [Evaluated(name, _capital(NAMES.get(name, name)), baseline) for name, baseline in rivals]
    return [Evaluated("model", "Model", metrics.test), *baselines]


def todays(incumbent: str) -> str:
    """Name what is done today, as the reader knows it."""
    return "today's rules" if incumbent == "rules" else NAMES.get(incumbent, incumbent)


def best_in(periods: list[BacktestPeriod], names: list[str], measure: Measure) -> int:
    """Count the periods of a backtest in which the model's figure is better than that of every other of `names`."""
    sign = 1.0 if measure.better == "higher" else -1.0
    compared = {"model", *names}  # where its figure has no interval, as with an AUC of 1, the model is not in names
    values = [{name: sign * period.metrics[name][measure.name].value for name in compared} for period in periods]
    return sum(all(of["model"] > of[name] for name in compared - {"model"}) for of in values)


def decisions(selection: Tree) -> list[Row]:
    """List the decisions made on the folds: question and explanation, the chosen candidate, every candidate."""
    return [
        {
            **decision,
            "words": QUESTIONS.get(decision["question"], ""),
            "choice": next(
                candidate for candidate in decision["candidates"] if candidate["name"] == decision["chosen"]
            ),
        }
        for decision in selection["decisions"]
    ]


def segments(metrics: EvaluationResult, attributes: Mapping[str, AttributeSpec]) -> list[Row]:
    """List each segment attribute's label and its levels, largest first."""
    return [
        {
            "label": _label(name, attributes),
            "levels": [
                {"level": level, "metrics": of_level}
                for level, of_level in sorted(levels.items(), key=lambda item: (-item[1].n, item[0]))
            ],
        }
        for name, levels in metrics.segments.items()
    ]


def tiers(summary: ScoreSummary, metrics: EvaluationResult, policy: TierParams, scores: pd.DataFrame) -> list[Row]:
    """Describe each tier, best first: n, expected conversions (sum of probabilities), certificate, and `lines`.

    A line is the leads that came into the tier in one way: those who did not by their score have no part in its lowest
    score and its mean.
    """
    certificates = {entry["tier"]: entry for entry in metrics.tiers.certificates}
    return [
        {
            "name": tier.name,
            "stage": tier.stage,
            "share_of_capacity": tier.share_of_capacity,
            "min_score": tier.min_score,
            "min_value_ratio": tier.min_value_ratio,
            "certificate": certificates.get(tier.name),
            "n": summary.tiers.get(tier.name, 0),
            "lines": tier_lines(scores[scores["tier"] == tier.name]),
            "expected": summary.expected_conversions.get(tier.name, 0.0),
        }
        for tier in policy.ladder
    ]


def tier_lines(leads: pd.DataFrame) -> list[Row]:
    """Describe the leads of one tier by the way that they came into it; see `tiers`."""
    reason = leads["tier_reason"].astype("str")
    triggered, people, drawn = (reason.str.startswith(prefix) for prefix in ("trigger:", REASON, DRAWN))
    lines = {
        ", by score" if (triggered | people | drawn).any() else "": leads[~(triggered | people | drawn)],
        ", by a trigger": leads[triggered],
        ", by people": leads[people],
        ", drawn at random to learn": leads[drawn],
    }
    return [
        {
            "how": name,
            "n": len(line),
            "lowest_score": int(line["score"].min()) if len(line) else None,
            "expected": float(line["probability"].sum()),
            "mean": float(line["probability"].mean()) if len(line) else None,
        }
        for name, line in lines.items()
        if len(line) or not name.startswith((", by a", ", by people", ", drawn"))
    ]


def leads(scores: pd.DataFrame, n: int, display: Display) -> list[Row]:
    """Return the first `n` scored leads: reasons split into points and text, and `bars` from the base to the points.

    `display` of each is what people are shown of it.
    """
    columns = ["lead_id", "score", "probability", "tier", "tier_reason", "grade", "fit", "engagement", "points"]
    rows = scores.head(n).to_dict("records")
    explained = [(row, _reasons(row["reasons"])) for row in rows]
    return [
        {name: row[name] for name in columns}
        | {"reasons": reasons, "bars": bars(_walk(row, reasons)), "display": display.of(row["lead_id"])}
        for row, reasons in explained
    ]


def owners(path: Path) -> list[Row]:
    """List the owners of leads and what their lists come to; none where there are no such lists."""
    rows = pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame()
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _walk(row: Mapping[Any, Any], reasons: list[Row]) -> list[WaterfallStep]:
    """Return the steps from the base over the listed reasons to the points; the last step is all the rest."""
    ends = list(accumulate([reason["points"] for reason in reasons], initial=row["base_points"]))
    starts = zip(reasons, pairwise(ends), strict=True)
    steps = [WaterfallStep(reason["text"], reason["group"], start, end) for reason, (start, end) in starts]
    base = WaterfallStep("base points, the same for every lead", "base", 0.0, row["base_points"])
    return [base, *steps, WaterfallStep("all other themes, together", "rest", ends[-1], row["points"])]


def changed_values(explanation: ExplanationResult, unseen: Mapping[str, int]) -> list[Row]:
    """List the categories whose values changed since training: vanished values, and leads with rare or new ones."""
    return [
        {"label": category.label, "vanished": category.vanished, "unseen": unseen.get(category.name, 0)}
        for category in explanation.categories
        if category.vanished or unseen.get(category.name, 0)
    ]


def in_words(explanation: ExplanationResult, catalogue: Catalogue) -> ExplanationResult:
    """Name the levels as reasons do."""
    named = {
        entry.name: {level: level_words(entry, code) for code, level in enumerate(entry.levels)}
        for entry in catalogue
        if entry.levels
    }

    def words(feature: str, levels: Sequence[str]) -> list[str]:
        return [named.get(feature, {}).get(level, level) for level in levels]

    dependence = {
        name: [
            row.model_copy(update={"value": words(name, [row.value])[0]}) if isinstance(row.value, str) else row
            for row in rows
        ]
        for name, rows in explanation.dependence.items()
    }
    categories = [
        one.model_copy(
            update={
                "levels": [
                    level.model_copy(update={"value": words(one.name, [level.value])[0]}) for level in one.levels
                ],
                "vanished": words(one.name, one.vanished),
            }
        )
        for one in explanation.categories
    ]
    pairs = [
        pair.model_copy(update={"rows": words(pair.feature, pair.rows), "columns": words(pair.other, pair.columns)})
        for pair in explanation.interactions or []
    ]
    read = {"dependence": dependence, "categories": categories, "interactions": pairs or explanation.interactions}
    return explanation.model_copy(update=read)


def interactions(explanation: ExplanationResult) -> list[Row]:
    """List the interacting pairs, each cell with its shade, -1 to 1."""
    listed = []
    for pair in explanation.interactions or []:
        maximum = max(abs(cell.points or 0.0) for row in pair.cells for cell in row)
        shaded = [
            [cell.model_dump() | {"shade": (cell.points or 0.0) / maximum if maximum else 0.0} for cell in row]
            for row in pair.cells
        ]
        listed.append(pair.model_dump() | {"cells": shaded})
    return listed


def grade_rows(metrics: EvaluationResult) -> list[Row]:
    """Lay out the grades as rows of fit and columns of engagement, each cell with its shade, 0 to 1.

    Rows and columns without a lead are left out; where one cell is left, nothing is.
    """
    cells = [cell.model_dump() for cell in metrics.grades.cells]
    filled = [cell["grade"] for cell in cells if cell["n"]]
    fits, engagements = ({grade[part] for grade in filled} for part in (0, 1))
    maximum = max((cell["rate"] or 0.0 for cell in cells), default=0.0)
    shaded = [
        cell | {"shade": (cell["rate"] or 0.0) / maximum if maximum else 0.0}
        for cell in cells
        if cell["grade"][0] in fits and cell["grade"][1] in engagements
    ]
    rows = [{"fit": fit, "cells": [cell for cell in shaded if cell["grade"][0] == fit]} for fit in sorted(fits)]
    return rows if len(shaded) > 1 else []


def movers(explanation: ExplanationResult, n: int) -> dict[str, list[Row]]:
    """Rank features and themes (at most `n` each) and groups by their mean points.

    Returns
    -------
    dict
        Lists of rows with label, group, mean_points, direction (features only), `share` of the sum over all such rows,
        and `width`, the share of the strongest.
    """
    group_of = {feature.theme_label: feature.group for feature in explanation.features}
    features = [feature.model_dump() for feature in explanation.features]
    themes = [{"label": one.name, "group": group_of[one.name], **dict(one)} for one in explanation.themes]
    groups = [{"label": one.name, "group": one.name, **dict(one)} for one in explanation.groups]
    ranked = {"features": features, "themes": themes, "groups": groups}
    return {name: _with_widths(rows)[:n] for name, rows in ranked.items()}


def dependences(explanation: ExplanationResult, entries: Catalogue) -> list[Row]:
    """List each explained feature, strongest first: name, label, group, rows, `absent` and its extremes."""
    known = {entry.name: entry for entry in entries}
    listed = []
    for feature in explanation.features:
        rows = explanation.dependence.get(feature.name)
        if rows:
            entry = known[feature.name]
            absent = "none" if entry.empty == "missing" else "not known"
            about = {"name": entry.name, "label": entry.label, "unit": entry.unit, "group": entry.group}
            listed.append(about | {"rows": rows, "absent": absent, "sentence": _extremes(rows, absent)})
    return listed


def parts(counts: SnapshotCounts) -> list[Row]:
    """Describe each part of the split that has rows, in words, with its dates and base rate."""
    words = PART_WORDS if counts.order == "dates" else PART_WORDS_UNDATED[counts.order]
    filled = [name for name in PART_WORDS if counts.parts[name].rows]
    return [{"name": name, "words": words.get(name, ""), **counts.parts[name].model_dump()} for name in filled]


def attributes_read(profile: DataProfile, attributes: Mapping[str, AttributeSpec]) -> list[Row]:
    """Describe each declared attribute: label, kind, when known, missing share, distinct values; unused ones last."""
    columns = profile.tables["leads"].columns
    ordered = sorted(attributes.items(), key=lambda item: item[1].known == "outcome")
    return [
        {
            "label": _label(name, attributes),
            "kind": spec.kind,
            "known": spec.known,
            "why": spec.why,
            "missing_share": columns[name].missing_share,
            "distinct": columns[name].distinct,
        }
        for name, spec in ordered
        if name in columns
    ]


def every_tenth(curve: pd.DataFrame, who: list[str], column: str) -> list[Row]:
    """Reduce a gain or lift curve to a table: the share called, and the value of each of `who`."""
    tenths = curve[(curve["share_called"] * 100).round() % 10 == 0]
    by_share = {share: rows.set_index("who")[column] for share, rows in tenths.groupby("share_called")}
    return [{"share": share, "metrics": [float(metrics[name]) for name in who]} for share, metrics in by_share.items()]


def ladder(scale: PointScale) -> list[Row]:
    """Return the probability at every tenth score."""
    return [
        {"score": score, "probability": float(scipy.special.expit((score - scale.offset) / scale.factor))}
        for score in range(0, 101, 10)
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _label(name: str, attributes: Mapping[str, AttributeSpec]) -> str:
    return attributes[name].label or attributes[name].column.replace("_", " ")


def _reasons(text: str) -> list[Row]:
    return [
        {"points": reason["points"], "text": str(reason["text"]).split(" ", 1)[1], "group": reason["group"]}
        for reason in json.loads(text)
    ]


def _with_widths(rows: list[Row]) -> list[Row]:
    total = sum(row["mean_points"] for row in rows)
    maximum = max((row["mean_points"] for row in rows), default=0.0)
    return [
        row
        | {
            "share": row["mean_points"] / total if total else 0.0,
            "width": row["mean_points"] / maximum if maximum else 0.0,
        }
        for row in rows
    ]


def _extremes(rows: list[DependencePoint], absent: str) -> str:
    low, high = (pick(rows, key=lambda row: row.points) for pick in (min, max))
    return (
        f"lowest at {value_text(low.value, absent)} ({low.points:+.1f} points, {low.rate:.1%} converted), "
        f"highest at {value_text(high.value, absent)} ({high.points:+.1f} points, {high.rate:.1%} converted)"
    )


def change_charts(change: ChangeResult, tiers: Sequence[str]) -> dict[str, charts.Chart]:
    """Return the pictures of a change, by the id on the page: flows between tiers, and the themes that moved most."""
    moves: dict[str, list[float]] = {}
    for theme in (one for themes in change.themes.values() for one in themes):
        mean, absolute = moves.get(theme.label, [0.0, 0.0])
        moves[theme.label] = [mean + theme.mean, absolute + theme.mean_absolute]
    strongest = sorted(moves.items(), key=lambda item: (-item[1][1], item[0]))[:MOVED]
    figures = {"flows": charts.tier_flows(change.tiers, tiers, "before", "now")}
    if strongest:
        figures["moved-themes"] = charts.theme_moves([(label, mean) for label, (mean, _) in strongest], "mean points")
    return figures
