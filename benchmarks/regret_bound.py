"""What no learner of the embedded data can do better than: regret with all told but what a record is worth.

After `make run`: `.venv/bin/python -m benchmarks.regret_bound`; after `leadscore run --out OUT`, with `--out OUT`. The
learner here knows the form of the truth, all that behaviour, time and the horizon say, and which attributes act and
how. It learns one number a level from the training rows, by maximum likelihood, and picks its shrinkage on the TEST
rows. What is left is chance alone: so many converted leads tell no more. Whoever has to learn the rest as well, and
may not look ahead, loses more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from benchmarks.regret import KEY, losses
from pipelines.config.params import Params, load
from pipelines.simulation import funnel, market, prospects
from pipelines.simulation.export import draw_leads
from pipelines.simulation.market import LARGE
from pipelines.storage.layout import Layout

SHRINKAGE = (1.0, 3.0, 10.0, 30.0, 100.0)
SIZES = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)  # edges, natural log of employees


def records(rows: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Say of each row what the record held then, and its true worth; rows have lead_id and snapshot_at."""
    number = rows["lead_id"].str[1:].astype("int64") - 1
    seconds = (rows["snapshot_at"] - pd.Timestamp(params.simulate.first_day)) // pd.Timedelta(seconds=1)
    asked, parts = params.simulate, []
    time = funnel.day_factors(asked.first_day, asked.last_day, asked.drift, asked.shocks)
    for who, _ in draw_leads(asked, params.project.seed, time):
        mine = number.between(who.number[0], who.number[-1]).to_numpy()
        lead = (number[mine] - who.number[0]).to_numpy()
        version = (who.edited[lead] < seconds[mine].to_numpy()[:, None]).sum(axis=1)
        fixed = {name: getattr(who, name)[lead] for name in ("industry", "country", "source", "mail")}
        edited = {name: getattr(who, name)[lead, version] for name in ("seniority", "function", "employees")}
        worth = {"worth": prospects.worth(who)[lead, version]}
        parts.append(pd.DataFrame(fixed | edited | worth, index=rows.index[mine]))
    return pd.concat(parts).loc[rows.index]


def design(records: pd.DataFrame) -> np.ndarray:
    """Return one column a level, and one for each interaction that the truth has, shape (n, c)."""
    size = np.digitize(np.nan_to_num(np.log(records["employees"]), nan=-1.0), SIZES)
    codes = [records[name] for name in ("industry", "country", "source", "mail", "seniority", "function")]
    columns = [code == level for code in (*codes, pd.Series(size, index=records.index)) for level in np.unique(code)]
    industries, levels, sources = (list(one) for one in (market.INDUSTRIES, market.SENIORITY, market.SOURCES))
    columns += [
        (records["industry"] == industries.index(industry)) & (records["seniority"] == levels.index(level))
        for industry, level in market.SIGNERS
    ]
    columns.append((records["source"] == sources.index("partner")) & (records["employees"] >= LARGE))
    return np.column_stack([np.ones(len(records)), *columns]).astype("float64")


def probability(log_hazard: np.ndarray) -> np.ndarray:
    return np.asarray(-np.expm1(-np.exp(np.clip(log_hazard, -30, 3))))


def fit(columns: np.ndarray, offset: np.ndarray, label: np.ndarray, shrinkage: float) -> np.ndarray:
    """Fit the complementary log-log model with a known offset; the first weight, the level, is free."""
    held = np.append(0.0, np.full(columns.shape[1] - 1, shrinkage))

    def loss(weight: np.ndarray) -> tuple[float, np.ndarray]:
        hazard = np.exp(np.clip(offset + columns @ weight, -30, 3))
        p = np.clip(-np.expm1(-hazard), 1e-12, None)
        slope = (1 - label) * hazard - label * hazard * np.exp(-hazard) / p
        value = ((1 - label) * hazard - label * np.log(p)).sum() + 0.5 * held @ weight**2
        return float(value), columns.T @ slope + held * weight

    return np.asarray(minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--params", type=Path)
    asked = parser.parse_args()
    params = load(asked.params)
    layout = Layout.workspace(Path()) if asked.out is None else Layout.folder(asked.out)
    rows = pd.read_parquet(layout.matrix.path, columns=[*KEY, "label", "part"])
    rows = rows.merge(pd.read_parquet(layout.oracle.path), on=KEY, validate="one_to_one")
    known = records(rows, params)
    columns = design(known)
    offset = np.log(-np.log1p(-rows["probability"].to_numpy())) - known["worth"].to_numpy()
    train, test = (rows["part"].eq(part).to_numpy() for part in ("train", "test"))
    truth, label = rows.loc[test, "probability"], rows["label"].to_numpy()
    least = losses(truth, truth).sum()
    distance = losses(pd.Series(label[train].mean(), index=truth.index), truth).sum() - least
    found = {}
    for shrinkage in SHRINKAGE:
        weight = fit(columns[train], offset[train], label[train], shrinkage)
        said = probability(offset[test] + columns[test] @ weight)
        found[shrinkage] = (losses(pd.Series(said, index=truth.index), truth).sum() - least) / distance
    leads = rows.loc[train, "lead_id"].nunique()
    converted = rows.loc[train & (label == 1), "lead_id"].nunique()
    print(
        f"{train.sum():,} training rows of {leads:,} leads, of which {converted:,} converted; {test.sum():,} test rows"
    )
    print(f"least regret with {columns.shape[1]} numbers to learn: {min(found.values()):.1%}")


if __name__ == "__main__":
    main()
