"""Predictions and SHAP values of shallow trees, read from tables that are built once a model.

A small tree can be in few states, so its value and its exact SHAP values in every state fit a table. A row then costs a
look-up a tree, and nothing that is added for it depends on other rows, on how many there are, or on the number of
threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Self

import numpy as np

from models.learners.tree_paths import Codes, Leaf, Tree, feature_codes, leaves_of
from models.learners.tree_rows import RowTables

MOST_CELLS = 512  # of one table; a tree with more states is cut into subtrees
LONGEST_PATH = 9  # features on the path to one leaf, whose table has two states of each: 2**9 = MOST_CELLS
BLOCK_ROWS = 8192  # looked up at once, so that a block's numbers stay in the processor's cache


@dataclass(frozen=True)
class Table:
    """Values of a tree, or of a part of one, in each of its states.

    Attributes
    ----------
    model
        Index of the model that the tree belongs to.
    features
        Those that decide, shape (d,).
    steps
        For each of them, what each of its codes adds to the state's number, shape (n_codes,).
    reached
        The value of the leaf that is reached in each state, shape (n_states,); 0 where it is in another part.
    leaves, cells
        The leaves, and for each deciding feature the number of the cell of each code, shape (n_codes,).
    """

    model: int
    features: tuple[int, ...]
    steps: tuple[np.ndarray, ...]
    reached: np.ndarray
    leaves: Sequence[Leaf]
    cells: Sequence[np.ndarray]

    @cached_property
    def values(self) -> np.ndarray:
        """What each feature adds to the log-odds in each state, shape (d, n_states); computed only for explanations."""
        shape = _shape(self.cells)
        values = np.zeros((len(self.features), *shape))
        for leaf in self.leaves:
            indices, share, state = _states(leaf, self.features, self.cells, shape)
            shapley = leaf.value * _shapley(share, [(bit,) for bit in range(len(indices))])
            for bit, index in enumerate(indices):
                values[index] += shapley[bit][state]
        return values.reshape(len(self.features), -1)

    def state(self, codes: dict[int, np.ndarray]) -> np.ndarray:
        """Return the number of each row's state, shape (n,)."""
        first, *others = (step.take(codes[feature]) for feature, step in zip(self.features, self.steps, strict=True))
        for step in others:
            first += step
        return first


@dataclass(frozen=True)
class TreeTables:
    """Tables of all trees of several models, whose log-odds are averaged.

    Attributes
    ----------
    codes
        Of each feature that some tree splits on, by its index.
    constant
        Of each model, the sum of its trees without a split.
    base
        The mean log-odds of the training rows.
    """

    codes: dict[int, Codes]
    tables: tuple[Table, ...]
    constant: tuple[float, ...]
    base: float

    @classmethod
    def of(cls, models: Sequence[Sequence[Tree]]) -> Self:
        """Make the tables.

        Parameters
        ----------
        models
            The trees of each model: `tree_structure` of each of `tree_info` in LightGBM's `dump_model`; `deepest_path`
            of each no more than LONGEST_PATH.
        """
        codes = feature_codes([tree for model in models for tree in model])
        leaves = [[list(leaves_of(tree, (), codes)) for tree in model] for model in models]
        base = sum(leaf.value * leaf.share for model in leaves for tree in model for leaf in tree)
        constant = tuple(sum(tree[0].value for tree in model if len(tree) == 1) for model in leaves)
        parts = ((index, part) for index, model in enumerate(leaves) for tree in model for part in _parts(tree, 0))
        tables = (_table(*part, index) for index, part in parts)
        return cls(codes, tuple(tables), constant, base / len(models))

    def log_odds(self, features: np.ndarray, threads: int) -> np.ndarray:
        """Return the mean log-odds, shape (n,), of features (n, k): added up in LightGBM's order, to the last bit."""
        log_odds = np.empty(len(features))
        self._by_block(lambda rows: log_odds.__setitem__(rows, self._log_odds(features[rows])), len(features), threads)
        return log_odds

    def contributions(self, features: np.ndarray, threads: int) -> np.ndarray:
        """Return path-dependent SHAP values, shape (n, k + 1), of features (n, k); the last column is the base."""
        return self.explained(features, threads)[1]

    def explained(self, features: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `log_odds` and `contributions` do, bit by bit, from one look-up."""
        n, k = features.shape
        if n == 1:
            return self.for_one_row.explained(features)
        parts = np.zeros((k + 1, n))  # feature by feature, as it is filled and as it is read
        parts[k] = self.base
        log_odds = np.empty(n)

        def fill(rows: slice) -> None:
            log_odds[rows] = self._log_odds(features[rows], parts[:k, rows])

        self._by_block(fill, n, threads)
        return log_odds, parts.T

    @cached_property
    def for_one_row(self) -> RowTables:
        """The same tables for a row alone, as a lead is scored at any moment."""
        return RowTables.of(self)

    def _by_block(self, fill: Callable[[slice], None], n: int, threads: int) -> None:
        """Fill blocks of rows on several threads; numpy releases the GIL while it looks up and adds."""
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, (slice(start, start + BLOCK_ROWS) for start in range(0, n, BLOCK_ROWS))))

    def _coded(self, features: np.ndarray) -> dict[int, np.ndarray]:
        return {feature: coding.of(features[:, feature]) for feature, coding in self.codes.items()}

    def _log_odds(self, features: np.ndarray, parts: np.ndarray | None = None) -> np.ndarray:
        """Return the mean log-odds of a few rows (n, k); their contributions are added to zeros of shape (k, n)."""
        codes, total = self._coded(features), np.zeros((len(self.constant), len(features)))
        for table in self.tables:
            state = table.state(codes)
            total[table.model] += table.reached.take(state)
            if parts is not None:
                for feature, values in zip(table.features, table.values, strict=True):
                    parts[feature] += values.take(state)
        if parts is not None:
            for feature in self.codes:
                parts[feature] /= len(self.constant)
        by_model = [row + constant if constant else row for row, constant in zip(total, self.constant, strict=True)]
        return np.asarray(reduce(np.add, by_model) / len(by_model))

    def corner_cases(self, n: int, k: int) -> np.ndarray:
        """Draw rows (n, k) whose values lie on the trees' thresholds, just above them, in all categories, or miss."""
        rng, rows = np.random.default_rng(0), np.zeros((n, k))
        for feature, coding in self.codes.items():
            cuts = np.arange(coding.n) if coding.thresholds is None else coding.thresholds
            rows[:, feature] = rng.choice(np.concatenate([cuts, np.nextafter(cuts, np.inf), [np.nan]]), n)
        return rows


# Making tables


def _parts(leaves: Sequence[Leaf], depth: int) -> Iterator[tuple[Sequence[Leaf], list[int], list[np.ndarray]]]:
    """Keep all leaves below a node together, or divide them into its halves where there are too many states.

    The leaves are ordered from left to right, and their paths diverge at `depth`.

    Yields
    ------
    leaves, features, cells
        Of each part: its leaves, the features that decide, and for each of them the number of the cell of each code.
    """
    features = list(dict.fromkeys(condition.feature for leaf in leaves for condition in leaf.path))
    cells = [_cells(leaves, feature) for feature in features]
    if math.prod(int(cell.max()) + 1 for cell in cells) > MOST_CELLS and len(leaves) > 1:
        for _, half in itertools.groupby(leaves, key=lambda leaf: id(leaf.path[depth])):
            yield from _parts(list(half), depth + 1)
    elif features:
        yield leaves, features, cells


def _cells(leaves: Sequence[Leaf], feature: int) -> np.ndarray:
    """Number the feature's codes so that codes that every leaf treats alike have one number, shape (n_codes,)."""
    passes = {id(step): step.passes for leaf in leaves for step in leaf.path if step.feature == feature}
    numbers: dict[bytes, int] = {}
    of_codes = np.column_stack(list(passes.values()))
    return np.array([numbers.setdefault(code.tobytes(), len(numbers)) for code in of_codes])


def _table(leaves: Sequence[Leaf], features: Sequence[int], cells: Sequence[np.ndarray], model: int) -> Table:
    """Find the leaf that is reached in each state."""
    shape = _shape(cells)
    reached = np.zeros(shape)
    for leaf in leaves:
        indices, _, state = _states(leaf, features, cells, shape)
        reached += np.where(state == (1 << len(indices)) - 1, leaf.value, 0.0)
    return Table(model, tuple(features), _steps(cells, shape), reached.ravel(), leaves, cells)


def _shape(cells: Sequence[np.ndarray]) -> list[int]:
    return [int(cell.max()) + 1 for cell in cells]


def _states(
    leaf: Leaf, features: Sequence[int], cells: Sequence[np.ndarray], shape: Sequence[int]
) -> tuple[list[int], list[float], np.ndarray]:
    """Return the indices of the leaf's own features, their shares, and its state in each of the table's states."""
    indices = list(dict.fromkeys(features.index(condition.feature) for condition in leaf.path))
    steps = [[step for step in leaf.path if step.feature == features[index]] for index in indices]
    state = np.zeros((1,) * len(shape), dtype="intp")
    for bit, (index, own_steps) in enumerate(zip(indices, steps, strict=True)):
        passes = np.zeros(shape[index], dtype="intp")
        passes[cells[index]] = np.logical_and.reduce([step.passes for step in own_steps])
        state = state + (passes << bit).reshape([-1 if axis == index else 1 for axis in range(len(shape))])
    return indices, [math.prod(step.share for step in own_steps) for own_steps in steps], state


def _steps(cells: Sequence[np.ndarray], shape: Sequence[int]) -> tuple[np.ndarray, ...]:
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    return tuple(cell * stride for cell, stride in zip(cells, strides, strict=True))


def _shapley(share: Sequence[float], groups: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return what groups of features add to a leaf worth 1, in each state of its features; bit i: i passes.

    A leaf's worth to a coalition is a product: 1 or 0 of a feature in it, its share of the training rows of one
    outside. The mean over all coalitions of the others is the integral over t of the product of t * passes +
    (1 - t) * share, which is summed here by its Bernstein coefficients; none is negative, so nothing cancels out.

    Parameters
    ----------
    share
        Training rows that pass, of each of the leaf's d features.
    groups
        Which of these features are explained together: one alone for its SHAP value, two for their interaction.

    Returns
    -------
    ndarray
        Shape (len(groups), 2**d).

    Source: Owen 1972, Management Science 18, 64-79, on multilinear games; Grabisch and Roubens 1999, International
    Journal of Game Theory 28, 547-565, on the interaction of two players; Lundberg et al. 2020, Nature Machine
    Intelligence 2, 56-67, on the game.
    """
    d = len(share)
    passes = (np.arange(1 << d) >> np.arange(d)[:, None] & 1).astype("float64")
    terms = [np.ones((len(groups), 1 << d))]  # terms[k]: k of the features are in the coalition; by the group explained
    for j in range(d):
        own = [index for index, group in enumerate(groups) if j in group]
        worths = (passes[[j]], np.full((1, 1 << d), share[j]))
        inside, outside = (np.repeat(worth, len(groups), axis=0) for worth in worths)
        inside[own] = outside[own] = 1  # the explained features are multiplied in below
        without, within = [term * outside for term in terms], [term * inside for term in terms]
        middle = [a + b for a, b in zip(without[1:], within, strict=False)]
        terms = [without[0], *middle, within[-1]]
    mean = reduce(np.add, (term / math.comb(d, k) for k, term in enumerate(terms))) / (d + 1)
    gained = passes - np.asarray(share)[:, None]
    return np.stack([reduce(np.multiply, gained[list(group)]) for group in groups]) * mean


# How features act together


def interactions(models: Sequence[Sequence[Tree]], features: np.ndarray, among: Sequence[int]) -> np.ndarray:
    """Return what each pair of features adds to the mean log-odds on top of what each adds without the other.

    Half of a pair's number is part of either feature's SHAP value.

    Parameters
    ----------
    models
        The trees of each model, as `TreeTables.of` takes them.
    features
        Rows to explain, shape (n, k).
    among
        Indices of the features whose pairs are explained.

    Returns
    -------
    ndarray
        Shape (pairs, n), in the order of `itertools.combinations(among, 2)`.
    """
    codes = feature_codes([tree for model in models for tree in model])
    coded = {feature: coding.of(features[:, feature]) for feature, coding in codes.items()}
    indices = {frozenset(pair): index for index, pair in enumerate(itertools.combinations(among, 2))}
    total = np.zeros((len(indices), len(features)))
    for tree in itertools.chain.from_iterable(models):
        for leaves, deciding, cells in _parts(list(leaves_of(tree, (), codes)), 0):
            shape = [int(cell.max()) + 1 for cell in cells]
            steps = zip(deciding, _steps(cells, shape), strict=True)
            state = reduce(np.add, (step[coded[feature]] for feature, step in steps))
            for pair, values in _of_pairs(leaves, deciding, cells, indices).items():
                total[pair] += values[state]
    return total / len(models)


def _of_pairs(
    leaves: Sequence[Leaf], features: Sequence[int], cells: Sequence[np.ndarray], indices: Mapping[frozenset[int], int]
) -> dict[int, np.ndarray]:
    """Add up what each leaf gives to each pair, over all states: by the pair's index, shape (n_states,)."""
    shape = [int(cell.max()) + 1 for cell in cells]
    total: dict[int, np.ndarray] = {}
    for leaf in leaves:
        own, share, state = _states(leaf, features, cells, shape)
        named = {
            pair: frozenset(features[own[bit]] for bit in pair) for pair in itertools.combinations(range(len(own)), 2)
        }
        groups = [pair for pair, names in named.items() if names in indices]
        for pair, worth in zip(groups, _shapley(share, groups) if groups else (), strict=True):
            index = indices[named[pair]]
            spread = np.broadcast_to((leaf.value * worth)[state], shape).ravel()
            total[index] = total[index] + spread if index in total else spread
    return total
