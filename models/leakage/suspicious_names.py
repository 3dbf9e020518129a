"""When a column was written, judging by its name. A guess for a person to confirm, never a proof."""

from __future__ import annotations

import re
import unicodedata

LEAKY_WORDS = {
    "tag": "sales sets tags while it works the lead",
    "quality": "it is a judgement made while the lead is worked",
    "profile": "it is a judgement made while the lead is worked",
    "rating": "it is a judgement made while the lead is worked",
    "grade": "it is a judgement made while the lead is worked",
    "score": "another score may have been computed after the outcome",
    "index": "another score may have been computed after the outcome",
    "won": "it names the outcome",
    "lost": "it names the outcome",
    "closed": "it names the outcome",
    "converted": "it names the outcome",
    "purchased": "it names the outcome",
    "reason": "a reason is written when the lead is closed",
    "duration": "how long a contact took is known when it is over, and its result with it",
    "modified": "it is overwritten until the day of the export",
    "updated": "it is overwritten until the day of the export",
}
OVERWRITTEN = "it is overwritten until the day of the export"


def words(name: str) -> list[str]:
    """The words of a column name, lower case: `LastActivity`, `last_activity` and `Last Activity` are the same.

    Letters lose their accents: `Größe` is `grosse`, `Création` is `creation`.
    """
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", name.replace("ß", "ss")) if mark.isascii())
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain if plain.strip() else name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", parted) if word]


def named_leaky(name: str) -> list[str]:
    """Reasons, in plain English, why a column of this name may be written after the outcome; none for most names."""
    parts = words(name)
    stems = {word.removesuffix("s") if word != "status" else word for word in parts} | set(parts)
    reasons = [f"its name says {word!r}: {why}" for word, why in LEAKY_WORDS.items() if word in stems]
    if parts[:1] == ["last"] and parts[1:2] not in (["name"], []):
        reasons.append(f"its name says 'last': {OVERWRITTEN}")
    if parts and parts[-1] in ("status", "stage") and set(parts[:-1]) <= {"lead", "deal", "current", "opportunity"}:
        reasons.append(f"its name says {parts[-1]!r}: {OVERWRITTEN}")
    return reasons
