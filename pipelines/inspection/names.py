"""What the name of a column says in the languages that exports come in, and the spellings of yes and no."""

from __future__ import annotations

from models.leakage.suspicious_names import words

# English, German, French, Spanish, Portuguese, Italian, Dutch, and what is short and common beyond.
YES_WORDS = "1 yes y true t won converted ja j wahr oui o vrai si sí"
YES_WORDS += " sim verdadero verdadeiro vero da tak ano evet да x on ○ ◯ はい 是"
YES = {*YES_WORDS.split()}
NO_WORDS = "0 no n false f lost open nein falsch non faux nao não falso nee nej nie ne hayır нет off × いいえ 否"
NO = {*NO_WORDS.split()}
CREATED = {
    "created",
    "create",
    "creation",
    "registered",
    "registration",
    "signup",
    "signed",
    "first",
    "added",
    "inserted",
}
CREATED |= {"creado", "creacion", "criado", "criacao", "creato", "creazione", "cree", "aangemaakt", "alta", "eingang"}
CREATED_WORDS = (
    "erstell angeleg anlage registrier eingangs erfass erstkontakt dodan utworz vytvor oprett skapad olustur"
)
CREATED_STEMS = tuple(CREATED_WORDS.split())
CREATED_ELSEWHERE = ("登録", "作成", "受付", "创建", "創建", "создан", "добавлен", "δημιουργ")  # in other scripts
GLUED = {"createdon", "createdat", "createdate", "createddate", "createdtime", "creationdate", "datecreated"}
CREATED |= GLUED
SURELY_CREATED = {"created", "create", "creation", "erstellt", "angelegt"} | GLUED
STRONG = {"converted", "conversion", "convert", "won", "subscribed", "bought", "purchased", "purchase", "sold"}
STRONG |= {"gewonnen", "konvertiert", "konversion", "gekauft", "verkauft", "converti", "gagne", "achete", "vendu"}
STRONG |= {"convertido", "ganado", "comprado", "vendido", "ganho", "convertito", "vinto", "acquistato", "geconverteerd"}
STRONG |= {"ganada", "vendida", "vinta", "vendue", "geplaatst", "verkocht", "wygrana", "wygrane", "sprzedane"}
STRONG |= {"convertedon", "convertedat", "converteddate", "dateconverted", "wonon", "wonat", "wondate", "datewon"}
WEAK = {"target", "label", "outcome", "customer", "closed", "close", "y", "response", "kunde", "cliente", "client"}
WEAK_WORDS = "abschluss abgeschloss konver gewonn kauf auftrag bestell vertrag unterschr signatur paiement pagament"
WEAK_STEMS = tuple(WEAK_WORDS.split())
OUTCOME_ELSEWHERE = ("成約", "受注", "成交", "赢单", "выигран", "продан")
EXACT = {
    "converted",
    "is converted",
    "has converted",
    "converted at",
    "converted on",
    "converted date",
    "conversion date",
}
EXACT |= {
    "date converted",
    "converted time",
    "won",
    "is won",
    "won at",
    "won on",
    "won date",
    "won time",
    "target",
    "y",
}
EXACT |= {"label", "outcome", "became a customer date", "konvertiert", "konvertiert am", "gewonnen", "gewonnen am"}
NOT_AN_OUTCOME = {
    "recent",
    "last",
    "type",
    "status",
    "stage",
    "source",
    "channel",
    "name",
    "id",
    "by",
    "reason",
    "campaign",
}
LOST = {"lost", "verloren", "perdu", "perdido", "perso", "perdida", "persa", "przegrana"}
IDS = {"id", "key", "uuid", "guid", "nr", "no", "number", "nummer", "code"}
OTHERS_IDS = {
    "owner",
    "account",
    "campaign",
    "user",
    "agent",
    "company",
    "product",
    "parent",
    "page",
    "region",
    "created",
}


def said_yes(value: str) -> bool:
    """Whether a cell is one of the spellings of yes."""
    return value.strip().lower() in YES


def said_no(value: str) -> bool:
    """Whether a cell is one of the spellings of no."""
    return value.strip().lower() in NO


def named_created(name: str) -> int:
    """How clearly a name says that a date is that of creation: 2 clearly, 1 perhaps, 0 not."""
    if any(mark in name.lower() for mark in CREATED_ELSEWHERE):
        return 2
    parts = set(words(name))
    if not (CREATED & parts or any(part.startswith(CREATED_STEMS) for part in parts)):
        return 0
    return 2 if SURELY_CREATED & parts or not CREATED & parts else 1


def named_outcome(name: str) -> int:
    """How clearly a name says that a column is the outcome: 3 exactly, 2 clearly, 1 perhaps, 0 not."""
    parts = words(name)
    if " ".join(parts) in EXACT:
        return 3
    if set(parts) & (NOT_AN_OUTCOME | LOST):
        return 0
    if set(parts) & STRONG or any(mark in name.lower() for mark in OUTCOME_ELSEWHERE):
        return 2
    return int(bool(set(parts) & WEAK) or any(part.startswith(WEAK_STEMS) for part in parts))


def named_lost(name: str) -> bool:
    """Whether a name says that a lead was lost."""
    return bool(LOST & set(words(name)))


def named_id(name: str) -> bool:
    """Whether a name says that a column tells rows apart."""
    parts = words(name)
    return bool(IDS & set(parts)) or (bool(parts) and parts[-1].endswith(("id", "uuid", "guid", "nummer")))
