"""What makes a published list another one."""

from __future__ import annotations

from models.revenue.declarations import MoneyParams
from pipelines.scheduled.manifest import Policy
from tests.support.tables import PARAMS


def test_money_is_policy_so_that_its_list_is_another_one_and_off_it_is_none() -> None:
    def version(**money: str) -> str:
        return Policy.of(PARAMS.model_copy(update={"money": MoneyParams.model_validate(money)})).version

    shown, ranked = version(deal_value="amount"), version(deal_value="amount", rank_by="revenue")
    assert len({Policy.of(PARAMS).version, shown, ranked}) == 3
    assert version() == Policy.of(PARAMS).version
