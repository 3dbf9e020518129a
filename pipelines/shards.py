"""Phase one of scoring: leads are scored a shard at a time, and each finished shard is a file that a rerun takes up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.matrix import ask_matrix, matrix_of
from models.scorer import Scorer
from pipelines.sinks import file_digest, write_json, write_parquet
from pipelines.store import Contract, LeadShard

INPUTS = pa.schema({"lead_id": pa.string(), "inputs": pa.string()})
SHARD = pa.schema(
    {
        "lead_id": pa.string(),
        "probability": pa.float64(),
        "raw_score": pa.float64(),
        "points": pa.float64(),
        "score": pa.int64(),
        "base_points": pa.float64(),
        "fit": pa.float64(),
        "engagement": pa.float64(),
        "grade": pa.string(),
        "online": pa.float64(),
        "offline": pa.float64(),
        "other_engagement": pa.float64(),
        "negative": pa.float64(),
        "reasons": pa.string(),
        "reasons_text": pa.string(),
        "inputs": pa.string(),  # digest of all feature values that the model reads
    }
)
FIGURES = [name for name in SHARD.names if name != "inputs"]


@dataclass(frozen=True)
class Earlier:
    """An earlier list by the same model and program, whose rows stand again where a lead's inputs are the same.

    A lead's figures are a function of the features that the model reads, and of nothing else, so equal inputs give
    equal figures: a new event, an edit, a window that moved or a day of age show as other inputs.

    Attributes
    ----------
    scores
        The list as Parquet.
    inputs
        The digest of each of its leads' inputs, by lead_id.
    """

    scores: Path
    inputs: pd.Series[str]

    @classmethod
    def open(cls, scores: Path, inputs: Path) -> Self:
        return cls(scores, pq.read_table(inputs).to_pandas().set_index("lead_id")["inputs"])

    def holds(self, lead_id: pd.Series[str], inputs: pd.Series[str]) -> np.ndarray:
        """Say which leads had the same inputs then, shape (n,)."""
        return (self.inputs.reindex(lead_id).to_numpy() == inputs.to_numpy()).astype("bool")

    def count(self, parts: Iterable[Path]) -> int:
        """Count the leads of scored shards whose rows stood again."""
        now = [pq.read_table(part, columns=INPUTS.names).to_pandas() for part in parts]
        return sum(int(self.holds(one["lead_id"], one["inputs"]).sum()) for one in now)

    def rows(self, lead_id: pd.Series[str]) -> pd.DataFrame:
        """Return FIGURES of some of its leads."""
        wanted = pa.array(lead_id, pa.string())
        return pq.read_table(self.scores, columns=FIGURES, filters=pc.field("lead_id").isin(wanted)).to_pandas()


def score_shards(
    contract: Contract,
    scorer: Scorer,
    snapshots: pd.DataFrame,
    reasons: int,
    work: Path,
    earlier: Earlier | None = None,
) -> Iterator[Path]:
    """Score the snapshots a shard at a time and yield each shard's file, by lead_id, as SHARD.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at; one row a lead.
    reasons
        At most so many a lead.
    work
        Where the files lie. Those of an earlier run that was stopped are taken as they are; the folder belongs to one
        model, data set, day and number of reasons.
    earlier
        A list whose rows stand again where nothing changed; None: every lead is scored. Neither changes a byte.
    """
    for scored in contract.each(snapshots, Scoring(scorer, reasons, work.resolve(), earlier)):
        yield Path(scored["file"].iloc[0])


@dataclass(frozen=True)
class Scoring:
    """The step that scores a shard into a file, see `score_shards`; its result is one row, `file`."""

    scorer: Scorer
    reasons: int
    work: Path
    earlier: Earlier | None

    def ask(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        return ask_matrix(moments, events, self.scorer.card.matrix)

    def kept(self, shard: LeadShard) -> pd.DataFrame | None:
        file = self._file(shard)
        return _named(file) if _finished(file, shard) else None

    def answer(self, shard: LeadShard, found: pa.Table | None) -> pd.DataFrame:
        file = self._file(shard)
        features = matrix_of(shard.rows, shard.leads, shard.history, found, self.scorer.card.matrix)
        rows = _score(pd.concat([shard.rows, features], axis=1), self.scorer, self.reasons, self.earlier)
        write_parquet(pa.Table.from_pandas(rows, SHARD, preserve_index=False).replace_schema_metadata(), file)
        write_json({"leads": _leads_digest(shard), "sha256": file_digest(file)}, _proof(file))
        return _named(file)

    def _file(self, shard: LeadShard) -> Path:
        return self.work / f"shard-{shard.number:05d}.parquet"


def _named(file: Path) -> pd.DataFrame:
    return pd.DataFrame({"file": [str(file)]})


def read_inputs(parts: Sequence[Path]) -> pa.RecordBatchReader:
    """Stream the digest of each lead's inputs, as INPUTS, by lead_id."""
    batches = (batch for part in parts for batch in pq.read_table(part, columns=INPUTS.names).to_batches())
    return pa.RecordBatchReader.from_batches(INPUTS, (batch.cast(INPUTS) for batch in batches))


def _score(matrix: pd.DataFrame, scorer: Scorer, reasons: int, earlier: Earlier | None) -> pd.DataFrame:
    inputs = _inputs(matrix, scorer)
    same = np.zeros(len(matrix), dtype="bool") if earlier is None else earlier.holds(matrix["lead_id"], inputs)
    parts = [] if same.all() else [scorer.score(matrix[~same].reset_index(drop=True), reasons)]
    if earlier is not None and same.any():
        parts.append(earlier.rows(matrix.loc[same, "lead_id"]))
    rows = pd.concat(parts, ignore_index=True).set_index("lead_id").loc[matrix["lead_id"]].reset_index()
    return rows.assign(inputs=inputs.to_numpy())


def _inputs(matrix: pd.DataFrame, scorer: Scorer) -> pd.Series[str]:
    """Digest the features that the model reads, lead by lead, bit by bit."""
    values = np.ascontiguousarray(matrix[scorer.features_read].to_numpy("float32"))
    return pd.Series([hashlib.blake2b(row, digest_size=16).hexdigest() for row in values.view("uint8")], dtype="str")


def _finished(file: Path, shard: LeadShard) -> bool:
    """Whether a file holds this shard and is as it was written."""
    try:
        proof = json.loads(_proof(file).read_text(encoding="utf-8"))
        return proof == {"leads": _leads_digest(shard), "sha256": file_digest(file)}
    except (OSError, ValueError):
        return False


def _proof(file: Path) -> Path:
    return file.with_suffix(".json")


def _leads_digest(shard: LeadShard) -> str:
    return hashlib.sha256("\n".join(shard.rows["lead_id"]).encode()).hexdigest()
