"""Deal values are learned where attributes tell deals apart, are the average where not, and their means are honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.revenue.deal_value import DealValueModel, fit_deal_values

N = 400


def deals(seed: int, spread: float, size: float = 0.6) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Deals whose log value follows the size of the company and the product, by `size`, and chance, by `spread`."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame({"size": rng.lognormal(4, 1, N), "product": rng.integers(0, 3, N).astype("float64")})
    features.loc[rng.random(N) < 0.1, "size"] = np.nan
    log = 8 + size * (np.log1p(features["size"].fillna(50)) - 4) + size * features["product"]
    return features, np.exp(log.to_numpy() + rng.normal(0, spread, N)), np.arange(N)


def fitted(seed: int, spread: float, size: float = 0.6) -> DealValueModel:
    found = fit_deal_values(*deals(seed, spread, size), ["product"])
    assert found is not None
    return found


def test_what_tells_deals_apart_is_learned_and_the_mean_is_not_too_low_for_its_tail() -> None:
    model = fitted(1, 0.8)
    features, value, _ = deals(2, 0.8)
    assert not model.constant
    assert model.expected(features).sum() == pytest.approx(value.sum(), rel=0.1)
    assert np.exp(model.log_value(features)).sum() < 0.85 * value.sum(), "the mean log alone forgets the tail"


def test_most_later_deals_lie_in_the_interval() -> None:
    inside = []
    for seed in range(10):
        features, value, _ = deals(100 + seed, 0.8)
        low, high = fitted(seed, 0.8).interval(features, 0.9)
        inside.append(((value >= low) & (value <= high)).mean())
    assert 0.87 < np.mean(inside) < 0.93


def test_where_nothing_tells_deals_apart_each_is_worth_the_average() -> None:
    chosen = [fitted(seed, 0.8, size=0.0) for seed in range(20)]
    assert sum(model.constant for model in chosen) >= 18
    features, value, _ = deals(0, 0.8, size=0.0)
    assert chosen[0].expected(features) == pytest.approx(value.mean())


def test_too_few_deals_and_deals_without_a_value_teach_nothing() -> None:
    features, value, at = deals(1, 0.5)
    value[19:] = np.where(np.arange(19, N) % 2, np.nan, -5.0)
    assert fit_deal_values(features, value, at, ["product"]) is None


def test_a_value_that_no_deal_had_is_worth_the_average_of_the_others() -> None:
    model = fitted(1, 0.3)
    new = pd.DataFrame({"size": [50.0, 50.0], "product": [1.0, 7.0]})
    assert np.isfinite(model.expected(new)).all()
