"""What the forward folds choose: features, weights, encoding, constraints, settings, blend, slope, recalibration.

Every choice is evaluated on rows after those trained on, within periods, and goes to the simplest candidate that is not
clearly worse than the best one, as what is best of one period is often chance in the next. Where nothing orders the
rows, those to come are like those seen, and the choice goes to the best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from features.matrix.catalogue import Catalogue
from features.schema.spec import Spec
from models.learners.calibration import MaturedRows, blend, fit_slope, fresh_intercepts, losses
from models.learners.ensemble import EnsembleSettings
from models.learners.feature_shift import candidates, drifts
from models.learners.gradient_boosting import TrainParams
from models.scorecard.fitting import ScorecardParams
from models.splitting.forward_folds import FoldParams
from models.training.fold_runs import FoldRuns

QUICK = 2  # times the learning rate in trials
JUDGES = 2  # boosters whose mean is evaluated: one alone disfavours large trees, whose noise a mean removes
FOLD_MODEL = 1  # where nothing orders the rows, one of each fold, as the model is their mean
ProgressCallback = Callable[[str], None]
Search = Callable[[Callable[[TrainParams], float], TrainParams], TrainParams]


class SelectionParams(Spec):
    """What the forward folds choose from."""

    folds: FoldParams = Field(default=FoldParams(), description="How the training period is cut.")
    most_features: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Features at most, those that tell most in a few trees; fewer learn faster, and no worse.",
    )
    drift_limits: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[1.0, 0.7, 0.4],
        min_length=1,
        description=(
            "Features whose values shift further than this from fold to fold (0 to 1) are left out, "
            "unless that is clearly worse; [1.0]: keep all."
        ),
    )
    recency_half_lives: list[Annotated[float, Field(ge=0)]] = Field(
        default=[0, 0.5],
        min_length=1,
        description="A row weighs half after this share of the training period; 0: all rows weigh alike.",
    )
    logistic_c: list[Annotated[float, Field(gt=0)]] = Field(
        default=[0.001, 0.01, 0.1, 1.0],
        min_length=1,
        description="Strengths of the logistic regression; smaller shrinks more.",
    )
    linear_shares: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[0.0, 0.1, 0.25, 0.5, 0.75, 1.0],
        min_length=1,
        description="Weights of the logistic regression in the blend; [0.0]: trees alone.",
    )
    level_half_lives: list[Annotated[float, Field(ge=0)]] = Field(
        default=[0, 0.5, 0.25, 0.1, 0.05, 0.025],
        min_length=1,
        description=(
            "The intercept of the probabilities follows recent outcomes, older ones counting half after "
            "this share of the training period; 0: the whole period alike."
        ),
    )


class Candidate(BaseModel):
    """One answer to a question, and how it did on the forward folds.

    Attributes
    ----------
    loss
        Mean log-loss.
    worse_by, error
        Its mean difference to the best candidate's loss, and the standard error of that over leads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    loss: float
    worse_by: float
    error: float


class Decision(BaseModel):
    """A question that the forward folds have answered; candidates from the simplest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    chosen: str
    candidates: list[Candidate]

    @property
    def index(self) -> int:
        return [candidate.name for candidate in self.candidates].index(self.chosen)


def decide(question: str, losses_of: Mapping[str, np.ndarray], unit: np.ndarray, simplest: bool = True) -> Decision:
    """Choose the first candidate that is worse than the best by no more than the standard error of the difference.

    Parameters
    ----------
    losses_of
        By candidate, the simplest first: the loss of each row, shape (n,).
    unit
        Code of what the error is taken over, shape (n,): mostly the row's lead, as rows of one lead depend on each
        other.
    simplest
        False: choose the best, however little better.
    """
    best = min(losses_of, key=lambda name: losses_of[name].mean())
    compared = [_compare(name, losses_of[name], losses_of[best], unit) for name in losses_of]
    near = next(candidate.name for candidate in compared if candidate.worse_by <= candidate.error)
    return Decision(question=question, chosen=near if simplest else best, candidates=compared)


def _decide(question: str, losses_of: Mapping[str, np.ndarray], forward: FoldRuns) -> Decision:
    return decide(question, losses_of, forward.lead, simplest=forward.earlier[0].ordered)


def _compare(name: str, own: np.ndarray, best: np.ndarray, unit: np.ndarray) -> Candidate:
    difference = own - best
    by_unit = np.bincount(unit, difference - difference.mean())
    error = np.sqrt((by_unit**2).sum()) / len(difference)
    return Candidate(name=name, loss=_short(own.mean()), worse_by=_short(difference.mean()), error=_short(error))


def _short(value: float) -> float:
    return round(float(value), 9)


def select(
    forward: FoldRuns,
    params: SelectionParams,
    start: TrainParams,
    search: Search,
    progress: ProgressCallback,
) -> tuple[EnsembleSettings, list[Decision]]:
    """Answer one question after the other, each with what has been chosen before.

    Parameters
    ----------
    start
        How boosters are trained where the search finds nothing clearly better.
    search
        Looks for better settings, given the loss of settings and where to begin.

    Returns
    -------
    EnsembleSettings, list of Decision
        What was chosen, and why.
    """
    ordered = forward.earlier[0].ordered
    settings = EnsembleSettings(
        left_out=frozenset(),
        half_life=0.0,
        target_encoding=False,
        monotone=True,
        train=start.model_copy(update={"boosters": min(JUDGES if ordered else FOLD_MODEL, start.boosters)}),
        rounds=0,
        c=min(params.logistic_c),
        linear_share=0.5,
        slope=1.0,
        recalibration_half_life=0.0,
    )
    decisions: list[Decision] = []
    settings = _screened(forward, params, settings)
    for step in (_features, _pairs, _weights, _encoding, _directions):
        settings, decision = step(forward, params, settings)
        decisions += _reported(decision, progress)
    settings, decision = _settings(forward, settings, search)
    decisions += _reported(decision, progress)
    settings, decision = _blend(forward, params, settings)
    decisions += _reported(decision, progress)
    settings, decision = _recalibration(forward, params, settings)
    decisions += _reported(decision, progress)
    train = settings.train.model_copy(update={"boosters": start.boosters})
    return replace(settings, train=train), decisions


def select_scorecard(
    forward: FoldRuns, entries: Catalogue, params: ScorecardParams, settings: EnsembleSettings
) -> tuple[float, Decision]:
    """Choose the scorecard's penalty, among the features that do not shift; the stronger, the simpler."""
    losses_of = {
        l2: forward.losses(forward.scorecards(entries, params, settings, l2)) for l2 in sorted(params.l2)[::-1]
    }
    decision = _decide("scorecard", {f"penalty {l2:g}": loss for l2, loss in losses_of.items()}, forward)
    return list(losses_of)[decision.index], decision


def _reported(decision: Decision | None, progress: ProgressCallback) -> list[Decision]:
    if decision is None:
        return []
    progress(f"{decision.question}: {decision.chosen}, of {len(decision.candidates)} candidates")
    return [decision]


def _half_half(forward: FoldRuns, settings: EnsembleSettings) -> np.ndarray:
    """Return the losses of an even blend."""
    linear = forward.linears(settings)
    _, trees = forward.boosters(settings)
    return forward.losses([blend(*pair, 0.5) for pair in zip(trees, linear, strict=True)])


Choice = tuple[EnsembleSettings, Decision | None]


def _screened(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> EnsembleSettings:
    """Leave out the features that tell least, where there are many; choose the penalty for the rest."""
    if forward.earlier[0].sample.features.shape[1] > params.most_features:
        least = np.argsort(-forward.gains(settings), kind="stable")[params.most_features :]
        settings = replace(settings, left_out=frozenset(least.tolist()))
    return _penalised(forward, params, settings)


def _penalised(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> EnsembleSettings:
    """Choose the penalty of the logistic regression: features that drift want another one than the rest."""
    return replace(settings, c=forward.penalty(settings, params.logistic_c))


def _features(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Leave out what drifted from fold to fold, unless the later rows are clearly worse predicted without."""
    drift = np.median(
        [
            drifts(earlier.sample, later.sample, list(earlier.levels))
            for earlier, later in zip(forward.earlier, forward.later, strict=True)
        ],
        axis=0,
    )
    sets = candidates(drift, params.drift_limits, settings.left_out)[::-1]  # the fewest features first
    tried = {
        _count(left_out, "left out"): _penalised(forward, params, replace(settings, left_out=left_out))
        for left_out in sets
    }
    losses_of = {name: _half_half(forward, trial) for name, trial in tried.items()}
    decision = _decide("features that drift", losses_of, forward)
    return tried[decision.chosen], decision


def _pairs(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Use pairs of categories only where that is clearly better."""
    pairs = forward.earlier[0].pairs
    if not pairs - settings.left_out:
        return settings, None
    alone = _penalised(forward, params, replace(settings, left_out=settings.left_out | pairs))
    tried = {"alone": alone, "in pairs": _penalised(forward, params, settings)}
    losses_of = {name: _half_half(forward, trial) for name, trial in tried.items()}
    decision = _decide("categories with many values", losses_of, forward)
    return tried[decision.chosen], decision


def _count(left_out: frozenset[int], what: str) -> str:
    return f"{len(left_out)} {what}" if left_out else f"none {what}"


def _weights(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Let recent rows weigh more, where that is clearly better."""
    if not forward.earlier[0].ordered:
        return settings, None
    if len(params.recency_half_lives) == 1:
        return replace(settings, half_life=params.recency_half_lives[0]), None
    tried = {_half_life_name(value): replace(settings, half_life=value) for value in params.recency_half_lives}
    losses_of = {name: _half_half(forward, trial) for name, trial in tried.items()}
    decision = _decide("weight of recent rows", losses_of, forward)
    return tried[decision.chosen], decision


def _half_life_name(value: float) -> str:
    return f"halved after {value:.3g} of the period" if value else "all alike"


def _encoding(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Show the boosters a target encoding instead of codes, where that is clearly better."""
    if not forward.earlier[0].levels:
        return settings, None
    tried = {"codes": settings, "target encoding": replace(settings, target_encoding=True)}
    return _by_trees("categories in the boosters", forward, tried)


def _directions(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Hold the boosters to declared directions, unless that clearly costs."""
    if not any(forward.earlier[0].shape(settings).monotone):
        return settings, None
    tried = {"held": settings, "free": replace(settings, monotone=False)}
    return _by_trees("declared directions", forward, tried)


def _settings(forward: FoldRuns, settings: EnsembleSettings, search: Search) -> Choice:
    """Take the settings that a search finds, where they are clearly better than those of params.yaml.

    Trials learn faster than the model will: half the trees tell settings apart as well.
    """

    def loss(train: TrainParams) -> float:
        train = train.model_copy(update={"learning_rate": QUICK * train.learning_rate})
        return _short(forward.losses(forward.boosters(replace(settings, train=train))[1]).mean())

    searched = search(loss, settings.train)
    if searched == settings.train:
        return settings, None
    tried = {"as in params.yaml": settings, "as searched": replace(settings, train=searched)}
    return _by_trees("settings of the boosters", forward, tried)


def _by_trees(question: str, forward: FoldRuns, tried: dict[str, EnsembleSettings]) -> Choice:
    losses_of = {name: forward.losses(forward.boosters(trial)[1]) for name, trial in tried.items()}
    decision = _decide(question, losses_of, forward)
    return tried[decision.chosen], decision


def _blend(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Choose penalty, rounds, share and slope; the nearer to even weights, the simpler.

    Weights that were estimated rarely beat equal ones later: Stock and Watson 2004, Journal of Forecasting 23, "the
    forecast combination puzzle". The slope is that of the newest fold, whose models saw most rows; without order, that
    of all folds.
    """
    settings = _penalised(forward, params, settings)
    rounds, trees = forward.boosters(settings)
    linear = forward.linears(settings)
    tried, losses_of = {}, {}
    for share in sorted(params.linear_shares, key=lambda share: (abs(share - 0.5), share)):
        raw = [blend(*parts, share) for parts in zip(trees, linear, strict=True)]
        slope = fit_slope(forward.newest(raw))
        name = f"{share:.0%} logistic"
        tried[name] = replace(settings, rounds=rounds, linear_share=share, slope=slope)
        losses_of[name] = forward.losses(raw)
    decision = _decide("blend", losses_of, forward)
    return tried[decision.chosen], decision


def _recalibration(forward: FoldRuns, params: SelectionParams, settings: EnsembleSettings) -> Choice:
    """Choose the recalibration window of the intercept, at what the models of earlier folds predicted."""
    if not forward.earlier[0].ordered or len(forward.later) == 1:
        return settings, None
    _, trees = forward.boosters(settings)
    linear = forward.linears(settings)
    raw = [blend(*parts, settings.linear_share) for parts in zip(trees, linear, strict=True)]
    half_lives = sorted(params.level_half_lives, key=lambda value: value or np.inf, reverse=True)
    named = {_half_life_name(value): value * forward.span for value in half_lives}
    decision = recalibration_window(forward.matured(raw, settings), forward.list_moments(), named)
    if decision is None:
        return settings, None
    return replace(settings, recalibration_half_life=half_lives[decision.index]), decision


def recalibration_window(rows: MaturedRows, moments: np.ndarray, half_lives: Mapping[str, float]) -> Decision | None:
    """Choose the half-life of outcomes by what its intercepts predicted of lists that stood on what was known by then.

    Each half-life is as likely as its predictions were, and the median of them is chosen: few conversions can hardly
    tell them apart, and the one with the lowest loss is then a matter of chance. Source: Dawid 1984, Journal of the
    Royal Statistical Society A 147, "the prequential approach".

    Parameters
    ----------
    moments
        When each row is on a list, shape (n,).
    half_lives
        By name, the longest first; as in `fresh_intercepts`.

    Returns
    -------
    Decision or None
        With errors over lists, as all leads of a list share the error of its intercept; None where no outcome was known
        before the last list.
    """
    seen = moments > rows.known.min()
    if not seen.any():
        return None
    lists, unit = np.unique(moments[seen], return_inverse=True)
    weight, losses_of = rows.weight[seen], {}
    for name, half_life in half_lives.items():
        shift = fresh_intercepts(rows, lists, half_life)[unit]
        losses_of[name] = weight * losses(rows.log_odds[seen] + shift, rows.label[seen])
    total = np.array([loss.sum() for loss in losses_of.values()])
    likely = np.cumsum(np.exp(total.min() - total))
    median = list(losses_of)[int(np.searchsorted(likely, likely[-1] / 2))]
    decision = decide("recalibration window", {name: loss / weight.mean() for name, loss in losses_of.items()}, unit)
    return decision.model_copy(update={"chosen": median})
