"""The search for the boosters' settings: seeded, and resumed where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from features.schema.spec import Spec
from models.learners.gradient_boosting import TrainParams
from models.training.selection import ProgressCallback

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


Whole = Annotated[int, Field(ge=1, le=1_000_000)]
Leaves = Annotated[int, Field(ge=2, le=131_072)]  # as many as LightGBM takes
Depth = Annotated[int, Field(ge=1, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e9)]  # searched on a logarithmic scale


class SearchedSettings(Spec):
    """Settings of the boosters that the search looks for."""

    num_leaves: Leaves = Field(description="As in `train`.")
    max_depth: Depth = Field(description="As in `train`.")
    min_child_samples: Whole = Field(description="As in `train`.")
    feature_fraction: Share = Field(description="As in `train`.")
    bagging_fraction: Share = Field(description="As in `train`.")
    lambda_l2: Positive = Field(description="As in `train`.")


class SearchParams(Spec):
    """How long to search, and between which bounds."""

    trials: int = Field(
        default=8,
        ge=0,
        le=10_000,
        description="Settings to try; each takes about as long as training once on every fold; 0: no search.",
    )
    first: list[SearchedSettings] = Field(
        default=[
            SearchedSettings(
                num_leaves=31,
                max_depth=6,
                min_child_samples=40,
                feature_fraction=0.6,
                bagging_fraction=0.8,
                lambda_l2=5.0,
            )
        ],
        description=(
            "Where nothing orders the rows: settings to try after those of `train`, before any that are drawn, as "
            "larger trees do well where leads do not change over time; []: none. Those outside of the bounds below are "
            "left out."
        ),
    )
    num_leaves: tuple[Leaves, Leaves] = Field(default=(4, 31), description="From and to.")
    max_depth: tuple[Depth, Depth] = Field(
        default=(2, 6), description="From and to; deeper than 6 costs explanation time."
    )
    min_child_samples: tuple[Whole, Whole] = Field(default=(10, 300), description="From and to.")
    feature_fraction: tuple[Share, Share] = Field(default=(0.15, 0.6), description="From and to.")
    bagging_fraction: tuple[Share, Share] = Field(default=(0.4, 1.0), description="From and to.")
    lambda_l2: tuple[Positive, Positive] = Field(default=(0.1, 100.0), description="From and to.")

    @model_validator(mode="after")
    def _bounds_ascend(self) -> SearchParams:
        for name, (low, high) in self.bounds.items():
            if low > high:
                raise ValueError(f"{name} runs from {low} down to {high}")
        return self

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """The settings that are searched, by name."""
        return {name: value for name, value in self if name not in ("trials", "first")}

    def within(self, settings: Mapping[str, float]) -> bool:
        """Whether settings lie between the bounds."""
        return all(low <= settings[name] <= high for name, (low, high) in self.bounds.items())

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {name: _distribution(low, high) for name, (low, high) in self.bounds.items()}


def _distribution(low: float, high: float) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=True)
    return FloatDistribution(low, high, log=True)


def search(
    loss: Callable[[TrainParams], float],
    start: TrainParams,
    params: SearchParams,
    study: optuna.Study,
    seed: int,
    progress: ProgressCallback,
) -> TrainParams:
    """Return the settings with the lowest loss; `start` is tried first, then `params.first`.

    Trials that the study holds are not repeated. Only finished trials are kept, and each is drawn from a seed of its
    own, so that a search that was stopped and resumed ends where an undisturbed one does.

    Parameters
    ----------
    loss
        Loss of settings on the forward folds.
    study
        Where trials are kept.
    """
    from optuna.trial import create_trial

    while len(study.trials) < params.trials:
        chosen = _draw(start, params, study, seed + len(study.trials))
        value = loss(start.model_copy(update=chosen))
        study.add_trial(create_trial(params=chosen, distributions=params.distributions, value=value))
        progress(f"trial {len(study.trials)}/{params.trials}: log-loss {value:.6f}, best {study.best_value:.6f}")
    return start.model_copy(update=study.best_params) if params.trials else start


def _draw(start: TrainParams, params: SearchParams, study: optuna.Study, seed: int) -> dict[str, float]:
    """Draw the next settings, in a temporary study: a trial that is killed leaves no trace."""
    import optuna

    known = [{name: getattr(one, name) for name in params.bounds} for one in (start, *params.first)]
    to_try = [known[0], *(one for one in known[1:] if params.within(one) and one != known[0])]
    if len(study.trials) < len(to_try):
        return to_try[len(study.trials)]
    drafts = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    drafts.add_trials(study.trials)
    return dict(drafts.ask(params.distributions).params)
