"""What an earlier run stored, read as it was written: a default of today never stands in for a value of then."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

import numpy as np
from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)
LARGEST = 1e6  # of a weight or a log-odds: none comes near, and sums of these stay finite


def read_stored(kind: type[Model], tree: Any) -> Model:
    """Validate a stored tree that must hold every key its type writes.

    Raises
    ------
    ValueError
        With the first key that is missing, or as pydantic says what does not fit.
    """
    model = kind.model_validate(tree)
    key = missing_key(tree, model.model_dump(mode="json"))
    if key is not None:
        raise ValueError(f"{key} is missing")
    return model


def stored_json(text: str) -> Any:
    """Parse JSON; raises ValueError where it is none, or holds a number that is not finite."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) < float("inf") else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no finite number")


def stored_array(values: Any, shape: tuple[int, ...], largest: float = LARGEST) -> np.ndarray:
    """Return stored numbers; raises ValueError or TypeError unless they have that shape and are no larger than that."""
    array = np.asarray(values, dtype="float64")
    if array.shape != shape or not (np.abs(array) <= largest).all():
        raise ValueError(f"numbers of shape {array.shape} where {shape} are expected, none beyond {largest:g}")
    return array


def missing_key(tree: Any, full: Any, path: str = "") -> str | None:
    """Return the path of the first key of `full` that `tree` lacks, None where it has all of them."""
    if isinstance(full, dict) and isinstance(tree, dict):
        parts = ((f"{path}.{key}" if path else str(key), tree.get(key, ...), value) for key, value in full.items())
    elif isinstance(full, list) and isinstance(tree, list):
        parts = ((f"{path}[{index}]", *pair) for index, pair in enumerate(zip(tree, full, strict=True)))
    else:
        return path if tree is ... else None
    return next((key for key in (missing_key(*part[1:], part[0]) for part in parts) if key is not None), None)
