"""The four parts of a change add up, and each answers to its own cause alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from features.matrix.counterfactual import attributes_then, counterfactuals, edits, new_events
from features.matrix.matrix import feature_matrix
from models.explanation.score_change import (
    BASE,
    PARTS,
    ChangeStep,
    ScoreChange,
    explain_change,
    table,
    theme_totals,
    totals,
)
from models.learners.ensemble import Ensemble
from models.scoring.scorer import Scorer
from models.tiers.score_lists import flows
from models.training.training import history_of
from tests.support.small_model import SETTINGS, matrix, metadata, scorecard, scorer
from tests.support.tables import ATTRIBUTES, DAY, HOUR, MONDAY, SPEC, VOCABULARY, Row, Scenario, crowd, frame, scenarios

SINCE, UNTIL = MONDAY, MONDAY + 7 * DAY
CROWD = crowd((SINCE, UNTIL))
LEADS = sorted({lead for lead, _ in CROWD.pairs})
few = settings(max_examples=2)


@cache
def newer() -> Scorer:
    """A model with a shorter vocabulary, so that themes and features of the other one are gone."""
    vocabulary = VOCABULARY.model_copy(
        update={"event_types": ["visit"], "valued_types": ["visit"], "channels": {"visit": "online"}}
    )
    spec = SPEC.model_copy(update={"vocabulary": vocabulary})
    models = Ensemble.train(history_of(matrix(), spec.catalogue, "dates", seed=1), SETTINGS, seed=9, threads=2)
    return Scorer(metadata(matrix=spec, linear_share=0.3), models, scorecard())


def steps(scenario: Scenario, old: Scorer, new: Scorer, leads: list[str] | None = None) -> list[ChangeStep]:
    ids = pd.Series(LEADS if leads is None else leads, dtype="str")
    since, until = (matrix_at(scenario, ids, when, one) for when, one in ((SINCE, old), (UNTIL, new)))
    between = counterfactuals(at(scenario, ids, UNTIL).tables, old.metadata.matrix, SINCE)
    data = [ChangeStep(part, old, of.assign(lead_id=ids)) for part, of in between.items()]
    return [ChangeStep("", old, since), *data, ChangeStep("new_model", new, until)]


def at(scenario: Scenario, ids: pd.Series[str], when: pd.Timestamp) -> Scenario:
    """The same with one snapshot of each lead."""
    return replace(scenario, pairs=[(lead, when) for lead in ids])


def matrix_at(scenario: Scenario, ids: pd.Series[str], when: pd.Timestamp, model: Scorer) -> pd.DataFrame:
    return feature_matrix(at(scenario, ids, when).tables, model.metadata.matrix).assign(lead_id=ids)


def changed(scenario: Scenario, new: Scorer | None = None, leads: list[str] | None = None) -> ScoreChange:
    return explain_change(steps(scenario, scorer(), new or scorer(), leads))


@cache
def crowd_steps(again: bool = False) -> list[ChangeStep]:
    return steps(CROWD, scorer(), scorer() if again else newer())


@cache
def of_crowd(again: bool = False) -> ScoreChange:
    """The crowd between its two days; with the same model again, or with the newer one."""
    return explain_change(crowd_steps(again))


def of_some(places: slice) -> ScoreChange:
    """Some leads of the crowd by themselves."""
    return explain_change([replace(step, matrix=step.matrix.iloc[places]) for step in crowd_steps()])


def known(row: Row, at: pd.Timestamp) -> bool:
    return bool(row["event_at"] < at and row["known_at"] <= at)


def assert_adds_up(change: ScoreChange) -> None:
    assert change.parts.sum(axis=1).to_numpy() == pytest.approx(change.end - change.start, abs=1e-9)
    assert set(change.themes) <= set(PARTS)
    assert (change.parts[[part for part in PARTS if part not in change.themes]] == 0).all(axis=None)
    for part in change.themes:
        assert change.themes[part].sum(axis=1).to_numpy() == pytest.approx(change.parts[part].to_numpy(), abs=1e-9)


@pytest.mark.parametrize("again", [False, True])
def test_parts_and_their_themes_sum_to_the_difference(again: bool) -> None:
    new = scorer() if again else newer()
    change = of_crowd(again)
    assert_adds_up(change)
    assert (change.parts.abs().max() > 0.5).to_dict() == dict.fromkeys(PARTS, True) | {
        "newer_outcomes": False,
        "new_model": not again,
    }
    for points, at, one in ((change.start, SINCE, scorer()), (change.end, UNTIL, new)):
        log_odds = one.log_odds(matrix_at(CROWD, pd.Series(LEADS), at, one))
        assert points.tolist() == one.metadata.points.points(log_odds).tolist()


@few
@given(scenario=scenarios((SINCE, UNTIL)))
def test_any_scenario_adds_up(scenario: Scenario) -> None:
    assert_adds_up(changed(scenario, newer(), sorted({lead for lead, _ in scenario.pairs})))


def test_each_step_is_what_the_tables_of_that_time_would_have_given() -> None:
    """Written out by hand: rows not yet known are dropped, edited attributes are set back, and the moment is later."""
    found = counterfactuals(at(CROWD, pd.Series(LEADS), UNTIL).tables, SPEC, SINCE)
    old_events = [row for row in CROWD.events if known(row, SINCE)]
    then = [lead | _version(lead["lead_id"], SINCE) for lead in CROWD.leads]
    pairs = [(lead, UNTIL) for lead in LEADS]
    expected = {
        "time_passing": Scenario(pairs, then, [], old_events),
        "edited_attributes": Scenario(pairs, CROWD.leads, CROWD.history, old_events),
        "new_events": Scenario(pairs, CROWD.leads, CROWD.history, CROWD.events),
    }
    assert list(found) == list(expected)
    for part, scenario in expected.items():
        pd.testing.assert_frame_equal(found[part], feature_matrix(scenario.tables, SPEC), check_exact=True)
    assert 0 < len(old_events) < len(CROWD.events)


def _version(lead: str, at: pd.Timestamp) -> Row:
    """The historic attributes as the CRM showed them; none where the lead was never edited."""
    of_lead = sorted((row for row in CROWD.history if row["lead_id"] == lead), key=lambda row: row["valid_from"])
    past = [row for row in of_lead if row["valid_from"] < at]
    names = [name for name, spec in ATTRIBUTES.items() if spec.known == "history"]
    if not of_lead:
        return {}
    return {name: past[-1][name] for name in names} if past else dict.fromkeys(names)


def test_without_new_events_and_edits_all_of_it_is_time() -> None:
    quiet = replace(
        CROWD,
        events=[row for row in CROWD.events if known(row, SINCE)],
        history=[row for row in CROWD.history if row["valid_from"] < SINCE],
    )
    change = changed(quiet)
    assert (change.parts[["edited_attributes", "new_events", "new_model"]] == 0).all(axis=None)
    assert all((change.themes[part] == 0).all(axis=None) for part in PARTS[1:] if part in change.themes)
    assert change.parts["time_passing"].tolist() == (change.end - change.start).tolist()


def test_the_same_day_and_the_same_model_change_nothing() -> None:
    rows = matrix_at(CROWD, pd.Series(LEADS), SINCE, scorer())
    change = explain_change([ChangeStep("", scorer(), rows), ChangeStep("new_model", scorer(), rows)])
    assert (change.parts == 0).all(axis=None)
    assert change.start.tolist() == change.end.tolist()
    assert set(rows_of(change)["text"]) == {"no change of a point"}


def test_newer_outcomes_move_the_base_of_all_leads_alike() -> None:
    rows, old = matrix_at(CROWD, pd.Series(LEADS), SINCE, scorer()), scorer()
    fresh = old.with_intercept(old.sigmoid.intercept - 0.7)
    change = explain_change([ChangeStep("", old, rows), ChangeStep("newer_outcomes", fresh, rows)])
    assert_adds_up(change)
    assert change.parts["newer_outcomes"].to_numpy() == pytest.approx(-0.7 * old.metadata.points.factor)
    assert (change.themes["newer_outcomes"].drop(columns=BASE) == 0).all(axis=None)
    assert (rows_of(change)["text"].str.contains("from newer outcomes")).all()
    scored, again = (one.score(rows, 3) for one in (old, fresh))
    assert again["reasons"].tolist() == scored["reasons"].tolist()
    assert again["points"].rank().tolist() == scored["points"].rank().tolist()
    assert fresh.model_id == old.model_id


def test_with_one_day_and_two_models_all_of_it_is_the_model() -> None:
    old, new = (matrix_at(CROWD, pd.Series(LEADS), SINCE, model) for model in (scorer(), newer()))
    change = explain_change([ChangeStep("", scorer(), old), ChangeStep("new_model", newer(), new)])
    assert change.parts["new_model"].tolist() == (change.end - change.start).tolist()
    assert change.themes["new_model"].sum(axis=1).to_numpy() == pytest.approx(change.end - change.start, abs=1e-9)
    gone = [entry.theme for entry in scorer().catalogue if entry.theme not in {one.theme for one in newer().catalogue}]
    assert gone and change.themes["new_model"][gone].abs().to_numpy().max() > 0


def event(lead: str, at: pd.Timestamp, known_at: pd.Timestamp) -> Row:
    sides = {"direction": "inbound", "channel": "online"}
    return {"lead_id": lead, "event_at": at, "known_at": known_at, "event_type": "visit", "value": 1.5} | sides


def edit(lead: str, at: pd.Timestamp) -> Row:
    return {"lead_id": lead, "valid_from": at, "size": 77.0, "job": "CEO", "stage": "late"}


def test_what_is_known_only_after_the_later_day_changes_nothing() -> None:
    later = [
        event(LEADS[0], UNTIL - DAY, UNTIL + HOUR),
        event(LEADS[1], UNTIL, UNTIL),
        event(LEADS[2], SINCE - DAY, UNTIL + DAY),
    ]
    edited = [edit(row["lead_id"], UNTIL) for row in CROWD.history[:3]]
    after = changed(replace(CROWD, events=[*CROWD.events, *later], history=[*CROWD.history, *edited]), newer())
    pd.testing.assert_frame_equal(rows_of(after), rows_of(of_crowd()), check_exact=True)


def test_one_more_event_moves_the_events_of_its_lead_and_nothing_else() -> None:
    times = [(SINCE, SINCE), (SINCE - 2 * DAY, SINCE + HOUR), (UNTIL - DAY, UNTIL), (SINCE + DAY, UNTIL)]
    more = [event(lead, *pair) for lead, pair in zip(LEADS, times, strict=False)]
    before, after = of_crowd(again=True), changed(replace(CROWD, events=[*CROWD.events, *more]))
    others = [part for part in PARTS if part != "new_events"]
    pd.testing.assert_frame_equal(after.parts[others], before.parts[others], check_exact=True)
    moved = after.parts["new_events"] != before.parts["new_events"]
    assert after.lead_id[moved].tolist() == LEADS[: len(times)]
    assert_adds_up(after)


def test_one_more_edit_moves_no_time() -> None:
    lead = LEADS[0]
    assert any(row["lead_id"] == lead for row in CROWD.history)
    before = of_crowd(again=True)
    after = changed(replace(CROWD, history=[*CROWD.history, edit(lead, UNTIL - HOUR)]))
    assert after.parts["time_passing"].tolist() == before.parts["time_passing"].tolist()
    assert after.lead_id[after.parts["edited_attributes"] != before.parts["edited_attributes"]].tolist() == [lead]
    assert_adds_up(after)


def test_news_are_what_counts_at_the_later_day_and_did_not_at_the_earlier() -> None:
    found = new_events(CROWD.event_table, SINCE, UNTIL).to_pyarrow().to_pylist()
    expected = [row for row in CROWD.events if known(row, UNTIL) and not known(row, SINCE)]
    keys = ["lead_id", "event_at", "known_at", "event_type", "direction", "channel"]
    assert sorted([row[key] for key in keys] for row in found) == sorted([row[key] for key in keys] for row in expected)
    assert any(row["event_at"] < SINCE for row in expected)


def test_one_lead_changes_as_it_does_among_others() -> None:
    together = rows_of(of_crowd()).set_index("lead_id")
    for place in range(0, len(LEADS), 7):
        alone = rows_of(of_some(slice(place, place + 1))).set_index("lead_id")
        pd.testing.assert_frame_equal(alone, together.iloc[[place]], check_exact=True)


def rows_of(change: ScoreChange) -> pd.DataFrame:
    """The table, with counts as the pipeline takes them."""
    return table(change, pd.DataFrame({"n_edited_attributes": 1, "n_new_events": 2}, index=change.parts.index), 3)


def test_reasons_are_the_strongest_of_all_parts() -> None:
    change = of_crowd()
    everything = pd.concat(change.themes, axis=1)
    for place, row in rows_of(change).iterrows():
        strongest = everything.iloc[int(str(place))].abs().nlargest(3)
        said = json.loads(row["reasons"])
        assert [(one["part"], one["theme"]) for one in said] == strongest[strongest > 0.5].index.tolist()
        for one in said:
            assert one["points"] == pytest.approx(
                change.themes[one["part"]][one["theme"]].iloc[int(str(place))], abs=1e-4
            )


def change_of(points: dict[str, float], moved: bool = True) -> ScoreChange:
    """One lead whose parts each come from one theme."""
    parts = pd.DataFrame([[points.get(part, 0.0) for part in PARTS]], columns=list(PARTS))
    themes = {part: pd.DataFrame({"": [0.0], "event:visit": [points.get(part, 0.0)]}) for part in PARTS}
    total = sum(points.values())
    return ScoreChange(
        lead_id=pd.Series(["x"]),
        start=np.array([50.0]),
        end=np.array([50.0 + total]),
        parts=parts,
        themes=themes,
        moved={part: pd.DataFrame({"": [False], "event:visit": [moved]}) for part in PARTS},
        labels={"": "base points", "event:visit": "site visit"},
    )


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ({"new_events": 12.3, "time_passing": -4.2}, "up 8 points: +12 from 2 new events (site visit +12), "
         "-4 from time passing (site visit -4)"),
        ({"edited_attributes": -1.2}, "down 1 point: -1 from 1 edited attribute (site visit -1)"),
        ({"new_model": 3.0, "time_passing": -3.0}, "no change of a point: -3 from time passing (site visit -3), "
         "+3 from the new model (site visit +3)"),
        ({"new_model": 0.4}, "no change of a point"),
    ],
)  # fmt: skip
def test_the_sentence_names_parts_worth_a_point_strongest_first(points: dict[str, float], said: str) -> None:
    assert rows_of(change_of(points))["text"].item() == said


def test_a_theme_whose_features_did_not_move_is_not_named() -> None:
    assert rows_of(change_of({"new_events": 5.0}, moved=False))["text"].item() == "up 5 points: +5 from 2 new events"


def test_only_themes_that_moved_are_named_in_a_crowd() -> None:
    change = of_crowd(again=True)
    fixed = [theme for theme in change.themes["new_events"] if not str(theme).startswith("event:")]
    assert not change.moved["new_events"][fixed].any(axis=None)
    assert change.themes["new_events"][fixed].abs().to_numpy().max() > 0.5  # they act together with events
    named = rows_of(change)["text"].str.extract(r"new events \((.+?)\)")[0].dropna()
    assert not named.str.contains("line of business|company size|mail domain").any()


def test_totals_are_sums_over_the_rows() -> None:
    change = of_crowd()
    rows = rows_of(change)
    found = totals(rows, theme_totals(change))
    assert found.n == len(LEADS)
    means = [found.parts[part].mean for part in PARTS]
    assert sum(means) == pytest.approx(found.difference.mean, abs=1e-9)
    for part in PARTS:
        assert found.parts[part].up == (rows[part] > 0.5).sum()
        themes = found.themes[part]
        assert sum(one.mean for one in themes) == pytest.approx(found.parts[part].mean, abs=1e-9)
        strength = [one.mean_absolute for one in themes]
        assert strength == sorted(strength, reverse=True)


def test_totals_of_two_shards_are_those_of_both_together() -> None:
    parts = [of_some(slice(20)), of_some(slice(20, None))]
    rows = pd.concat([rows_of(part) for part in parts], ignore_index=True)
    found = totals(rows, pd.concat([theme_totals(part) for part in parts]))
    assert _rounded(found.model_dump()) == _rounded(totals(rows_of(of_crowd()), theme_totals(of_crowd())).model_dump())


def _rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_rounded(value) for value in tree]
    return round(tree, 6) if isinstance(tree, float) else tree


def test_no_leads_on_both_lists_give_empty_totals() -> None:
    change = of_some(slice(0))
    found = totals(rows_of(change), theme_totals(change))
    assert (found.n, found.difference.mean) == (0, 0.0)


def test_tiers_flow_and_a_lead_on_one_list_has_none_on_the_other() -> None:
    found = flows(pd.Series(["hot", "hot", None, "cold"]), pd.Series(["hot", "hot", "cold", None]))
    assert [(flow.tier_from, flow.tier_to, flow.n) for flow in found] == [
        ("hot", "hot", 2),
        (None, "cold", 1),
        ("cold", None, 1),
    ]


def test_edits_are_values_that_differ_and_there_and_back_is_none() -> None:
    leads = frame("leads", [{"lead_id": one, "position": 0, "created_at": SINCE - 90 * DAY} for one in "abc"])
    rows = [edit(lead, SINCE - 50 * DAY) for lead in "abc"]
    rows += [edit("a", SINCE + DAY) | {"size": None}, edit("b", SINCE + DAY) | {"job": "Clown"}, edit("b", UNTIL - DAY)]
    history = frame("attribute_history", rows)
    then, now = (attributes_then(leads["lead_id"], leads, history, ATTRIBUTES, at) for at in (SINCE, UNTIL))
    found = edits(then, now, ATTRIBUTES)
    assert found[["lead_id", "attribute", "then"]].to_numpy().tolist() == [["a", "size", 77.0]]
    assert found["now"].isna().all()
