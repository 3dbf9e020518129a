"""What a look at unknown files gives: a mapping as text, and warnings; and what a person says of the files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from models.explanation.data_parts import Kind, absent_lines

UNPRINTED = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML folds or refuses them


@dataclass(frozen=True)
class Told:
    """What a person said of files, and no file says.

    Attributes
    ----------
    outcome
        The column that is the outcome; "" leaves the choice to `inspect`.
    late
        Columns that are filled in after the outcome, or because of it.
    horizon_days
        A lead counts as converted within this many days; None where nobody said.
    """

    outcome: str = ""
    late: tuple[str, ...] = ()
    horizon_days: int | None = None


NOTHING = Told()


@dataclass
class Inspection:
    """What was found.

    Attributes
    ----------
    told
        What a person said before.
    mapping
        YAML with a `source` section and the reasons as comments; saved to a file, `--params` takes it.
    warnings
        What a person should know before trusting it.
    exclusions
        Lines for leads that are read and never called, each with its reason.
    outcomes
        Columns that may be the outcome, the one that was taken first.
    at_creation
        Columns that are read as if they were filled in when the lead was created.
    dated
        Whether leads and outcomes carry dates, so that a horizon counts.
    soon
        How soon wins come after creation, in words; "" where nothing says it.
    """

    told: Told = NOTHING
    mapping: str = ""
    warnings: list[str] = field(default_factory=list)
    exclusions: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    at_creation: list[str] = field(default_factory=list)
    dated: bool = False
    soon: str = ""


def quoted(text: str) -> str:
    """Text as a YAML scalar in double quotes, on one line."""
    return UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def lack_lines(dated: bool, events: bool, lost: bool) -> list[str]:
    """Say which kinds of data the files do not have, and what these add elsewhere, as comments."""
    missing: dict[Kind, bool] = {
        "dates": not dated,
        "events": not events,
        "edits": dated,
        "lost dates": dated and not lost,
        "contacts": True,
    }
    lines = absent_lines([kind for kind, absent in missing.items() if absent])
    return [
        "# What the files lack; of what they have, `leadscore lacks` measures it after a run.",
        *(f"# {one}" for one in lines),
    ]
