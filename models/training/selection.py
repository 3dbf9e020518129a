"""What the forward folds choose: features, weights, encoding, constraints, settings, blend, slope and level.

Every choice is judged on rows that come after those learned from, within periods, and goes to the simplest candidate
that is not clearly worse than the best one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from features.matrix.catalogue import Catalogue
from features.schema.spec import Spec
from models.learners.calibration import blend, fit_level, fit_slope, losses, recency
from models.learners.ensemble import Models, Settings
from models.learners.feature_shift import candidates, drifts
from models.learners.gradient_boosting import TrainParams
from models.scorecard.fitting import ScorecardParams
from models.splitting.forward_folds import FoldParams
from models.training.fold_runs import Forward

JUDGES = 2  # boosters whose mean is judged: one alone speaks against large trees, whose noise a mean takes away
Watch = Callable[[str], None]
Search = Callable[[Callable[[TrainParams], float], TrainParams], TrainParams]


class SelectionParams(Spec):
    """What the forward folds choose from."""

    folds: FoldParams = Field(default=FoldParams(), description="How the training period is cut.")
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
        default=[0.0, 0.25, 0.5, 0.75, 1.0],
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
    def place(self) -> int:
        return [candidate.name for candidate in self.candidates].index(self.chosen)


def decide(question: str, found: Mapping[str, np.ndarray], lead: np.ndarray) -> Decision:
    """Choose the first candidate that is worse than the best by no more than the standard error of the difference.

    Parameters
    ----------
    found
        By candidate, the simplest first: the loss of each row, shape (n,).
    lead
        Code of each row's lead, shape (n,): rows of one lead depend on each other, so the error is taken over leads.
    """
    best = min(found, key=lambda name: found[name].mean())
    compared = [_compare(name, found[name], found[best], lead) for name in found]
    chosen = next(candidate.name for candidate in compared if candidate.worse_by <= candidate.error)
    return Decision(question=question, chosen=chosen, candidates=compared)


def _compare(name: str, mine: np.ndarray, best: np.ndarray, lead: np.ndarray) -> Candidate:
    difference = mine - best
    by_lead = np.bincount(lead, difference - difference.mean())
    error = np.sqrt((by_lead**2).sum()) / len(difference)
    return Candidate(name=name, loss=_short(mine.mean()), worse_by=_short(difference.mean()), error=_short(error))


def _short(value: float) -> float:
    return round(float(value), 9)


def select(
    forward: Forward, final: Forward, params: SelectionParams, start: TrainParams, search: Search, watch: Watch
) -> tuple[Settings, list[Decision]]:
    """Answer one question after the other, each with what has been chosen before.

    Parameters
    ----------
    forward, final
        Folds of a sample of the leads, and of as many as can be: the more rows, the less shrinkage is right, so that
        penalty, rounds, blend, slope and level are chosen on the latter. May be the same.
    start
        How boosters are trained where the search finds nothing clearly better.
    search
        Looks for better settings, given a function that says what settings lose, and where to begin.

    Returns
    -------
    Settings, list of Decision
        What was chosen, and why.
    """
    settings = Settings(
        left_out=frozenset(),
        half_life=0.0,
        statistics=False,
        monotone=True,
        train=start.model_copy(update={"boosters": min(JUDGES, start.boosters)}),
        rounds=0,
        c=min(params.logistic_c),
        linear_share=0.5,
        slope=1.0,
        level_half_life=0.0,
    )
    decisions: list[Decision] = []
    for step in (_features, _weights, _encoding, _directions):
        settings, decision = step(forward, params, settings)
        decisions += _told(decision, watch)
    settings, decision = _settings(forward, settings, search)
    decisions += _told(decision, watch)
    settings, decision = _blend(final, params, settings, params.logistic_c if final is not forward else [settings.c])
    decisions += _told(decision, watch)
    settings, decision = _level(final, params, settings)
    decisions += _told(decision, watch)
    train = settings.train.model_copy(update={"boosters": start.boosters})
    return replace(settings, train=train), decisions


def select_scorecard(
    forward: Forward, entries: Catalogue, params: ScorecardParams, settings: Settings
) -> tuple[float, Decision]:
    """Choose the scorecard's penalty, among the features that transfer; the stronger, the simpler."""
    found = {l2: forward.losses(forward.scorecards(entries, params, settings, l2)) for l2 in sorted(params.l2)[::-1]}
    decision = decide("scorecard", {f"penalty {l2:g}": loss for l2, loss in found.items()}, forward.lead)
    return list(found)[decision.place], decision


def _told(decision: Decision | None, watch: Watch) -> list[Decision]:
    if decision is None:
        return []
    watch(f"{decision.question}: {decision.chosen}, of {len(decision.candidates)} candidates")
    return [decision]


def _half_half(forward: Forward, params: SelectionParams, settings: Settings) -> tuple[float, np.ndarray]:
    """Return the penalty that lost least, and the losses of an even blend with it."""
    c, linear = forward.linears(settings, params.logistic_c)
    _, trees = forward.boosters(settings)
    return c, forward.losses([blend(*pair, 0.5) for pair in zip(trees, linear, strict=True)])


Step = tuple[Settings, Decision | None]


def _features(forward: Forward, params: SelectionParams, settings: Settings) -> Step:
    """Leave out what drifted from fold to fold, unless the later rows are clearly worse predicted without."""
    drift = np.median(
        [
            drifts(earlier.sample, later.sample, list(earlier.levels))
            for earlier, later in zip(forward.earlier, forward.later, strict=True)
        ],
        axis=0,
    )
    sets = candidates(drift, params.drift_limits)[::-1]  # the fewest features first
    tried = {_count(left_out, "left out"): replace(settings, left_out=left_out) for left_out in sets}
    found = {name: _half_half(forward, params, trial) for name, trial in tried.items()}
    decision = decide("features that drift", {name: loss for name, (_, loss) in found.items()}, forward.lead)
    return replace(tried[decision.chosen], c=found[decision.chosen][0]), decision


def _count(left_out: frozenset[int], what: str) -> str:
    return f"{len(left_out)} {what}" if left_out else f"none {what}"


def _weights(forward: Forward, params: SelectionParams, settings: Settings) -> Step:
    """Let recent rows weigh more, where that is clearly better."""
    if not forward.earlier[0].ordered:
        return settings, None
    if len(params.recency_half_lives) == 1:
        return replace(settings, half_life=params.recency_half_lives[0]), None
    tried = {_half_life_name(value): replace(settings, half_life=value) for value in params.recency_half_lives}
    at_c = params.model_copy(update={"logistic_c": [settings.c]})
    found = {name: _half_half(forward, at_c, trial)[1] for name, trial in tried.items()}
    decision = decide("weight of recent rows", found, forward.lead)
    return tried[decision.chosen], decision


def _half_life_name(value: float) -> str:
    return f"halved after {value:.3g} of the period" if value else "all alike"


def _encoding(forward: Forward, params: SelectionParams, settings: Settings) -> Step:
    """Show the boosters target statistics in place of codes, where that is clearly better."""
    if not forward.earlier[0].levels:
        return settings, None
    tried = {"codes": settings, "target statistics": replace(settings, statistics=True)}
    return _by_trees("categories in the boosters", forward, tried)


def _directions(forward: Forward, params: SelectionParams, settings: Settings) -> Step:
    """Hold the boosters to declared directions, unless that clearly costs."""
    if not any(forward.earlier[0].shape(settings).monotone):
        return settings, None
    tried = {"held": settings, "free": replace(settings, monotone=False)}
    return _by_trees("declared directions", forward, tried)


def _settings(forward: Forward, settings: Settings, search: Search) -> Step:
    """Take the settings that a search finds, where they are clearly better than those of params.yaml."""

    def loss(train: TrainParams) -> float:
        return _short(forward.losses(forward.boosters(replace(settings, train=train))[1]).mean())

    found = search(loss, settings.train)
    if found == settings.train:
        return settings, None
    tried = {"as in params.yaml": settings, "as searched": replace(settings, train=found)}
    return _by_trees("settings of the boosters", forward, tried)


def _by_trees(question: str, forward: Forward, tried: dict[str, Settings]) -> Step:
    found = {name: forward.losses(forward.boosters(trial)[1]) for name, trial in tried.items()}
    decision = decide(question, found, forward.lead)
    return tried[decision.chosen], decision


def _blend(forward: Forward, params: SelectionParams, settings: Settings, penalties: list[float]) -> Step:
    """Choose penalty, rounds, share and slope; the nearer to even weights, the simpler.

    Weights that were estimated rarely beat equal ones later: Stock and Watson 2004, Journal of Forecasting 23, "the
    forecast combination puzzle".
    """
    rounds, trees = forward.boosters(settings)
    c, linear = forward.linears(settings, penalties)
    tried, found = {}, {}
    for share in sorted(params.linear_shares, key=lambda share: (abs(share - 0.5), share)):
        raw = [blend(*parts, share) for parts in zip(trees, linear, strict=True)]
        slope = fit_slope(raw, forward.label, forward.period)
        name = f"{share:.0%} logistic"
        tried[name] = replace(settings, c=c, rounds=rounds, linear_share=share, slope=slope)
        found[name] = forward.losses([slope * part for part in raw])
    decision = decide("blend", found, forward.lead)
    return tried[decision.chosen], decision


def _level(forward: Forward, params: SelectionParams, settings: Settings) -> Step:
    """Choose how fast the level forgets; what follows recent outcomes most closely comes first.

    Where the level moves, a long memory is far off; where it does not, a short one is a little noisier, and where that
    matters the folds say so.
    """
    if not forward.earlier[0].ordered:
        return settings, None
    memories = sorted(params.level_half_lives, key=lambda value: value or np.inf)
    found: dict[str, list[np.ndarray]] = {_half_life_name(value): [] for value in memories}
    for earlier, later in zip(forward.earlier, forward.later, strict=True):
        models = Models.train(earlier, settings, forward.seed, forward.threads)
        before, after = (models.log_odds(rows.sample.features, settings) for rows in (earlier, later))
        for value in memories:
            shift = fit_level(before, earlier.sample.label, recency(earlier.at, value))
            found[_half_life_name(value)].append(losses(after + shift, later.sample.label))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    decision = decide("memory of the level", joined, forward.lead)
    return replace(settings, level_half_life=memories[decision.place]), decision
