"""How free-text job titles become levels, and mail domains kinds: the words and the defaults."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from features.schema.spec import Spec

FREE_DOMAINS = [
    "gmail.com",
    "yahoo.com",
    "hotmail.com",
    "outlook.com",
    "icloud.com",
    "gmx.de",
    "web.de",
    "proton.me",
    "aol.com",
    "mail.com",
]


class TitleLevel(Spec):
    """A level of job titles and the words that show it; the first level of a list whose word occurs wins."""

    level: str = Field(min_length=1, description="As features and reports call it.")
    words: list[str] = Field(min_length=1, description="Words of a title, or several in a row, in lower case.")

    @field_validator("words")
    @classmethod
    def _can_occur(cls, words: list[str]) -> list[str]:
        for word in words:
            if not word or word != plain_words(word):
                raise ValueError(f"{word!r} never occurs in a title as it is compared; write {plain_words(word)!r}")
        return words


def plain_words(text: str) -> str:
    """Return a title as it is compared: words of letters and digits in lower case, one space between them."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _level(level: str, words: str) -> TitleLevel:
    return TitleLevel(level=level, words=words.split(", "))


SENIORITY = [
    _level("junior", "junior, jr, intern, trainee, apprentice, assistant to, executive assistant, personal assistant"),
    _level("vice_president", "vp, svp, evp, vice president"),
    _level("specialist", "product owner, business partner, account executive, sales executive, lead generation"),
    _level("manager", "partner manager"),
    _level(
        "executive",
        "ceo, cto, cfo, cio, cmo, coo, chief, founder, cofounder, owner, president, partner, managing director",
    ),
    _level("director", "director, dir, head"),
    _level("manager", "manager, mgr, lead, leader, supervisor"),
    _level("junior", "assistant, student"),
    _level(
        "specialist",
        "engineer, analyst, developer, consultant, specialist, administrator, "
        "coordinator, associate, scientist, accountant, recruiter, representative",
    ),
]
FUNCTION = [
    _level("human_resources", "hr, human resources, people, talent, recruiting, recruiter"),
    _level("finance", "finance, financial, cfo, accounting, accountant, controller, procurement"),
    _level("sales", "sales, account, business development"),
    _level("marketing", "marketing, mktg, cmo, brand, growth, content"),
    _level(
        "information_technology",
        "it, cto, cio, developer, engineer, engineering, software, data, systems, "
        "technology, information, product owner",
    ),
    _level("operations", "operations, operating, ops, coo, logistics, supply"),
    _level("not named", "vice president"),  # of something else, and no president
    _level(
        "general_management",
        "ceo, chief executive, founder, cofounder, owner, president, managing, general manager, general management",
    ),
]
