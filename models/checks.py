"""A check and its result: one shape for the leakage audit (LK), the monitor (MN) and the promotion gate (PG).

No check itself: those lie in their rooms, each with its code in its docstring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from features.schema.spec import Spec

Status = Literal["passed", "failed", "accepted", "not applicable"]
MOST_NAMED = 5  # columns, features or values that a sentence names


class CheckResult(Spec):
    """What a check found.

    Attributes
    ----------
    detail
        What was seen, in words with figures; or why the check is not applicable.
    metrics
        The same as numbers; those that do not exist are left out.
    columns
        Of the audit: the user's columns, or event types, that failed, each with its figures.
    fix
        Of the audit: what a person can do about it; empty unless it failed.
    early
        Of the monitor: whether it rests on outcomes that have not matured.
    """

    code: str
    title: str
    status: Status
    detail: str
    metrics: dict[str, float] = Field(default={})
    columns: dict[str, str] = Field(default={})
    fix: str = ""
    early: bool = False

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    def without(self, accepted: Sequence[str]) -> CheckResult:
        """Return the result without what somebody has looked into and holds for harmless.

        `accepted` names a check by its code, such as "LK10", or one of its columns, such as "LK03 duration".
        """
        if not self.failed:
            return self
        left = {column: seen for column, seen in self.columns.items() if f"{self.code} {column}" not in accepted}
        if self.code in accepted or (self.columns and not left):
            names = enumerate_names(list(self.columns))
            detail = f"accepted in promotion.accepted: {names or self.code}; {self.detail}"
            return self.model_copy(update={"status": "accepted", "detail": detail, "columns": {}, "fix": ""})
        return self.model_copy(update={"columns": left})


class AuditResult(Spec):
    """What audit.json holds: one result for each check, by code, failed ones first."""

    format: Literal[2] = 2
    checks: list[CheckResult]
    fingerprint: str = ""


@dataclass(frozen=True)
class Check:
    """Code and title of a check."""

    code: str
    title: str

    def result(
        self, passed: bool, detail: str, metrics: Mapping[str, float] | None = None, early: bool = False
    ) -> CheckResult:
        """Return what was found."""
        finite = {name: float(value) for name, value in (metrics or {}).items() if np.isfinite(value)}
        status: Status = "passed" if passed else "failed"
        return CheckResult(code=self.code, title=self.title, status=status, detail=detail, metrics=finite, early=early)

    def of_columns(self, columns: Mapping[str, str], detail: str, fix: str) -> CheckResult:
        """Return a result that fails where there are columns to name."""
        return self.result(not columns, detail).model_copy(
            update={"columns": dict(columns), "fix": fix if columns else ""}
        )

    def not_applicable(self, why: str, early: bool = False) -> CheckResult:
        """Return why these data cannot be checked."""
        return CheckResult(code=self.code, title=self.title, status="not applicable", detail=why, early=early)


def enumerate_names(names: Sequence[str]) -> str:
    """Join the first names for a sentence, and count the rest."""
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])
