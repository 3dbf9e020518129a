"""What some tests need of a machine: without it they skip with the reason, and fail in CI, which must have it."""

from __future__ import annotations

import os

import pytest

IN_CI = bool(os.environ.get("CI"))


def needs(present: bool, missing: str) -> pytest.MarkDecorator:
    """Mark tests that need something: skipped where it is not present, except in CI, where they run and fail."""
    return pytest.mark.skipif(not present and not IN_CI, reason=missing)


def require(present: bool, missing: str) -> None:
    """Go on only where something is present: else skip, or fail in CI."""
    if present:
        return
    if IN_CI:
        pytest.fail(f"{missing}, and CI must have it")
    pytest.skip(missing)
