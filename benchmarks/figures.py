"""AUC and log-loss with bootstrap intervals by lead, every method on the same resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

RESAMPLES = 1000
CONFIDENCE = 0.9
SEED = 0
LEAST_PROBABILITY = 1e-9
Tree = dict[str, float | list[float]]


@dataclass(frozen=True)
class Draws:
    """Both metrics of one method: first of the rows as they are, then of each resample; shape (1 + RESAMPLES,)."""

    auc: np.ndarray
    log_loss: np.ndarray


def draws(lead: np.ndarray, label: np.ndarray, probability: np.ndarray) -> Draws:
    """Compute both metrics; leads are drawn with replacement, as the rows of a lead depend on each other."""
    code, leads = pd.factorize(lead)
    rng = np.random.default_rng(SEED)
    order = np.argsort(-probability, kind="stable")
    tie_end = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    loss = losses(label, probability)
    aucs, log_losses = [], []
    for resample in range(RESAMPLES + 1):
        times = np.bincount(rng.integers(len(leads), size=len(leads)), minlength=len(leads))
        weight = (times if resample else np.ones(len(leads)))[code].astype("float64")
        aucs.append(auc(label[order], weight[order], tie_end))
        log_losses.append(float(weight @ loss / weight.sum()))
    return Draws(np.array(aucs), np.array(log_losses))


def losses(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the log-loss of each row, shape (n,)."""
    clipped = np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    loss: np.ndarray = -np.log(np.where(label == 1, clipped, 1 - clipped))
    return loss


def auc(label: np.ndarray, weight: np.ndarray, tie_end: np.ndarray) -> float:
    """Area under the ROC curve of rows sorted from the best down; rows of one probability have no order."""
    positive = np.append(0.0, np.cumsum(weight * label)[tie_end])
    negative = np.append(0.0, np.cumsum(weight * (1 - label))[tie_end])
    return float(np.trapezoid(positive, negative) / (positive[-1] * negative[-1]))


def summary(of: Draws, ours: Draws | None) -> Tree:
    """Return each metric with its interval, and how far the method lies behind ours (above 0: ours is better)."""
    tree: Tree = {}
    for name, sign in (("auc", -1), ("log_loss", 1)):
        own: np.ndarray = getattr(of, name)
        tree |= {name: round(float(own[0]), 5), f"{name}_interval": interval(own[1:])}
        if ours is not None:
            behind = sign * (own - getattr(ours, name))
            tree |= {f"{name}_behind": round(float(behind[0]), 5), f"{name}_behind_interval": interval(behind[1:])}
    return tree


def interval(values: np.ndarray) -> list[float]:
    """Return the middle 90% of the resamples."""
    low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return [round(float(low), 5), round(float(high), 5)]
