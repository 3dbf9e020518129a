"""The rows on which the leakage audit judges columns, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from pydantic import Field, model_validator

from features.matrix.catalogue import Entry
from features.matrix.matrix import MatrixSpec
from features.schema.spec import Spec
from models.leakage.predictive_power import UnivariateStrength, level_of, univariate_strength
from models.splitting.holdout import draw

EVENT_THEME = "event:"


class AuditParams(Spec):
    """From which size on a finding fails a check, how sure it has to be, and which attributes are sensitive."""

    min_each: int = Field(
        default=50,
        ge=2,
        description="Leads of either outcome or of a group, or edits, or events, below which nothing is said.",
    )
    confidence: float = Field(
        default=0.99,
        gt=0.5,
        lt=1,
        description="How surely no column of a check is named by chance alone, however many there are.",
    )
    periods: int = Field(
        default=12,
        ge=1,
        le=1000,
        description=(
            "Fields are compared among leads of the same stretch of time, so that drift of the base rate "
            "counts for none."
        ),
    )
    strong_auc: float = Field(
        default=0.8,
        gt=0.5,
        lt=1,
        description="Univariate AUC of one field; what is known before the outcome rarely ranks that well.",
    )
    stands_out: float = Field(
        default=0.05, ge=0, lt=0.5, description="And so much above the strongest field that is not that strong."
    )
    named_auc: float = Field(
        default=0.6,
        ge=0.5,
        lt=1,
        description=(
            "A field named like something written after the outcome, or one of more than five that are filled "
            "together, is reported from this AUC on: a name alone is no leak."
        ),
    )
    block_auc: float = Field(
        default=0.52,
        ge=0.5,
        lt=1,
        description="A few fields that are filled together are reported where one of them reaches this AUC.",
    )
    sibling_share: float = Field(
        default=0.4,
        gt=0,
        lt=1,
        description=(
            "Uncertainty coefficient: share of the doubt about the outcome that one field alone removes; "
            "honest ones rarely a fifth."
        ),
    )
    fill_gap: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="A field is filled for this much more of the leads of one outcome than of the other, as a share.",
    )
    fill_ratio: float = Field(default=2.0, ge=1, description="And this many times as often.")
    block_share: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description=(
            "Fields of an export that are empty together and filled together, in at least this share of the leads."
        ),
    )
    late_share: float = Field(
        default=0.9, gt=0, le=1, description="Share of a field's edits that come at the outcome or after it."
    )
    moment_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of a type's events that come at the very moment of the conversion."
    )
    order_auc: float = Field(
        default=0.6,
        ge=0.5,
        lt=1,
        description="AUC of the id or of the order of rows; a little is usual where exports follow the work of sales.",
    )
    held_auc: float = Field(
        default=0.55, gt=0.5, lt=1, description="A field ranks the training period at least so well."
    )
    vanished_share: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="And keeps less than this share of its advantage over chance later.",
    )
    sensitive: list[str] = Field(
        default=[],
        description=(
            "Attributes, numbers or categories, by whose groups evaluate shows who is called, how right the "
            "probabilities are and who is missed; and which features stand in for them. No feature is left out by it."
        ),
    )
    bands: dict[str, list[float]] = Field(
        default={}, description="Of a sensitive number: where its groups begin, ascending; left out: its quarters."
    )
    proxy_from: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description=(
            "A feature stands in for a sensitive attribute from this Cramér's V on; 0: tells nothing of it, 1: is the "
            "same."
        ),
    )

    @model_validator(mode="after")
    def _bands_ascend(self) -> AuditParams:
        for name, edges in self.bands.items():
            if name not in self.sensitive:
                raise ValueError(f"bands: {name!r} is not in audit.sensitive")
            if not edges or sorted(set(edges)) != edges:
                raise ValueError(f"bands.{name} must ascend, found {edges}")
        return self


@dataclass(frozen=True, eq=False)  # compared by identity: two may be made of one column
class Subject:
    """A column of the user's files, or an event type, and the features that are made of it.

    Attributes
    ----------
    known
        When it is known: as declared for an attribute, "dated" for an event type.
    """

    column: str
    name: str
    known: str
    features: tuple[Entry, ...]

    @property
    def is_undated(self) -> bool:
        """Whether nothing says when its values were written."""
        return self.known in ("creation", "export")


def subjects_of(spec: MatrixSpec) -> list[Subject]:
    """List what the user's files give to the model: attributes by their column, then event types.

    Features of time alone (age, calendar), of several columns or of groups of events belong to no column.
    """
    themes: dict[str, list[Entry]] = {}
    for entry in spec.catalogue:
        themes.setdefault(entry.theme, []).append(entry)
    attributes = [
        Subject(attribute.column, name, attribute.known, tuple(themes[name]))
        for name, attribute in spec.attributes.items()
        if name in themes
    ]
    types = [*spec.vocabulary.event_types, *(["other"] if spec.vocabulary.has_other else [])]
    events = [
        Subject(kind, kind, "dated", tuple(themes[EVENT_THEME + kind]))
        for kind in types
        if EVENT_THEME + kind in themes
    ]
    return attributes + events


def one_row_a_lead(matrix: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw one snapshot of each lead, so that rows do not depend on each other; ordered by lead."""
    key = matrix["lead_id"] + "@" + matrix["snapshot_at"].astype("str").fillna("no date")
    order = draw(key, seed, "audit").sort_values(kind="stable").index
    return matrix.loc[order].drop_duplicates("lead_id").sort_values("lead_id", ignore_index=True)


def periods_of(moment: pd.Series, n: int) -> np.ndarray:
    """Cut rows into `n` stretches of time of equal size, ties together; all 0 where no moment is known.

    Parameters
    ----------
    moment
        Time stamps, or the position that stands in for time.
    """
    if moment.isna().all():
        return np.zeros(len(moment), dtype=np.int64)
    rank = moment.rank(method="min", na_option="bottom").to_numpy("float64") - 1
    return np.unique((rank * n / len(moment)).astype(np.int64), return_inverse=True)[1]


@dataclass(frozen=True)
class Rows:
    """One row a lead with its label, its period, and how well each feature predicts the label within periods.

    Attributes
    ----------
    frame
        Features by name, and `label`.
    period
        From `periods_of`, shape (n,).
    strengths
        By feature; empty where there is too little to judge.
    critical
        How many standard errors an estimate must clear, so that with `confidence` no feature clears it by chance
        (Bonferroni).
    """

    frame: pd.DataFrame
    period: np.ndarray
    subjects: list[Subject]
    strengths: dict[str, UnivariateStrength]
    critical: float
    too_few: str

    @property
    def label(self) -> np.ndarray:
        return self.frame["label"].to_numpy("float64")

    @property
    def size(self) -> str:
        return f"{len(self.frame):,} leads, {int(self.label.sum()):,} converted"

    def best(self, subject: Subject) -> UnivariateStrength:
        """The strength of the subject's strongest feature."""
        return max((self.strengths[entry.name] for entry in subject.features), key=lambda one: one.auc)

    def low_auc(self, subject: Subject) -> float:
        """The lower bound of the subject's AUC."""
        best = self.best(subject)
        return best.auc - self.critical * best.error


def judge_rows(matrix: pd.DataFrame, spec: MatrixSpec, order: str, seed: int, params: AuditParams) -> Rows:
    """Measure every feature on one matured row a lead, training and test alike: an audit may use all that is known.

    Parameters
    ----------
    matrix
        lead_id, snapshot_at, label, the catalogue's features, and `position` where there are no dates.
    order
        `source.order`: dates, rows or none; what stands for time.
    """
    frame = one_row_a_lead(matrix, seed)
    moment = frame["snapshot_at"] if order == "dates" else frame["position"]
    period = periods_of(moment if order != "none" else moment.where(moment.isna()), params.periods)
    subjects = subjects_of(spec)
    features = {entry.name: entry for subject in subjects for entry in subject.features}
    label = frame["label"].to_numpy("float64")
    too_few = too_few_to_judge(label, params)
    levels = {} if too_few else {name: levels_of(frame, entry) for name, entry in features.items()}
    strengths = {name: univariate_strength(level, label, period) for name, level in levels.items()}
    return Rows(frame, period, subjects, strengths, critical_value(params.confidence, len(features)), too_few)


def levels_of(frame: pd.DataFrame, entry: Entry) -> np.ndarray:
    """A feature's values as levels, shape (n,)."""
    return level_of(frame[entry.name].to_numpy("float64"), is_category=entry.levels is not None)


def too_few_to_judge(label: np.ndarray, params: AuditParams) -> str:
    """Say what there is too little of; empty where there is enough."""
    positive = int(label.sum())
    if min(positive, len(label) - positive) >= params.min_each:
        return ""
    return (
        f"{positive:,} leads that converted and {len(label) - positive:,} that did not; needs {params.min_each} of each"
    )


def critical_value(confidence: float, n: int) -> float:
    """Return the standard errors that `n` estimates of no effect all stay within, with this confidence."""
    return float(scipy.stats.norm.ppf(1 - (1 - confidence) / max(n, 1)))


def training_rows(matrix: pd.DataFrame) -> pd.DataFrame:
    """The rows that were known on the first day of the test."""
    return matrix[matrix["part"] == "train"]
