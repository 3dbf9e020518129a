"""The manifest of a list: what decides its bytes, and what is in it; nothing depends on when it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipelines.storage.data_profile import read_profile
from pipelines.storage.layout import Layout
from pipelines.storage.versions import versions


def list_identity(
    layout: Layout,
    day: str | None,
    model_id: str,
    reasons: str,
    previous: str | None,
    files: Mapping[str, str],
    exploration: Mapping[str, float],
) -> dict[str, Any]:
    """Return all that decides the bytes of a list.

    Parameters
    ----------
    layout
        Where the contract tables lie.
    day
        The scoring day in ISO format; None for tables without dates.
    previous
        The list of the previous day.
    files
        Digests of the user's files, where the run has read them itself.
    exploration
        Share and seed of `exploration`.
    """
    return {
        "as_of": day,
        "model_id": model_id,
        "data_fingerprint": read_profile(layout).fingerprint,
        "profile": hashlib.sha256(layout.profile.path.read_bytes()).hexdigest(),
        "reasons": reasons,
        "previous": previous,
        "inputs": dict(files),
        "exploration": dict(exploration),
        "versions": versions(),
    }


def name_of(identity: Mapping[str, Any]) -> str:
    """Name a list by its day and a digest of what decides it."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{identity['as_of'] or 'undated'}-{digest[:12]}"


def rows_in(layout: Layout) -> dict[str, dict[str, int]]:
    """By table: rows read, kept for scoring, and quarantined."""
    tables = read_profile(layout).tables
    return {
        name: {"read": one.read, "kept": one.kept, "quarantined": sum(one.quarantined.values())}
        for name, one in tables.items()
    }
