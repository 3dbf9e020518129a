"""Which snapshots train and which test: by time with an embargo, by row order, or by hash of the lead."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from features.schema.spec import Spec

Part = Literal["train", "embargo", "test", "untested"]
PARTS: tuple[Part, ...] = ("train", "embargo", "test")
SMALLEST_SHARE = 1e-12
DIGITS = 12  # of shares: 1 - 0.7 is a little more than 0.3, and a row would change parts


class SplitParams(Spec):
    """The share of the latest history that is the test part."""

    test_share: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description=(
            "The latest part of the history, looked at once, for reporting; by row order where there are "
            "only rows, by hash of the lead where nothing orders them."
        ),
    )
    test_conversions: int | None = Field(
        default=None,
        ge=1,
        description="Test on as few of the latest dates as hold this many conversions, and on test_share at most; "
        "null: on all of test_share.",
    )


def split_by_time(snapshots: pd.DataFrame, params: SplitParams) -> pd.Series[str]:
    """Assign matured snapshots to parts by the calendar.

    Parameters
    ----------
    snapshots
        snapshot_at and known_at (when the label is known at the latest); label, where `test_conversions` is set.

    Returns
    -------
    Series
        "test": the latest snapshot dates, as the parameters say. "embargo": before the test, but the label was not
        known when it began. "train": all that was known on the first day of the test.
    """
    test_start = _start_of_latest(snapshots["snapshot_at"], params.test_share)
    if params.test_conversions is not None:
        test_start = max(test_start, _start_of_conversions(snapshots, params.test_conversions))
    return split_at(snapshots, test_start)


def split_at(snapshots: pd.DataFrame, test_start: pd.Timestamp) -> pd.Series[str]:
    """Assign matured snapshots to the parts of a test that begins at a given moment; see `split_by_time`."""
    known, at = snapshots["known_at"] <= test_start, snapshots["snapshot_at"]
    part = np.select([at >= test_start, ~known], ["test", "embargo"], "train")
    return pd.Series(part, index=snapshots.index, dtype="str")


def split_by_position(position: pd.Series[int], params: SplitParams) -> pd.Series[str]:
    """Assign rows to parts by their order: the last `test_share` is the test part."""
    rank = position.rank(method="min").to_numpy() - 1
    return _by_rank(rank / len(position), position.index, params)


def split_by_hash(lead_id: pd.Series[str], seed: int, params: SplitParams) -> pd.Series[str]:
    """Assign leads to parts by a seeded hash of their id, where there is no order; all rows of a lead go together."""
    return _by_rank(draw(lead_id, seed, "split").to_numpy("float64"), lead_id.index, params)


def split_at_random(snapshots: pd.DataFrame, seed: int, params: SplitParams) -> pd.Series[str]:
    """Assign rows to "train" and "test" at random, as is often done; kept only to show how optimistic that is.

    Snapshots of one lead fall on both sides, and the model learns from the future.
    """
    part = np.where(draw(snapshot_key(snapshots), seed, "random split") < params.test_share, "test", "train")
    return pd.Series(part, index=snapshots.index, dtype="str")


def sample_leads(rows: pd.DataFrame, max_rows: int, seed: int, purpose: str) -> pd.DataFrame:
    """Keep all rows of a seeded share of the leads, so that at most about `max_rows` remain."""
    share = max_rows / max(len(rows), 1)
    if share >= 1:
        return rows
    return rows[draw(rows["lead_id"], seed, purpose) < share].reset_index(drop=True)


def learning_weights(rows: pd.DataFrame, max_rows: int, seed: int, purpose: str) -> pd.Series[float]:
    """Draw the rows to learn from: as many conversions as can be, and a share of the other rows that stands for all.

    Few leads convert, so that a conversion teaches more than another row. Weighed back, the drawn rows have the
    base rate of all rows.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label; and weight, where each row stands for several already.
    max_rows
        About how many rows are drawn. Conversions have half of them at least; they are thinned where they are more.

    Returns
    -------
    Series
        How many rows each row stands for, 0 where it was not drawn.

    Examples
    --------
    >>> rows = pd.DataFrame({"lead_id": list("abcd"), "snapshot_at": pd.NaT, "label": [1.0, 0.0, 0.0, 0.0]})
    >>> learning_weights(rows, 2, seed=1, purpose="example").tolist()
    [1.0, 0.0, 3.0, 0.0]
    """
    return _thinned(rows, _shares(rows, max_rows), seed, purpose)


def _shares(rows: pd.DataFrame, max_rows: int) -> tuple[float, float]:
    """Return the shares of the conversions and of the other rows that are drawn."""
    counted = _own_weight(rows) > 0
    won = int((counted & (rows["label"] > 0)).sum())
    others = int(counted.sum()) - won
    if won + others <= max_rows:
        return 1.0, 1.0
    kept = min(won, max_rows // 2)
    return kept / max(won, 1), min((max_rows - kept) / max(others, 1), 1.0)


def _thinned(rows: pd.DataFrame, shares: tuple[float, float], seed: int, purpose: str) -> pd.Series[float]:
    """Draw a share of the conversions and one of the other rows, and weigh them back."""
    if shares == (1.0, 1.0):
        return _own_weight(rows)
    share = np.where(rows["label"] > 0, *shares)
    drawn = draw(snapshot_key(rows), seed, purpose) < share
    return (_own_weight(rows) / np.maximum(share, SMALLEST_SHARE)).where(drawn, 0.0)


def _own_weight(rows: pd.DataFrame) -> pd.Series[float]:
    return rows["weight"] if "weight" in rows else pd.Series(1.0, index=rows.index)


def draw_rows(snapshots: pd.DataFrame, max_rows: int, max_test_rows: int, seed: int) -> pd.DataFrame:
    """Draw the rows of the matrix: those to learn from, and the test part with all rows of its leads.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at, label, part.

    Returns
    -------
    DataFrame
        The drawn rows with `weight`: how many rows each stands for where it is learned from, 0 where it is tested
        alone. The later rows of leads that are not tested are in the part "untested". About `max_rows` rows train the
        model that is tested; of later rows the same shares are drawn, so that no later row moves an earlier one.
    """
    later = snapshots["part"] == "test"
    tested = later & snapshots["lead_id"].isin(sample_leads(snapshots[later], max_test_rows, seed, "sample")["lead_id"])
    shares = _shares(snapshots[snapshots["part"] == "train"], max_rows)
    weight = _thinned(snapshots, shares, seed, "learning")
    part = snapshots["part"].mask(later & ~tested, "untested")
    return snapshots.assign(part=part, weight=weight)[tested | (weight > 0)].reset_index(drop=True)


def tested_rows(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the test part, where each row counts once: `weight` says what it counts where it is learned from."""
    return matrix[matrix["part"] == "test"].drop(columns="weight").reset_index(drop=True)


def snapshot_key(rows: pd.DataFrame) -> pd.Series[str]:
    """Name each row by its lead and its moment."""
    return rows["lead_id"] + "@" + rows["snapshot_at"].astype("str").fillna("no date")


def draw(key: pd.Series[str], seed: int, purpose: str) -> pd.Series[float]:
    """Return a pseudo-random number in [0, 1) for each key: it depends on key, seed and purpose alone."""
    prefix = f"{purpose}:{seed}:".encode()
    index, distinct = pd.factorize(key, use_na_sentinel=False)
    first = b"".join(hashlib.sha256(prefix + str(value).encode()).digest()[:8] for value in distinct.tolist())
    number = np.frombuffer(first, ">u8").astype("float64") / 2.0**64
    return pd.Series(number[index], index=key.index)


def _by_rank(rank: np.ndarray, index: pd.Index, params: SplitParams) -> pd.Series[str]:
    part = np.where(rank >= round(1 - params.test_share, DIGITS), "test", "train")
    return pd.Series(part, index=index, dtype="str")


def _start_of_latest(at: pd.Series[pd.Timestamp], share: float) -> pd.Timestamp:
    """Return the first of the latest `share` of the distinct dates, at least one date."""
    dates = np.sort(at.unique())
    if not len(dates):
        return pd.Timestamp.min
    earlier = int(round(len(dates) * (1 - share), DIGITS))
    return pd.Timestamp(dates[min(earlier, len(dates) - 1)])


def _start_of_conversions(snapshots: pd.DataFrame, least: int) -> pd.Timestamp:
    """Return the last date from which on there are this many conversions, the first of all where there are fewer."""
    won = snapshots.groupby("snapshot_at")["label"].sum().sort_index(ascending=False).cumsum()
    enough = won.index[won >= least]
    return pd.Timestamp(enough[0] if len(enough) else snapshots["snapshot_at"].min())


def sample_test(matrix: pd.DataFrame, seed: int, n: int) -> pd.DataFrame:
    """Draw rows of the test period, always the same ones; explanations are computed from them."""
    rows = matrix[matrix["part"] == "test"]
    key = rows["lead_id"] + "@" + rows["snapshot_at"].astype("str")
    order = draw(key, seed, "explain").sort_values(kind="stable").index
    return rows.loc[order[:n]].reset_index(drop=True)
