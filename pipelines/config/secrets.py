"""Secrets come from the environment, never from a file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from features.schema.errors import ParamsError

if TYPE_CHECKING:
    pass

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def from_environment(variable: str, key: str) -> str:
    """Return a secret out of the environment; raises ParamsError where it is not there, and never repeats it."""
    if not VARIABLE.fullmatch(variable):  # it may be the secret itself
        raise ParamsError(
            f"{key} is to name an environment variable, in capitals such as LEADSCORE_DATABASE; no secret stands in "
            "params.yaml"
        )
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ParamsError(f"{key}: the environment variable {variable} is not set")
    return value
