"""LK11: a field is filled or edited when a lead is closed, whether won or lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.checks import CheckResult
from models.leakage.closing_checks import filled_at_closing
from tests.support.leakage_scenario import AUDIT
from tests.support.tables import DAY, MONDAY, attribute

N = 3000
UNTIL = MONDAY + 400 * DAY
RNG = np.random.default_rng(3)
CREATED = MONDAY + pd.to_timedelta(np.sort(RNG.uniform(0, 390, N)), unit="D")
CLOSES = CREATED + pd.to_timedelta(RNG.exponential(60, N), unit="D")
CLOSED = np.asarray(CLOSES <= UNTIL)
WON = RNG.random(N) < 0.6
IDS = np.array([f"l{number:05d}" for number in range(N)])


def leads(**columns: np.ndarray) -> pd.DataFrame:
    known = {"lead_id": IDS, "position": np.arange(N), "created_at": CREATED}
    return pd.DataFrame(known | columns)


def outcomes() -> pd.DataFrame:
    frame = pd.DataFrame({"lead_id": IDS, "converted": WON, "at": CLOSES})[CLOSED]
    won, lost = (frame["at"].where(frame["converted"] == outcome) for outcome in (True, False))
    return frame.drop(columns="at").assign(converted_at=won, lost_at=lost)


def test_a_lead_with_an_empty_outcome_is_open() -> None:
    every = pd.DataFrame({"lead_id": IDS}).merge(outcomes(), "left", "lead_id")
    attributes = {"account": attribute("category", "creation", column="account")}
    rows, nothing = leads(account=filled(1.0, 0.32)), pd.DataFrame({"lead_id": [], "valid_from": []})
    found = filled_at_closing(rows, every, nothing, attributes, "dates", UNTIL, AUDIT)
    assert found == check(rows)


def check(rows: pd.DataFrame, known: str = "creation", history: pd.DataFrame | None = None) -> CheckResult:
    names = [name for name in rows if name not in ("lead_id", "position", "created_at")]
    attributes = {name: attribute("category", known, column=name) for name in names}
    versions = pd.DataFrame({"lead_id": [], "valid_from": []}) if history is None else history
    return filled_at_closing(rows, outcomes(), versions, attributes, "dates", UNTIL, AUDIT)


def filled(closed: float, still_open: float) -> np.ndarray:
    share = np.where(CLOSED, closed, still_open)
    return np.where(np.random.default_rng(5).random(N) < share, "Acme", None)


@pytest.mark.parametrize("known", ["creation", "export"])
def test_a_field_that_every_closed_lead_has_is_named_though_it_ranks_nobody(known: str) -> None:
    found = check(leads(account=filled(1.0, 0.32), region=filled(0.8, 0.8)), known)
    assert (found.code, found.status, list(found.columns)) == ("LK11", "failed", ["account"])
    assert found.columns["account"].startswith("filled or edited in 100% of closed leads and 3")
    assert "known: outcome" in found.fix


@pytest.mark.parametrize(("closed", "still_open"), [(0.5, 0.5), (0.9, 0.7), (0.3, 0.9), (0.15, 0.02)])
def test_what_open_leads_have_nearly_as_often_is_not_named(closed: float, still_open: float) -> None:
    found = check(leads(account=filled(closed, still_open)))
    assert found.status == "passed"
    assert "account" in found.detail


def test_a_field_that_the_form_has_lost_is_compared_at_the_same_age() -> None:
    """Old leads are closed, and had the field; new ones are open, and were not asked."""
    asked = np.where(np.asarray(CREATED < MONDAY + 200 * DAY), "Acme", None)
    old, recent = (pd.Series(asked)[mask].notna().mean() for mask in (CLOSED, ~CLOSED))
    assert old > 2 * recent and old - recent > 0.2
    assert check(leads(account=asked)).status == "passed"


def edits(at_closing: float) -> pd.DataFrame:
    """An edit of each lead after ten days, and for a share of the closed ones an hour before the closing."""
    first = pd.DataFrame({"lead_id": IDS, "valid_from": CREATED, "stage": "new"})
    second = first.assign(valid_from=first["valid_from"] + 10 * DAY, stage="worked")
    chosen = CLOSED & (np.random.default_rng(6).random(N) < at_closing)
    last = pd.DataFrame({"lead_id": IDS, "valid_from": CLOSES - pd.Timedelta(hours=1), "stage": "done"})[chosen]
    return pd.concat([first, second, last], ignore_index=True)


@pytest.mark.parametrize(("at_closing", "status"), [(0.9, "failed"), (0.0, "passed")])
def test_an_edit_just_before_the_closing_is_seen_in_the_history(at_closing: float, status: str) -> None:
    found = check(leads(stage=np.full(N, "done")), "history", edits(at_closing))
    assert found.status == status
    if status == "failed":
        assert list(found.columns) == ["stage"]


def test_without_lost_or_open_leads_there_is_nothing_to_compare() -> None:
    won = outcomes().query("converted")
    attributes = {"account": attribute("category", "creation", column="account")}
    rows, nothing = leads(account=filled(1.0, 0.3)), pd.DataFrame({"lead_id": [], "valid_from": []})
    none_lost = filled_at_closing(rows, won, nothing, attributes, "dates", UNTIL, AUDIT)
    none_open = filled_at_closing(rows[CLOSED], outcomes(), nothing, attributes, "dates", UNTIL, AUDIT)
    assert (none_lost.status, none_open.status) == ("not applicable", "not applicable")
    undated = filled_at_closing(rows.drop(columns="created_at"), outcomes(), nothing, attributes, "none", pd.NaT, AUDIT)
    assert list(undated.columns) == ["account"]
