"""A small simulated funnel as somebody would export it from a German CRM: two files that a spreadsheet has touched.

German headers and spellings, semicolons, decimal commas, dates in three notations, leads that were entered twice, and
fields that sales fills when the deal is over. Whatever the day of the export, the history before it is the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.schema.declarations import SnapshotParams
from features.schema.errors import ParamsError
from pipelines.config.simulation import Simulate
from pipelines.simulation.export import Simulated, simulate
from pipelines.simulation.market import FREE_DOMAINS
from pipelines.storage.files import staged_file

LEADS = 2_500
SEED = 20260101
FIRST_DAY, LAST_DAY = dt.date(2025, 1, 1), dt.date(2026, 7, 31)  # of the whole story; an export may be taken within it
FIRST_EXPORT, USUAL_EXPORT = dt.date(2025, 12, 31), dt.date(2026, 6, 30)
ENCODING = "cp1252"  # what Excel writes in Germany
TWICE = 0.02  # share of leads that somebody entered once more, with another number
EVENT_TYPES = {
    "visit": "Website-Besuch",
    "pricing_view": "Preisseite",
    "download": "Download",
    "email_open": "E-Mail geöffnet",
    "email_click": "Link in E-Mail geklickt",
    "email_reply": "E-Mail beantwortet",
    "webinar": "Webinar",
    "demo_request": "Demo-Anfrage",
    "form": "Formular",
    "unsubscribe": "Newsletter abbestellt",
    "email_sent": "E-Mail gesendet",
    "call_attempt": "Anrufversuch",
    "sales_call": "Telefonat",
    "fair": "Messebesuch",
    "onboarding": "Onboarding",
}
INDUSTRIES = {
    "software": "Software",
    "manufacturing": "Maschinenbau",
    "retail": "Handel",
    "health care": "Gesundheit",
    "financial services": "Banken und Versicherungen",
    "logistics": "Logistik",
    "consulting": "Beratung",
    "education": "Bildung",
    "energy": "Energie",
    "public sector": "Öffentlicher Dienst",
}
COUNTRIES = {
    "Germany": "Deutschland",
    "United States": "USA",
    "United Kingdom": "Großbritannien",
    "France": "Frankreich",
    "Netherlands": "Niederlande",
    "India": "Indien",
    "Switzerland": "Schweiz",
    "Spain": "Spanien",
    "Poland": "Polen",
    "Brazil": "Brasilien",
}
SOURCES = {
    "organic search": "Google",
    "paid search": "Anzeige",
    "social media": "Soziale Medien",
    "content download": "Whitepaper",
    "webinar": "Webinar",
    "referral": "Empfehlung",
    "partner": "Partner",
    "trade fair": "Messe",
    "cold call": "Kaltakquise",
}
OUTBOUND = ("email_sent", "call_attempt")
FIRST_NAMES = (
    "Anna", "Björn", "Claudia", "Dirk", "Eva", "Florian", "Gabi", "Hans", "Ines", "Jörg", "Katrin", "Lars",
    "Maria", "Nils", "Olga", "Paul", "Rita", "Sven", "Tanja", "Uwe",
)  # fmt: skip
LAST_NAMES = (
    "Müller", "Schmidt", "Schneider", "Fischer", "Weber", "Meyer", "Wagner", "Becker", "Schulz", "Hoffmann",
    "Schäfer", "Koch", "Bauer", "Richter", "Klein", "Wolf", "Schröder", "Neumann", "Schwarz", "Zimmermann",
    "Braun", "Krüger", "Hofmann", "Hartmann", "Lange", "Werner", "Krause", "Lehmann", "Köhler", "Maier",
)  # fmt: skip
OWNERS = ("Berger", "Kaya", "Nowak", "Sommer")


def day_of(text: str) -> dt.date:
    """Read a day such as 2026-06-30, one of those on which the sample may have been exported.

    Raises
    ------
    ParamsError
        Where it is none, or lies outside of what is simulated.
    """
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or not FIRST_EXPORT <= day <= LAST_DAY:
        raise ParamsError(
            f"--exported-on: {text!r} is no day from {FIRST_EXPORT} to {LAST_DAY}, such as {USUAL_EXPORT}"
        )
    return day


def write_german_export(folder: Path, day: dt.date = USUAL_EXPORT) -> list[Path]:
    """Write Leads.csv and Aktivitaeten.csv as they would have been exported at the end of a day.

    Returns
    -------
    list of Path
        The files. The same day gives the same bytes.
    """
    story = simulate(Simulate(leads=LEADS, first_day=FIRST_DAY, last_day=LAST_DAY), SEED, SnapshotParams())
    end = pd.Timestamp(day) + pd.Timedelta(days=1)
    tables = {"Leads.csv": _leads(story, end), "Aktivitaeten.csv": _activities(story.events, end)}
    for name, table in tables.items():
        with staged_file(folder / name) as staged:
            table.to_csv(staged, sep=";", index=False, encoding=ENCODING, lineterminator="\r\n")
    return [folder / name for name in tables]


@dataclass(frozen=True)
class _Draws:
    """What no simulation says of a lead, drawn once for all leads, so that it is the same on each day of export."""

    first_name: np.ndarray
    last_name: np.ndarray
    owner: np.ndarray
    order_value: np.ndarray
    revenue_per_head: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, leads: int) -> _Draws:
        rng = np.random.default_rng(SEED)
        return cls(
            rng.choice(FIRST_NAMES, leads),
            rng.choice(LAST_NAMES, leads),
            rng.choice(OWNERS, leads),
            rng.lognormal(9.2, 0.7, leads),
            rng.lognormal(-1.9, 0.5, leads),
            rng.random(leads),
        )


def _leads(story: Simulated, end: pd.Timestamp) -> pd.DataFrame:
    leads, drawn = story.leads, _Draws.of(len(story.leads))
    ends = leads[["lead_id"]].merge(story.outcomes, how="left", on="lead_id", validate="1:1")
    won, lost = (ends[name].where(ends[name] < end) for name in ("converted_at", "lost_at"))
    number = pd.Series([f"{row + 10_001}" for row in range(len(leads))])
    company = leads["email_domain"].str.split(".").str[0].str.capitalize() + " GmbH"
    company = company.mask(leads["email_domain"].isin(FREE_DOMAINS))
    name = pd.Series(drawn.first_name), pd.Series(drawn.last_name)
    mail = (name[0].str[0] + "." + name[1]).str.lower().map(_plain) + number.str[-3:] + "@" + leads["email_domain"]
    table = pd.DataFrame(
        {
            "Lead-Nr.": number,
            "Angelegt am": _dates(leads["created_at"], drawn.chance),
            "Vorname": name[0],
            "Nachname": name[1],
            "Firma": company,
            "E-Mail": mail,
            "Position": leads["job_title"],
            "Branche": leads["industry"].map(INDUSTRIES),
            "Land": leads["country"].map(COUNTRIES),
            "Quelle": leads["lead_source"].map(SOURCES),
            "Mitarbeiter": leads["company_size"].map(lambda size: f"{size:,}".replace(",", "."), na_action="ignore"),
            "Jahresumsatz Mio. €": _money(leads["company_size"].astype("float64") * drawn.revenue_per_head),
            "Zuständig": drawn.owner,
            "Status": _status(won, lost, drawn.chance),
            "Abgeschlossen am": won.fillna(lost).dt.strftime("%d.%m.%Y"),
            "Auftragswert": _money(pd.Series(drawn.order_value).where(won.notna())) + " €",
        }
    )
    there = table[leads["created_at"] < end]
    return _with_repeats(there, drawn.chance[: len(there)])


def _dates(moments: pd.Series[pd.Timestamp], chance: np.ndarray) -> np.ndarray:
    """Dates as people mix them: most of one kind, a few typed by hand, a few from another system."""
    forms = [moments.dt.strftime(form) for form in ("%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y-%m-%d %H:%M")]
    return np.select([chance < 0.97, chance < 0.98], forms[:2], forms[2])


def _status(won: pd.Series[pd.Timestamp], lost: pd.Series[pd.Timestamp], chance: np.ndarray) -> np.ndarray:
    return np.select([won.notna(), lost.notna(), chance < 0.5], ["Gewonnen", "Verloren", "Neu"], "In Bearbeitung")


def _money(amounts: pd.Series[float]) -> pd.Series[str]:
    """Amounts with a point between thousands and a comma before the cents."""
    swapped = str.maketrans(",.", ".,")
    return amounts.map(lambda amount: f"{amount:,.2f}".translate(swapped), na_action="ignore")


def _plain(name: str) -> str:
    for letter, plain in {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}.items():
        name = name.replace(letter, plain)
    return name


def _with_repeats(table: pd.DataFrame, chance: np.ndarray) -> pd.DataFrame:
    """Put behind some leads the same person once more, with a number of its own; and one row twice."""
    again = table[chance < TWICE]
    again = again.assign(**{"Lead-Nr.": "9" + again["Lead-Nr."], "E-Mail": again["E-Mail"].str.upper()})
    open_again = again.assign(Status="Neu", **{"Abgeschlossen am": None, "Auftragswert": None})
    return pd.concat([table, open_again, table.iloc[:1]]).sort_index(kind="stable")


def _activities(events: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    seen = events[events["known_at"] < end]
    minutes = (seen["value"] / 60).where(seen["event_type"] == "visit", seen["value"])
    return pd.DataFrame(
        {
            "Lead-Nr.": (seen["lead_id"].str[1:].astype("int64") + 10_000).astype("str"),
            "Zeitpunkt": seen["event_at"].dt.strftime("%d.%m.%Y %H:%M:%S"),
            "Art": seen["event_type"].map(EVENT_TYPES),
            "Richtung": np.where(seen["event_type"].isin(OUTBOUND), "ausgehend", "eingehend"),
            "Dauer (Min.)": minutes.map(lambda value: f"{value:.1f}".replace(".", ","), na_action="ignore"),
        }
    )
