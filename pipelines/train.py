"""Stage train: labelled snapshots in; the scorer, its rivals and the randomly split twin out."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from features.errors import DataError
from features.matrix import MatrixSpec
from models.booster import train_boosters
from models.learning import Learned, check_ready, learn, learn_logistic, prior_log_odds, sample_of
from models.scorer import FORMAT, Card, Scorer
from models.split import TRAINING, split_at_random
from pipelines.artifacts import Layout
from pipelines.bundle import save_bundle
from pipelines.params import Params
from pipelines.sinks import write_json
from pipelines.store import read_profile

log = logging.getLogger("leadscore")


def train(params: Params, layout: Layout) -> Scorer:
    """Write the model bundle, the baselines (rivals.json) and the twin that shows the optimism of a random split.

    Raises
    ------
    DataError
        Where there is too little to learn from.
    """
    matrix, spec = read_matrix(layout)
    check_ready(matrix, params.readiness.min_rows, params.readiness.min_positive, params.readiness.min_negative)
    entries, seed, threads = spec.catalogue, params.project.seed, params.project.threads
    learned = learn(matrix, entries, params.train, seed, threads, lambda line: log.info("train: %s", line))
    scorer = Scorer(_card(learned, matrix, spec, params, read_profile(layout)["fingerprint"]), learned.boosters)
    logistic = learn_logistic(matrix, entries, params.train)
    rivals = {"prior": {"log_odds": prior_log_odds(matrix)}, "logistic": logistic.to_json()}
    save_bundle(scorer, layout.bundle)
    save_bundle(_random_twin(scorer, learned, matrix, params), layout.random_split)
    write_json(rivals, layout.rivals.path)
    log.info("train: model %s of %d features", scorer.model_id, len(entries))
    return scorer


def read_matrix(layout: Layout) -> tuple[pd.DataFrame, MatrixSpec]:
    """Read what build_features wrote; raises DataError where it has not run."""
    if not layout.matrix.path.is_file():
        raise DataError("matrix", "", found="no file", expected="what build_features writes", fix="Run it first.")
    spec = MatrixSpec.model_validate_json(Path(layout.vocabulary.path).read_text(encoding="utf-8"))
    return pd.read_parquet(layout.matrix.path), spec


def _card(learned: Learned, matrix: pd.DataFrame, spec: MatrixSpec, params: Params, fingerprint: str) -> Card:
    training = matrix[matrix["part"].isin(TRAINING)]
    dated = params.source.order == "dates"
    return Card(
        format=FORMAT,
        matrix=spec,
        snapshots=params.snapshots if dated else None,
        sigmoid=learned.sigmoid,
        points=params.points,
        tiers=params.tiers,
        capacity=params.capacity.per_period,
        base_rate=round(float(training["label"].mean()), 9),
        trained_until=training["known_at"].max().isoformat() if dated else None,
        fingerprint=fingerprint,
    )


def _random_twin(scorer: Scorer, learned: Learned, matrix: pd.DataFrame, params: Params) -> Scorer:
    """Train the same recipe on a random split of all rows."""
    part = split_at_random(matrix, params.project.seed, params.split)
    sample = sample_of(matrix[part == "train"], scorer.catalogue)
    categorical = [index for index, entry in enumerate(scorer.catalogue) if entry.levels is not None]
    twin = train_boosters(
        sample, learned.rounds, categorical, params.train, params.project.seed, params.project.threads
    )
    return Scorer(scorer.card, twin)
