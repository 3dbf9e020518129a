"""Two artifacts belong together where they agree in what both were made from."""

from __future__ import annotations

import pytest

from features.schema.errors import ModelError
from pipelines.storage.results import Provenance

OWN = Provenance("m1", "d1", "2026-06-29")


@pytest.mark.parametrize("other", [OWN, Provenance("m1"), Provenance(None, "d1"), Provenance()])
def test_what_agrees_or_is_not_known_of_both_passes(other: Provenance) -> None:
    OWN.require_same("scores", other, "model", "score")
    other.require_same("scores", OWN, "model", "score")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            Provenance("m2", "d1", "2026-06-29"),
            "scores: model id m1, but artifacts/model: model id m2; run score again",
        ),
        (Provenance("m1", "d2"), "data fingerprint d1, but artifacts/model: data fingerprint d2"),
        (Provenance(as_of="2026-06-30"), "as of 2026-06-29, but artifacts/model: as of 2026-06-30"),
    ],
)
def test_what_differs_is_named_on_both_sides(other: Provenance, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        OWN.require_same("scores", other, "artifacts/model", "score")
