"""Public data at the user's own machine: fetched from OpenML by scikit-learn, checked, and written for an example."""

from __future__ import annotations

import csv
import logging
import socket
import warnings
from http.client import HTTPException
from pathlib import Path

import pandas as pd

from features.schema.errors import DataError
from pipelines.storage.files import staged_file

SILENT_S = 60.0  # without a byte from OpenML
log = logging.getLogger("leadscore")
# OpenML holds the older of the two published files, all 45,211 rows with 16 columns, without the columns' names.
BANK_ID = 1461
BANK_FILE = "bank-full.csv"
BANK_COLUMNS = ["age", "job", "marital", "education", "default", "balance", "housing", "loan", "contact", "day",
                "month", "duration", "campaign", "pdays", "previous", "poutcome", "y"]  # fmt: skip
BANK_NUMBERS = ["age", "balance", "day", "duration", "campaign", "pdays", "previous"]
BANK_ROWS, BANK_YES = 45_211, 5_289
ANSWERS = {"1": "no", "2": "yes"}
MONTHS_CHANGE = 0.01  # share of rows in another month than the row before; in date order it is far less
WORD = r"[a-z]+([.-][a-z]+)*\.?"


def fetch_bank_marketing(folder: Path) -> Path:
    """Fetch the phone campaigns of a Portuguese bank (Moro, Laureano and Cortez 2011) and write them as bank-full.csv.

    Returns
    -------
    Path
        The file: one row a client, in date order, fields between semicolons, as the example bank_full reads it.

    Raises
    ------
    DataError
        Where OpenML does not answer, or what it sends is not that file. Nothing is written then.
    """
    rows = _named(_fetch(BANK_ID))
    _check(rows)
    path = folder / BANK_FILE
    with staged_file(path) as staged:
        rows.to_csv(staged, sep=";", index=False, encoding="utf-8", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    log.info("data: %s rows in %s", f"{len(rows):,}", path)
    return path


def _fetch(data_id: int) -> pd.DataFrame:
    from sklearn.datasets import fetch_openml

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_S)  # scikit-learn sets none, and would wait for a silent server for ever
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each failed attempt would be a line of its own
            # The parser "pandas" of scikit-learn 1.9 fails on classes that are integers, such as 1 and 2.
            dataset = fetch_openml(data_id=data_id, as_frame=True, parser="liac-arff", cache=False)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a generic error of OpenML, or a wrong checksum
        raise DataError(
            "bank-marketing",
            "",
            found=f"no data from OpenML ({error})",
            expected=f"data set {data_id} of https://www.openml.org",
            fix=f"Go online and try again, or put {BANK_FILE} of the UCI repository (data set 222) into the folder.",
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    frame: pd.DataFrame = dataset.frame
    return frame


def _named(sent: pd.DataFrame) -> pd.DataFrame:
    """Give the published names to the columns, which OpenML calls V1 to V16 and Class."""
    expected = [*(f"V{number}" for number in range(1, 17)), "Class"]
    if sent.columns.tolist() != expected:
        raise _other(f"the columns {', '.join(map(str, sent.columns))}", "V1 to V16 and Class")
    rows = sent.set_axis(BANK_COLUMNS, axis="columns")
    texts = {name: rows[name].astype("str") for name in BANK_COLUMNS if name not in BANK_NUMBERS}
    numbers = {name: rows[name].astype("int64") for name in BANK_NUMBERS}
    return rows.assign(**texts, **numbers).assign(y=texts["y"].map(ANSWERS))


def _check(rows: pd.DataFrame) -> None:
    """Refuse what is not the published file: its size, answers and words, and the order that stands in for time."""
    yes = int((rows["y"] == "yes").sum())
    if (len(rows), yes) != (BANK_ROWS, BANK_YES):
        raise _other(f"{len(rows):,} rows, {yes:,} of them yes", f"{BANK_ROWS:,} rows, {BANK_YES:,} of them yes")
    for name in BANK_COLUMNS:
        if name not in BANK_NUMBERS and not rows[name].str.fullmatch(WORD).all():
            odd = rows.loc[~rows[name].str.fullmatch(WORD), name].iloc[0]
            raise _other(f"{odd!r} in the column {name}", "words in small letters")
    changes = float((rows["month"] != rows["month"].shift()).mean())
    if changes > MONTHS_CHANGE:
        raise _other(f"rows whose month changes {changes:.0%} of the time", "rows in date order")


def _other(content: str, expected: str) -> DataError:
    fix = f"OpenML has changed the data; put {BANK_FILE} of the UCI repository (data set 222) into the folder."
    return DataError("bank-marketing", "", found=content, expected=expected, fix=fix)
