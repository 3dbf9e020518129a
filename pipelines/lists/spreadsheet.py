"""A table as an Excel file whose cells are never formulas, the same bytes for the same rows."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd

from features.schema.errors import ParamsError
from pipelines.storage.files import neutral, staged_file

WIDEST = 60  # characters of a column
SAME_DAY = dt.datetime(2000, 1, 1)  # when a file was made says nothing about its rows
OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": True,
}


def check_writer() -> None:
    """Raise ParamsError where no library that writes Excel files is installed."""
    _writer()


def write_excel(rows: pd.DataFrame, path: Path, percent: tuple[str, ...] = ()) -> None:
    """Write a frame as the one sheet of an Excel file, its first row frozen; `percent` names columns shown so."""
    with staged_file(path) as staged:
        book = _writer().Workbook(str(staged), OPTIONS)
        book.set_properties({"created": SAME_DAY})
        sheet, bold = book.add_worksheet("list"), book.add_format({"bold": True})
        share = book.add_format({"num_format": "0.0%"})
        for at, name in enumerate(rows):
            sheet.write_string(0, at, str(neutral(str(name))), bold)
            cells = rows[name].astype(object).where(rows[name].notna(), None)
            for line, cell in enumerate(cells, start=1):
                _write_cell(sheet, line, at, cell, share if name in percent else None)
            sheet.set_column(at, at, min(WIDEST, max(map(len, map(str, [name, *cells])))) + 2)
        sheet.freeze_panes(1, 0)
        book.close()


def _write_cell(sheet: Any, line: int, at: int, cell: object, shown: object) -> None:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        sheet.write_number(line, at, cell, shown)
    elif cell is not None:
        sheet.write_string(line, at, str(neutral(str(cell))))


def _writer() -> Any:
    try:
        import xlsxwriter
    except ImportError:
        raise ParamsError(
            "lists.excel needs XlsxWriter, which is not installed; run `pip install leadscore[excel]`, or set "
            "lists.excel: false"
        ) from None
    return xlsxwriter
