"""Seeded gradient-boosted trees whose log-odds are averaged.

Each booster runs on one core and the boosters side by side: LightGBM's own threads wait by spinning, which on a busy
machine made two of them nine times slower than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from pydantic import Field

from features.schema.errors import ModelError
from features.schema.spec import Spec
from models.learners.tree_paths import Tree, deepest_path
from models.learners.tree_shap import LONGEST_PATH, TreeTables, interactions
from models.learners.tree_text import check_tree_text

if TYPE_CHECKING:
    import lightgbm as lgb


CORNER_CASES = 100  # rows on which tables are checked against LightGBM
LARGEST_GAP = 1e-5  # log-odds by which they may differ
MANY_ROWS = 20_000  # from here on tables save more time than they take to build
USABLE_ROWS = 20  # of a feature while settings are compared: every trial draws from the same features
ROUNDS_AT_LEAST, ROUNDS_SHARE = 20, 0.2  # rounds between two evaluations, at least or as a share


class TrainParams(Spec):
    """How the boosters are trained."""

    boosters: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Seeded models whose log-odds are averaged; one alone moves tiers between retrainings.",
    )
    learning_rate: float = Field(default=0.1, gt=0, le=10, description="Smaller is slower and a little better.")
    max_rounds: int = Field(default=1500, ge=1, le=100_000, description="Trees at most; the forward folds stop sooner.")
    num_leaves: int = Field(default=15, ge=2, le=131_072, description="Leaves of a tree.")
    max_depth: int = Field(default=5, ge=1, le=100, description="Depth of a tree; deeper costs explanation time.")
    min_child_samples: int = Field(
        default=40, ge=1, le=1_000_000_000, description="Rows in a leaf at least; more for small or noisy data."
    )
    feature_fraction: float = Field(default=0.3, gt=0, le=1, description="Share of features a tree may use.")
    bagging_fraction: float = Field(default=0.5, gt=0, le=1, description="Share of rows a tree sees.")
    lambda_l2: float = Field(default=5.0, ge=0, description="Shrinks leaves; more for small or noisy data.")
    cat_smooth: float = Field(
        default=20.0,
        gt=0,
        description="Shrinks rare category values towards the rest, as this many average leads do.",
    )
    max_bin: int = Field(default=127, ge=2, le=65_535, description="Cut points of a numeric feature.")


@dataclass(frozen=True)
class TrainingSample:
    """Rows to train on.

    Attributes
    ----------
    features
        Shape (n, k), NaN for missing.
    label
        0 or 1, shape (n,).
    weight
        How much each row counts, shape (n,); None: all alike.
    """

    features: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None = None

    @property
    def weights(self) -> np.ndarray:
        """How much each row counts, shape (n,)."""
        return np.ones(len(self.label)) if self.weight is None else self.weight


@dataclass(frozen=True)
class Shape:
    """What boosters know of the features.

    Attributes
    ----------
    categorical
        Indices of the features whose numbers are codes.
    monotone
        For each feature 1 where the log-odds may never fall with its value, -1 where they may never rise, 0 where the
        data decide, shape (k,).
    """

    categorical: tuple[int, ...]
    monotone: tuple[int, ...]


@dataclass(frozen=True)
class Boosters:
    """A mean of LightGBM models on the log-odds scale.

    Attributes
    ----------
    models
        Trained with different seeds on the same rows, or each on its own share of them.
    threads
        How many models run side by side; the result does not depend on it.
    """

    models: Sequence[lgb.Booster]
    threads: int

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Return the mean log-odds, shape (n,); of many rows by tables, which give the same bits in half the time."""
        if len(features) >= MANY_ROWS and self.tables is not None:
            return self.tables.log_odds(features, self.threads)
        return self._mean(lambda model: _predict(model, features))

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Return path-dependent TreeSHAP values, shape (n, k + 1); the last column is the base. Rows sum to `log_odds`.

        Source: Lundberg et al. 2020, Nature Machine Intelligence 2, 56-67.
        """
        return self.explained(features)[1]

    def explained(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what `log_odds` and `contributions` do, bit by bit; from tables it is one look-up."""
        if self.explaining is None:
            return self.log_odds(features), self._slow_contributions(features)
        return self.explaining.explained(features, self.threads)

    @cached_property
    def tables(self) -> TreeTables | None:
        """Tables that predict faster than LightGBM.

        None where the two do not agree, or trees are so deep that tables would not fit into memory.
        """
        trees = self._trees()
        if max((deepest_path(tree) for model in trees for tree in model), default=0) > LONGEST_PATH:
            return None
        tables = TreeTables.of(trees)
        rows = self._corner_cases(tables)
        same = np.array_equal(tables.log_odds(rows, 1), self._mean(lambda model: _predict(model, rows)))
        gap = abs(tables.base - self._slow_contributions(rows[:1])[0, -1])  # every leaf has its share in the base
        return tables if same and gap <= LARGEST_GAP else None

    @cached_property
    def explaining(self) -> TreeTables | None:
        """The same, where LightGBM's contributions agree, too."""
        if self.tables is None:
            return None
        rows = self._corner_cases(self.tables)
        gap = np.abs(self.tables.contributions(rows, 1) - self._slow_contributions(rows)).max()
        return self.tables if gap <= LARGEST_GAP else None

    def _corner_cases(self, tables: TreeTables) -> np.ndarray:
        return tables.corner_cases(CORNER_CASES, self.models[0].num_feature())

    def interactions(self, features: np.ndarray, among: Sequence[int]) -> np.ndarray | None:
        """Return the interaction of each pair of features, shape (pairs, n); see `tree_shap.interactions`.

        None where the trees are too deep to be read from tables.
        """
        return None if self.explaining is None else interactions(self._trees(), features, among)

    def _trees(self) -> list[list[Tree]]:
        return [[tree["tree_structure"] for tree in model.dump_model()["tree_info"]] for model in self.models]

    def _slow_contributions(self, features: np.ndarray) -> np.ndarray:
        return self._mean(lambda model: _predict(model, features, contributions=True))

    @property
    def splits(self) -> np.ndarray:
        """The number of splits on each feature, shape (k,)."""
        return np.sum([model.feature_importance("split") for model in self.models], axis=0)

    @property
    def gains(self) -> np.ndarray:
        """What the splits on each feature saved, shape (k,)."""
        return np.sum([model.feature_importance("gain") for model in self.models], axis=0)

    def _mean(self, predict: Callable[[lgb.Booster], np.ndarray]) -> np.ndarray:
        """Add model after model: numpy's mean adds a single row in another order than many, with other last bits."""
        total: np.ndarray = reduce(np.add, side_by_side(predict, self.models, self.threads))
        return total / len(self.models)

    def to_text(self) -> list[str]:
        if isinstance(self.models, UnreadModels):
            return list(self.models.texts)
        return [model.model_to_string(num_iteration=-1) for model in self.models]

    @classmethod
    def from_text(cls, texts: Sequence[str], threads: int, n_features: int) -> Self:
        """Rebuild from `to_text`; raises ValueError where a text is none of this many features."""
        for number, text in enumerate(texts):
            try:
                check_tree_text(text, n_features)
            except ValueError as error:
                raise ValueError(f"booster {number}: {error}") from None
        return cls(UnreadModels(tuple(texts)), threads)


@dataclass(frozen=True)
class UnreadModels(Sequence["lgb.Booster"]):
    """Models as texts, which LightGBM reads when the first one is used; many commands use none."""

    texts: tuple[str, ...]

    @cached_property
    def _read(self) -> tuple[lgb.Booster, ...]:
        import lightgbm as lgb

        try:
            return tuple(lgb.Booster(model_str=text) for text in self.texts)
        except (lgb.basic.LightGBMError, ValueError) as error:  # words among its parameters; its trees are checked
            raise ModelError(f"the bundle's booster does not fit ({error!s:.80}); train again") from None

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: Any) -> Any:
        return self._read[index]


@dataclass(frozen=True)
class BinnedCuts:
    """Samples sorted into bins once, for any settings of the boosters, and rows to predict.

    Attributes
    ----------
    binned, later
        Of each cut, the sample to train on and the features (m, k) of the rows to predict.
    """

    binned: list[lgb.Dataset]
    later: list[np.ndarray]
    shape: Shape
    max_bin: int

    @classmethod
    def of(
        cls, cuts: Sequence[tuple[TrainingSample, np.ndarray]], shape: Shape, max_bin: int, seed: int, threads: int
    ) -> Self:
        binned = side_by_side(lambda cut: _binned(cut[0], shape, max_bin, seed, USABLE_ROWS), cuts, threads)
        return cls(binned, [later for _, later in cuts], shape, max_bin)


def grow(cuts: BinnedCuts, params: TrainParams, seed: int, threads: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Grow boosters on several samples side by side, a few rounds at a time, until the caller stops.

    Yields
    ------
    int, list of ndarray
        Rounds so far, and for each cut the mean log-odds of its rows, shape (m,).
    """
    import lightgbm as lgb

    tasks = [(cut, number) for cut in range(len(cuts.binned)) for number in range(params.boosters)]
    growing = side_by_side(
        lambda task: lgb.Booster(_settings(cuts.shape, params, seed, task[1]), cuts.binned[task[0]]), tasks, threads
    )
    raw = [np.zeros(len(later)) for later in cuts.later]
    rounds = 0
    while rounds < params.max_rounds:
        step = min(max(ROUNDS_AT_LEAST, int(rounds * ROUNDS_SHARE)), params.max_rounds - rounds)

        def add(index: int, more: int = step) -> np.ndarray:
            model, later = growing[index], cuts.later[tasks[index][0]]
            begin = model.current_iteration()  # fewer than the rounds so far where some could not split
            for _ in range(more):
                model.update()
            return np.asarray(model.predict(later, begin, more, raw_score=True, num_threads=1))

        rounds += step
        added = side_by_side(add, range(len(tasks)), threads)
        for cut in range(len(raw)):
            raw[cut] = raw[cut] + reduce(np.add, added[cut * params.boosters : (cut + 1) * params.boosters])
        yield rounds, [total / params.boosters for total in raw]


def train_boosters(
    samples: Sequence[TrainingSample], rounds: int, shape: Shape, params: TrainParams, seed: int, threads: int
) -> Boosters:
    """Train each seed for a fixed number of rounds, all on the one sample, or each in turn on one of several."""
    import lightgbm as lgb

    least = params.min_child_samples
    binned = side_by_side(lambda rows: _binned(rows, shape, params.max_bin, seed, least), samples, threads)

    def train(number: int) -> lgb.Booster:
        return lgb.train(_settings(shape, params, seed, number), binned[number % len(binned)], max(rounds, 1))

    return Boosters(tuple(side_by_side(train, range(params.boosters), threads)), threads)


Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """Apply a function to each item, `threads` of them at once; results in the items' order."""
    with ThreadPoolExecutor(threads, initializer=_be_quiet) as pool:
        return list(pool.map(work, items))


def _be_quiet() -> None:
    """Silence LightGBM in this thread: its verbosity is each thread's own, set by what was last configured there."""
    import lightgbm as lgb

    lgb.Dataset(np.zeros((2, 1)), params={"verbose": -1, "num_threads": 1}).construct()


def _predict(model: lgb.Booster, features: np.ndarray, contributions: bool = False) -> np.ndarray:
    if contributions and not len(features):  # LightGBM divides by the number of rows
        return np.empty((0, features.shape[1] + 1))
    return np.asarray(model.predict(features, raw_score=True, pred_contrib=contributions, num_threads=1))


def _binned(sample: TrainingSample, shape: Shape, max_bin: int, seed: int, least: int) -> lgb.Dataset:
    """Sort the values into bins once, which took a fifth of the time of training; the boosters only read them.

    A feature that cannot be split into two parts of `least` rows is not there for the boosters to draw.
    """
    import lightgbm as lgb

    return lgb.Dataset(
        sample.features,
        sample.label,
        weight=sample.weight,
        categorical_feature=list(shape.categorical),
        params={
            "max_bin": max_bin,
            "min_child_samples": least,
            "data_random_seed": seed,
            "num_threads": 1,
            "verbose": -1,
        },
    ).construct()


def _settings(shape: Shape, params: TrainParams, seed: int, number: int) -> dict[str, object]:
    return {
        **({"monotone_constraints": list(shape.monotone)} if any(shape.monotone) else {}),
        "objective": "binary",
        "learning_rate": params.learning_rate,
        "num_leaves": params.num_leaves,
        "max_depth": params.max_depth,
        "min_child_samples": params.min_child_samples,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": params.lambda_l2,
        "cat_smooth": params.cat_smooth,
        "max_bin": params.max_bin,
        "seed": seed + number,
        "data_random_seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }
