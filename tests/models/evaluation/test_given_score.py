"""Planted scores: a good one, one the wrong way round, one of chance, and one that inflates, each named rightly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from models.evaluation.given_score import NEVER, ScoreAudit, inflation_of, judge_score, score_bands
from models.evaluation.metrics import EvaluateParams

PARAMS = EvaluateParams(resamples=200)
LISTS, LEADS, CAPACITY = 12, 400, 40
START = pd.Timestamp("2026-01-05")


def rows(seed: int = 1, base: float = 0.05) -> pd.DataFrame:
    """Lists of leads with a known chance each; the model knows it but for some noise."""
    rng = np.random.default_rng(seed)
    talent = np.tile(rng.normal(0, 1.2, LEADS), LISTS)
    chance = expit(logit(base) + talent)
    return pd.DataFrame(
        {
            "lead_id": np.tile([f"l{number}" for number in range(LEADS)], LISTS),
            "snapshot_at": np.repeat(START + pd.to_timedelta(7 * np.arange(LISTS), "D"), LEADS),
            "label": (rng.random(LISTS * LEADS) < chance).astype("float64"),
            "probability": expit(logit(chance) + rng.normal(0, 0.3, LISTS * LEADS)),
            "talent": talent,
        }
    )


def audited(score: np.ndarray, leaks: list[str] | None = None, of: pd.DataFrame | None = None) -> ScoreAudit:
    given = (rows() if of is None else of).assign(score=score)
    return judge_score(given, "Grade", CAPACITY, 1.0, leaks or [], PARAMS, seed=1)


def noisy(weight: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    return 50 + 10 * (weight * rows()["talent"].to_numpy() + rng.normal(0, 1, LISTS * LEADS))


@pytest.mark.parametrize(
    ("score", "state", "said"),
    [
        (noisy(0.4), "worse", "ranks with an AUC of"),
        (noisy(-1.0), "reversed", "the wrong way round"),
        (noisy(0.0), "tells nothing", "does not surely tell leads apart"),
        (10 * rows()["talent"].to_numpy(), "no worse", "ranks with an AUC of"),
    ],
)
def test_each_score_is_named_for_what_it_is(score: np.ndarray, state: str, said: str) -> None:
    found = audited(score)
    assert found.state == state
    assert said in found.lines[0]
    assert found.wins.wins >= found.wins.wins_today or state == "no worse"
    assert not any("inflates" in line for line in found.lines)


@pytest.mark.parametrize("base", [0.004, 0.03, 0.4])
def test_a_good_score_has_its_place_at_any_base_rate(base: float) -> None:
    given = rows(3, base)
    found = audited(given["talent"].to_numpy(), of=given)
    assert found.state in ("no worse", "better")
    assert found.auc.low > 0.5
    rates = [band.rate for band in found.bands]
    assert rates[0] == max(rates)


def test_a_leak_stops_every_other_figure() -> None:
    found = audited(noisy(1.0), ["alone it removes 80% of the doubt about the outcome"])
    assert found.state == "leaks"
    assert [line.startswith("Grade gives the outcome away") for line in found.lines] == [True]


def test_a_score_that_rises_while_leads_stay_as_they_are_inflates() -> None:
    rising = noisy(1.0) + np.repeat(np.arange(LISTS) * 2.5, LEADS)
    found = audited(rising)
    assert found.inflation is not None
    assert found.inflation.inflates
    assert found.inflation.ratio == pytest.approx(1.7, abs=0.4)
    assert any(line.startswith("It inflates: its average rose from") for line in found.lines)


def test_better_leads_are_no_inflation() -> None:
    given, rng = rows(), np.random.default_rng(2)
    better = given["talent"] + np.repeat(np.arange(LISTS) / LISTS, LEADS)
    label = (rng.random(len(given)) < expit(logit(0.05) + better)).astype("float64")
    one = inflation_of(given.assign(label=label, score=better), PARAMS, seed=1)
    assert one is not None
    assert one.mean_after > one.mean_before
    assert not one.inflates


def test_bands_hold_every_row_once_and_never_scored_ranks_last() -> None:
    score = noisy(1.0)
    score[::4] = np.nan
    found = audited(score)
    assert sum(band.n for band in found.bands) == found.n
    assert found.bands[-1].name == NEVER
    assert found.never_scored == pytest.approx(0.25)
    assert any("25.0% of the 4,800 rows had no score" in line for line in found.lines)
    reached = [band.per_list for band in found.bands]
    assert reached == sorted(reached)
    assert reached[-1] == LEADS


def test_thresholds_that_fit_no_capacity_are_said() -> None:
    grades = np.where(noisy(1.0) > 50, 2.0, 1.0)
    assert any(line.startswith("No threshold fits 40 calls a list: ") for line in audited(grades).lines)
    best = np.where(noisy(1.0).reshape(LISTS, LEADS).argsort(1).argsort(1).ravel() >= LEADS - CAPACITY, 2.0, 1.0)
    assert not any(line.startswith("No threshold") for line in audited(best).lines)


def test_without_dates_or_later_lists_nothing_is_said_of_inflation() -> None:
    given = rows().assign(score=noisy(1.0), snapshot_at=pd.NaT)
    assert inflation_of(given, PARAMS, seed=1) is None
    assert [band.n for band in score_bands(given, 0.9, 1.0)] == [960] * 5
