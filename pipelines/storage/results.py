"""The results of stages as JSON files: typed objects, of one format, and made from the same model and data."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from features.schema.errors import DataError, ModelError
from models.evaluation.results import BacktestResult, EvaluationResult, NoBacktest, SnapshotCounts, Verdict
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import finite, write_json
from pipelines.storage.layout import Layout

Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True)
class Provenance:
    """The model, the data and the day behind an artifact; None where it does not depend on one of them."""

    model_id: str | None = None
    data_fingerprint: str | None = None
    as_of: str | None = None

    def require_same(self, name: str, other: Provenance, other_name: str, stages: str) -> None:
        """Raise ModelError where an artifact and another one differ in what both of them have.

        Parameters
        ----------
        name, other_name
            What the two artifacts are called in the message.
        stages
            What to run again, such as "`leadscore stage evaluate`".
        """
        for field in fields(self):
            own, others = getattr(self, field.name), getattr(other, field.name)
            if own is not None and others is not None and own != others:
                what = field.name.replace("_", " ")
                raise ModelError(f"{name}: {what} {own}, but {other_name}: {what} {others}; run {stages} again")


def check_data(name: str, fingerprint: str, stage: str, expected: str, whose: str = "data/contract") -> None:
    """Raise ModelError where an artifact was made from other data.

    Parameters
    ----------
    name, fingerprint, stage
        The artifact, the data behind it, and what makes it.
    expected, whose
        The data that are meant, and what they are the data of.
    """
    own = Provenance(data_fingerprint=fingerprint[:16] or "unknown")
    again = f"`leadscore stage {stage}` and the stages after it"
    own.require_same(name, Provenance(data_fingerprint=expected[:16]), whose, again)


def write_result(result: BaseModel, path: Path) -> None:
    """Write a result; figures that do not exist become null."""
    write_json(finite(result.model_dump(by_alias=True)), path)


def read_result(kind: type[Result], path: Path, stage: str, command: str = "leadscore stage") -> Result:
    """Read what a stage wrote, or another command.

    Raises
    ------
    DataError
        Where the stage has not run, or wrote another format.
    """
    return _validated(kind, _tree(path, stage), path, stage, command)


def read_evaluation(layout: Layout, model_id: str) -> EvaluationResult:
    """Read metrics.json of a model.

    Raises
    ------
    DataError
        As `read_result`.
    ModelError
        Where it comes from another model.
    """
    evaluation = read_result(EvaluationResult, layout.metrics.path, "evaluate")
    made_from, own = Provenance(evaluation.model_id), Provenance(model_id)
    made_from.require_same("metrics.json", own, str(layout.bundle), "`leadscore stage evaluate`")
    return evaluation


def read_verdict(layout: Layout) -> Verdict:
    """Read the verdict of metrics.json, whether there is a model or only the hand-written rules."""
    path = layout.metrics.path
    try:
        return Verdict.model_validate(_tree(path, "evaluate").get("verdict"))
    except ValidationError:
        raise _unreadable(path, "a verdict of another format", "evaluate") from None


def read_backtest(layout: Layout) -> BacktestResult | NoBacktest:
    """Read backtest.json; raises as `read_result` does."""
    path, stage = layout.backtest.path, "backtest"
    tree = _tree(path, stage)
    if tree.get("applicable"):
        return _validated(BacktestResult, tree, path, stage)
    return _validated(NoBacktest, tree, path, stage)


def read_snapshot_counts(layout: Layout) -> SnapshotCounts:
    """Read what build_features counted; raises ModelError where the contract's tables have changed since."""
    counts = SnapshotCounts.model_validate(_tree(layout.snapshot_counts.path, "build-features"))
    check_data(str(layout.matrix.path.parent), counts.fingerprint, "build-features", read_profile(layout).fingerprint)
    return counts


def read_current(kind: type[Result], path: Path, stage: str, layout: Layout) -> Result:
    """Read a result that carries a fingerprint; raises as `read_result`, and ModelError where it is of other data."""
    found = read_result(kind, path, stage)
    check_data(path.name, getattr(found, "fingerprint", ""), stage, read_profile(layout).fingerprint)
    return found


def read_selection(layout: Layout, expected: str) -> dict[str, Any]:
    """Read selection.json; raises ModelError where it is of other data than those with the expected fingerprint."""
    tree = _tree(layout.selection.path, "train")
    check_data("selection.json", tree.get("fingerprint", ""), "train", expected)
    return tree


def existing(path: Path, stage: str) -> Path:
    """Return the path of a file that a stage wrote; raises DataError where there is none."""
    if not path.is_file():
        fix = f"Run `leadscore stage {stage}` first."
        raise DataError(path.name, "", found="no file", expected=f"what {stage} writes", fix=fix)
    return path


def _tree(path: Path, stage: str) -> dict[str, Any]:
    try:
        tree = json.loads(existing(path, stage).read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise _unreadable(path, str(error), stage) from None
    if not isinstance(tree, dict):
        raise _unreadable(path, f"a {type(tree).__name__}", stage)
    return tree


def _unreadable(path: Path, found: str, stage: str) -> DataError:
    return DataError(path.name, "", found=found, expected="a JSON object", fix=f"Run `leadscore stage {stage}` again.")


def _validated(
    kind: type[Result], tree: dict[str, Any], path: Path, stage: str, command: str = "leadscore stage"
) -> Result:
    expected, fix = kind.model_fields["format"].default, f"Run `{command} {stage}` again."
    if tree.get("format") != expected:
        found = f"format {tree.get('format', 'without a number')}"
        raise DataError(path.name, "", found=found, expected=f"format {expected}", fix=fix)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(path.name, where, found=first["msg"], expected=f"what {stage} writes", fix=fix) from None
