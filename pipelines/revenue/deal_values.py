"""Deal values of the leads of a list: learned from the deals won before it, by what was known of each."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.attributes.as_of import attributes_as_of
from features.attributes.definitions import attribute_features, fit_matrix
from features.matrix.matrix import MatrixSpec
from models.evaluation.estimate import Estimate
from models.revenue.deal_value import LEAST_DEALS, DealValueModel, fit_deal_values
from models.revenue.declarations import MoneyParams
from models.revenue.totals import total_revenue
from pipelines.storage.contract_store import Contract

log = logging.getLogger("leadscore")
REVENUE = ["deal_value", "deal_value_low", "deal_value_high", "expected_revenue", "expected_revenue_low",
           "expected_revenue_high", "revenue_per_hour"]  # fmt: skip
RANK_COLUMN = {"revenue": "expected_revenue", "revenue_per_hour": "revenue_per_hour"}
LIKE_IT = ("value", "level", "frequency")  # measures of what a lead is; its age at the win is not known on a list
TICK = pd.Timedelta(microseconds=1)


@dataclass(frozen=True)
class DealValues:
    """Learned deal values, and how they are asked for."""

    model: DealValueModel
    contract: Contract
    spec: MatrixSpec
    params: MoneyParams

    @classmethod
    def learn(cls, contract: Contract, spec: MatrixSpec, params: MoneyParams, until: pd.Timestamp) -> DealValues | None:
        """Learn from the deals won before a moment; None without `money.deal_value`, or from too few deals."""
        if not params.deal_value:
            return None
        won = contract.outcomes[["lead_id", "converted_at"]].dropna()
        won = won[won["converted_at"] < until].reset_index(drop=True)
        value = values_of(won["lead_id"], contract, params).to_numpy("float64")
        rows = won[["lead_id"]].assign(snapshot_at=on_lists(won, contract.leads))
        features, categories = _features(rows, contract, spec)
        model = fit_deal_values(features, value, won["converted_at"].to_numpy(), categories)
        if model is None:
            log.warning("money: %s deals won before %s have a value; %s are needed, so that there are no figures of it",
                        f"{int((value > 0).sum()):,}", f"{until:%Y-%m-%d}", LEAST_DEALS)  # fmt: skip
            return None
        return cls(model, contract, spec, params)

    def logs(self, moments: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return `log_value` and `spread` of the deal of each lead at its moment (lead_id, snapshot_at)."""
        features, _ = _features(moments, self.contract, self.spec)
        return self.model.log_value(features), self.model.spread(features)

    def columns(self, probability: pd.Series[float], moments: pd.DataFrame, confidence: float) -> pd.DataFrame:
        """Return REVENUE of the leads of a list, by the index of `probability`.

        Parameters
        ----------
        moments
            lead_id, snapshot_at of each, in the same order.
        confidence
            Of the interval in which most deals like it lie, if they are won.
        """
        features, _ = _features(moments, self.contract, self.spec)
        chance = probability.to_numpy("float64")
        value = self.model.expected(features)
        low, high = self.model.interval(features, confidence)
        found = [value, low, high, chance * value, chance * low, chance * high, chance * value / self._hours(moments)]
        return pd.DataFrame(dict(zip(REVENUE, found, strict=True)), index=probability.index)

    def total(self, probability: np.ndarray, moments: pd.DataFrame, confidence: float, seed: int) -> Estimate:
        """Return what leads are expected to bring in all."""
        return total_revenue(probability, *self.logs(moments), self.model.residuals, confidence, seed)

    def _hours(self, moments: pd.DataFrame) -> np.ndarray:
        name = self.params.hours_attribute
        if not name:
            return np.full(len(moments), self.params.hours)
        known = attributes_as_of(moments, self.contract.leads, self.contract.history, self.spec.attributes)[name]
        hours = known.astype("float64").where(known.astype("float64") > 0)
        return hours.fillna(self.params.hours).to_numpy("float64")


def on_lists(won: pd.DataFrame, leads: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """Return a moment at which each won lead was open, by the index of `won`: halfway from its creation to the win.

    What is written with the win, such as an amount that is corrected to what the customer signed, is known on no list.
    """
    created = leads.set_index("lead_id")["created_at"].reindex(won["lead_id"]).set_axis(won.index)
    half = created + (won["converted_at"] - created) / 2
    return half.where(half < won["converted_at"], won["converted_at"] - TICK).astype("datetime64[us]")


def values_of(lead_id: pd.Series[str], contract: Contract, params: MoneyParams) -> pd.Series[float]:
    """Return what the deal of each lead brought, by the index of `lead_id`; missing where it is not known."""
    known = contract.leads.set_index("lead_id")[params.deal_value]
    return known.reindex(lead_id.to_numpy()).astype("float64").set_axis(lead_id.index)


def rank_value(leads: pd.DataFrame, params: MoneyParams) -> pd.DataFrame:
    """Add `rank_value`, by which tiers are filled and lists are ordered, where that is not the probability."""
    column = RANK_COLUMN.get(params.rank_by)
    return leads if column is None or column not in leads else leads.assign(rank_value=leads[column])


def _features(moments: pd.DataFrame, contract: Contract, spec: MatrixSpec) -> tuple[pd.DataFrame, list[str]]:
    """Return what leads are at their moments, and which of the columns are codes of categories."""
    used = [one for one in attribute_features(spec.attributes, spec.params, spec.vocabulary) if one.measure in LIKE_IT]
    names = [one.name for one in used]
    frame = attributes_as_of(moments, contract.leads, contract.history, spec.attributes)
    features = fit_matrix(frame, spec.attributes, spec.params, spec.vocabulary, names)
    return features[names], [one.name for one in used if one.measure == "level"]
