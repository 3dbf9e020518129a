"""Params files: read, laid over one another, and asked in which line a key stands."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import AliasEvent

from features.schema.errors import ParamsError

Tree = dict[str, Any]
Key = Sequence[str | int]
REPLACED_WHOLE = ("source", "rules")
MOST_BYTES = 1_000_000
MOST_DEPTH = 40
MOST_NODES = 50_000  # keys and values, an alias counting as all that it repeats


def read_yaml(path: Path) -> Tree:
    """Read a file of sections.

    Raises
    ------
    ParamsError
        Where it is not there, is no YAML, says a key twice, or holds no sections.
    """
    if not path.is_file():
        raise ParamsError(f"no params file at {path}; name one that is there")
    try:
        tree = deepcopy(_parsed(_text(path)))
    except DuplicateKeyError as error:
        line = path.read_text(encoding="utf-8").splitlines()[error.problem_mark.line].strip()
        raise ParamsError(f"{path} says a key twice, again in line {error.problem_mark.line + 1}: {line}") from None
    except (OSError, YAMLError, ValueError, TypeError) as error:  # not UTF-8, a day 2026-02-30, a key that is a list
        raise ParamsError(f"{path} is not readable as YAML: {_in_one_line(error)}") from None
    if not isinstance(tree, dict):
        raise ParamsError(f"{path} holds {type(tree).__name__}; expected sections such as `source:` and `train:`")
    return tree


def _in_one_line(error: Exception) -> str:
    """What is wrong and in which line; ruamel's own texts have up to eight lines."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark else ""
    return place + printable(" ".join(str(problem or error).split()))


def printable(text: str) -> str:
    """Text in one line, with what is not seen as its escape."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


@lru_cache(maxsize=8)  # a command asks the same file for its folders and for its parameters
def _parsed(text: str) -> Any:
    # YAML 1.2, as DVC writes it: a bare yes is text, 1e-3 a number. A key that stands twice is refused.
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _BoundedComposer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows an anchor twice
        return yaml.load(text)


def _text(path: Path) -> str:
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ParamsError(f"{path} has {size:,} bytes; a params file has at most {MOST_BYTES:,}")
    return path.read_text(encoding="utf-8")


class _BoundedComposer(Composer):
    """Refuses, before anything is built, what would grow in memory or end the recursion of readers."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.nodes = 0
        self.sizes: dict[str, int] = {}  # nodes by anchor

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        anchor, before, alias = event.anchor, self.nodes, isinstance(event, AliasEvent)
        if alias and anchor not in self.sizes:
            raise YAMLError(f"the alias *{anchor} stands for what is not written before it")
        self.nodes += self.sizes[anchor] if alias else 1
        if self.depth >= MOST_DEPTH or self.nodes > MOST_NODES:
            raise YAMLError(
                f"line {event.start_mark.line + 1}: more than {MOST_NODES:,} values, what aliases repeat "
                f"included, or deeper than {MOST_DEPTH} levels; a params file has fewer"
            )
        node = super().compose_node(parent, index)
        if anchor and not alias:
            self.sizes[anchor] = self.nodes - before
        return node


def lay_over(base: Tree, overlay: Tree) -> Tree:
    """Lay an overlay over the base; what speaks of the source's attributes and events goes when the source does."""
    return merge(_without_words_of_source(base) if "source" in overlay else base, overlay)


def _without_words_of_source(base: Tree) -> Tree:
    left = {name: section for name, section in base.items() if name not in REPLACED_WHOLE}
    if isinstance(left.get("tiers"), dict):
        tiers = {key: value for key, value in left["tiers"].items() if key not in ("triggers", "exclusions")}
        if isinstance(tiers.get("value"), dict):
            tiers["value"] = {key: value for key, value in tiers["value"].items() if key != "attribute"}
        left["tiers"] = tiers
    return left


def merge(under: Tree, over: Tree, depth: int = 0) -> Tree:
    """Lay one tree over another, key by key; lists, `source` and `rules` are replaced whole."""
    merged = dict(under)
    for key, value in over.items():
        old = under.get(key)
        whole = depth == 0 and key in REPLACED_WHOLE
        nested = isinstance(value, dict) and not whole
        merged[key] = merge(old, value, depth + 1) if isinstance(old, dict) and nested else value
    return merged


def where(key: Key, files: Sequence[Path]) -> str:
    """Say in which file, the last laid over the others, and in which line a key stands, or what it is part of."""
    for path in reversed(files):
        line = _line(YAML(pure=True).load(path.read_text(encoding="utf-8")), key)
        if line:
            return f"{path}, line {line}"
    return ", laid over ".join(str(path) for path in reversed(files))


def _line(tree: CommentedMap, key: Key) -> int:
    """Return the line of a key, or of what a list or a section that is replaced whole holds of it; 0: none."""
    node: Any = tree
    line = 0
    replaced = bool(key) and key[0] in REPLACED_WHOLE
    for part in key:
        if isinstance(node, CommentedMap) and part in node:
            line, node = node.lc.key(part)[0] + 1, node[part]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line, node, replaced = node.lc.item(part)[0] + 1, node[part], True
        elif isinstance(node, CommentedMap) and not (replaced and line):
            return 0
    return line
