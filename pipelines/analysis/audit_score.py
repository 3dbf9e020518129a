"""A score or grade that a company has already, from its export, judged on the same leads and days as the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.matrix.matrix import MatrixSpec
from features.schema.declarations import AttributeSpec
from features.schema.errors import DataError
from models.evaluation.given_score import ScoreAudit, judge_score
from models.leakage.closing_checks import filled_at_closing
from models.leakage.field_checks import filled_after_outcome, mirrors_label, outranks_rest
from models.leakage.predictive_power import univariate_strength
from models.leakage.rows import Rows, critical_value, judge_rows, levels_of, subjects_of
from models.leakage.timing_checks import edited_after_outcome
from models.tiers.capacity import sampled_capacity
from pipelines.inspection.file_format import sniff
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, read_matrix
from pipelines.storage.results import existing, read_evaluation
from pipelines.storage.run_context import RunContext

SCORE = "given score"  # among the features, none of which is called so


@dataclass(frozen=True)
class ScoreExport:
    """A file with scores, and what its columns mean.

    Attributes
    ----------
    score
        The column of the score: numbers, or grades.
    lead_id, at
        The columns of the lead and of when the score was given; without the latter each lead has one score.
    grades
        The grades from the best down, where the score is no number.
    """

    path: Path
    score: str
    lead_id: str
    at: str | None
    grades: Sequence[str]


@dataclass(frozen=True)
class _Tested:
    """What every score is judged beside: the test rows of a run, and its features, each measured once."""

    run: RunContext
    rows: pd.DataFrame
    sampled: float
    contract: Contract
    matrix: pd.DataFrame
    spec: MatrixSpec
    judged: Rows

    @classmethod
    def open(cls, run: RunContext) -> _Tested:
        scorer = load_bundle(run.layout.tested_model, run.params.project.threads)
        evaluated = read_evaluation(run.layout, scorer.model_id)
        predictions = pd.read_parquet(existing(run.layout.predictions.path, "evaluate"))
        rows = predictions[["lead_id", "snapshot_at", "label"]].assign(probability=predictions["model"])
        matrix, spec = read_matrix(run.layout)
        judged = judge_rows(matrix, spec, run.params.source.order, run.params.project.seed, run.params.audit)
        contract = Contract.open(run.layout, run.params.project)
        return cls(run, rows, evaluated.snapshots.tested_share, contract, matrix, spec, judged)


def audit_scores(exports: Sequence[ScoreExport], run: RunContext) -> list[ScoreAudit]:
    """Judge scores on the test rows of a run that has been evaluated.

    Raises
    ------
    DataError
        Where the run has no test, the file lacks a column, holds no lead of the test, or values that are no score.
    """
    tested = _Tested.open(run)
    return [_audit(export, tested) for export in exports]


def _audit(export: ScoreExport, tested: _Tested) -> ScoreAudit:
    run, given = tested.run, _given(export, set(tested.contract.leads["lead_id"]))
    rows = tested.rows.assign(score=_as_of(tested.rows, given))
    if rows["score"].notna().sum() == 0:
        raise _fault(export, export.lead_id, "no score of a lead of the test, as of its day", "scores of these leads")
    capacity = sampled_capacity(run.params.capacity.per_period, tested.sampled)
    leaks = _leaks(export, given, tested)
    return judge_score(
        rows, export.score, capacity, tested.sampled, leaks, run.params.evaluate, run.params.project.seed
    )


def _given(export: ScoreExport, leads: set[str]) -> pd.DataFrame:
    """Return lead_id, at (NaT without dates) and score, in the order of time; raises DataError as `audit_scores`."""
    sample = sniff(export.path)
    table = sample.frame
    if sample.cut:
        raise _fault(export, "", f"more than {len(table):,} rows", "fewer, such as those of the test period")
    for column in (export.lead_id, export.score, *([export.at] if export.at else [])):
        if column not in table:
            raise _fault(export, column, f"the columns {', '.join(map(str, table))}", "this column")
    ids = table[export.lead_id].astype("str").str.strip()
    if not ids.isin(leads).any():
        raise _fault(export, export.lead_id, f"ids such as {ids.iloc[0]!r}", "ids of the leads of this run")
    at = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]")
    if export.at:
        at = sample.moments(export.at).astype("datetime64[us]") if export.at in sample.times else at
        if at.isna().any():
            raise _fault(export, export.at, f"{table.loc[at.isna(), export.at].iloc[0]!r}", "the time of each score")
    rows = pd.DataFrame({"lead_id": ids, "at": at, "score": _numbers(table[export.score], export)})
    if not export.at and (twice := rows["lead_id"].duplicated()).any():
        found = f"{rows.loc[twice, 'lead_id'].iloc[0]!r} more than once"
        raise _fault(export, export.lead_id, found, "one score a lead, or --at with the time of each")
    return rows.sort_values("at", kind="stable", ignore_index=True)


def _numbers(values: pd.Series[str], export: ScoreExport) -> pd.Series[float]:
    """Return the score as numbers, the higher the better; of grades the best has the highest."""
    if export.grades:
        worth = {grade: float(len(export.grades) - index) for index, grade in enumerate(export.grades)}
        unknown = values[values.notna() & ~values.isin(list(worth))]
        if len(unknown):
            raise _fault(export, export.score, repr(unknown.iloc[0]), f"one of {', '.join(export.grades)}")
        return values.map(worth).astype("float64")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = values[values.notna() & ~np.isfinite(numbers)]
    if len(wrong):
        raise _fault(export, export.score, repr(wrong.iloc[0]), "numbers, or --grades from the best down")
    return numbers


def _as_of(rows: pd.DataFrame, given: pd.DataFrame) -> np.ndarray:
    """Return each row's newest score as of its moment; without dates the one that its lead has, shape (n,)."""
    if given["at"].isna().all() or rows["snapshot_at"].isna().all():
        newest = given.drop_duplicates("lead_id", keep="last").set_index("lead_id")["score"]
        return rows["lead_id"].map(newest).to_numpy("float64")
    numbered = rows[["lead_id", "snapshot_at"]].assign(row=np.arange(len(rows))).sort_values("snapshot_at")
    numbered["snapshot_at"] = numbered["snapshot_at"].astype("datetime64[us]")
    joined = pd.merge_asof(numbered, given, left_on="snapshot_at", right_on="at", by="lead_id")
    return joined.sort_values("row")["score"].to_numpy("float64")


def _leaks(export: ScoreExport, given: pd.DataFrame, tested: _Tested) -> list[str]:
    """Ask the leakage checks whether the score was written in the light of the outcome."""
    contract, params, order = tested.contract, tested.run.params.audit, tested.run.params.source.order
    dated = export.at is not None
    attribute = AttributeSpec(column=export.score, kind="number", known="history" if dated else "creation")
    if dated:
        history = given.rename(columns={"at": "valid_from", "score": SCORE})
        checks = [edited_after_outcome(history, contract.outcomes, {SCORE: export.score}, params)]
    else:
        scores = given[["lead_id", "score"]].rename(columns={"score": SCORE})
        leads, until = contract.leads.merge(scores, "left", "lead_id"), contract.data_until
        none = contract.history.head(0)
        checks = [filled_at_closing(leads, contract.outcomes, none, {SCORE: attribute}, order, until, params)]
    rows = _beside(tested, attribute, given)
    checks += [check(rows, params) for check in (outranks_rest, mirrors_label, filled_after_outcome)]
    return [check.columns[export.score] for check in checks if export.score in check.columns]


def _beside(tested: _Tested, attribute: AttributeSpec, given: pd.DataFrame) -> Rows:
    """Return the measured features of the run with the score as one more."""
    rows, spec = tested.judged, tested.spec
    spec = spec.model_copy(update={"attributes": spec.attributes | {SCORE: attribute}})
    subject = next(one for one in subjects_of(spec) if one.name == SCORE)
    frame = rows.frame.assign(**{SCORE: _as_of(rows.frame, given)})
    entries = [] if rows.too_few else subject.features
    own = {one.name: univariate_strength(levels_of(frame, one), rows.label, rows.period) for one in entries}
    strengths = rows.strengths | own
    critical = critical_value(tested.run.params.audit.confidence, len(strengths))
    subjects = [*rows.subjects, subject]
    return replace(rows, frame=frame, subjects=subjects, strengths=strengths, critical=critical)


def _fault(export: ScoreExport, column: str, found: str, expected: str) -> DataError:
    return DataError(export.path.name, column, found=found, expected=expected, fix="Name another file or column.")
