"""What is wrong with the parameters, in one line each: the file, the line, the key, and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pipelines.config.yaml_files import Key, printable, where

Model = type[BaseModel]
MOST_FAULTS = 20


def describe(error: ValidationError, files: Sequence[Path], root: Model) -> str:
    """Say what does not fit.

    Parameters
    ----------
    files
        The file at the bottom first.
    root
        The model that was to hold them.

    Examples
    --------
    mine.yaml, line 3: train.bosters is not a key; did you mean train.boosters?
    """
    faults = error.errors()
    lines = [printable(f"{where(fault['loc'], files)}: {_said(fault, root)}") for fault in faults[:MOST_FAULTS]]
    more = len(faults) - len(lines)
    return "\n".join(lines + ([f"and {more:,} more"] if more else []))


def _said(fault: Any, root: Model) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{key} is not a key; {_nearest_key(fault['loc'], root)}"
    found = "nothing" if fault["type"] == "missing" else repr(fault["input"])
    wanted = fault["msg"].removeprefix("Value error, ")
    shown = "" if len(found) > 80 else f" (found {found})"
    return f"{key}: {wanted}{shown}{_nearest_choice(fault)}".removeprefix(": ")


def _nearest_key(key: Key, root: Model) -> str:
    above, name = key[:-1], str(key[-1])
    here = sorted(_keys(_models_at(above, root)))
    near = [".".join(map(str, [*above, one])) for one in get_close_matches(name, here, n=1)]
    elsewhere = [".".join(one) for one in _dotted(root) if one[-1] == name]
    if near + elsewhere:
        return f"did you mean {(near + elsewhere)[0]}?"
    return f"use one of: {', '.join(here)}"


def _nearest_choice(fault: Any) -> str:
    choices = re.findall(r"'([^']*)'", fault["ctx"]["expected"]) if fault["type"] == "literal_error" else []
    near = get_close_matches(str(fault["input"]), choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _models_at(key: Key, root: Model) -> list[Model]:
    """The models that may stand at a key; what is no field (an index, a name, a kind of value) stays at its model."""
    models = [root]
    for part in key:
        models = [one for model in models for one in _models_in(_fields(model).get(str(part)))] or models
    return models


def _models_in(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _fields(model: Model) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _keys(models: Iterable[Model]) -> set[str]:
    return {name for model in models for name in _fields(model)}


def _dotted(model: Model, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key below a model whose section is no list or mapping."""
    for name, annotation in _fields(model).items():
        yield (*above, name)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _dotted(annotation, (*above, name))
