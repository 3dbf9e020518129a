"""Lifecycle stages: who was accepted, who fell back, how long a stage takes, and how fast qualified leads grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from models.evaluation.intervals import clopper_pearson
from models.kpis.results import Growth, StageTime
from models.kpis.tier_kpis import PERIODS, KpiParams, known, of_leads, within
from models.kpis.velocity import in_days, survival

DAY = pd.Timedelta(days=1)


def ordered(stages: pd.DataFrame, params: KpiParams, until: pd.Timestamp) -> pd.DataFrame:
    """Return the entries known by the end of the data into stages that are in the order.

    Returns
    -------
    DataFrame
        lead_id, stage, entered_at, stage_index (0: the first stage) and before: that of the stage it left,
        missing for its first entry. By lead and time.
    """
    stage_index_of = {name: index for index, name in enumerate(params.stages)}
    kept = stages.loc[
        stages["stage"].isin(stage_index_of) & (stages["entered_at"] <= until), ["lead_id", "stage", "entered_at"]
    ]
    kept = kept.assign(stage_index=kept["stage"].map(stage_index_of).astype("float64"))
    kept = kept.sort_values(["lead_id", "entered_at", "stage_index"], ignore_index=True)
    return kept.assign(before=kept.groupby("lead_id")["stage_index"].shift())


def stage_facts(
    firsts: pd.DataFrame,
    entries: pd.DataFrame,
    mapped: Mapping[str, str],
    horizon_days: float,
    until: pd.Timestamp,
    params: KpiParams,
) -> pd.DataFrame:
    """Determine for each listed lead whether its tier's stage was reached, and whether the lead fell back.

    Parameters
    ----------
    firsts
        lead_id, snapshot_at, tier.
    entries
        As from `ordered`.
    mapped
        The lifecycle stage of each tier.

    Returns
    -------
    DataFrame
        By the index of `firsts`. accepted: the lead entered the stage that its tier maps to, or a later one, within the
        horizon of the list; missing where it stood there already, where the stage is not in the order, or while the
        horizon runs. fell_back: it entered an earlier stage than the one it stood in; missing for a lead that had no
        stage, and while the horizon runs.
    """
    rows = firsts[["lead_id", "snapshot_at"]].assign(key=np.arange(len(firsts)))
    stage_index_of = {name: float(stage_index) for stage_index, name in enumerate(params.stages)}
    target = firsts["tier"].map(mapped).map(stage_index_of).to_numpy("float64")
    met = rows.merge(entries, "inner", "lead_id")
    earlier = (
        met[met["entered_at"] < met["snapshot_at"]].drop_duplicates("key", keep="last").set_index("key")["stage_index"]
    )
    current = earlier.reindex(rows["key"]).to_numpy("float64")
    later = met[within(met["snapshot_at"], met["entered_at"], horizon_days)]
    reached = later.groupby("key")["stage_index"].max().reindex(rows["key"]).to_numpy("float64")
    back = (later["stage_index"] < later["before"]).groupby(later["key"]).any()
    fell = back.reindex(rows["key"], fill_value=False).to_numpy("bool")
    accepted = known(reached >= target, firsts["snapshot_at"], horizon_days, until)
    fell_back = known(fell, firsts["snapshot_at"], horizon_days, until)
    seen = ~np.isnan(current) | ~np.isnan(reached)
    return pd.DataFrame(
        {
            "accepted": accepted.where(~(current >= target) & ~np.isnan(target)),
            "fell_back": fell_back.where(seen),
        },
        index=firsts.index,
    )


def times_in_stage(
    entries: pd.DataFrame, outcomes: pd.DataFrame, params: KpiParams, until: pd.Timestamp, confidence: float
) -> list[StageTime]:
    """Estimate how long leads stay in each stage, in days, from entering it to leaving it in any direction.

    The next stage, up or down, ends a stay, and so do conversion and loss; a stay that goes on at the end of the data
    is censored there.

    Returns
    -------
    list
        One a stage of the order that anybody entered, with the first and the last day it was entered: `survival` at a
        quarter, half and three quarters of the stays.
    """
    following = entries.groupby("lead_id")["entered_at"].shift(-1)
    closes = outcomes.set_index("lead_id")
    ends = pd.DataFrame({name: of_leads(entries["lead_id"], closes[name]) for name in ("converted_at", "lost_at")})
    ends = ends.where(ends.gt(entries["entered_at"], axis=0))  # a close at the entry itself ends an earlier stay
    left_at = ends.assign(following=following).min(axis=1)
    left = left_at <= until
    days = in_days(entries["entered_at"], left_at.where(left, until))
    stays = entries.assign(days=days, left=left)
    named = {name: stays[stays["stage"] == name] for name in params.stages}
    return [_stage_time(name, one, confidence) for name, one in named.items() if len(one)]


def _stage_time(name: str, stays: pd.DataFrame, confidence: float) -> StageTime:
    curve = dict(survival(stays["days"], stays["left"], (0.25, 0.5, 0.75), confidence))
    first, last = (day.date().isoformat() for day in (stays["entered_at"].min(), stays["entered_at"].max()))
    return StageTime(**(curve | {"stage": name, "first": first, "last": last}))


def qualified_growth(
    entries: pd.DataFrame, params: KpiParams, since: pd.Timestamp, until: pd.Timestamp, confidence: float
) -> list[Growth]:
    """Compute the lead velocity rate: by how much the number of newly qualified leads grows from period to period.

    Parameters
    ----------
    since, until
        First and last moment of the data; only periods that lie completely between them count.

    Returns
    -------
    list
        One a period: period, qualified (leads that entered the qualified stage, or a later one, for the first time) and
        growth with its interval: qualified / that of the period before - 1. Both counts taken for Poisson, the share of
        the later one in their sum is binomial (Przyborowski and Wilenski 1940, Biometrika 31, 313-323).
    """
    first = entries[entries["stage_index"] >= params.stages.index(params.qualified_stage)].groupby("lead_id")[
        "entered_at"
    ]
    unit = PERIODS[params.period]
    every = pd.period_range(since.to_period(unit), until.to_period(unit), freq=unit)
    complete = every[(every.start_time >= since.floor("D")) & (every.end_time < until.floor("D") + DAY)]
    counts = first.min().dt.to_period(unit).value_counts().reindex(complete, fill_value=0)
    names = complete.start_time.strftime("%Y-%m-%d") if params.period == "week" else complete.astype("str")
    before = [None, *counts.tolist()][: len(counts)]
    return [
        _growth(str(name), int(n), earlier, confidence)
        for name, n, earlier in zip(names, counts.tolist(), before, strict=True)
    ]


def _growth(period: str, n: int, before: int | None, confidence: float) -> Growth:
    if not before:
        return Growth(period=period, qualified=n, growth=None, growth_low=None, growth_high=None)
    low, high = (share / (1 - share) - 1 for share in clopper_pearson(n, n + before, confidence))
    return Growth(period=period, qualified=n, growth=n / before - 1, growth_low=low, growth_high=high)


def stages_misfit(stages: Sequence[str], params: KpiParams) -> str:
    """Return why stages cannot be measured, or "" where they can."""
    if not stages:
        return "the data hold no lifecycle stages"
    if not set(stages) & set(params.stages):
        return f"kpis.stages names none of the stages in the data ({', '.join(sorted(stages)[:8])})"
    return ""
