"""A figure with its interval, and the figures of one model; on disk flat, as x, x_low and x_high."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_serializer, model_validator

from features.schema.spec import Spec

Figure = float | None

COUNTS = ("n", "n_leads", "n_positive")
SHARES = ("lift_at_", "gain_at_")  # figures of which there is one for each share in percent
ENDS = ("_low", "_high")


class Figures(Spec):
    """A result in which a figure that does not exist is None, as on disk."""

    @field_validator("*", mode="before")
    @classmethod
    def _exists(cls, value: object) -> object:
        return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Estimate:
    """A figure, its interval, and how many rows it is of; NaN where it does not exist."""

    value: float
    low: float
    high: float
    n: int

    @property
    def exists(self) -> bool:
        return math.isfinite(self.value)

    def overlaps(self, other: Estimate) -> bool:
        """Whether the intervals overlap, so that the difference may be chance."""
        return self.low <= other.high and other.low <= self.high

    def text(self, form: str) -> str:
        """Format value and interval, such as "0.750 (0.675 to 0.825)" for ".3f"."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"

    def flat(self, name: str) -> dict[str, float]:
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


class ModelMetrics(BaseModel):
    """The figures of one model on the same rows; read from and written as one flat mapping.

    Attributes
    ----------
    precision_at_k
        The conversion rate of the rows called at capacity.
    capacity_lift
        precision_at_k over base_rate: times calling by chance.
    lift_at, gain_at
        By share of the rows that is called, in percent, such as "10".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    n_leads: int
    n_positive: int
    auc: Estimate
    average_precision: Estimate
    log_loss: Estimate
    brier: Estimate
    calibration_error: Estimate
    precision_at_k: Estimate
    capacity_lift: Estimate
    base_rate: Estimate
    mean_probability: Estimate
    lift_at: dict[str, Estimate]
    gain_at: dict[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        """Return the figure of a name as it is on disk, such as auc or lift_at_10."""
        estimate: Estimate = self._estimates()[name]
        return estimate

    def _estimates(self) -> dict[str, Estimate]:
        named = {name: value for name, value in self if isinstance(value, Estimate)}
        return named | {
            f"{prefix}{share}": estimate
            for prefix in SHARES
            for share, estimate in getattr(self, prefix.removesuffix("_")).items()
        }

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, flat: Mapping[str, float | None]) -> Mapping[str, Any]:
        values = {name: math.nan if value is None else value for name, value in flat.items()}
        names = [name for name in values if name not in COUNTS and not name.endswith(ENDS)]
        estimates = {
            name: Estimate(values.pop(name), values.pop(f"{name}_low"), values.pop(f"{name}_high"), int(flat["n"] or 0))
            for name in names
        }
        shares = {
            prefix.removesuffix("_"): {
                name.removeprefix(prefix): estimates.pop(name) for name in names if name.startswith(prefix)
            }
            for prefix in SHARES
        }
        return values | estimates | shares

    @model_serializer
    def flat(self) -> dict[str, float]:
        """Return every figure as x, x_low and x_high, and the counts."""
        counts = {name: float(getattr(self, name)) for name in COUNTS}
        return {key: value for name, one in self._estimates().items() for key, value in one.flat(name).items()} | counts


class BaselineMetrics(ModelMetrics):
    """The figures of a baseline, and by how much the model is better on the same rows and the same resamples.

    Attributes
    ----------
    log_loss_gap
        The baseline's log-loss less the model's.
    auc_gap, capacity_lift_gap
        The model's less the baseline's; None of a baseline whose ranking was not compared.
    """

    log_loss_gap: Estimate
    auc_gap: Estimate | None = None
    capacity_lift_gap: Estimate | None = None
