"""A lower bound of the regret on the simulated data: all is known but the effects of a record's attributes.

After `make run`: `.venv/bin/python -m benchmarks.regret_bound`; after `leadscore run --out OUT`, with `--out OUT`. The
learner here knows the form of the truth, the effects of behaviour, time and the horizon, and which attributes have an
effect and how. It learns one coefficient per category from the training rows, by maximum likelihood, and picks its
shrinkage on the TEST rows. What is left is estimation error, which the number of converted leads sets. A learner that
has to learn the rest as well, and may not use the test rows, loses more.
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
    """Return the attributes of each row at its moment, and their true effect; rows have lead_id and snapshot_at."""
    number = rows["lead_id"].str[1:].astype("int64") - 1
    seconds = (rows["snapshot_at"] - pd.Timestamp(params.simulate.first_day)) // pd.Timedelta(seconds=1)
    settings, parts = params.simulate, []
    time = funnel.day_factors(settings.first_day, settings.last_day, settings.drift, settings.shocks)
    for who, _ in draw_leads(settings, params.project.seed, time):
        in_chunk = number.between(who.number[0], who.number[-1]).to_numpy()
        lead = (number[in_chunk] - who.number[0]).to_numpy()
        version = (who.edited[lead] < seconds[in_chunk].to_numpy()[:, None]).sum(axis=1)
        fixed = {name: getattr(who, name)[lead] for name in ("industry", "country", "source", "mail")}
        edited = {name: getattr(who, name)[lead, version] for name in ("seniority", "function", "employees")}
        worth = {"worth": prospects.worth(who)[lead, version]}
        parts.append(pd.DataFrame(fixed | edited | worth, index=rows.index[in_chunk]))
    return pd.concat(parts).loc[rows.index]


def design(records: pd.DataFrame) -> np.ndarray:
    """Return one column per category, and one for each interaction of the truth, shape (n, c)."""
    size = np.digitize(np.nan_to_num(np.log(records["employees"]), nan=-1.0), SIZES)
    codes = [records[name] for name in ("industry", "country", "source", "mail", "seniority", "function")]
    columns = [
        code == category for code in (*codes, pd.Series(size, index=records.index)) for category in np.unique(code)
    ]
    industries, seniorities, sources = (list(names) for names in (market.INDUSTRIES, market.SENIORITY, market.SOURCES))
    columns += [
        (records["industry"] == industries.index(industry)) & (records["seniority"] == seniorities.index(seniority))
        for industry, seniority in market.SIGNERS
    ]
    columns.append((records["source"] == sources.index("partner")) & (records["employees"] >= LARGE))
    return np.column_stack([np.ones(len(records)), *columns]).astype("float64")


def probability(log_hazard: np.ndarray) -> np.ndarray:
    return np.asarray(-np.expm1(-np.exp(np.clip(log_hazard, -30, 3))))


def fit(columns: np.ndarray, offset: np.ndarray, label: np.ndarray, counts: np.ndarray, shrinkage: float) -> np.ndarray:
    """Fit the complementary log-log model with a known offset; the first weight, the intercept, is not shrunk.

    `counts` is how often each row counts, shape (n,).
    """
    penalty = np.append(0.0, np.full(columns.shape[1] - 1, shrinkage))

    def loss(weight: np.ndarray) -> tuple[float, np.ndarray]:
        hazard = np.exp(np.clip(offset + columns @ weight, -30, 3))
        p = np.clip(-np.expm1(-hazard), 1e-12, None)
        slope = counts * ((1 - label) * hazard - label * hazard * np.exp(-hazard) / p)
        value = counts @ ((1 - label) * hazard - label * np.log(p)) + 0.5 * penalty @ weight**2
        return float(value), columns.T @ slope + penalty * weight

    return np.asarray(minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--params", type=Path)
    options = parser.parse_args()
    params = load(options.params)
    layout = Layout.workspace(Path()) if options.out is None else Layout.folder(options.out)
    rows = pd.read_parquet(layout.matrix.path, columns=[*KEY, "label", "part", "weight"])
    rows = rows.merge(pd.read_parquet(layout.oracle.path), on=KEY, validate="one_to_one")
    known = records(rows, params)
    columns = design(known)
    offset = np.log(-np.log1p(-rows["probability"].to_numpy())) - known["worth"].to_numpy()
    train, test = (rows["part"].eq(part).to_numpy() for part in ("train", "test"))
    truth, label, counts = rows.loc[test, "probability"], rows["label"].to_numpy(), rows["weight"].to_numpy()
    least = losses(truth, truth).sum()
    distance = (
        losses(pd.Series(np.average(label[train], weights=counts[train]), index=truth.index), truth).sum() - least
    )
    regret = {}
    for shrinkage in SHRINKAGE:
        weight = fit(columns[train], offset[train], label[train], counts[train], shrinkage)
        predicted = probability(offset[test] + columns[test] @ weight)
        regret[shrinkage] = (losses(pd.Series(predicted, index=truth.index), truth).sum() - least) / distance
    leads = rows.loc[train, "lead_id"].nunique()
    converted = rows.loc[train & (label == 1), "lead_id"].nunique()
    print(
        f"{train.sum():,} training rows of {leads:,} leads, of which {converted:,} converted; {test.sum():,} test rows"
    )
    print(f"least regret with {columns.shape[1]} coefficients to learn: {min(regret.values()):.1%}")


if __name__ == "__main__":
    main()
