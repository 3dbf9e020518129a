"""A score that a company has already, judged on the leads and days of the test: what it tells, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from features.schema.spec import Spec
from models.evaluation.estimate import Estimate
from models.evaluation.intervals import percentile_interval, rate_interval, resampled_leads
from models.evaluation.metrics import EvaluateParams, compare_ranking, compare_wins
from models.evaluation.ranked import Ranked
from models.evaluation.results import WinsGained

State = Literal["leaks", "reversed", "tells nothing", "worse", "no worse", "better"]
BANDS = 5  # of a score with many values
SPARE = 1.25  # a threshold fits where this many times the capacity, or one by so much, reach it
NEVER = "never scored"


class ScoreBand(Spec):
    """The rows whose score lies in one stretch, or has one value, best first.

    Attributes
    ----------
    per_list
        Leads a list that reach this band, those of the bands above it included.
    """

    name: str
    n: int
    n_leads: int
    rate: float
    rate_low: float
    rate_high: float
    per_list: float


class Inflation(Spec):
    """Whether the same score means less in the later half of the lists than in the earlier one.

    Attributes
    ----------
    mean_before, mean_after
        Of the score.
    ratio
        Conversion expected in the later half, by what each band converted at in the earlier one, over the actual one.
    """

    mean_before: float
    mean_after: float
    ratio: float
    ratio_low: float
    ratio_high: float

    @property
    def inflates(self) -> bool:
        return self.mean_after > self.mean_before and self.ratio_low > 1


class ScoreAudit(Spec):
    """What is to be said of one score, beside the model on the same rows.

    Attributes
    ----------
    n, n_leads, lists, never_scored
        Rows, leads and lists of the test, and the share of rows without the score.
    auc, auc_gap, capacity_lift_gap
        The score's AUC, and by how much the model's AUC and lift at capacity lie above the score's.
    wins
        Wins a list that the model gains over the score.
    """

    name: str
    state: State
    n: int
    n_leads: int
    lists: int
    never_scored: float
    auc: Estimate
    auc_gap: Estimate
    capacity_lift_gap: Estimate
    wins: WinsGained
    bands: list[ScoreBand]
    inflation: Inflation | None
    leaks: list[str]
    lines: list[str]


def judge_score(
    rows: pd.DataFrame, name: str, capacity: int, sampled: float, leaks: list[str], params: EvaluateParams, seed: int
) -> ScoreAudit:
    """Judge a score on the rows of the test.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label (0 or 1), probability (the model's) and score (as it was known then, the higher the
        better; missing where there was none); one row a lead and list.
    capacity
        Calls a list, of these rows.
    sampled
        Share of all leads that the rows are.
    leaks
        What the leakage checks say of the score; where they say anything, nothing else counts.
    """
    score = rows["score"].rank(method="max", na_option="top").to_numpy("float64") / (len(rows) + 1)
    model, given, chance = (
        Ranked.of(rows, probability, capacity, params.calibration_bins)
        for probability in (rows["probability"].to_numpy("float64"), score, np.full(len(rows), 0.5))
    )
    gaps, over_chance = compare_ranking(model, given, params, seed), compare_ranking(given, chance, params, seed)
    wins = compare_wins(model, given, name, sampled, params, seed)
    bands, lists = score_bands(rows, params.confidence, sampled), rows["snapshot_at"].nunique(dropna=False)
    auc = replace(over_chance.auc, **{one: getattr(over_chance.auc, one) + 0.5 for one in ("value", "low", "high")})
    state = _state(leaks, auc, wins)
    inflation = inflation_of(rows, params, seed)
    audit = ScoreAudit(
        name=name,
        state=state,
        n=len(rows),
        n_leads=rows["lead_id"].nunique(),
        lists=lists,
        never_scored=float(rows["score"].isna().mean()),
        auc=auc,
        auc_gap=gaps.auc,
        capacity_lift_gap=gaps.capacity_lift,
        wins=wins,
        bands=bands,
        inflation=inflation,
        leaks=leaks,
        lines=[],
    )
    return audit.model_copy(update={"lines": _lines(audit, round(capacity / sampled))})


def _state(leaks: list[str], auc: Estimate, wins: WinsGained) -> State:
    if leaks:
        return "leaks"
    if auc.high < 0.5:
        return "reversed"
    if auc.low <= 0.5:
        return "tells nothing"
    if (wins.gained_low or 0) > 0:
        return "worse"
    return "better" if (wins.gained_high or 0) < 0 else "no worse"


def score_bands(rows: pd.DataFrame, confidence: float, sampled: float) -> list[ScoreBand]:
    """Return the bands of a score, best first, and last the rows that it never had; `rows` as in `judge_score`."""
    lists = max(rows["snapshot_at"].nunique(dropna=False), 1)
    bands, reached = [], 0
    band = _bands(rows["score"])
    for name in band.cat.categories[::-1]:
        inside = rows[band == name]
        reached += len(inside)
        bands.append(_band(_name(name), inside, reached / lists / sampled, confidence))
    if (never := rows[band.isna()]).shape[0]:
        bands.append(_band(NEVER, never, len(rows) / lists / sampled, confidence))
    return bands


def _bands(score: pd.Series[float]) -> pd.Series[Any]:
    """Tell values apart where they are few, else stretches of about as many rows."""
    if score.nunique() <= 2 * BANDS:
        return score.astype("category")
    return pd.qcut(score, BANDS, duplicates="drop")


def _name(band: object) -> str:
    return f"{band.left:g} to {band.right:g}" if isinstance(band, pd.Interval) else f"{band:g}"


def _band(name: str, inside: pd.DataFrame, per_list: float, confidence: float) -> ScoreBand:
    label = inside["label"].to_numpy("float64")
    low, high = rate_interval(label, inside["lead_id"].to_numpy(), confidence)
    leads, rate = inside["lead_id"].nunique(), float(label.mean())
    return ScoreBand(
        name=name, n=len(inside), n_leads=leads, rate=rate, rate_low=low, rate_high=high, per_list=per_list
    )


def inflation_of(rows: pd.DataFrame, params: EvaluateParams, seed: int) -> Inflation | None:
    """Compare both halves of the lists, band by band; None without dates, with one list, or no conversion in a half."""
    moments = np.sort(rows["snapshot_at"].dropna().unique())
    scored = rows[rows["score"].notna()].reset_index(drop=True)
    if len(moments) < 2 or scored.empty:
        return None
    later = scored["snapshot_at"].to_numpy() >= moments[len(moments) // 2]
    band, lead = _bands(scored["score"]).cat.codes.to_numpy(), pd.factorize(scored["lead_id"])[0]
    label, n_bands, n_leads = scored["label"].to_numpy("float64"), int(band.max()) + 1, int(lead.max()) + 1

    def counts(values: np.ndarray) -> np.ndarray:
        """Of each lead, by half and band, shape (leads, 2, bands)."""
        cell = (lead * 2 + later) * n_bands + band
        return np.bincount(cell, values, minlength=n_leads * 2 * n_bands).reshape(n_leads, 2, n_bands)

    rows_of, won = counts(np.ones(len(label))), counts(label)
    point = _ratio(rows_of.sum(0), won.sum(0))
    drawn = resampled_leads(n_leads, params.resamples, seed)
    draws = np.array([_ratio(rows_of[leads].sum(0), won[leads].sum(0)) for leads in drawn])
    if not np.isfinite(point):
        return None
    low, high = percentile_interval(draws[np.isfinite(draws)], params.confidence)
    before, after = (float(scored.loc[half, "score"].mean()) for half in (~later, later))
    return Inflation(mean_before=before, mean_after=after, ratio=point, ratio_low=low, ratio_high=high)


def _ratio(rows: np.ndarray, won: np.ndarray) -> float:
    """Expected over actual conversions of the later half, shapes (2, bands); an empty band has the rate of its half."""
    rate = np.where(rows[0] > 0, won[0] / np.maximum(rows[0], 1), won[0].sum() / max(rows[0].sum(), 1))
    expected, actual = float(rate @ rows[1]), float(won[1].sum())
    return expected / actual if actual > 0 and expected > 0 else float("nan")


def _lines(audit: ScoreAudit, capacity: int) -> list[str]:
    """Say it in a few sentences, the gravest first."""
    if audit.leaks:
        return [f"{audit.name} gives the outcome away, so none of its figures counts: {text}" for text in audit.leaks]
    wins, auc = audit.wins, audit.auc.text(".3f")
    first = {
        "reversed": f"{audit.name} is the wrong way round: leads with a low score convert more (AUC {auc})",
        "tells nothing": f"{audit.name} does not surely tell leads apart (AUC {auc})",
    }.get(audit.state, f"{audit.name} ranks with an AUC of {auc}; the model's is {audit.auc_gap.text('+.3f')} higher")
    lines = [
        first,
        f"Of {wins.calls:,.0f} calls a list the model wins {wins.wins:.1f} and {audit.name} {wins.wins_today:.1f}: "
        f"{wins.gained:+.1f} ({wins.gained_low:+.1f} to {wins.gained_high:+.1f})",
    ]
    if audit.inflation is not None and audit.inflation.inflates:
        one = audit.inflation
        lines.append(
            f"It inflates: its average rose from {one.mean_before:.3g} to {one.mean_after:.3g}, and by the rates that "
            f"scores had before, {one.ratio:.2f} times ({one.ratio_low:.2f} to {one.ratio_high:.2f}) as many "
            "would have converted as did"
        )
    if audit.never_scored > 0:
        lines.append(f"{audit.never_scored:.1%} of the {audit.n:,} rows had no score; they rank last")
    scored = [one for one in audit.bands if one.name != NEVER]
    if not any(capacity / SPARE <= one.per_list <= capacity * SPARE for one in scored):
        reach = ", ".join(f"{one.per_list:,.0f} from {one.name}" for one in scored)
        lines.append(f"No threshold fits {capacity:,} calls a list: {reach}")
    return lines
