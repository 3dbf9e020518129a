"""What a status of a CRM means: a lead that is won, lost, or still open. A guess by its words, never a proof."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from features.schema.declarations import AttributeSpec

WORD = re.compile(r"[^\W_]+")
WON = {"won", "closedwon", "win", "sold", "signed", "purchased", "converted", "customer", "gewonnen", "ganado"}
WON |= {"gagné", "gagne", "ganho", "vinto", "success", "successful", "kunde", "verkauft", "beauftragt", "cliente"}
WON |= {"gagnée", "vendu", "vendido", "vendida", "ganada", "ganha", "vinta", "venduto", "verkocht", "gewonnene"}
WON |= {"wygrana", "wygrany", "wygrane", "sprzedane", "vyhráno", "vundet", "vunnen", "成約", "受注", "成交", "выиграна"}
WON |= {"konvertiert", "converti", "kazanıldı", "已成交", "реализовано", "успешно"}
LOST = {
    "lost",
    "closedlost",
    "lose",
    "dead",
    "disqualified",
    "unqualified",
    "junk",
    "rejected",
    "abandoned",
    "declined",
}
LOST |= {"perdida", "perdue", "persa", "descartado", "rechazado", "abgelehnt", "abgesagt", "storniert", "afgewezen"}
LOST |= {"przegrana", "przegrany", "przegrane", "prohráno", "tabt", "förlorad", "失注", "流失", "проиграна"}
LOST |= {"bad", "kaybedildi", "已流失", "verloren", "perdido", "perdu", "perso", "cancelled", "canceled"}
# Words that turn another into its opposite, and those by which a customer is only hoped for.
NO_WORDS = "not no never nicht non kein keine nie niet geen ikke inte não не"
NO = {*NO_WORDS.split()}
MAYBE = {"potential", "prospective", "potencial", "potenziell", "potenzieller", "potenziale", "potentiel", "potentiell"}
WISHED = {"interested", "qualified"}
BESIDE = {"closed", "lead", "deal", "opportunity", "prospect"}  # words that a status has besides
NAMES = {"status", "stage", "state", "phase", "disposition", "tag", "tags", "stadium", "estado", "etapa", "statut"}
NAMES |= {
    "stato",
    "stadio",
    "situacao",
    "situação",
    "fase",
    "esito",
    "resultado",
    "etap",
    "стадия",
    "状態",
    "ステータス",
}


def means_won(value: str) -> bool:
    """Whether a value of a status means a won lead."""
    parts = _parts(value)
    return bool(parts & WON) and not parts & (NO | LOST | MAYBE)


def means_lost(value: str) -> bool:
    """Whether a value of a status means a lead that will not be won: lost, dead, disqualified."""
    parts = _parts(value)
    return bool(parts & LOST) or bool(parts & NO and parts & (WON | WISHED))


def means_closed(column: str, value: str) -> bool:
    """Whether a value says that nobody works the lead any more; in a column of no telling name, only plain words."""
    if any(part in NAMES or part.endswith(("status", "stage")) for part in _parts(column)):
        return means_lost(value) or means_won(value)
    return means_lost(value) and _parts(value) <= LOST | NO | WON | WISHED | BESIDE


def count_closed(leads: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> dict[str, dict[str, int]]:
    """Count the leads whose value means closed, by attribute and value; attributes without one are left out."""
    counts: dict[str, dict[str, int]] = {}
    for name, spec in attributes.items():
        if spec.kind != "category" or name not in leads:  # a file may leave out what only the outcome brings
            continue
        found = leads[name].value_counts().sort_index()
        closed = {str(value): int(n) for value, n in found.items() if means_closed(spec.column or name, str(value))}
        counts |= {name: closed} if closed else {}
    return counts


def _parts(value: str) -> set[str]:
    """The words of a value in any script; ClosedWon, closed_won and Closed Won are the same."""
    return {word.lower() for word in WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", value))}
