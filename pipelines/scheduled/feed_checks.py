"""Checks before a list is published: the feed is fresh and has not shrunk; and flags that a reader should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from features.schema.errors import FeedError
from models.monitoring.drift import population_stability
from pipelines.config.sections import Job
from pipelines.scheduled.manifest import FeedStatus, ListDrift
from pipelines.storage.contract_store import Contract


def feed_at(contract: Contract, as_of: pd.Timestamp | None) -> FeedStatus:
    """Count what was known at a moment.

    Parameters
    ----------
    as_of
        The moment; None for tables without dates, where everything counts.
    """
    if as_of is None:
        return FeedStatus(leads=len(contract.leads), events=0, newest=None)
    created = contract.leads.loc[contract.leads["created_at"] < as_of, "created_at"]
    moment = as_of.to_pydatetime()
    known = contract.events.filter((contract.events.event_at < moment) & (contract.events.known_at <= moment))
    events = known.aggregate(n=known.count(), newest=known.event_at.max()).to_pyarrow().to_pylist()[0]
    has_events = contract.profile.tables["events"].kept > 0
    newest = events["newest"] if has_events else created.max()
    return FeedStatus(
        leads=len(created),
        events=int(events["n"]),
        newest=None if pd.isna(newest) else pd.Timestamp(newest).isoformat(),
    )


def check_feed(feed: FeedStatus, last: FeedStatus | None, as_of: pd.Timestamp | None, limits: Job) -> None:
    """Check that the feed has neither stopped nor shrunk.

    Parameters
    ----------
    feed
        The result of `feed_at`.
    last
        The same of the previous list; None where there is none.

    Raises
    ------
    FeedError
    """
    if as_of is not None:
        newest, limit = feed.newest, pd.Timedelta(days=limits.max_silence_days)
        if newest is None or as_of - pd.Timestamp(newest) > limit:
            raise FeedError(
                f"the feed has stopped: on {as_of:%Y-%m-%d} the newest record is of {newest or 'no time at all'}, "
                f"more than job.max_silence_days ({limits.max_silence_days}) back; nothing was published. Fix the "
                "export, or raise job.max_silence_days"
            )
    counts = {} if last is None else {"leads": (last.leads, feed.leads), "events": (last.events, feed.events)}
    for name, (before, now) in counts.items():
        if now < limits.min_volume_share * before:
            raise FeedError(
                f"the feed has shrunk: {now:,} {name} where the last list had {before:,}, less than "
                f"job.min_volume_share ({limits.min_volume_share:g}) of them; nothing was published. Fix the export, "
                "or set job.min_volume_share: 0 for one run"
            )


def check_first_feed(contract: Contract, event_types: Sequence[str], limits: Job) -> None:
    """Check that a first list, which no earlier one can be compared with, has the events that the model reads.

    Parameters
    ----------
    event_types
        Those that the model learned from.

    Raises
    ------
    FeedError
    """
    if event_types and limits.min_volume_share and not contract.profile.tables["events"].kept:
        raise FeedError(
            f"the feed holds no event at all, where the model learned from {', '.join(event_types)}: is the file of "
            "events only a header? Nothing was published. Fix the export, or set job.min_volume_share: 0 for one run"
        )


def drift(leads: pd.DataFrame, unseen: Mapping[str, int], last: pd.Series[int] | None, limits: Job) -> ListDrift:
    """Measure how far this list is from the training data of the model, and from the previous list.

    Parameters
    ----------
    leads
        The score list: score.
    unseen
        By attribute, leads with a value the model does not know.
    last
        The scores of the previous list, or None.
    """
    shift = None if last is None else population_stability(last.to_numpy(), leads["score"].to_numpy())
    flags = [
        f"{name}: {n:,} of {len(leads):,} leads have a value the model does not know"
        for name, n in unseen.items()
        if n > limits.max_unseen_share * len(leads)
    ]
    if shift is not None and shift > limits.max_score_shift:
        flags.append(f"the scores have moved since the last list (population stability index {shift:.2f})")
    return ListDrift(unseen=dict(unseen), score_shift=shift, flags=flags)
