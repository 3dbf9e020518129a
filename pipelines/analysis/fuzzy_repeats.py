"""Leads that may be one although no field is spelled alike, by the model of Fellegi and Sunter: Splink (extra `fuzzy`).

Splink is kept best of its kind: it learns without examples, and in DuckDB. A guess for a person to confirm.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from features.attributes.duplicates import MOST, company_key, mail_key, name_key, phone_key
from features.schema.errors import ParamsError
from pipelines.inspection.column_roles import find_contacts, find_lead_id
from pipelines.inspection.file_format import FileSample, sniff_all
from pipelines.storage.files import write_csv

LIKELY = 0.9  # probability from which two leads are shown
SEED, PAIRS = 1, 100_000  # drawn at random to learn how often values agree by chance
RECALL = 0.7  # of the rules that give the first share of pairs; the result depends on it little
COLUMNS = ("lead_id", "merged_into", "probability")


def write_fuzzy_repeats(leads: Path, file: Path) -> int:
    """Write the pairs of leads that are probably one, the likeliest first; returns how many.

    The columns are those of `source.aliases`, and a probability: rows that a person has confirmed can be mapped.

    Raises
    ------
    ParamsError
        Where Splink is not installed, or the file says too little of who its leads are.
    """
    (sample,) = sniff_all([leads])
    lead_id, _ = find_lead_id(sample, [])
    people = _people(sample, lead_id)
    pairs = fuzzy_pairs(people)
    write_csv(pairs, file)
    return len(pairs)


def _people(sample: FileSample, lead_id: str) -> pd.DataFrame:
    """Who each lead is, spelled as alike as its own fields allow."""
    who, frame = find_contacts(sample), sample.frame
    if not who.person:
        raise ParamsError(f"{sample.path.name}: no column of names, without which leads cannot be told to be alike")
    names = frame[list(who.person)].fillna("").agg(" ".join, axis=1)
    people = pd.DataFrame({"unique_id": frame[lead_id] if lead_id else frame.index.astype(str), "name": names})
    people["name"] = people["name"].map(name_key, na_action="ignore")
    keys = {"mail": (who.mail, mail_key), "phone": (who.phone, phone_key), "company": (who.company, company_key)}
    for name, (column, key) in keys.items():
        if column:
            people[name] = frame[column].map(key, na_action="ignore")
    return people.dropna(subset="unique_id").drop_duplicates("unique_id")


def fuzzy_pairs(people: pd.DataFrame) -> pd.DataFrame:
    """Pairs of leads that are probably one, with the probability.

    Parameters
    ----------
    people
        unique_id, name, and where there are any mail, phone and company.
    """
    splink, library = _splink(), importlib.import_module("splink.comparison_library")
    known = [name for name in ("mail", "phone", "company") if name in people]
    rules = [splink.block_on(name) for name in (*known, "name")]
    likeness = {
        "company": library.JaroWinklerAtThresholds("company", [0.9]),
        "phone": library.LevenshteinAtThresholds("phone", 1),
        "mail": library.JaroWinklerAtThresholds("mail", [0.95]),
    }
    people = people.assign(**{name: _own(people[name]) for name in ("mail", "phone") if name in people})
    settings = splink.SettingsCreator(
        link_type="dedupe_only",
        comparisons=[library.JaroWinklerAtThresholds("name", [0.95, 0.88]), *(likeness[name] for name in known)],
        blocking_rules_to_generate_predictions=rules,
    )
    linker = splink.Linker(splink.DuckDBAPI().register(people, dataset_display_name="leads"), settings, log_level=None)
    training = linker.training
    training.estimate_probability_two_random_records_match(_certain(splink, known), recall=RECALL)
    training.estimate_u_using_random_sampling(max_pairs=PAIRS, seed=SEED)
    for rule in rules:
        training.estimate_parameters_using_expectation_maximisation(rule)
    found = linker.inference.predict(threshold_match_probability=LIKELY).as_pandas_dataframe()
    pairs = found[["unique_id_r", "unique_id_l", "match_probability"]].set_axis(list(COLUMNS), axis=1)
    return pairs.sort_values(
        ["probability", "lead_id", "merged_into"], ascending=[False, True, True], ignore_index=True
    )


def _own(cells: pd.Series[str]) -> pd.Series[str]:
    """What few leads share; a switchboard says nothing of who somebody is."""
    return cells.where(cells.map(cells.value_counts()) <= MOST)


def _certain(splink: Any, known: Sequence[str]) -> list[Any]:
    return [splink.block_on("name", name) for name in known] or [splink.block_on("name")]


def _splink() -> Any:
    logging.getLogger("splink").setLevel(logging.ERROR)
    try:
        return importlib.import_module("splink")
    except ImportError:
        raise ParamsError("--fuzzy needs the package splink; install the extra `fuzzy`") from None
