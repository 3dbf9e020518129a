"""Groups of a sensitive attribute: named, counted by lead, compared, and silent where they are small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.evaluation.intervals import clopper_pearson
from models.evaluation.rate_comparison import RateLimits
from models.evaluation.sensitive import GroupLimits, group_figures, groups_of

LIMITS = GroupLimits(least=20, confidence=0.9, rates=RateLimits(0.1))


def rows_of(size: int, called: int, won: int, group: str, first: int = 0) -> pd.DataFrame:
    """Leads of one row each: the first `called` are called, every second lead wins up to `won`."""
    index = np.arange(size)
    return pd.DataFrame(
        {
            "lead_id": [f"L{first + number}" for number in index],
            "label": (index % 2 == 0) & (index // 2 < won),
            "probability": 0.3,
            "called": index < called,
            "best_tier": index < called // 2,
            "group": group,
        }
    ).astype({"label": float})


def figures_of(*parts: pd.DataFrame) -> list:
    rows = pd.concat(parts, ignore_index=True)
    return group_figures(rows, groups_of(rows["group"]), LIMITS)


def test_rates_are_those_of_the_rows_with_exact_intervals() -> None:
    one, other = figures_of(rows_of(200, 100, 60, "a"), rows_of(100, 10, 30, "b", first=500))
    assert (one.group, one.leads, other.group) == ("a", 200, "b")
    called = one.called
    assert called is not None and (called.rate, called.others, called.leads) == (0.5, 0.1, 200)
    assert (called.low, called.high) == pytest.approx(clopper_pearson(100, 200, 0.9), abs=0.001)
    assert one.best_tier is not None and one.best_tier.rate == 0.25
    assert one.true_positive_rate is not None and one.true_positive_rate.rate == pytest.approx(50 / 60)
    assert one.false_positive_rate is not None and one.false_positive_rate.rate == pytest.approx(50 / 140)
    assert one.calibration is not None and one.calibration.observed_rate == pytest.approx(0.3)
    assert one.differing[0] == "called at capacity 50.0% against 10.0% of all others"
    assert called.differs and other.called is not None and other.called.differs


def test_equal_groups_do_not_differ_and_rows_of_one_lead_count_as_one_lead() -> None:
    alone = figures_of(rows_of(100, 20, 20, "a"), rows_of(100, 20, 20, "b", first=500))
    assert not any(one.differing for one in alone)
    rows = pd.concat([rows_of(100, 50, 20, "a"), rows_of(100, 20, 20, "b", first=500)], ignore_index=True)
    once = group_figures(rows, groups_of(rows["group"]), LIMITS)[0].called
    often = pd.concat([rows] * 5, ignore_index=True)
    again = group_figures(often, groups_of(often["group"]), LIMITS)[0].called
    assert once is not None and again is not None and once.leads == again.leads == 100
    assert (again.low, again.high) == pytest.approx((once.low, once.high), abs=0.002)  # not five times as sure


def test_a_figure_of_too_few_leads_is_not_said() -> None:
    few, some = figures_of(rows_of(100, 50, 15, "some"), rows_of(19, 19, 5, "few", first=500))[::-1]
    assert few.leads == 19 and few.called is few.best_tier is few.calibration is None and few.differing == []
    assert some.called is not None and some.true_positive_rate is None  # 15 of its leads convert


def test_one_group_alone_has_nobody_to_differ_from() -> None:
    (only,) = figures_of(rows_of(100, 50, 30, "a"))
    assert only.called is not None and only.called.others is None and only.differing == []


def test_groups_are_bands_or_values() -> None:
    ages = pd.Series([18.0, 29.9, 30.0, 45.0, 61.0, None])
    assert groups_of(ages, [30, 60]).tolist() == ["below 30"] * 2 + ["30 to below 60"] * 2 + ["60 or more", "not known"]
    assert groups_of(pd.Series(np.arange(100.0))).value_counts().to_dict() == {
        "below 24.75": 25, "24.75 to below 49.5": 25, "49.5 to below 74.25": 25, "74.25 or more": 25, "not known": 0,
    }  # fmt: skip
    assert groups_of(pd.Series([None, None], dtype="float64")).tolist() == ["not known"] * 2
    many = groups_of(pd.Series([f"v{number % 40}" for number in range(400)] + ["other", None]))
    assert many.nunique() == 13 and (many == "other").sum() == 290 + 1 and many.cat.categories[-1] == "not known"
