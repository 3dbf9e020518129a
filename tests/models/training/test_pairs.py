"""Two categories with many values tell together what neither tells alone: how common the pair is, and which it is."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.attributes.definitions import fit_matrix
from features.matrix.catalogue import Catalogue, catalogue
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import Vocabulary
from models.training.training import Learned, TrainingSetup, learn
from tests.support.small_model import CARD, SELECTION, TRAIN, no_search
from tests.support.tables import attribute

ATTRIBUTES = {"region": attribute("category", label="region"), "channel": attribute("category", label="channel")}
PARAMS = FeatureParams()
VALUES, COMMON, LEADS = 60, 10, 6000
NO_EVENTS = pd.DataFrame({"event_type": [], "direction": [], "channel": [], "n": [], "n_valued": []})
What = Literal["how common the pair is", "nothing"]


def leads(what: What, seed: int) -> pd.DataFrame:
    """Half of the leads have one of the common pairs; every region and every channel is as common as any other."""
    rng = np.random.default_rng(seed)
    region = rng.integers(0, VALUES, LEADS)
    common = rng.random(LEADS) < 0.5
    near = (region + 7 * rng.integers(0, 2, LEADS)) % VALUES
    channel = np.where(common, near, rng.integers(0, VALUES, LEADS))
    rate = np.where(common, 0.3, 0.05) if what == "how common the pair is" else 0.15
    return pd.DataFrame(
        {
            "lead_id": [f"l{number}" for number in range(LEADS)],
            "region": [f"region {number}" for number in region],
            "channel": [f"channel {number}" for number in channel],
            "label": (rng.random(LEADS) < rate).astype("float64"),
        }
    )


def learned(what: What, params: FeatureParams = PARAMS) -> tuple[Learned, Catalogue, float]:
    """Train on one draw; return the AUC on another."""
    training, later = leads(what, 1), leads(what, 2)
    vocabulary = Vocabulary.learn(ATTRIBUTES, training, NO_EVENTS, params)
    entries = catalogue(ATTRIBUTES, {}, {}, params, vocabulary)
    rows, test = (fit_matrix(of, ATTRIBUTES, params, vocabulary) for of in (training, later))
    matrix = pd.concat([training[["lead_id", "label"]].assign(part="train"), rows], axis=1)
    result = learn(
        matrix, TrainingSetup(entries, "none", SELECTION, TRAIN, CARD, seed=4, threads=2), no_search, lambda line: None
    )
    raw = result.models.log_odds(test[[entry.name for entry in entries]].to_numpy("float32"), result.settings)
    return result, entries, float(roc_auc_score(later["label"], raw))


def chosen(result: Learned) -> str:
    return next(one.chosen for one in result.decisions if one.question == "categories with many values")


def test_where_only_the_pair_tells_the_folds_choose_pairs() -> None:
    result, _, auc = learned("how common the pair is")
    assert chosen(result) == "in pairs"
    without, _, alone = learned("how common the pair is", PARAMS.model_copy(update={"max_pairs": 0}))
    assert all(one.question != "categories with many values" for one in without.decisions)
    assert alone < 0.6 < 0.66 < auc


def test_where_pairs_tell_nothing_they_are_left_out() -> None:
    result, entries, _ = learned("nothing")
    assert chosen(result) == "alone"
    left_out = {entries[index].name for index in result.settings.left_out}
    assert {"region__with__channel", "region__with__channel__frequency"} <= left_out


def test_pairs_are_of_the_categories_with_most_values_and_only_of_those_with_many() -> None:
    rng = np.random.default_rng(0)
    sizes = {"few": 5, "many": 50, "more": 70, "most": 90, "also": 60}
    rows = pd.DataFrame({name: rng.integers(0, size, 3000).astype("str") for name, size in sizes.items()})
    attributes = {name: attribute("category") for name in sizes}
    pairs = Vocabulary.learn(attributes, rows, NO_EVENTS, PARAMS).pairs
    assert list(pairs.values()) == [("more", "most"), ("most", "also"), ("more", "also")]


@pytest.mark.parametrize(
    ("region", "channel", "share"),
    [("a", "x", 0.5), ("a", "y", 0.25), ("b", "y", 0.0), ("b", None, None), ("never seen", "x", 0.0)],
)
def test_a_pair_has_the_share_of_training_leads_that_have_both(
    region: str, channel: str | None, share: float | None
) -> None:
    training = pd.DataFrame({"region": ["a", "a", "a", "b"], "channel": ["x", "x", "y", "x"]}, dtype="str")
    params = PARAMS.model_copy(update={"max_levels": 1, "min_level_count": 1})
    vocabulary = Vocabulary.learn(ATTRIBUTES, training, NO_EVENTS, params)
    row = pd.DataFrame({"region": [region], "channel": [channel]}, dtype="str")
    found = fit_matrix(row, ATTRIBUTES, params, vocabulary)["region__with__channel__frequency"].item()
    assert found == pytest.approx(share, nan_ok=True) if share is not None else np.isnan(found)
