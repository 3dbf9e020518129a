"""Grades: cut-offs take their share and divide no ties, more points never grade worse, ranges hold the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binomtest

from models.evaluation.intervals import rate_interval
from models.points.grades import GradeCuts, GradeParams, GradeSteps, grade, grade_matrix
from models.training.training import taught
from pipelines.stages.train import graded
from tests.support.small_model import matrix, metadata, scorer
from tests.support.tables import PARAMS

SHARES = (0.1, 0.25, 0.35)
CHOICE = GradeParams(
    fit=GradeSteps(by="share", steps=SHARES),
    engagement=GradeSteps(by="points", steps=(20.0, 5.0, -5.0)),
    sample_rows=1000,
)
point_lists = st.lists(st.one_of(st.sampled_from([-3.0, 0.0, 0.5]), st.floats(-80, 80)), min_size=1, max_size=60)


def cuts_of(fit: np.ndarray) -> GradeCuts:
    return GradeCuts.learn(fit, np.zeros(len(fit)), np.ones(len(fit)), CHOICE)


@given(point_lists)
def test_a_grade_takes_at_most_its_share_and_divides_no_ties(points: list[float]) -> None:
    fit = np.array(points)
    letters = np.array([one[0] for one in grade(fit, fit, cuts_of(fit))])
    reached = 0.0
    for letter, share in zip("ABC", SHARES, strict=True):
        reached += share
        taken = letters <= letter
        assert taken.mean() <= reached + 1e-9
        tied = np.round(fit, 6)
        rest = tied[~taken]  # the next tied leads would have been too many
        assert (taken.mean() + (tied == rest.max()).mean()) > reached - 1e-9
        assert not set(tied[taken]) & set(rest)
    order = np.argsort(-fit, kind="stable")
    assert (letters[order][:-1] <= letters[order][1:]).all()


def test_without_ties_the_shares_are_met() -> None:
    fit = np.random.default_rng(1).normal(size=1000)
    letters = pd.Series([one[0] for one in grade(fit, fit, cuts_of(fit))]).value_counts()
    assert letters.to_dict() == {"A": 100, "B": 250, "C": 350, "D": 300}


@given(point_lists, st.floats(-20, 20))
def test_cuts_move_with_the_points_and_forget_order_and_copies(points: list[float], by: float) -> None:
    fit = np.round(np.array(points), 3)
    cuts = np.array(cuts_of(fit).fit)
    assert cuts_of(fit + by).fit == pytest.approx(cuts + by, abs=1e-5)
    assert cuts_of(fit[::-1]).fit == pytest.approx(cuts)
    assert cuts_of(np.tile(fit, 3)).fit == pytest.approx(cuts)


def test_where_nothing_is_known_all_have_the_last_grade() -> None:
    nothing = np.zeros(50)
    assert set(
        grade(nothing, nothing, GradeCuts.learn(nothing, nothing, np.ones(len(nothing)), replace_by_share()))
    ) == {"D4"}


def replace_by_share() -> GradeParams:
    return CHOICE.model_copy(update={"engagement": CHOICE.fit})


def test_cut_offs_by_hand_are_the_least_points() -> None:
    cuts = GradeCuts.learn(np.zeros(3), np.array([1.0, 2.0, 3.0]), np.ones(3), CHOICE)
    assert cuts.engagement == (20.0, 5.0, -5.0)
    engagement = np.array([20.0, 19.99, 5.0, 4.99, -5.0, -5.01])
    assert [one[1] for one in grade(np.zeros(6), engagement, cuts)] == ["1", "2", "2", "3", "3", "4"]


@pytest.mark.parametrize(
    ("by", "steps"),
    [
        ("share", (0.5, 0.3, 0.2)),
        ("share", (0.1, 0.0, 0.2)),
        ("share", (0.1, -0.1, 0.2)),
        ("points", (1.0, 1.0, 0.0)),
        ("points", (1.0, 2.0, 3.0)),
        ("share", (0.1, 0.2)),
        ("rank", SHARES),
    ],
)
def test_steps_that_make_no_grades_are_refused(by: str, steps: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        GradeSteps.model_validate({"by": by, "steps": steps})


def test_without_cut_offs_there_is_no_grade() -> None:
    assert grade(np.zeros(2), np.zeros(2), None).tolist() == ["", ""]
    assert grade(np.zeros(0), np.zeros(0), metadata().grades).tolist() == []


def test_training_sets_the_cut_offs_on_its_own_rows_and_scoring_keeps_them() -> None:
    params = PARAMS.model_copy(update={"grades": replace_by_share()})
    training = taught(matrix(), ("train",))
    model = graded(scorer(), training, params)
    assert model.metadata.grades is not None
    scored = model.score(training, 0)
    for index, group in enumerate(("fit", "engagement")):
        steps = scored["grade"].str[index].value_counts(normalize=True).sort_index()
        assert steps.cumsum().tolist()[:3] == pytest.approx(np.cumsum(SHARES), abs=0.02), group
    later = matrix()[matrix()["part"] == "test"]
    assert model.metadata.grades == graded(scorer(), training.assign(label=0.0), params).metadata.grades
    assert model.metadata.grades != graded(scorer(), later, params).metadata.grades
    alone = pd.concat([model.score(later.iloc[[row]], 0) for row in range(20)])
    among = model.score(later, 0).set_index("lead_id")["grade"]
    assert alone["grade"].tolist() == among.loc[alone["lead_id"]].tolist()
    best = scored.groupby("grade")["probability"].mean()
    assert best["A1"] > best["C3"] > best["D4"]


def test_cut_offs_come_from_a_bounded_sample_of_complete_leads() -> None:
    small = PARAMS.model_copy(update={"grades": replace_by_share().model_copy(update={"sample_rows": 100})})
    result = graded(scorer(), matrix(), small).metadata.grades
    assert result is not None
    assert result == graded(scorer(), matrix(), small).metadata.grades
    whole = graded(scorer(), matrix(), PARAMS.model_copy(update={"grades": replace_by_share()})).metadata.grades
    assert whole is not None
    assert result != whole
    assert result.fit == pytest.approx(whole.fit, abs=12)


def test_the_matrix_counts_every_row_once() -> None:
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"lead_id": [f"lead {n // 2}" for n in range(400)], "label": (rng.random(400) < 0.3) * 1.0})
    grades = np.char.add(rng.choice(list("ABC"), 400), rng.choice(list("1234"), 400))
    cells = pd.DataFrame(grade_matrix(rows, grades, 0.9)).set_index("grade")
    assert cells.index.tolist() == [letter + digit for letter in "ABCD" for digit in "1234"]
    by_grade = rows.groupby(grades)
    seen = cells[cells["n"] > 0]
    assert seen["n"].to_dict() == by_grade.size().to_dict()
    assert seen["n_positive"].to_dict() == by_grade["label"].sum().astype(int).to_dict()
    assert seen["n_leads"].to_dict() == by_grade["lead_id"].nunique().to_dict()
    assert seen["rate"].astype(float).to_dict() == pytest.approx(by_grade["label"].mean().to_dict())
    assert seen["share"].sum() == pytest.approx(1)
    assert ((seen["rate_low"] <= seen["rate"]) & (seen["rate"] <= seen["rate_high"])).all()
    assert cells.loc[["D1", "D4"], ["rate", "rate_low", "rate_high"]].isna().all(axis=None)


@given(st.integers(1, 80), st.data())
def test_rows_of_leads_of_their_own_have_the_exact_interval(n: int, data: st.DataObject) -> None:
    won = data.draw(st.integers(0, n))
    label = (np.arange(n) < won).astype("float64")
    exact = binomtest(won, n).proportion_ci(0.9, "exact")
    result = rate_interval(label, np.arange(n), 0.9)
    if won in (0, n):
        assert result == pytest.approx((exact.low, exact.high))
    else:  # a lead less: the variance is that of a sample
        assert result[0] < exact.low
        assert result[1] > exact.high
        assert result == pytest.approx((exact.low, exact.high), abs=0.3 / n)


def test_copies_of_a_lead_add_no_information() -> None:
    label = (np.random.default_rng(3).random(60) < 0.3).astype("float64")
    once = rate_interval(label, np.arange(60), 0.9)
    assert rate_interval(np.tile(label, 30), np.tile(np.arange(60), 30), 0.9) == pytest.approx(once)
    assert rate_interval(np.zeros(600), np.repeat(np.arange(20), 30), 0.9) == pytest.approx((0, 1 - 0.05 ** (1 / 20)))
    assert rate_interval(np.zeros(0), np.zeros(0), 0.9) == (0.0, 1.0)
    assert rate_interval(np.array([0.0, 1.0]), np.zeros(2), 0.9)[1] > 0.9  # one lead says next to nothing
    balanced = rate_interval(np.tile([0.0, 1.0], 50), np.repeat(np.arange(50), 2), 0.9)
    assert balanced == pytest.approx(tuple(binomtest(50, 100).proportion_ci(0.9, "exact")))


def test_the_interval_holds_the_truth_where_leads_differ() -> None:
    """Forty leads of ten rows each, whose own rates differ: an interval by rows would miss the truth far too often."""
    rng = np.random.default_rng(4)
    lead = np.repeat(np.arange(40), 10)
    hits, naive = 0, 0
    for _ in range(300):
        label = (rng.random(400) < np.repeat(rng.beta(0.5, 1.5, 40), 10)).astype("float64")
        low, high = rate_interval(label, lead, 0.9)
        by_row = rate_interval(label, np.arange(400), 0.9)
        hits, naive = hits + (low <= 0.25 <= high), naive + (by_row[0] <= 0.25 <= by_row[1])
    assert hits >= 258  # 86% of 300, which 90% would miss once in a hundred times
    assert naive < 225


def test_replacing_the_card_keeps_the_rest() -> None:
    model = scorer()
    assert replace(model, metadata=metadata(grades=None)).score(matrix(), 0)["grade"].eq("").all()
