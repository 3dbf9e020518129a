"""The rows of each task: what everybody learns from and is tested on. Runs in the product's own environment.

`python -m benchmarks.tasks TASK FOLDER` writes one folder a cut:

- train.parquet and test.parquet: `row`, `lead`, `label` and the features as the peers get them;
- snapshots.parquet: the same rows as the product knows them, `part` is "train" or "test".

The contract that the product's ingest makes of the same files lies beside the cuts; of dated data each cut holds its
feature matrix as well, and the peers' features are that matrix with categories as strings.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from features.matrix.catalogue import Catalogue
from features.matrix.matrix import MatrixSpec
from models.splitting.holdout import SplitParams, learning_weights, split_by_position, split_by_time
from pipelines.config.params import Params, load
from pipelines.scoring.history import labelled
from pipelines.stages.build_features import learn_spec
from pipelines.stages.ingest import ingest
from pipelines.storage.contract_store import Contract
from pipelines.storage.files import write_json, write_parquet
from pipelines.storage.layout import Layout

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
TEST_SHARE = 0.3
SPLIT_SEED = 0  # of the random splits, as in scikit-learn's examples
FIRST_CUT, LAST_CUT = "2022-04", "2022-09"  # before April fewer than 100 buyers are known; October has not matured
AFTER_THE_OUTCOME = [
    "Tags",
    "Lead Quality",
    "Lead Profile",
    "Last Activity",
    "Last Notable Activity",
    "Asymmetrique Activity Index",
    "Asymmetrique Profile Index",
    "Asymmetrique Activity Score",
    "Asymmetrique Profile Score",
]


def bank_params(order: str) -> Params:
    """The example's parameters with `campaign` put back, as the published comparisons keep it."""
    params = load(ROOT / "examples" / "bank_marketing.yaml")
    campaign = params.source.attributes["campaign"].model_copy(update={"known": "export", "group": "engagement"})
    attributes = params.source.attributes | {"campaign": campaign}
    return _with_source(params, {"attributes": attributes, "order": order})


def x_education_params() -> Params:
    return load(ROOT / "examples" / "x_education.yaml")


def learning_params() -> Params:
    return load(ROOT / "examples" / "learning_365.yaml")


def _with_source(params: Params, update: dict[str, object]) -> Params:
    return params.model_copy(update={"source": params.source.model_copy(update=update)})


PARAMS: dict[str, Callable[[], Params]] = {
    "bank_in_order": lambda: bank_params("rows"),
    "bank_random": lambda: bank_params("none"),
    "x_education_random": x_education_params,
    "learning_365_monthly": learning_params,
}


# Splits


def split_of(table: pd.DataFrame, in_order: bool) -> pd.Series[str]:
    """Assign the rows of a wide table to "train" and "test": the last 30% test, or a stratified random 30%."""
    rows = pd.Series(np.arange(len(table)), index=table.index)
    if in_order:
        return split_by_position(rows, SplitParams(test_share=TEST_SHARE))
    _, test = train_test_split(rows, test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=table["label"])
    return pd.Series(np.where(rows.isin(test), "test", "train"), index=table.index, dtype="str")


# Wide tables


def bank_table() -> pd.DataFrame:
    """Read the leads in the order of the file: label and what is known before the call ends."""
    table = pd.read_csv(
        DATA / "bank_marketing" / "bank-additional-full.csv", sep=";", na_values=[], keep_default_na=False
    )
    table = table.assign(lead=(np.arange(len(table)) + 1).astype(str), label=(table["y"] == "yes").astype("float64"))
    return table.drop(columns=["y", "duration"])


def x_education_table() -> pd.DataFrame:
    """Read the leads in the order of the file: label and what is known before the outcome."""
    table = pd.read_csv(DATA / "x_education" / "Leads.csv", na_values=["", "Select"], keep_default_na=False)
    table = table.assign(lead=table["Lead Number"].astype(str), label=table["Converted"].astype("float64"))
    return table.drop(columns=["Converted", "Prospect ID", "Lead Number", *AFTER_THE_OUTCOME])


def write_wide(task: str, table: pd.DataFrame, data: Path, folder: Path) -> None:
    """Write the one cut of a wide table, and check that the product sees the same leads with the same outcomes."""
    params = PARAMS[task]()
    ingest(params.source, params.ingest, params.project, data, Layout.folder(folder))
    snapshots = labelled(Contract.open(Layout.folder(folder), params.project), params.population).drop(
        columns="matured"
    )
    row = snapshots["position"]
    same = np.array_equal(table.loc[row, "lead"], snapshots["lead_id"])
    if len(row) != len(table) or not same or not np.array_equal(table.loc[row, "label"], snapshots["label"]):
        raise AssertionError(f"{task}: the product's leads are not the file's rows")
    part = split_of(table, params.source.order == "rows")
    snapshots = snapshots.assign(row=row, part=part.loc[row].to_numpy())
    write_cut(table.assign(row=table.index), snapshots, folder / "cuts" / "whole")


# Walk-forward


def write_monthly(task: str, data: Path, folder: Path) -> None:
    """Write a cut a month: learn from what was known on its first snapshot date, test on all snapshots of the month."""
    params = PARAMS[task]()
    layout = Layout.folder(folder)
    ingest(params.source, params.ingest, params.project, data, layout)
    contract = Contract.open(layout, params.project)
    every = labelled(contract, params.population)
    matured = every[every["matured"]].drop(columns="matured").reset_index(drop=True)
    matured = matured.assign(row=np.arange(len(matured)))
    matured = matured.assign(
        weight=learning_weights(matured, params.snapshots.max_rows, params.project.seed, "learning")
    )
    for month in pd.period_range(FIRST_CUT, LAST_CUT, freq="M"):
        snapshots = month_split(matured, month, params)
        kept = (snapshots["part"] == "test") | (snapshots["weight"] > 0)
        write_month(contract, snapshots[kept].reset_index(drop=True), params, folder / "cuts" / str(month))


def month_split(matured: pd.DataFrame, month: pd.Period, params: Params) -> pd.DataFrame:
    """Return the snapshots up to the month's end with their parts: the month tests, what was known by then teaches."""
    rows = matured[matured["snapshot_at"] <= month.end_time]
    dates = rows["snapshot_at"].drop_duplicates()
    share = (dates >= month.start_time).sum() / len(dates)
    split = params.split.model_copy(update={"test_share": float(share)})
    rows = rows.assign(part=split_by_time(rows, split))
    if not (rows["part"].eq("test") == (rows["snapshot_at"] >= month.start_time)).all():
        raise AssertionError(f"{month}: the test is not the month")
    return rows[rows["part"] != "embargo"]


def write_month(contract: Contract, snapshots: pd.DataFrame, params: Params, cut: Path) -> None:
    """Write one month's rows and the product's feature matrix of them."""
    matrix, spec = features_of(contract, snapshots, params)
    layout = cut_layout(cut)
    write_parquet(matrix, layout.matrix.path)
    write_json(spec.model_dump(mode="json"), layout.vocabulary.path)
    table = matrix[["row", "lead_id", "label"]].rename(columns={"lead_id": "lead"})
    write_cut(pd.concat([table, in_words(matrix, spec.catalogue)], axis=1), matrix[snapshots.columns], cut)


def features_of(contract: Contract, snapshots: pd.DataFrame, params: Params) -> tuple[pd.DataFrame, MatrixSpec]:
    """Compute the product's features, with a vocabulary learned from the training rows alone."""
    spec = learn_spec(contract, snapshots, params)
    return pd.concat(contract.matrix(snapshots, spec, params.rules), ignore_index=True), spec


def in_words(matrix: pd.DataFrame, entries: Catalogue) -> pd.DataFrame:
    """Return the features with categories as strings, so that the peers treat them as categories."""
    columns = {
        entry.name: matrix[entry.name]
        if entry.levels is None
        else matrix[entry.name].map(dict(enumerate(entry.levels)))
        for entry in entries
    }
    return pd.DataFrame(columns)


# Files


def cut_layout(cut: Path) -> Layout:
    """Where the product finds and leaves what belongs to one cut; the contract is the task's."""
    return Layout(data=Layout.folder(cut.parent.parent).data, artifacts=cut / "artifacts", reports=cut / "reports")


def write_cut(table: pd.DataFrame, snapshots: pd.DataFrame, cut: Path) -> None:
    """Write the peers' rows, and the product's view of them; `row` joins the two."""
    part = snapshots.set_index("row")["part"].reindex(table["row"]).to_numpy()
    cut.mkdir(parents=True, exist_ok=True)
    table[part == "train"].to_parquet(cut / "train.parquet", index=False)
    table[part == "test"].to_parquet(cut / "test.parquet", index=False)
    snapshots.to_parquet(cut / "snapshots.parquet", index=False)


WRITERS: dict[str, Callable[[Path], None]] = {
    "bank_in_order": lambda folder: write_wide("bank_in_order", bank_table(), DATA / "bank_marketing", folder),
    "bank_random": lambda folder: write_wide("bank_random", bank_table(), DATA / "bank_marketing", folder),
    "x_education_random": lambda folder: write_wide(
        "x_education_random", x_education_table(), DATA / "x_education", folder
    ),
    "learning_365_monthly": lambda folder: write_monthly("learning_365_monthly", DATA / "learning_365", folder),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=WRITERS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for cut in (arguments.folder / "cuts").glob("*"):
        shutil.rmtree(cut / "artifacts", ignore_errors=True)  # or a search for settings would go on where it ended
    WRITERS[arguments.task](arguments.folder)


if __name__ == "__main__":
    main()
