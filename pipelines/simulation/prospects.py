"""Who the simulated leads of the embedded data are: their companies, attributes, edits, and what these are worth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipelines.simulation.market import (
    COMPANIES_PER_LEAD,
    COUNTRIES,
    DAY,
    EDIT_MEAN_DAYS,
    EDITED_AGAIN_SHARE,
    EDITED_SHARE,
    EDITS,
    EMPLOYEES_SPREAD,
    EXECUTIVE_TITLES,
    FREE_DOMAINS,
    FUNCTION_WORDS,
    FUNCTIONS,
    INDUSTRIES,
    LARGE,
    MAIL,
    MEDIAN_EMPLOYEES,
    MESSY_SHARE,
    MOST_EMPLOYEES,
    NEVER,
    PARTNER_LARGE_WORTH,
    SENIORITY,
    SHORT_FORMS,
    SIGNERS,
    SOURCES,
    SWEET_SPOT,
    SWEET_WIDTH,
    SWEET_WORTH,
    SYLLABLES,
    TITLE_PATTERNS,
    Floats,
    Ints,
    Strings,
    column_of,
    effect_of,
)


@dataclass(frozen=True)
class Companies:
    """The employers that leads share, one row a company."""

    industry: Ints
    country: Ints
    employees: Floats
    domain: Strings


@dataclass(frozen=True)
class Prospects:
    """Leads as recorded, one row a lead; a second axis counts versions: at creation, then after each edit.

    Codes index the tables of `market`; the code after the last one, nan and "" stand for an empty field. Times are
    seconds since midnight of the first day.
    """

    number: Ints
    created: Ints
    industry: Ints
    country: Ints
    source: Ints
    mail: Ints
    domain: Strings
    employees: Floats
    seniority: Ints
    function: Ints
    title: Strings
    edited: Ints

    @property
    def created_day(self) -> Ints:
        return self.created // DAY


def draw_companies(leads: int, rng: np.random.Generator) -> Companies:
    """Draw the employers of a market with this many leads."""
    count = max(1, round(COMPANIES_PER_LEAD * leads))
    employees = np.exp(rng.normal(np.log(MEDIAN_EMPLOYEES), EMPLOYEES_SPREAD, count))
    return Companies(
        industry=_draw(rng, count, column_of(INDUSTRIES, 0)),
        country=_draw(rng, count, column_of(COUNTRIES, 0)),
        employees=np.clip(np.rint(employees), 1, MOST_EMPLOYEES),
        domain=_company_domains(count),
    )


def draw_prospects(
    number: Ints,
    created: Ints,
    companies: Companies,
    drift: float,
    missing_share: float,
    newcomers: Floats,
    rng: np.random.Generator,
) -> Prospects:
    """Draw the leads that are created at given moments, with their edits and empty fields.

    Parameters
    ----------
    number, created
        Shape (n,): the running number, and seconds since midnight of the first day.
    drift
        Strength of the shift in the mix of sources.
    missing_share
        Share of attribute values left empty.
    newcomers
        Leads of the last source for each that comes otherwise, at the time of each lead, shape (n,).
    """
    n = len(number)
    employer = rng.integers(len(companies.industry), size=n)
    mail = _blank(_draw(rng, n, column_of(MAIL, 0)), len(MAIL), missing_share, rng)
    employees, seniority, function, title = _draw_versions(companies.employees[employer], missing_share, rng)
    return Prospects(
        number=number,
        created=created,
        industry=_blank(companies.industry[employer], len(INDUSTRIES), missing_share, rng),
        country=_blank(companies.country[employer], len(COUNTRIES), missing_share, rng),
        source=_blank(_draw_sources(created, drift, newcomers, rng), len(SOURCES), missing_share, rng),
        mail=mail,
        domain=_mail_domains(mail, companies.domain[employer], rng),
        employees=employees,
        seniority=seniority,
        function=function,
        title=title,
        edited=_draw_edits(created, rng),
    )


def worth(prospects: Prospects) -> Floats:
    """Log-multiplier of the decision hazard by what a lead is, shape (n, versions)."""
    partner_large = (prospects.source[:, None] == list(SOURCES).index("partner")) & (prospects.employees >= LARGE)
    fixed = (
        effect_of(INDUSTRIES, 1, prospects.industry)
        + effect_of(COUNTRIES, 1, prospects.country)
        + effect_of(SOURCES, 1, prospects.source)
        + effect_of(MAIL, 1, prospects.mail)
    )
    edited = (
        effect_of(SENIORITY, 1, prospects.seniority)
        + effect_of(FUNCTIONS, 1, prospects.function)
        + _signer_table()[prospects.industry[:, None], prospects.seniority]
        + _size_worth(prospects.employees)
        + np.where(partner_large, PARTNER_LARGE_WORTH, 0.0)
    )
    return fixed[:, None] + edited


def eagerness(prospects: Prospects) -> Floats:
    """Multiplier of a lead's visits by what it is at creation, shape (n,)."""
    return np.exp(
        effect_of(INDUSTRIES, 2, prospects.industry)
        + effect_of(SOURCES, 2, prospects.source)
        + effect_of(SENIORITY, 2, prospects.seniority[:, 0])
        + effect_of(MAIL, 2, prospects.mail)
    )


def effort(prospects: Prospects) -> Floats:
    """Multiplier of what sales does about a lead by where it came from, shape (n,)."""
    return np.exp(effect_of(SOURCES, 4, prospects.source))


def _size_worth(employees: Floats) -> Floats:
    """Highest at the sweet spot, falling on both sides; an empty size is worth what an average one is."""
    bump = SWEET_WORTH * np.exp(-0.5 * (np.log(employees / SWEET_SPOT) / SWEET_WIDTH) ** 2)
    return np.where(np.isnan(employees), SWEET_WORTH / 2, bump)


def _signer_table() -> Floats:
    table = np.zeros((len(INDUSTRIES) + 1, len(SENIORITY) + 1))
    for (industry, seniority), extra in SIGNERS.items():
        table[list(INDUSTRIES).index(industry), list(SENIORITY).index(seniority)] = extra
    return table


def _draw(rng: np.random.Generator, count: int, shares: Floats) -> Ints:
    return _pick(np.broadcast_to(shares, (count, len(shares))), rng)


def _pick(shares: Floats, rng: np.random.Generator) -> Ints:
    """One column a row, in proportion to that row's shares."""
    edges = np.cumsum(shares, axis=1)
    codes: Ints = (rng.random(len(shares))[:, None] * edges[:, -1:] >= edges).sum(axis=1)
    return codes


def _draw_sources(created: Ints, drift: float, newcomers: Floats, rng: np.random.Generator) -> Ints:
    years = created / (365.25 * DAY)
    shares = column_of(SOURCES, 0) * np.exp(drift * years[:, None] * column_of(SOURCES, 3))
    shares[:, -1] = newcomers * shares.sum(axis=1)
    return _pick(shares, rng)


def _draw_edits(created: Ints, rng: np.random.Generator) -> Ints:
    """Moments at which the CRM overwrites a lead, shape (n, EDITS), in order; NEVER where it does not."""
    n = len(created)
    waits = np.rint(rng.exponential(EDIT_MEAN_DAYS * DAY, (n, EDITS))).astype(np.int64) + 1
    chosen = rng.random((n, EDITS)) < [EDITED_SHARE, EDITED_AGAIN_SHARE]
    return np.where(np.cumprod(chosen, axis=1) == 1, created[:, None] + np.cumsum(waits, axis=1), NEVER)


def _draw_versions(
    employees: Floats, missing_share: float, rng: np.random.Generator
) -> tuple[Floats, Ints, Ints, Strings]:
    """Size, seniority, function and title by version; an edit fills or changes the size, or the title."""
    n = len(employees)
    grown = rng.random((n, EDITS)) < 0.5
    growths = np.cumsum(_from_creation(grown), axis=1)
    promotions = np.cumsum(_from_creation(~grown), axis=1).astype(np.int64)
    factors = np.exp(np.cumsum(_from_creation(grown * rng.normal(0.2, 0.8, (n, EDITS))), axis=1))
    size = np.clip(np.rint(employees[:, None] * factors), 1, MOST_EMPLOYEES)
    level, unknown = _draw(rng, n, column_of(SENIORITY, 0))[:, None], len(SENIORITY) - 1
    seniority = np.where(level == unknown, level, np.maximum(level - promotions, 0))
    function = np.where(seniority == unknown, len(FUNCTIONS), _draw(rng, n, column_of(FUNCTIONS, 0))[:, None])
    title = _titles(seniority, function, promotions, rng)
    no_size = (growths == 0) & (rng.random((n, 1)) < missing_share)
    no_title = (promotions == 0) & (rng.random((n, 1)) < missing_share)
    return (
        np.where(no_size, np.nan, size),
        np.where(no_title, len(SENIORITY), seniority),
        np.where(no_title, len(FUNCTIONS), function),
        np.where(no_title, "", title),
    )


def _from_creation(edits: Floats | NDArray[np.bool_]) -> Floats:
    """Put a version at creation, without an edit, before those after each edit."""
    return np.pad(edits.astype(np.float64), ((0, 0), (1, 0)))


def _titles(seniority: Ints, function: Ints, promotions: Ints, rng: np.random.Generator) -> Strings:
    """Spell titles; one that was not promoted keeps its spelling."""
    n = len(seniority)
    starts, clean, messy = _title_table()
    cell = seniority * (len(FUNCTIONS) + 1) + function
    choice = np.take_along_axis(rng.random(seniority.shape), promotions, axis=1)
    column = starts[cell] + (choice * (starts[cell + 1] - starts[cell])).astype(np.int64)
    spelled: Strings = np.where(rng.random((n, 1)) < MESSY_SHARE, messy[column], clean[column])
    return spelled


def _title_table() -> tuple[Ints, Strings, Strings]:
    """Spellings of every (seniority, function), one after the other, clean and messy, and where each cell starts."""
    cells = []
    for level, department in product(SENIORITY, [*FUNCTIONS, "unknown"]):
        if level == "executive":
            cells.append(EXECUTIVE_TITLES.get(department, ()))
        elif level == "unknown":
            cells.append(TITLE_PATTERNS[level])
        else:
            words = FUNCTION_WORDS.get(department, ())
            cells.append(tuple(pattern.format(word) for pattern in TITLE_PATTERNS[level] for word in words))
    starts = np.cumsum([0, *(len(cell) for cell in cells)])
    clean = [title for cell in cells for title in cell]
    messy = [_misspell(title, column) for column, title in enumerate(clean)]
    return starts.astype(np.int64), np.array(clean, dtype=object), np.array(messy, dtype=object)


def _misspell(title: str, column: int) -> str:
    for long, short in SHORT_FORMS:
        if column % 2:
            title = title.replace(long, short)
    return (title.upper(), title.lower(), f" {title} ", f"{title} (acting)", title.replace(" ", "  "))[column % 5]


def _company_domains(count: int) -> Strings:
    """Invented names under the reserved ending .example: the company's number, written in syllables."""
    base = len(SYLLABLES)
    digits = max(3, int(np.ceil(np.log(count) / np.log(base))))
    syllables = np.array(SYLLABLES, dtype=object)
    index = np.arange(count)
    name: Strings = syllables[index % base]
    for column in range(1, digits):
        name = name + syllables[index // base**column % base]
    domain: Strings = name + ".example"
    return domain


def _mail_domains(mail: Ints, company: Strings, rng: np.random.Generator) -> Strings:
    free = np.array(FREE_DOMAINS, dtype=object)[
        (len(FREE_DOMAINS) * rng.random(len(mail)) ** 2).astype(np.int64)  # squared: the first ones are most usual
    ]
    campus = np.array([f"campus-{number:03d}.edu" for number in range(200)], dtype=object)
    academic = campus[rng.integers(len(campus), size=len(mail))]
    empty = np.full(len(mail), "", dtype=object)
    return np.array(np.choose(mail, [company, free, academic, empty]), dtype=object)


def _blank(codes: Ints, empty: int, share: float, rng: np.random.Generator) -> Ints:
    return np.where(rng.random(len(codes)) < share, empty, codes).astype(np.int64)
