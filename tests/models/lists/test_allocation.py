"""Leads on the lists of owners: caps, equal shares, and each lead on one list or left out with a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.lists.allocation import COMPANY, EXCLUDED, FULL, NEW, NO_CAPACITY, NO_OWNER, NOBODY, ListRules, allocate

OWNERS = ["Anna", "Ben", "Cleo"]
caps = st.none() | st.integers(1, 3)
list_rules = st.builds(
    ListRules,
    capacity=st.fixed_dictionaries({name: st.integers(0, 4) for name in OWNERS}),
    max_per_company=caps,
    max_per_domain=caps,
    max_new=st.none() | st.integers(0, 3),
    deal=st.booleans(),
    territory=st.just({}) | st.just({"Anna": "north", "Ben": "south", "Cleo": "south"}),
)


def leads(**columns: list[object]) -> pd.DataFrame:
    """Leads, the best first; what is not said is empty."""
    n = len(next(iter(columns.values())))
    rest: dict[str, object] = {"rank": np.arange(n, dtype="float64"), "worth": np.linspace(0.9, 0.1, n)}
    rest |= {name: [""] * n for name in ("owner", "held_by", "company", "domain", "territory")}
    return pd.DataFrame(rest | columns, index=pd.Index([f"lead {number}" for number in range(n)]))


@st.composite
def crowds(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 14))

    def column(values: list[str]) -> list[object]:
        return draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))

    chance = draw(st.lists(st.sampled_from([0.01, 0.1, 0.2, 0.5, 0.9]), min_size=n, max_size=n))
    frame = leads(
        owner=column(["", "", *OWNERS, "Left"]),
        held_by=column(["", "", *OWNERS, "Left"]),
        company=column(["", "Acme", "Beta"]),
        domain=column(["", "acme.example"]),
        territory=column(["", "north", "south", "east"]),
        worth=chance,
    )
    excluded = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return frame.assign(rank=frame["rank"].mask(np.array(excluded), np.inf))


@given(crowds(), list_rules)
def test_caps_hold_and_each_lead_is_on_one_list_or_left_out(crowd: pd.DataFrame, rules: ListRules) -> None:
    lists = allocate(crowd, rules)
    rows = crowd.join(lists)
    on_list = rows[rows["list_owner"] != ""]
    assert ((rows["list_owner"] != "") == (rows["left_out"] == "")).all()
    assert (rows["left_out"][np.isinf(rows["rank"])] == EXCLUDED).all()
    sizes = on_list.groupby("list_owner").size()
    assert all(sizes.get(name, 0) <= n for name, n in rules.capacity.items())
    assert set(sizes.index) <= set(OWNERS)
    own = on_list[on_list["owner"] != ""]
    assert (own["list_owner"] == own["owner"]).all(), "a lead with an owner is on its owner's list"
    for cap, column in ((rules.max_per_company, "company"), (rules.max_per_domain, "domain")):
        named = on_list[on_list[column] != ""]
        assert cap is None or named.groupby(column).size().le(cap).all()
    assert rules.max_new is None or on_list[on_list["new"]].groupby("list_owner").size().le(rules.max_new).all()
    free = on_list[(on_list["owner"] == "") & (on_list["held_by"] != on_list["list_owner"])]
    assert not rules.territory or (free["list_owner"].map(rules.territory) == free["territory"]).all()
    assert (on_list["new"] == (on_list["held_by"] != on_list["list_owner"])).all()


@given(crowds(), list_rules, st.randoms())
def test_the_order_of_rows_is_no_matter(crowd: pd.DataFrame, rules: ListRules, random: object) -> None:
    shuffled = crowd.sample(frac=1, random_state=random.randrange(1000))  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(allocate(shuffled, rules).loc[crowd.index], allocate(crowd, rules))


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=30), st.integers(1, 8), st.integers(0, 2))
def test_equals_expect_equal_wins(chance: list[float], places: int, own: int) -> None:
    """Of equals nobody expects more than another by more than one dealt lead, or than its own leads are ahead."""
    chance = sorted(chance, reverse=True)
    mine = [name for name in OWNERS for _ in range(min(own, places))][: len(chance)]
    crowd = leads(worth=chance, owner=[*mine, *[""] * (len(chance) - len(mine))])
    lists = allocate(crowd, ListRules(dict.fromkeys(OWNERS, places)))
    rows = crowd.join(lists)

    def spread(some: pd.DataFrame) -> float:
        wins = some.groupby("list_owner")["worth"].sum().reindex(OWNERS, fill_value=0.0)
        return float(wins.max() - wins.min())

    if len(mine) in (0, len(OWNERS) * min(own, places)):
        most = rows.loc[rows["dealt"], "worth"].max() if rows["dealt"].any() else 0.0
        on_list = rows[rows["list_owner"] != ""]
        assert spread(on_list) <= max(spread(on_list[~on_list["dealt"]]), most) + 1e-9
        assert np.ptp(on_list.groupby("list_owner").size().reindex(OWNERS, fill_value=0)) <= 1


@given(crowds(), list_rules)
def test_without_caps_by_company_no_other_choice_wins_more(crowd: pd.DataFrame, rules: ListRules) -> None:
    """Places, owners and new leads make a matroid, in which taking the best first is best: checked by trying all."""
    few = crowd.head(6).assign(worth=lambda frame: -frame["rank"].clip(upper=1e6) / 1e6 + 1)
    rules = replace(rules, max_per_company=None, max_per_domain=None)
    lists = allocate(few, rules)
    got = few["worth"][lists["list_owner"] != ""].sum()
    best = max(
        few["worth"][chosen].sum()
        for bits in range(2 ** len(few))
        if (chosen := np.array([bits >> n & 1 for n in range(len(few))], dtype=bool)).any() or not bits
        if _fits(few[chosen], rules)
    )
    assert got == pytest.approx(best)


def _fits(chosen: pd.DataFrame, rules: ListRules) -> bool:
    held = chosen["held_by"].where(chosen["held_by"].map(rules.capacity).fillna(0) > 0, "")
    owner = chosen["owner"].where(chosen["owner"] != "", held)
    if np.isinf(chosen["rank"]).any() or (not rules.deal and (owner == "").any()):
        return False
    room: Counter[str] = Counter()
    for name in {*owner, *rules.capacity} - {""}:
        own, places = owner == name, rules.capacity.get(name, 0)
        new = own & (chosen["held_by"] != name)
        left = places - own.sum()
        fresh = left if rules.max_new is None else rules.max_new - new.sum()
        if left < 0 or fresh < 0:
            return False
        room[rules.pool(name)] += min(left, fresh)
    pools = chosen["territory"][owner == ""] if rules.territory else owner[owner == ""]
    return all(n <= room[name] for name, n in Counter(pools).items())


def test_leads_without_an_owner_go_to_whoever_expects_least() -> None:
    crowd = leads(owner=["Anna", "", "Ben", ""], worth=[0.8, 0.5, 0.4, 0.1])
    lists = allocate(crowd, ListRules({"Anna": 2, "Ben": 2}))
    assert lists["list_owner"].tolist() == ["Anna", "Ben", "Ben", "Anna"]
    assert lists["dealt"].tolist() == [False, True, False, True]


def test_a_lead_stays_with_whom_it_was_dealt_to() -> None:
    crowd = leads(held_by=["Ben", "Left", ""], worth=[0.5, 0.4, 0.3])
    lists = allocate(crowd, ListRules({"Anna": 2, "Ben": 2}))
    assert lists["list_owner"].tolist() == ["Ben", "Anna", "Ben"]
    assert lists["new"].tolist() == [False, True, True]


def test_reasons_of_leads_on_no_list() -> None:
    crowd = leads(
        owner=["Anna", "Anna", "Left", "Ben", "Ben", ""],
        company=["Acme", "Acme", "", "", "", ""],
        held_by=["", "", "", "", "", ""],
        rank=[0.0, 1.0, 2.0, 3.0, 4.0, np.inf],
    )
    lists = allocate(crowd, ListRules({"Anna": 2, "Ben": 2}, max_per_company=1, max_new=1))
    assert lists["left_out"].tolist() == ["", COMPANY, NO_CAPACITY, "", NEW, EXCLUDED]
    full = allocate(leads(owner=["", ""]), ListRules({"Anna": 1}))
    assert full["left_out"].tolist() == ["", FULL]
    apart = allocate(leads(owner=["", ""]), ListRules({"Anna": 1}, deal=False))
    assert apart["left_out"].tolist() == [NO_OWNER, NO_OWNER]


def test_leads_without_an_owner_stay_in_their_territory() -> None:
    """They were dealt to whoever expected fewest wins, wherever that was."""
    crowd = leads(owner=[""] * 4, territory=["north", "north", "south", "east"])
    rules = ListRules({"Anna": 1, "Ben": 2}, territory={"Anna": "north", "Ben": "south"})
    lists = allocate(crowd, rules)
    assert lists["list_owner"].tolist() == ["Anna", "", "Ben", ""]
    assert lists["left_out"].tolist() == ["", FULL, "", NOBODY]
