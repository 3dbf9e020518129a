"""Are nurture dates right? `python -m benchmarks.nurture`: 200 worlds, and benchmarks/nurture.json.

A world is lists of leads whose interest wanders, jumps when they act, and fades; they close by it, won or lost. No
model is trained: the probability on a list is the true one, seen with noise. At a past list the days to look again are
learned from the lists before; said is the share of leads that are ready by their day, and what came is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from models.nurture.history import Waits
from models.nurture.judge import said_and_come

WORLDS, LISTS, STEPS, LEAST = 200, 40, 8, 0.15
CAPACITY, COLD = 60, "cold"
OLDEST = 26  # lists
LIMIT = 0.1  # of what came, by which what was said may be off


def world(seed: int, growth: float = 0.0) -> pd.DataFrame:
    """Return lists: lead_id, snapshot_at, tier, probability, age, quiet.

    Parameters
    ----------
    growth
        By how much more leads arrive, from the first list to the last.
    """
    rng, rows = np.random.default_rng(seed), []
    lead, interest, age, quiet = (np.empty(0) for _ in range(4))
    steady, jump = rng.uniform(0.85, 0.97), rng.uniform(0.8, 2.0)
    for number in range(-OLDEST, LISTS):
        arrive = rng.poisson(40 * (1 + growth * max(number, 0) / LISTS))
        first = lead[-1] + 1 if len(lead) else 0.0
        lead = np.concatenate([lead, first + np.arange(arrive)])
        interest = np.concatenate([interest, rng.normal(0, 1, arrive)])
        age, quiet = (np.concatenate([one, rng.uniform(0, 7, arrive)]) for one in (age, quiet))
        if number >= 0:
            rows.append(_list(number, lead, interest + rng.normal(0, 0.3, len(lead)), age, quiet))
        acts = rng.random(len(lead)) < 0.08 + 0.25 / (1 + np.exp(-interest))
        interest = steady * interest + rng.normal(0, 0.35, len(lead)) + jump * acts * rng.random(len(lead))
        quiet, age = np.where(acts, rng.uniform(0, 7, len(lead)), quiet + 7), age + 7
        won = rng.random(len(lead)) < 1 / (1 + np.exp(4.0 - interest))
        stays = ~won & (rng.random(len(lead)) > 0.03) & (age < 7 * OLDEST)
        lead, interest, age, quiet = (one[stays] for one in (lead, interest, age, quiet))
    return pd.concat(rows, ignore_index=True)


def _list(number: int, lead: np.ndarray, seen: np.ndarray, age: np.ndarray, quiet: np.ndarray) -> pd.DataFrame:
    tier = np.full(len(lead), COLD, dtype=object)
    tier[np.argsort(-seen)[:CAPACITY]] = "hot"
    day = pd.Timestamp("2024-01-01") + pd.Timedelta(days=7 * number)
    return pd.DataFrame(
        {"lead_id": lead.astype("int64").astype("str"), "snapshot_at": day, "tier": tier.astype("str"),
         "probability": 1 / (1 + np.exp(4.0 - seen)), "age": age, "quiet": quiet}
    )  # fmt: skip


def outcomes(worlds: int, growth: float) -> Iterator[tuple[int, float, int]]:
    """Yield, of each world, the leads that got a day, how many were said to be ready by it, and how many were."""
    for seed in range(worlds):
        waits = Waits.of(world(seed, growth), COLD)
        found = said_and_come(waits, waits.last - STEPS, STEPS, LEAST)
        if found is None:
            raise ValueError("too few leads became ready to learn from")
        yield len(found), float(found["chance"].sum()), int(found["come"].sum())


def calibration(worlds: int, growth: float) -> dict[str, float]:
    """Return said over come of all worlds together, with its 90% interval over worlds."""
    n, said, come = (np.array(column, dtype="float64") for column in zip(*outcomes(worlds, growth), strict=True))
    ratio = said.sum() / come.sum()
    error = float(np.std(said - ratio * come, ddof=1)) * np.sqrt(worlds) / come.sum()
    return {
        "leads": float(n.sum()),
        "said": float(said.sum() / n.sum()),
        "came": float(come.sum() / n.sum()),
        "said over came": float(ratio),
        "low": float(ratio - 1.645 * error),
        "high": float(ratio + 1.645 * error),
    }


if __name__ == "__main__":
    settings = {"the same demand": 0.0, "a half more leads by the end": 0.5}
    result = {name: calibration(WORLDS, growth) for name, growth in settings.items()}
    found = {"worlds": WORLDS, "lists": LISTS, "limit": LIMIT, "calibration": result}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
