"""Which findings of the audit concern a model: failed checks of what it reads."""

from __future__ import annotations

from collections.abc import Sequence

from models.checks import CheckResult, enumerate_names
from models.leakage.field_checks import VANISHED
from models.leakage.rows import subjects_of
from models.leakage.timing_checks import OVERLAP
from models.scoring.scorer import Scorer


def columns_read(scorer: Scorer) -> set[str]:
    """Return the user's columns and event types that can move the model's figures; a group of events holds all."""
    read, subjects = set(scorer.features_read), subjects_of(scorer.metadata.matrix)
    owned = {entry.name for subject in subjects for entry in subject.features}
    in_groups = any(entry.group == "engagement" and entry.name in read - owned for entry in scorer.catalogue)
    return {
        subject.column
        for subject in subjects
        if read.intersection(entry.name for entry in subject.features) or (in_groups and subject.known == "dated")
    }


def concerning(checks: Sequence[CheckResult], read: set[str]) -> list[CheckResult]:
    """Return the failed checks that name a column that is read.

    A lead in both training and test counts whatever is read, because it invalidates what the other checks rest on.
    """
    return [check for check in checks if check.failed and (check.code == OVERLAP.code or read & {*check.columns})]


def suspicions(checks: Sequence[CheckResult], scorer: Scorer) -> list[str]:
    """Say which checks put a model's figures in doubt, strongest columns first; what vanishes later flatters none."""
    read = columns_read(scorer)
    doubtful = [check for check in concerning(checks, read) if check.code != VANISHED.code]
    named = {check.code: [column for column in check.columns if column in read] for check in doubtful}
    return [
        f"{check.code} {check.title}: {enumerate_names(named[check.code] or list(check.columns))}" for check in doubtful
    ]
