"""Phase one of scoring: leads are scored a shard at a time, and each finished shard is a file that a rerun reuses."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.attributes.definitions import count_unseen
from features.matrix.matrix import MatrixQuery
from models.scoring.scorer import Scorer
from models.tiers.declarations import TierParams
from models.tiers.tier_rules import TierFacts
from pipelines.scoring.tier_inputs import FactsQuery, fact_columns, name_facts
from pipelines.storage.contract_store import Contract, LeadShard
from pipelines.storage.files import file_digest, write_arrow, write_json

if TYPE_CHECKING:
    import ibis.expr.types as ir


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
DIGESTED = 4096  # leads at once, which fit the processor's cache
SCORE_COLUMNS = [name for name in SHARD.names if name != "inputs"]


@dataclass(frozen=True)
class EarlierList:
    """An earlier list by the same model and program, whose rows are reused where a lead's inputs are the same.

    A lead's scores are a function of the features that the model reads, and of nothing else, so equal inputs give
    equal scores: a new event, an edit, a window that moved or another day of age change the inputs.

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
        """Return which leads had the same inputs then, shape (n,)."""
        return (self.inputs.reindex(lead_id).to_numpy() == inputs.to_numpy()).astype("bool")

    def count(self, parts: Iterable[Path]) -> int:
        """Count the leads of scored shards whose rows were reused."""
        now = [read_part(part, INPUTS.names).to_pandas() for part in parts]
        return sum(int(self.holds(one["lead_id"], one["inputs"]).sum()) for one in now)

    def rows(self, lead_id: pd.Series[str]) -> pd.DataFrame:
        """Return SCORE_COLUMNS of some of its leads."""
        wanted = pa.array(lead_id, pa.string())
        return pq.read_table(self.scores, columns=SCORE_COLUMNS, filters=pc.field("lead_id").isin(wanted)).to_pandas()


def score_shards(
    contract: Contract,
    scorer: Scorer,
    tiers: TierParams,
    snapshots: pd.DataFrame,
    reasons: int,
    work: Path,
    earlier: EarlierList | None = None,
) -> Iterator[Path]:
    """Score the snapshots a shard at a time and yield each shard's file, by lead_id: SHARD, and the facts for tiers.

    Parameters
    ----------
    tiers
        Whose triggers and exclusions are asked for.
    snapshots
        lead_id, snapshot_at; one row a lead.
    reasons
        The most for each lead.
    work
        Where the files lie. Those of an earlier run that was stopped are reused; the folder belongs to one
        model, data set, policy, day and number of reasons.
    earlier
        A list whose rows are reused where nothing changed; None: every lead is scored. Neither changes a byte.
    """
    for scored in contract.each(snapshots, ScoringTask(scorer, tiers, reasons, work.resolve(), earlier)):
        yield Path(scored["file"].iloc[0])


@dataclass(frozen=True)
class ScoringTask:
    """The task that scores a shard into a file, see `score_shards`; its result is one row, `file`.

    The facts for triggers and exclusions are computed on the way, so that the log is read once.
    """

    scorer: Scorer
    tiers: TierParams
    reasons: int
    work: Path
    earlier: EarlierList | None

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        expression = self._matrix.expression(moments, events)
        return self._facts.expression(moments, events) if expression is None else expression

    def finished(self, shard: LeadShard) -> pd.DataFrame | None:
        file = self._file(shard)
        return _file_row(file) if _finished(file, shard) else None

    def compute(self, shard: LeadShard, answer: pa.Table | None) -> pd.DataFrame:
        file = self._file(shard)
        metadata = self.scorer.metadata
        frame = shard.attributes(metadata.matrix)
        features = self._matrix.result(frame, answer)
        rows = _score(pd.concat([shard.rows, features], axis=1), self.scorer, self.reasons, self.earlier)
        facts = self._facts.result(frame, answer)
        unseen = count_unseen(frame, metadata.matrix.attributes, metadata.matrix.vocabulary)
        schema = pa.schema([*SHARD, *fact_columns(self.tiers)])
        table = pa.Table.from_pandas(pd.concat([rows, facts], axis=1), schema, preserve_index=False)
        write_arrow(table.replace_schema_metadata(), file)
        proof = {"leads": _leads_digest(shard), "sha256": file_digest(file), "unseen": unseen}
        write_json(proof, _proof(file))
        return _file_row(file)

    @property
    def _matrix(self) -> MatrixQuery:
        return MatrixQuery(self.scorer.metadata.matrix)

    @property
    def _facts(self) -> FactsQuery:
        return FactsQuery(self.scorer.metadata.matrix, self.tiers, current=True)

    def _file(self, shard: LeadShard) -> Path:
        return self.work / f"shard-{shard.number:05d}.arrow"


def _file_row(file: Path) -> pd.DataFrame:
    return pd.DataFrame({"file": [str(file)]})


def read_part(part: Path, columns: list[str]) -> pa.Table:
    """Read some columns of a scored shard from a memory map: only what is touched comes into memory."""
    with pa.memory_map(str(part)) as file, pa.ipc.open_file(file) as reader:
        return reader.read_all().select(columns)


def read_inputs(parts: Sequence[Path]) -> pa.RecordBatchReader:
    """Stream the digest of each lead's inputs, as INPUTS, by lead_id."""
    batches = (batch for part in parts for batch in read_part(part, INPUTS.names).to_batches())
    return pa.RecordBatchReader.from_batches(INPUTS, (batch.cast(INPUTS) for batch in batches))


def read_facts(parts: Sequence[Path], tiers: TierParams) -> TierFacts:
    """Read the facts for tiers of the leads of scored shards, in their order, indexed from 0."""
    names = [field.name for field in fact_columns(tiers)]
    return name_facts(pa.concat_tables(read_part(part, names) for part in parts).to_pandas(), tiers)


def count_new_values(parts: Sequence[Path]) -> dict[str, int]:
    """Count, for each category attribute, the leads whose value has no level of its own in the model."""
    counts = Counter[str]()
    for part in parts:
        counts.update(json.loads(_proof(part).read_text(encoding="utf-8"))["unseen"])
    return dict(sorted(counts.items()))


def _score(matrix: pd.DataFrame, scorer: Scorer, reasons: int, earlier: EarlierList | None) -> pd.DataFrame:
    inputs = _inputs(matrix, scorer)
    same = np.zeros(len(matrix), dtype="bool") if earlier is None else earlier.holds(matrix["lead_id"], inputs)
    parts = [] if same.all() else [scorer.score(matrix[~same].reset_index(drop=True), reasons)]
    if earlier is not None and same.any():
        parts.append(earlier.rows(matrix.loc[same, "lead_id"]))
    rows = parts[0]
    if len(parts) > 1 or same.any():
        rows = pd.concat(parts).set_index("lead_id").loc[matrix["lead_id"]].reset_index()
    return rows.assign(inputs=inputs.to_numpy())


def _inputs(matrix: pd.DataFrame, scorer: Scorer) -> pd.Series[str]:
    """Digest the features that the model reads, lead by lead, bit by bit."""
    digests: list[str] = []
    for start in range(0, len(matrix), DIGESTED):
        piece = matrix.iloc[start : start + DIGESTED][scorer.features_said].to_numpy("float32")
        rows = np.ascontiguousarray(piece).view("uint8")
        digests += [hashlib.blake2b(row, digest_size=16).hexdigest() for row in rows]
    return pd.Series(digests, dtype="str")


def _finished(file: Path, shard: LeadShard) -> bool:
    """Whether a file holds this shard and is as it was written."""
    try:
        proof = json.loads(_proof(file).read_text(encoding="utf-8"))
        return (proof["leads"], proof["sha256"]) == (_leads_digest(shard), file_digest(file))
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _proof(file: Path) -> Path:
    return file.with_suffix(".json")


def _leads_digest(shard: LeadShard) -> str:
    return hashlib.sha256("\n".join(shard.rows["lead_id"].tolist()).encode()).hexdigest()
