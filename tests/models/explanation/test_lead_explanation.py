"""One lead's story: points that add up step by step, leads like it found by brute force, words for what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from features.matrix.counterfactual import NextEvent
from models.explanation.lead_explanation import (
    EventEffect,
    attributes_known,
    event_effects,
    next_steps,
    similar_in_reasons,
    similar_in_score,
    standing,
    theme_points,
    timeline,
)
from tests.support.small_model import ENTRIES, matrix, scorer
from tests.support.tables import ATTRIBUTES, DAY, MONDAY, VOCABULARY, attribute

ROWS = matrix().assign(probability=scorer().probability(matrix()))[["lead_id", "snapshot_at", "label", "probability"]]


@given(st.integers(0, len(matrix()) - 1))
def test_the_waterfall_ends_at_the_points_of_the_lead(place: int) -> None:
    row = matrix().iloc[[place]]
    found, scored = standing(scorer(), row), scorer().score(row, 5).iloc[0]
    assert (found.score, found.probability) == (scored["score"], scored["probability"])
    steps = found.steps
    assert steps[0].start == 0
    assert steps[0].end == scored["base_points"]
    assert [step.start for step in steps[1:]] == [step.end for step in steps[:-1]]
    assert steps[-1].end == pytest.approx(scored["points"], abs=1e-8)
    assert sum(step.shown for step in steps) == pytest.approx(round(steps[-1].end, 1), abs=1e-9)
    assert all(abs(step.shown - step.points) <= 0.1001 for step in steps)
    assert scored["base_points"] + found.fit + found.engagement == pytest.approx(found.points, abs=1e-9)


@given(st.integers(0, len(matrix()) - 1))
def test_each_theme_is_a_step_of_its_own_or_too_small_for_one(place: int) -> None:
    row = matrix().iloc[[place]]
    steps = standing(scorer(), row).steps
    sums = theme_points(scorer(), row)[0]
    large = sorted(sums[np.abs(sums) > 0.5], key=abs, reverse=True)
    named = [step.points for step in steps if step.group in ("fit", "engagement")]
    assert named == pytest.approx(large, abs=1e-9)
    assert sum(sums) == pytest.approx(steps[-1].end - steps[0].end, abs=1e-8)


def test_theme_points_are_the_contributions_summed_by_theme() -> None:
    _, parts = scorer().contributions(matrix())
    frame = pd.DataFrame(parts.T, index=[entry.theme for entry in ENTRIES]).groupby(level=0, sort=False).sum().T
    np.testing.assert_allclose(theme_points(scorer(), matrix()), frame.to_numpy(), atol=1e-9)


def test_moves_are_what_the_model_says_of_the_changed_rows_best_first() -> None:
    model, rows = scorer(), matrix().head(4)
    more = [NextEvent(name, side, "online", None) for name, side in zip("abc", ["inbound", "outbound", "inbound"])]  # noqa: B905
    found = event_effects(model, rows.head(1), rows.iloc[1:], more, {"a": "a call"})
    after = {move.label: move for move in found}
    points = model.metadata.points.points(model.log_odds(rows))
    assert [after[name].points for name in ("a call", "b", "c")] == pytest.approx((points[1:] - points[0]).tolist())
    assert [after[name].probability for name in ("a call", "b", "c")] == model.probability(rows.iloc[1:]).tolist()
    assert [move.points for move in found] == sorted((move.points for move in found), reverse=True)
    assert (after["a call"].by, after["b"].by) == ("the lead", "sales")


def test_a_change_that_the_boosters_do_not_agree_on_is_not_clear() -> None:
    model, rows = scorer(), matrix().head(30)
    more = [NextEvent(f"n{number}", "inbound", "online", None) for number in range(29)]
    found = {move.label: move for move in event_effects(model, rows.head(1), rows.iloc[1:], more, {})}
    boosters, share = model.models.boosters, model.metadata.linear_share
    seen = model.models.target_encoding.apply(model.values(rows))
    trees = np.array([replace(boosters, models=[one]).log_odds(seen) for one in boosters.models])
    linear = model.models.linear.log_odds(model.values(rows))
    points = model.metadata.points.points(model.sigmoid.log_odds((1 - share) * trees + share * linear))
    errors = np.std(points[:, 1:] - points[:, :1], axis=0, ddof=1)
    for number, error in enumerate(errors):
        move = found[f"n{number}"]
        assert move.error == pytest.approx(error, abs=1e-9)
        assert move.clear == (abs(move.points) > move.error)
    small, large = (EventEffect("", "sales", points, 0.4, 50, 0.5) for points in (-0.3, -0.5))
    assert (small.clear, large.clear, replace(small, points=0.04, error=0.0).clear) == (False, True, False)


def test_next_steps_are_those_of_the_lead_within_the_horizon_and_before_it_converted() -> None:
    leads = pd.DataFrame({"lead_id": ["a", "b", "c", "d"], "snapshot_at": MONDAY})
    leads["converted_at"] = pd.Series([MONDAY + 5 * DAY, *[pd.NaT] * 3], dtype="datetime64[us]")
    rows = [("a", 1, "demo"), ("a", 2, "demo"), ("a", 6, "setup"), ("b", 3, "visit"), ("a", 3, "visit")]
    rows += [("b", 31, "demo"), ("c", -1, "demo"), ("z", 1, "visit")]
    log = pd.DataFrame(rows, columns=["lead_id", "day", "event_type"]).assign(direction="inbound")
    log.loc[len(log)] = ["c", 2, "mail", "outbound"]
    log["event_at"] = MONDAY + pd.to_timedelta(log["day"], unit="D")
    found = next_steps(leads, log, 30, {"demo": "asked for a demo"})
    assert [(one.label, one.share) for one in found] == [("visit", 0.5), ("asked for a demo", 0.25)]
    assert next_steps(leads.tail(1), log, 30, {}) == []


@pytest.mark.parametrize("probability", [0.02, 0.3, 0.97])
def test_leads_near_in_score_are_the_nearest_each_once(probability: float) -> None:
    twice = pd.concat([ROWS, ROWS.assign(snapshot_at=MONDAY, label=1 - ROWS["label"])], ignore_index=True)
    twice.loc[len(ROWS) :, "probability"] = twice["probability"].iloc[len(ROWS) :] * 0.9
    found = similar_in_score(twice, probability, 50, 0.9)
    assert found is not None
    best: dict[str, tuple[float, float, float]] = {}
    for row in twice.to_dict("records"):
        gap = abs(logit(row["probability"]) - logit(probability))
        best[row["lead_id"]] = min(best.get(row["lead_id"], (np.inf, 0, 0)), (gap, row["label"], row["probability"]))
    near = sorted(best.values())[:50]
    assert (found.n, found.converted) == (50, sum(label for _, label, _ in near))
    assert found.predicted == pytest.approx(np.mean([one for _, _, one in near]))
    assert (found.lowest, found.highest) == (min(one for *_, one in near), max(one for *_, one in near))
    assert found.low <= found.rate <= found.high


def test_leads_alike_in_reasons_are_the_nearest_by_points_of_themes() -> None:
    themes = theme_points(scorer(), matrix())
    found = similar_in_reasons(ROWS, themes, themes[[7]], 1, 0.9)
    assert found is not None
    assert (found.n, found.predicted) == (1, ROWS["probability"].iloc[7])
    wide = similar_in_reasons(ROWS, themes, themes[[7]], 30, 0.9)
    assert wide is not None
    order = np.argsort(((themes - themes[7]) ** 2).sum(axis=1), kind="stable")[:30]
    assert wide.converted == ROWS["label"].iloc[order].sum()


def test_the_interval_is_wilsons_and_nobody_is_nobody() -> None:
    rows = ROWS.head(100).assign(label=[1.0] * 10 + [0.0] * 90)
    found = similar_in_score(rows, 0.1, 1_000, 0.95)
    assert found is not None
    assert (found.n, found.rate) == (100, 0.1)
    assert (found.low, found.high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert similar_in_score(rows.head(0), 0.1, 10, 0.95) is None


def test_attributes_are_told_as_known_and_those_of_the_outcome_are_not() -> None:
    known = {"sector": "toys", "size": 1.0, "job": None, "stage": "early", "mail": "Ann@gmail.com", "rating": "A"}
    attributes = {**ATTRIBUTES, "seats": attribute("number", unit="seats", label="seats wanted")}
    found = attributes_known(pd.DataFrame([known | {"seats": 1.0}]), attributes, VOCABULARY)
    told = {row["label"]: (row["value"], row["note"]) for row in found}
    assert told["line of business"] == ("toys", "rare or new, counts as other")
    assert told["company size"] == ("1 employees", "") or told["company size"] == ("1 employee", "")
    assert told["job title"] == ("not known", "")
    assert told["buying stage"] == ("early", "")
    assert told["seats wanted"] == ("1 seat", "")
    assert "rating" not in told


def test_the_timeline_holds_what_counts_newest_first() -> None:
    def event(kind: str, days: float, late: float = 0, side: str = "inbound") -> dict[str, object]:
        at = MONDAY - days * DAY
        rest = {"direction": side, "channel": "online", "value": np.nan}
        return {"event_at": at, "known_at": at + late * DAY, "event_type": kind} | rest

    log = [event("visit", 3), event("call", 1, side="outbound"), event("visit", 0), event("visit", 2, 3)]
    log += [event("chat", 5, 2), event("call", -1)]
    found = timeline(pd.DataFrame(log), MONDAY, VOCABULARY, {"visit": "site visit"})
    assert [(one["label"], one["days"], one["by"]) for one in found] == [
        ("call", 1.0, "sales"),
        ("site visit", 3.0, "the lead"),
        ("chat", 5.0, "the lead"),
    ]
    assert [one["late"] for one in found] == [0.0, 0.0, 2.0]
    assert found[2]["note"]
    assert not found[0]["note"]
