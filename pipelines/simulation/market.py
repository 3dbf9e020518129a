"""The invented market of the embedded data: what leads may be, how often, and what it is worth.

An empty field acts like an average one, so that what drives a lead is what its record says, and the known truth needs
nothing that the tables do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def names(table: Table, codes: Ints) -> Strings:
    """Spell codes out; an empty field becomes ""."""
    spelled: Strings = np.array([*table, ""], dtype=object)[codes]
    return spelled


def column_of(table: Table, index: int) -> Floats:
    """Return that column of the table, shape (codes,)."""
    return np.array([row[index] for row in table.values()], dtype=np.float64)


def effect_of(table: Table, index: int, codes: Ints) -> Floats:
    """Return that column of the table by code; 0 for an empty field."""
    effects: Floats = np.append(column_of(table, index), 0.0)[codes]
    return effects
