"""What a look at unknown files gives: a mapping as text, and warnings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

UNPRINTED = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML folds or refuses them


@dataclass
class Inspection:
    """What was inspection.

    Attributes
    ----------
    mapping
        YAML with a `source` section and the reasons as comments; saved to a file, `--params` takes it.
    warnings
        What a person should know before trusting it.
    exclusions
        Lines for leads that are read and never called, each with its reason.
    """

    mapping: str = ""
    warnings: list[str] = field(default_factory=list)
    exclusions: list[str] = field(default_factory=list)


def quoted(text: str) -> str:
    """Text as a YAML scalar in double quotes, on one line."""
    return UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
