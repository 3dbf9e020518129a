"""What the report says below the leads: overrides by people, leads to look at again, and no names outside the marks."""

from __future__ import annotations

import pandas as pd

from models.lists.overrides import as_overrides, judge
from models.nurture.results import JudgedDays, NextEvent, NurtureSummary
from models.tiers.tier_rules import DRAWN, REASON
from pipelines.reporting.page import environment
from pipelines.reporting.tables import tier_lines
from pipelines.storage.contract_store import without_leads

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2026-01-05")


def shown(call: str, **contents: object) -> str:
    """What a macro of the pages makes of contents, as in a page."""
    macro = '{% import "macros.html.j2" as m with context %}{{ m.' + call + " }}"
    return " ".join(environment().from_string(macro).render(contents).split())


def test_the_report_says_whether_overrides_were_right_and_names_nobody() -> None:
    rows = {"lead_id": [f"L{n}" for n in range(40)], "tier": "hot", "who": "Anna Bell", "own_tier": "cold"}
    given = as_overrides(pd.DataFrame(rows).assign(given_at=START, own_probability=0.05))
    won_at = pd.Series([START + 3 * DAY] * 20 + [pd.NaT] * 20, index=rows["lead_id"])
    found = judge(given, won_at, START + 90 * DAY, 30 * DAY, ["hot", "cold"], 0.9)
    text = shown("by_people(overrides)", overrides=found)
    assert 'id="overrides"' in text
    assert "40 overrides so far, 40 of them old enough to judge." in text
    assert "20 converted: 50.0% (" in text and "5.0% on average: people were right" in text
    assert "Anna" not in text
    assert judge(given.head(1), won_at.head(1), START, 30 * DAY, ["hot", "cold"], 0.9).lines == [
        "1 override so far, 0 of them old enough to judge."
    ]
    assert shown("by_people(overrides)", overrides=None) == ""


def test_a_persons_name_in_a_reason_stands_between_the_marks_that_tracking_takes_out() -> None:
    text = shown("reason(text)", text="override by Anna Bell until 2026-07-14: met at the fair")
    assert "Anna Bell" in text and without_leads(text) == "override"


def test_the_report_says_when_to_look_again_and_what_came_next() -> None:
    event = NextEvent(of="quiet", event_type="b", label="<b>", channel="web", direction="inbound", n=90, rate=0.2,
                      rate_low=0.1, rate_high=0.3)  # fmt: skip
    judged = JudgedDays(lists=4, n=100, leads=80, said=0.2, come=0.3, come_low=0.21, come_high=0.4)
    summary = NurtureSummary(leads={"new": 3}, until_days=56, judged=judged, next_days=28, next=[event])
    text = shown("nurture(summary)", summary=summary)
    assert "3 leads are not ready but likely to be within 56 days: 0 woken, 0 due, 3 new, 0 waiting" in text
    assert text.count("20.0%") == 2, "what came next is said once, in the table"
    assert "30.0% (21.0% to 40.0%) were: more than said" in text
    assert "&lt;b&gt;" in text and "<b>" not in text
    assert shown("nurture(summary)", summary=None) == ""


def test_a_tier_has_one_average_and_one_lowest_score_for_each_way_into_it() -> None:
    reasons = ["", "", "trigger: asked for a demo", f"{DRAWN} of 5%", f"{REASON}Ann"]
    leads = pd.DataFrame(
        {"tier_reason": reasons, "score": [90, 80, 40, 3, 20], "probability": [0.9, 0.7, 0.4, 0.1, 0.2]}
    )
    lines = {line["how"]: (line["n"], line["lowest_score"], line["mean"]) for line in tier_lines(leads)}
    assert lines == {
        ", by score": (2, 80, 0.8),
        ", by a trigger": (1, 40, 0.4),
        ", by people": (1, 20, 0.2),
        ", drawn at random to learn": (1, 3, 0.1),
    }
    assert [line["how"] for line in tier_lines(leads.head(2))] == [""]
