"""All that scoring needs in one bundle: features, trees, sigmoid, points and tiers. Saved as text and JSON only."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.matrix.catalogue import Catalogue
from features.matrix.matrix import MatrixSpec
from features.schema.declarations import SnapshotParams
from features.schema.errors import ModelError
from features.schema.stored import read_stored, stored_json
from models.learners.calibration import Sigmoid, blend
from models.learners.ensemble import Ensemble
from models.learners.gradient_boosting import Boosters
from models.learners.logistic_regression import Linear
from models.learners.target_encoding import TargetEncoding
from models.points.grades import GradeCuts, grade
from models.points.groups import PartSums, parts_of, point_groups
from models.points.scale import PointScale, score
from models.scorecard.scorecard import Scorecard
from models.scoring.reasons import Themes, said_by, top_reasons
from models.scoring.rule_points import RuleCurve

FORMAT = 6
JSON_FILES = ("card.json", "linear.json", "scorecard.json", "statistics.json")
BOOSTER = re.compile(r"booster_(0|[1-9]\d{0,3})\.txt")


class ModelMetadata(BaseModel):
    """The part of a bundle that is plain numbers and words.

    Attributes
    ----------
    matrix
        Declarations and vocabulary that make the feature matrix.
    snapshots
        Horizon and population the model was trained for; None for tables without dates.
    base_rate
        Of the training period.
    trained_until
        The last moment whose outcomes the model knows; None for tables without dates.
    fingerprint
        Of the data it was trained on.
    tested_as
        The model_id of the model with the same settings that was tested; None where this one is tested itself.
    left_out
        Features that do not transfer from the earlier to the later part of training; they are read as not known.
    linear_share
        How much of the log-odds comes from the logistic regression, 0 to 1; the boosters give the rest.
    sigmoid, uncorrected
        The calibration, and the same with the intercept of the complete training period instead of recent outcomes.
    recalibration_half_life
        The outcomes that a list's intercept is fitted to count half after this many days; 0: all alike; None: the
        model's own intercept serves every list.
    rules
        Makes a probability of the points of the hand-written rules, which are a baseline; None without rules.
    points
        The scale of the score; a model keeps the one it was trained with.
    grades
        The cut-offs of the grades, learned on the training period; None in a model that is only tested.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    matrix: MatrixSpec
    snapshots: SnapshotParams | None
    left_out: list[str]
    linear_share: float = Field(ge=0, le=1)
    sigmoid: Sigmoid
    uncorrected: Sigmoid
    recalibration_half_life: float | None = Field(ge=0)
    rules: RuleCurve | None
    points: PointScale
    grades: GradeCuts | None
    base_rate: float = Field(ge=0, le=1)
    trained_until: str | None
    fingerprint: str
    tested_as: str | None = None

    @model_validator(mode="after")
    def _fits_itself(self) -> ModelMetadata:
        if self.trained_until is not None:
            dt.datetime.fromisoformat(self.trained_until)
        if unknown := sorted({*self.left_out} - {entry.name for entry in self.matrix.catalogue}):
            raise ValueError(f"left_out names {unknown[0]!r}, which is no feature")
        return self


@dataclass(frozen=True)
class Scorer:
    """Turns feature rows into probabilities, points, scores, tiers and reasons.

    Attributes
    ----------
    intercept
        Of the list that is scored, from newer outcomes than those of training; None: the model's own.
    """

    metadata: ModelMetadata
    models: Ensemble
    scorecard: Scorecard
    intercept: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the bundle does to the disk."""
        return Scorer.from_files, (self.to_files(), self.models.boosters.threads, self.intercept)

    @cached_property
    def sigmoid(self) -> Sigmoid:
        """The calibration of the list that is scored."""
        own = self.metadata.sigmoid
        return own if self.intercept is None else own.model_copy(update={"intercept": self.intercept})

    def with_intercept(self, intercept: float) -> Scorer:
        """Return the same model for a list with another intercept: it moves all leads alike and no rank."""
        return self if intercept == self.sigmoid.intercept else replace(self, intercept=intercept)

    @cached_property
    def catalogue(self) -> Catalogue:
        return self.metadata.matrix.catalogue

    @cached_property
    def feature_names(self) -> list[str]:
        return [entry.name for entry in self.catalogue]

    @cached_property
    def features_read(self) -> list[str]:
        """The features that can move a figure of a lead: trees split on them, or the logistic regression weighs them.

        Rows that agree in them have the same figures. In the catalogue's order.
        """
        share, models = self.metadata.linear_share, self.models
        read = models.boosters.splits * (share < 1) + models.linear.weighs * (share > 0)
        return [
            name
            for name, one in zip(self.feature_names, read, strict=True)
            if one and name not in self.metadata.left_out
        ]

    @cached_property
    def features_said(self) -> list[str]:
        """The features read, and those that reasons name for them: rows that agree in them have the same reasons."""
        said = said_by(self.catalogue)
        names = {self.feature_names[said[self.feature_names.index(name)]] for name in self.features_read}
        return [name for name in self.feature_names if name in names or name in self.features_read]

    @cached_property
    def model_id(self) -> str:
        """A short digest of the bundle's contents: equal for equal models."""
        return hashlib.sha256("".join(self.to_files().values()).encode()).hexdigest()[:16]

    @property
    def tested_id(self) -> str:
        """The model_id of the model that the figures of a run are of."""
        return self.metadata.tested_as or self.model_id

    def log_odds(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return calibrated log-odds, shape (n,)."""
        return self.sigmoid.log_odds(self.raw(matrix))

    def uncorrected(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the probability with the intercept of the complete training period, shape (n,)."""
        return scipy.special.expit(self.metadata.uncorrected.log_odds(self.raw(matrix)))

    def logistic(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the probability by the logistic regression alone, neither blended nor calibrated, shape (n,)."""
        return scipy.special.expit(self.models.linear.log_odds(self._inputs(matrix)))

    def by_scorecard(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the probability by the scorecard's points, shape (n,)."""
        return scipy.special.expit(self.scorecard.log_odds(self._inputs(matrix)))

    def raw(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the blend's log-odds, not yet calibrated, shape (n,)."""
        return self.models.blended(self._inputs(matrix), self.metadata.linear_share)

    def probability(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the probability to convert within the horizon, shape (n,)."""
        return scipy.special.expit(self.log_odds(matrix))

    def contributions(self, matrix: pd.DataFrame) -> tuple[float, np.ndarray]:
        """Return the base points and the points of each feature, shape (n, k); base + row sum = points of the lead."""
        return self._explained(self._inputs(matrix))[1:]

    def _explained(self, values: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """Return the boosters' log-odds, shape (n,), and what `contributions` does, of what the learners see."""
        models, share = self.models, self.metadata.linear_share
        log_odds, raw = models.boosters.explained(models.target_encoding.apply(values))
        linear = models.linear.contributions(values)
        raw *= 1 - share  # in place, as they are large
        linear *= share
        raw += linear
        sigmoid, points = self.sigmoid, self.metadata.points
        base = points.offset + points.factor * sigmoid.log_odds(raw[:1, -1] if len(raw) else np.zeros(1))
        raw *= points.factor * sigmoid.slope
        return log_odds, float(base[0]), raw[:, :-1]

    def interactions(self, matrix: pd.DataFrame, among: Sequence[int]) -> np.ndarray | None:
        """Return the points that each pair of features adds together, shape (pairs, n); None where trees are too deep.

        Parameters
        ----------
        among
            Places of the features in the catalogue; pairs come in the order of `itertools.combinations(among, 2)`.
        """
        models, metadata = self.models, self.metadata
        points = models.boosters.interactions(models.target_encoding.apply(self._inputs(matrix)), among)
        return (
            None
            if points is None
            else metadata.points.factor * metadata.sigmoid.slope * (1 - metadata.linear_share) * points
        )

    def point_groups(self, matrix: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the points of each lead by group, each of shape (n,); see `point_groups`."""
        return point_groups(self.contributions(matrix)[1], self._parts)

    def score(self, matrix: pd.DataFrame, reasons: int) -> pd.DataFrame:
        """Score every row.

        Parameters
        ----------
        matrix
            lead_id and the feature columns; one row a lead.
        reasons
            The largest number of reasons a lead.

        Returns
        -------
        DataFrame
            lead_id, probability, raw_score (log-odds), points (before the clip), score, base_points, the sums of
            `point_groups` (base_points + fit + engagement = points), grade, reasons (JSON) and reasons_text; in the
            matrix' order, indexed from 0. No figure of a lead depends on another lead.
        """
        return pd.DataFrame({"lead_id": matrix["lead_id"].to_numpy()} | self.figures(self.values(matrix), reasons))

    def figures(self, values: np.ndarray, reasons: int) -> dict[str, Any]:
        """Return the columns of `score` but lead_id, of features (n, k) in the saved order."""
        known = _without(values, self._unseen)
        trees, base, parts = self._explained(known)
        log_odds = self.sigmoid.log_odds(blend(trees, self.models.linear.log_odds(known), self.metadata.linear_share))
        groups = point_groups(parts, self._parts)
        points = self.metadata.points.points(log_odds)
        why = top_reasons(parts, _without(values, self._unsaid), self._themes, reasons)
        return {
            "probability": scipy.special.expit(log_odds),
            "raw_score": log_odds,
            "points": points,
            "score": score(points),
            "base_points": np.full(len(values), base),
            **groups,
            "grade": grade(groups["fit"], groups["engagement"], self.metadata.grades),
            "reasons": why.in_json(),
            "reasons_text": why.in_words(),
        }

    @cached_property
    def _parts(self) -> PartSums:
        return PartSums.of(parts_of(self.catalogue))

    @cached_property
    def _themes(self) -> Themes:
        return Themes.of(self.catalogue)

    def values(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return the features in the saved order, because LightGBM accepts any order without a word."""
        missing = [name for name in self.feature_names if name not in matrix]
        if missing:
            raise ModelError(
                f"the matrix lacks {len(missing)} of the model's {len(self.feature_names)} features, first "
                f"{missing[0]!r}; build it with the features of this model's bundle"
            )
        return matrix[self.feature_names].to_numpy("float32")

    def _inputs(self, matrix: pd.DataFrame) -> np.ndarray:
        """Return what the learners see: the features, those that do not transfer as not known."""
        return _without(self.values(matrix), self._unseen)

    @cached_property
    def _unseen(self) -> list[int]:
        """The columns that the learners do not see."""
        return [self.feature_names.index(name) for name in self.metadata.left_out]

    @cached_property
    def _unsaid(self) -> list[int]:
        """Of those, the ones that no reason names either: a count that is left out may say a decayed one."""
        return [column for column in self._unseen if self.feature_names[column] not in self.features_said]

    def to_files(self) -> dict[str, str]:
        """Return file name to text: one text file a booster, and JSON for the rest."""
        files = {f"booster_{number}.txt": text for number, text in enumerate(self.models.boosters.to_text())}
        trees = {
            "card.json": self.metadata.model_dump(mode="json"),
            "linear.json": self.models.linear.to_json(),
            "scorecard.json": self.scorecard.to_json(),
            "statistics.json": self.models.target_encoding.to_json(),
        }
        return files | {name: json.dumps(tree, indent=1, sort_keys=True) + "\n" for name, tree in trees.items()}

    @classmethod
    def from_files(cls, files: Mapping[str, str], threads: int, intercept: float | None = None) -> Self:
        """Rebuild from `to_files`; raises ModelError where a file is missing, of another format, or no such file."""
        texts = _booster_texts(files)
        metadata = _metadata(files["card.json"])
        catalogue = metadata.matrix.catalogue
        levels = {index: len(one.levels) for index, one in enumerate(catalogue) if one.levels is not None}
        k = len(catalogue)
        with _fits("booster"):
            boosters = Boosters.from_text(texts, threads, k)
        with _fits("linear.json"):
            linear = Linear.from_json(stored_json(files["linear.json"]), k, levels)
        with _fits("statistics.json"):
            encoding = TargetEncoding.from_json(stored_json(files["statistics.json"]), levels)
        with _fits("scorecard.json"):
            scorecard = Scorecard.from_json(stored_json(files["scorecard.json"]), k)
        return cls(metadata, Ensemble(boosters, encoding, linear), scorecard, intercept)


def _booster_texts(files: Mapping[str, str]) -> list[str]:
    """Return the texts of the boosters in their order, where the files are those of a bundle and no others."""
    boosters = [name for name in files if BOOSTER.fullmatch(name)]
    expected = [f"booster_{number}.txt" for number in range(max(len(boosters), 1))]
    for name in (*JSON_FILES, *expected):
        if name not in files:
            raise ModelError(f"the bundle has no {name}; train again or point to the folder of a trained model")
    if others := sorted({*files} - {*JSON_FILES, *expected}):
        raise ModelError(f"the bundle has {others[0]!r:.60}, which train does not write; train again")
    return [files[name] for name in expected]


def _without(values: np.ndarray, columns: list[int]) -> np.ndarray:
    """Return the values with these columns as not known."""
    values = values.copy(order="K")
    values[:, columns] = np.nan
    return values


def _metadata(text: str) -> ModelMetadata:
    with _fits("card.json"):
        tree: dict[str, Any] = stored_json(text)
        form = tree.get("format")
    if form != FORMAT:
        raise ModelError(f"the bundle has format {form!r:.20}, this version reads {FORMAT}; train again")
    with _fits("card.json"):
        return read_stored(ModelMetadata, tree)


@contextmanager
def _fits(name: str) -> Iterator[None]:
    """Tell what does not fit in a part of the bundle; whatever is wrong with it, it is the model that is at fault."""
    try:
        yield
    except ModelError:
        raise
    except ValidationError as error:
        fault = error.errors()[0]
        raise ModelError(f"the bundle's {name} does not fit ({fault['loc']}: {fault['msg']}); train again") from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(f"the bundle's {name} does not fit ({str(error)[:200]}); train again") from None
