"""Which values of a CRM say that nobody works a lead any more."""

from __future__ import annotations

import pandas as pd
import pytest

from features.schema.lead_status import count_closed, means_closed
from tests.support.tables import attribute


@pytest.mark.parametrize(
    ("column", "value", "closed"),
    [
        ("Lead_Status", "Lost", True),
        ("leadstatus", "Dead Lead", True),
        ("hs_lead_status", "UNQUALIFIED", True),
        ("lifecyclestage", "customer", True),
        ("StageName", "Closed Won", True),
        ("Lead Status", "Closed - Not Converted", True),
        ("Status", "Disqualified - no budget", True),
        ("Tags", "Lost to EINS", True),
        ("outcome of call", "Not interested", True),
        ("outcome of call", "Junk lead", True),
        ("Lead_Status", "Open - Not Contacted", False),
        ("Status", "Potential customer", False),
        ("StageName", "Negotiation", False),
        ("Lead Source", "Customer", False),
        ("Lead Source", "Purchased list", False),
        ("Topic", "Lost password", False),
        ("Country", "NO", False),
    ],
)
def test_what_closes_a_lead(column: str, value: str, closed: bool) -> None:
    assert means_closed(column, value) == closed


def test_closed_leads_are_counted_by_attribute_and_value() -> None:
    attributes = {
        "standing": attribute("category", "outcome", column="Lead_Status"),
        "topic": attribute("category", column="Topic"),
        "size": attribute("number", column="Status"),
    }
    leads = pd.DataFrame(
        {"standing": ["Lost", "Dead", "Lost", None, "New"], "topic": "Lost password", "size": [1.0, 2, 3, 4, 5]}
    )
    assert count_closed(leads, attributes) == {"standing": {"Dead": 1, "Lost": 2}}
