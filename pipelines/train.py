"""Stage train: labelled snapshots in; the scorer and its randomly split twin out."""

from __future__ import annotations

import logging

import pandas as pd

from features.matrix import MatrixSpec
from models.learning import Learned, check_ready, learn, learn_again
from models.scorer import FORMAT, Card, Scorer
from models.split import TRAINING, split_at_random
from pipelines.artifacts import Layout
from pipelines.bundle import save_bundle
from pipelines.params import Params
from pipelines.store import read_matrix, read_profile

log = logging.getLogger("leadscore")


def train(params: Params, layout: Layout) -> Scorer:
    """Write the model bundle, and the twin that shows the optimism of a random split.

    Raises
    ------
    DataError
        Where there is too little to learn from.
    """
    matrix, spec = read_matrix(layout)
    check_ready(matrix, params.readiness.min_rows, params.readiness.min_positive, params.readiness.min_negative)
    entries, seed, threads = spec.catalogue, params.project.seed, params.project.threads
    learned = learn(matrix, entries, params.train, seed, threads, lambda line: log.info("train: %s", line))
    card = _card(learned, matrix, spec, params, read_profile(layout)["fingerprint"])
    scorer = Scorer(card, learned.boosters, learned.linear)
    save_bundle(scorer, layout.bundle)
    save_bundle(_random_twin(scorer, learned, matrix, params), layout.random_split)
    log.info("train: model %s of %d features", scorer.model_id, len(entries))
    return scorer


def _card(learned: Learned, matrix: pd.DataFrame, spec: MatrixSpec, params: Params, fingerprint: str) -> Card:
    training = matrix[matrix["part"].isin(TRAINING)]
    dated = params.source.order == "dates"
    return Card(
        format=FORMAT,
        matrix=spec,
        snapshots=params.snapshots if dated else None,
        left_out=learned.left_out,
        linear_share=learned.linear_share,
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
    rows, seed, threads = matrix[part == "train"], params.project.seed, params.project.threads
    return Scorer(scorer.card, *learn_again(rows, scorer.catalogue, learned, params.train, seed, threads))
