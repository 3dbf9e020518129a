"""Leads that may be one: spellings that are alike, what is shared by many, and planted duplicates."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from features.attributes.duplicates import MOST, company_key, groups_of, mail_key, name_key, phone_key

FIRST = ["Anna", "Ben", "Clara", "David", "Elif", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Lena", "Mia", "Noah"]
LAST = ["Abel", "Braun", "Costa", "Dietz", "Ebert", "Faber", "Gross", "Haas", "Iwan", "Jung", "Kern", "Lang", "Mohr"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Ann@Acme.example", "ann@acme.example"),
        (" ann+news@acme.example ", "ann@acme.example"),
        ("A.n.n+x@GoogleMail.com", "ann@gmail.com"),
        ("a.nn@acme.example", "a.nn@acme.example"),
        ("mailto:ann@acme.example", "ann@acme.example"),
        ("info@acme.example", None),
        ("+tag@acme.example", None),
        ("ann", None),
        ("ann@acme", None),
        ("ann lee@acme.example", None),
    ],
)
def test_mail(text: str, key: str | None) -> None:
    assert mail_key(text) == key


@pytest.mark.parametrize("text", ["+49 170 1234567", "0170/123 45 67", "0049 (0)170-1234567", "01701234567 ext. 12"])
def test_phone(text: str) -> None:
    assert phone_key(text) == "701234567"


@pytest.mark.parametrize("text", ["12345", "000000000", "1111111111", "n/a", ""])
def test_no_phone(text: str) -> None:
    assert phone_key(text) is None


def test_names_and_companies() -> None:
    assert {name_key(text) for text in ("Zoë O'Neil", "O’Neil, Zoe", "ZOE ONEIL")} == {"oneil zoe"}
    assert name_key("Zoe") is None
    firms = ("Müller & Söhne GmbH", "MULLER SOHNE", "Müller & Söhne Co. KG")
    assert {company_key(text) for text in firms} == {"muller sohne"}
    assert company_key("GmbH") is None


def test_what_many_share_and_what_is_empty_makes_no_group() -> None:
    mails = pd.Series(["a@b.de"] * (MOST + 1) + ["c@b.de", "C@b.de", None, None, "info@b.de", "info@b.de"], dtype="str")
    assert groups_of((mails, mail_key)).index.tolist() == [MOST + 1, MOST + 2]
    assert groups_of((pd.Series([None, None], dtype="str"), mail_key)).empty


def planted(seed: int) -> tuple[pd.DataFrame, set[tuple[int, int]]]:
    """800 people, many of whom share a name, a firm or a switchboard; 120 of them once more, as typed again."""
    rng = np.random.default_rng(seed)
    people = pd.DataFrame({"first": rng.choice(FIRST, 800), "last": rng.choice(LAST, 800)})
    people["firm"] = [f"{rng.choice(LAST)} {rng.choice(['Bau', 'Soft', 'Med'])} {n % 60}" for n in range(800)]
    people["name"] = people["first"] + " " + people["last"]
    local = people["first"].str.lower() + "." + people["last"].str.lower() + people.index.astype("str")
    people["mail"] = local + np.where(rng.random(800) < 0.3, "@gmail.com", "@firm.example")
    people["phone"] = [f"0{rng.integers(150, 180)} {rng.integers(10**6, 10**7)}" for _ in range(800)]
    people.loc[rng.random(800) < 0.2, "phone"] = "030 1000 200"
    shared = rng.random(800) < 0.1
    people.loc[shared, "mail"] = "info@" + people["firm"].str.replace(" ", "").str.lower() + ".example"
    again = people.sample(120, random_state=seed)
    twice = again.copy()
    twice["mail"] = [_typed_again(mail, int(rng.integers(4))) for mail in again["mail"]]
    twice["phone"] = ["+49 " + phone[1:].replace(" ", "-") if n % 2 else None for n, phone in enumerate(again["phone"])]
    twice["name"] = np.where(rng.random(120) < 0.5, again["last"].str.upper() + ", " + again["first"], again["name"])
    twice["firm"] = again["firm"] + np.where(rng.random(120) < 0.5, " GmbH", "")
    return pd.concat([people, twice], ignore_index=True), {(int(old), 800 + n) for n, old in enumerate(again.index)}


def _typed_again(mail: str, way: int) -> str | None:
    local, _, host = mail.partition("@")
    dotless = local.replace(".", "") if host == "gmail.com" else local
    return [mail.upper(), f"{local}+crm@{host}", f"{dotless}@{host}", None][way]


def pairs_of(groups: pd.Series[int]) -> set[tuple[int, int]]:
    return {pair for _, rows in groups.groupby(groups) for pair in combinations(sorted(rows.index), 2)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_duplicates_are_found_and_few_others(seed: int) -> None:
    leads, truth = planted(seed)
    by_mail = pairs_of(groups_of((leads["mail"], mail_key)))
    by_phone = pairs_of(groups_of((leads["phone"], phone_key)))
    by_name = pairs_of(groups_of((leads["name"], name_key), (leads["firm"], company_key)))
    found = by_mail | by_phone | by_name
    assert len(by_mail & truth) >= 0.6 * len(truth) and by_mail <= truth
    assert len(found & truth) >= 0.95 * len(truth)
    assert len(found - truth) <= 0.02 * len(leads)
