"""Files at the checkout's top that an installed program needs too: params.yaml and examples/."""

from __future__ import annotations

from pathlib import Path

_ROOM = Path(__file__).resolve().parent  # a wheel holds copies here; see pyproject.toml


def packaged(name: str) -> Path:
    """Return where a file lies, in the wheel or in the checkout; a copy in the wheel goes first."""
    copy = _ROOM / name
    return copy if copy.exists() else _ROOM.parents[1] / name
