"""Who the simulated leads of the embedded data are: their companies, attributes, edits, and what these are worth.

Every figure below describes an invented market. An empty field acts like an average one, so that what drives a lead
is what its record says, and the known truth needs nothing that the tables do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.object_]
Table = Mapping[str, tuple[float, ...]]  # one row a code

DAY = 86_400  # seconds
NEVER = np.int64(2) ** 53  # seconds; later than any export, and exact as a float

# name: (share of leads or companies, worth in log-hazard, eagerness in log-rate of visits where there is one)
INDUSTRIES = {
    "software": (0.20, 0.35, 0.2),
    "manufacturing": (0.18, 0.25, -0.1),
    "retail": (0.12, -0.20, 0.0),
    "health care": (0.11, 0.05, -0.1),
    "financial services": (0.10, 0.40, 0.0),
    "logistics": (0.08, 0.10, 0.0),
    "consulting": (0.08, -0.30, 0.2),
    "education": (0.06, -0.90, 0.2),
    "energy": (0.04, 0.15, -0.2),
    "public sector": (0.03, -0.70, -0.2),
}
COUNTRIES = {
    "Germany": (0.24, 0.25),
    "United States": (0.20, 0.10),
    "United Kingdom": (0.12, 0.05),
    "France": (0.10, -0.05),
    "Netherlands": (0.08, 0.15),
    "India": (0.08, -0.55),
    "Switzerland": (0.06, 0.25),
    "Spain": (0.05, -0.10),
    "Poland": (0.04, -0.05),
    "Brazil": (0.03, -0.40),
}
# name: (share, worth, eagerness, growth of its odds a year at drift 1, log-rate at which sales writes and calls)
SOURCES = {
    "organic search": (0.24, 0.10, 0.1, -0.15, -0.2),
    "paid search": (0.18, -0.20, 0.0, 0.25, -0.1),
    "social media": (0.14, -0.55, 0.1, 0.45, -0.8),
    "content download": (0.13, -0.15, 0.3, 0.10, 0.3),
    "webinar": (0.09, 0.15, 0.3, 0.00, 0.5),
    "referral": (0.08, 0.70, 0.0, -0.20, -0.4),
    "partner": (0.07, 0.45, -0.1, -0.10, -0.6),
    "trade fair": (0.05, 0.20, -0.2, -0.25, 0.7),
    "cold call": (0.02, -0.60, -0.5, -0.30, 0.8),
    "marketplace": (0.00, -1.40, 0.6, 0.00, -0.3),  # comes with a shock alone
}
SENIORITY = {
    "executive": (0.10, 0.45, -0.3),
    "vice president": (0.07, 0.55, -0.2),
    "director": (0.16, 0.50, -0.1),
    "manager": (0.32, 0.15, 0.0),
    "specialist": (0.25, -0.35, 0.1),
    "junior": (0.09, -1.00, 0.2),
    "unknown": (0.01, 0.00, 0.0),
}
FUNCTIONS = {
    "information technology": (0.27, 0.25),
    "marketing": (0.22, 0.15),
    "sales": (0.15, 0.05),
    "operations": (0.13, 0.10),
    "finance": (0.09, -0.10),
    "human resources": (0.07, -0.40),
    "general management": (0.07, 0.20),
}
# (industry, seniority): who signs differs by industry
SIGNERS = {
    ("software", "executive"): 0.45,
    ("software", "manager"): -0.25,
    ("manufacturing", "director"): 0.45,
    ("manufacturing", "executive"): -0.40,
    ("health care", "executive"): -0.50,
    ("health care", "manager"): 0.45,
    ("financial services", "vice president"): 0.50,
    ("retail", "director"): 0.35,
    ("education", "executive"): 0.80,
}
MAIL = {
    "company": (0.80, 0.08, 0.0),
    "free": (0.17, -0.90, 0.05),
    "academic": (0.03, -1.20, 0.3),
}
FREE_DOMAINS = ("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com", "gmx.de", "web.de", "proton.me")

MEDIAN_EMPLOYEES, EMPLOYEES_SPREAD, MOST_EMPLOYEES = 140.0, 1.7, 250_000
SWEET_SPOT, SWEET_WIDTH, SWEET_WORTH = 600.0, 1.1, 1.1  # employees, natural log units, log-hazard at the spot
PARTNER_LARGE_WORTH, LARGE = 0.5, 1_000  # partners bring large companies in with more weight
COMPANIES_PER_LEAD = 0.7
SYLLABLES = ("al", "bor", "cen", "dor", "el", "fin", "gra", "hel", "in", "jor", "kal", "lum", "mar", "nor", "or", "pra")

EDITED_SHARE, EDITED_AGAIN_SHARE, EDIT_MEAN_DAYS = 0.095, 0.15, 70.0
EDITS = 2  # at most, of one lead
MESSY_SHARE = 0.12  # of job titles

TITLE_PATTERNS = {
    "vice president": ("VP {}", "Vice President {}", "SVP {}", "VP of {}"),
    "director": ("Director of {}", "{} Director", "Head of {}", "Director {}"),
    "manager": ("{} Manager", "Manager {}", "Senior {} Manager", "{} Team Lead", "{} Supervisor"),
    "specialist": ("{} Specialist", "{} Analyst", "{} Coordinator", "{} Consultant", "Senior {} Associate"),
    "junior": ("Junior {} Specialist", "{} Intern", "{} Assistant", "{} Trainee"),
    "unknown": ("-", "n/a", "tbd", "asdf"),
}
EXECUTIVE_TITLES = {
    "information technology": ("CTO", "CIO", "Chief Technology Officer", "Chief Information Officer"),
    "marketing": ("CMO", "Chief Marketing Officer"),
    "sales": ("Chief Sales Officer", "Chief Officer, Sales"),
    "operations": ("COO", "Chief Operations Officer"),
    "finance": ("CFO", "Chief Finance Officer"),
    "human resources": ("Chief People Officer", "Chief HR Officer"),
    "general management": ("CEO", "Founder", "Owner", "President", "Co-Founder & CEO", "Managing Partner"),
}
FUNCTION_WORDS = {
    "information technology": ("IT", "Software", "Data", "Systems", "Technology"),
    "marketing": ("Marketing", "Growth", "Brand", "Content"),
    "sales": ("Sales", "Business Development", "Account"),
    "operations": ("Operations", "Logistics", "Supply Chain"),
    "finance": ("Finance", "Accounting", "Procurement"),
    "human resources": ("HR", "People", "Talent", "Recruiting"),
    "general management": ("Managing Board", "General Management"),
}
SHORT_FORMS = (
    ("Manager", "Mgr."),
    ("Director", "Dir."),
    ("Marketing", "Mktg"),
    ("Senior", "Sr."),
    ("Operations", "Ops"),
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

    Codes index the tables above; the code after the last one, nan and "" stand for an empty field. Times are seconds
    since midnight of the first day.
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
    """Draw the employers of a market with so many leads."""
    count = max(1, round(COMPANIES_PER_LEAD * leads))
    employees = np.exp(rng.normal(np.log(MEDIAN_EMPLOYEES), EMPLOYEES_SPREAD, count))
    return Companies(
        industry=_draw(rng, count, _column(INDUSTRIES, 0)),
        country=_draw(rng, count, _column(COUNTRIES, 0)),
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
    mail = _blank(_draw(rng, n, _column(MAIL, 0)), len(MAIL), missing_share, rng)
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
        _effect(INDUSTRIES, 1, prospects.industry)
        + _effect(COUNTRIES, 1, prospects.country)
        + _effect(SOURCES, 1, prospects.source)
        + _effect(MAIL, 1, prospects.mail)
    )
    edited = (
        _effect(SENIORITY, 1, prospects.seniority)
        + _effect(FUNCTIONS, 1, prospects.function)
        + _signer_table()[prospects.industry[:, None], prospects.seniority]
        + _size_worth(prospects.employees)
        + np.where(partner_large, PARTNER_LARGE_WORTH, 0.0)
    )
    return fixed[:, None] + edited


def eagerness(prospects: Prospects) -> Floats:
    """Multiplier of a lead's visits by what it is at creation, shape (n,)."""
    return np.exp(
        _effect(INDUSTRIES, 2, prospects.industry)
        + _effect(SOURCES, 2, prospects.source)
        + _effect(SENIORITY, 2, prospects.seniority[:, 0])
        + _effect(MAIL, 2, prospects.mail)
    )


def effort(prospects: Prospects) -> Floats:
    """Multiplier of what sales does about a lead by where it came from, shape (n,)."""
    return np.exp(_effect(SOURCES, 4, prospects.source))


def names(table: Table, codes: Ints) -> Strings:
    """Spell codes out; an empty field becomes ""."""
    spelled: Strings = np.array([*table, ""], dtype=object)[codes]
    return spelled


def _size_worth(employees: Floats) -> Floats:
    """Highest at the sweet spot, falling on both sides; an empty size is worth what an average one is."""
    bump = SWEET_WORTH * np.exp(-0.5 * (np.log(employees / SWEET_SPOT) / SWEET_WIDTH) ** 2)
    return np.where(np.isnan(employees), SWEET_WORTH / 2, bump)


def _signer_table() -> Floats:
    table = np.zeros((len(INDUSTRIES) + 1, len(SENIORITY) + 1))
    for (industry, seniority), extra in SIGNERS.items():
        table[list(INDUSTRIES).index(industry), list(SENIORITY).index(seniority)] = extra
    return table


def _column(table: Table, column: int) -> Floats:
    return np.array([row[column] for row in table.values()], dtype=np.float64)


def _effect(table: Table, column: int, codes: Ints) -> Floats:
    """That column of the table by code; 0 for an empty field."""
    effects: Floats = np.append(_column(table, column), 0.0)[codes]
    return effects


def _draw(rng: np.random.Generator, count: int, shares: Floats) -> Ints:
    return _pick(np.broadcast_to(shares, (count, len(shares))), rng)


def _pick(shares: Floats, rng: np.random.Generator) -> Ints:
    """One column a row, in proportion to that row's shares."""
    edges = np.cumsum(shares, axis=1)
    codes: Ints = (rng.random(len(shares))[:, None] * edges[:, -1:] >= edges).sum(axis=1)
    return codes


def _draw_sources(created: Ints, drift: float, newcomers: Floats, rng: np.random.Generator) -> Ints:
    years = created / (365.25 * DAY)
    shares = _column(SOURCES, 0) * np.exp(drift * years[:, None] * _column(SOURCES, 3))
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
    level, unknown = _draw(rng, n, _column(SENIORITY, 0))[:, None], len(SENIORITY) - 1
    seniority = np.where(level == unknown, level, np.maximum(level - promotions, 0))
    function = np.where(seniority == unknown, len(FUNCTIONS), _draw(rng, n, _column(FUNCTIONS, 0))[:, None])
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
