"""How numbers are written where they are not plain: decimal mark, thousands, units and multiples."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from features.schema.spec import Spec

GROUPS = {"": "", ".": r"\.", ",": ",", " ": r"\s", "'": "['’]"}
SPACES = "\u00a0\u2007\u2009\u202f"  # of a fixed or narrow width, as programs write them between thousands
ZEROS = "０٠۰"  # of the digits that are not ASCII: full width (East Asia), Arabic, Persian
WIDE = SPACES + "".join(chr(ord(zero) + digit) for zero in ZEROS for digit in range(10)) + "．，－＋٫٬"
PLAIN = " " * len(SPACES) + "0123456789" * len(ZEROS) + ".,-+.,"  # what each of `WIDE` stands for


class NumberFormat(Spec):
    """How the numbers of a column are written; without it they are plain, such as -1234.5 or 1e6."""

    decimal: Literal[".", ","] = Field(default=".", description="The mark before the decimals.")
    thousands: Literal["", ".", ",", " ", "'"] = Field(
        default="", description='The mark between groups of digits; " " stands for every kind of space.'
    )
    ignore: list[str] = Field(
        default=[], description='What may stand before or after a number and means nothing more: ["EUR", "%"].'
    )
    multiples: dict[str, float] = Field(
        default={}, description="What stands after a number and multiplies it: {k: 1000, Mio: 1000000}."
    )

    @model_validator(mode="after")
    def _marks_differ(self) -> NumberFormat:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; one mark cannot mean two things")
        return self

    @property
    def pattern(self) -> str:
        """A regular expression of a whole cell: sign, digits, decimals, exponent, multiple, minus; for RE2 and `re`."""
        group = GROUPS[self.thousands]
        whole = (rf"[1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}}|" if group else "") + r"\d+"
        around = rf"(?:\s*(?:{'|'.join(map(re.escape, self.ignore))}))*\s*" if self.ignore else r"\s*"
        multiple = "|".join(map(re.escape, sorted(self.multiples, key=len, reverse=True)))
        return (
            rf"(?i){around}([+\-−])?{around}({whole})(?:{GROUPS[self.decimal]}(?:(\d+)|[-–—]{{1,2}}))?(e[+-]?\d+)?"
            rf"\s*({multiple})?{around}(-)?\s*"
        )


def plain(text: str) -> str:
    """A cell with the digits, marks and spaces of other scripts as ASCII; the same as `plain_sql`."""
    return text.translate(str.maketrans(WIDE, PLAIN))


def plain_sql(text: str) -> str:
    """SQL for a text with the digits, marks and spaces of other scripts as ASCII."""
    return f"translate({text}, '{WIDE}', '{PLAIN}')"


def spaced(text: str) -> str:
    """SQL for a text whose spaces are all plain ones."""
    return f"translate({text}, '{SPACES}', '{' ' * len(SPACES)}')"


def number_sql(cell: str, key: str) -> str:
    """SQL for the number in a cell of text, NULL where it does not fit; `bindings` has the values it is bound to."""
    core = rf"regexp_replace(trim({plain_sql(cell)}), '^\((.*)\)$', '-\1')"
    sign, whole, decimals, exponent, multiple, minus = (
        f"regexp_extract({core}, $number_pattern_{key}, {group})" for group in range(1, 7)
    )
    digits = (
        f"concat(CASE WHEN {sign} IN ('-', '−') OR {minus} = '-' THEN '-' ELSE '' END, "
        rf"regexp_replace({whole}, '\D', '', 'g'), '.', {decimals}, '0', {exponent})"
    )
    factor = f"list_extract($number_factors_{key}, list_position($number_multiples_{key}, lower({multiple})))"
    value = f"TRY_CAST({digits} AS DOUBLE) * coalesce({factor}, 1.0e0)"
    return f"CASE WHEN regexp_full_match({core}, $number_pattern_{key}) AND isfinite({value}) THEN {value} + 0.0e0 END"


def bindings(written: NumberFormat, key: str) -> dict[str, object]:
    """The values that `number_sql` is bound to."""
    return {
        f"number_pattern_{key}": f"^{written.pattern}$",
        f"number_factors_{key}": [float(factor) for factor in written.multiples.values()] or [1.0],
        f"number_multiples_{key}": [name.lower() for name in written.multiples] or ["#"],
    }
