"""A stand-in for OpenML: rows like those of the bank's file, served to scikit-learn's own loader without a network."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

WORDS = {
    "job": ["blue-collar", "management", "admin.", "retired", "unknown"],
    "marital": ["married", "single"],
    "education": ["primary", "secondary", "tertiary"],
    "default": ["no", "yes"],
    "housing": ["no", "yes"],
    "loan": ["no", "yes"],
    "contact": ["unknown", "telephone", "cellular"],
    "poutcome": ["unknown", "failure", "success"],
}
MONTHS = ["may", "jun", "jul", "aug", "oct", "nov", "dec", "jan", "feb", "mar", "apr"]
NAMES = ["age", "job", "marital", "education", "default", "balance", "housing", "loan", "contact", "day", "month",
         "duration", "campaign", "pdays", "previous", "poutcome", "y"]  # fmt: skip


@cache
def bank(n: int = 4_521, yes: int = 528) -> pd.DataFrame:
    """A tenth of the published file by its columns, words and counts; the outcome is simulated."""
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({name: rng.choice(words, n) for name, words in WORDS.items()})
    rows["age"] = rng.integers(18, 90, n)
    rows["balance"] = rng.integers(-900, 9_000, n)
    rows["day"] = rng.integers(1, 32, n)
    rows["month"] = np.repeat(MONTHS * 2, -(-n // 22))[:n]
    rows["duration"], rows["campaign"] = rng.integers(0, 900, n), rng.integers(1, 9, n)
    rows["previous"] = (rows["poutcome"] != "unknown").astype("int64")
    rows["pdays"] = np.where(rows["previous"] > 0, rng.integers(1, 400, n), -1)
    liking = 2.0 * (rows["poutcome"] == "success") + (rows["job"] == "retired") - 0.5 * (rows["loan"] == "yes")
    rank = (liking + rng.gumbel(size=n)).rank(method="first", ascending=False)
    rows["y"] = np.where(rank <= yes, "yes", "no")
    return rows[NAMES]


def serve(monkeypatch: pytest.MonkeyPatch, rows: pd.DataFrame) -> list[str]:
    """Answer scikit-learn's requests to OpenML with these rows; returns the list of requested addresses."""
    requested: list[str] = []
    answers = _answers(rows)

    def urlopen(request: Any, *_: object, **__: object) -> io.BytesIO:
        requested.append(request.full_url)
        part = next(part for part in answers if part in request.full_url)
        return _Answer(answers[part])

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", urlopen)
    return requested


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let every question fail, at once."""

    def urlopen(*_: object, **__: object) -> io.BytesIO:
        raise error

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", urlopen)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda _: None)


class _Answer(io.BytesIO):
    def info(self) -> dict[str, str]:
        return {}


def _answers(rows: pd.DataFrame) -> dict[str, bytes]:
    sent = rows.assign(y=rows["y"].map({"no": "1", "yes": "2"}))
    names = [*(f"V{number}" for number in range(1, len(NAMES))), "Class"]
    kinds = ["numeric" if pd.api.types.is_numeric_dtype(sent[name]) else "nominal" for name in NAMES]
    arff = _arff(sent.set_axis(names, axis="columns"), kinds)
    described = {
        "id": "1461",
        "name": "bank-marketing",
        "version": "1",
        "format": "ARFF",
        "status": "active",
        "file_id": "1",
        "url": "https://api.openml.org/data/v1/download/1/bank-marketing.arff",
        "description": "",
        "md5_checksum": hashlib.md5(arff).hexdigest(),  # noqa: S324
    }
    features = [
        {"index": str(number), "name": name, "data_type": kind, "is_target": str(name == "Class").lower()}
        | {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
        for number, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    qualities = [{"name": "NumberOfInstances", "value": str(len(rows))}]
    trees: dict[str, Any] = {
        "/data/features/1461": {"data_features": {"feature": features}},
        "/data/qualities/1461": {"data_qualities": {"quality": qualities}},
        "/json/data/1461": {"data_set_description": described},
    }
    return {part: json.dumps(tree).encode() for part, tree in trees.items()} | {"/download/": arff}


def _arff(rows: pd.DataFrame, kinds: list[str]) -> bytes:
    def declared(name: str, kind: str) -> str:
        levels = ",".join(f"'{level}'" for level in sorted(rows[name].unique())) if kind == "nominal" else ""
        return f"@ATTRIBUTE {name} " + (f"{{{levels}}}" if levels else "NUMERIC")

    head = ["@RELATION bank", *(declared(name, kind) for name, kind in zip(rows.columns, kinds, strict=True)), "@DATA"]
    return ("\n".join(head) + "\n" + rows.to_csv(index=False, header=False, lineterminator="\n")).encode()


Spoil = Callable[[pd.DataFrame], pd.DataFrame]
