"""Stage explain: which features move the scores of the later period, in points."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from features.matrix.catalogue import Catalogue
from features.schema.errors import ModelError
from models.explanation.category_rates import category_rates
from models.explanation.importance import by_group, dependence, importance
from models.explanation.interactions import interactions
from models.explanation.results import ExplanationResult, FeatureImportance, GroupImportance
from models.scoring.scorer import Scorer
from models.splitting.holdout import sample_test
from pipelines.storage.bundle import load_trained
from pipelines.storage.contract_store import read_matrix
from pipelines.storage.files import write_csv
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
TOLERANCE = 1e-6


def explain(run: RunContext) -> ExplanationResult:
    """Write explanation.json and the importance plot.

    Raises
    ------
    ModelError
        Where contributions do not add up to the log-odds, which would make every reason wrong.
    """
    matrix, _ = read_matrix(run.layout)
    scorer = load_trained(run.layout, run.layout.bundle, run.params.project.threads)
    rows = sample_test(matrix, run.params.project.seed, run.params.explain.sample_rows)
    base, points = scorer.contributions(rows)
    gap = _check_additive(scorer, rows, base, points)
    values = scorer.values(rows).astype("float64")
    ranked = importance(points, values, scorer.catalogue)
    strongest = ranked["name"].head(run.params.explain.top_features).tolist()
    column_of = {entry.name: column for column, entry in enumerate(scorer.catalogue)}
    label = rows["label"].to_numpy("float64")
    result = ExplanationResult(
        model_id=scorer.model_id,
        n=len(rows),
        base_points=base,
        largest_gap=gap,
        features=[FeatureImportance.model_validate(row) for row in ranked.to_dict("records")],
        themes=_by_group(points, scorer.catalogue, "theme_label"),
        groups=_by_group(points, scorer.catalogue, "group"),
        dependence={
            name: dependence(
                points[:, column_of[name]], values[:, column_of[name]], label, scorer.catalogue[column_of[name]]
            )
            for name in strongest
        },
        interactions=interactions(scorer, rows, strongest, run.params.explain.top_pairs),
        categories=category_rates(
            matrix[matrix["part"] == "test"],
            matrix[matrix["part"] == "train"],
            scorer.catalogue,
            run.params.evaluate.confidence,
        ),
    )
    write_result(result, run.layout.explanation.path)
    write_csv(ranked[["label", "group", "mean_points", "direction"]], run.layout.plots / "importance.csv")
    log.info("explain: %s moves scores most, in %s rows", ranked["label"].iloc[0], f"{len(rows):,}")
    return result


def _by_group(points: np.ndarray, entries: Catalogue, column: str) -> list[GroupImportance]:
    return [GroupImportance.model_validate(row) for row in by_group(points, entries, column).to_dict("records")]


def _check_additive(scorer: Scorer, rows: pd.DataFrame, base: float, points: np.ndarray) -> float:
    """Return the largest gap in log-odds between the sum of contributions and the model."""
    expected = scorer.metadata.points.points(scorer.log_odds(rows))
    gap = float(np.abs(base + points.sum(axis=1) - expected).max() / scorer.metadata.points.factor)
    if gap > TOLERANCE:
        raise ModelError(f"contributions miss the log-odds by {gap:.2g}, more than {TOLERANCE}; train again")
    return gap
