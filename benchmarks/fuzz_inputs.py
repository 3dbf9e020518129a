"""Hostile inputs for `benchmarks.fuzz`: what is read at a door, changed by a seeded generator."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LONG = "x" * 5_000
TEXTS = [
    "", " ", "\t", "\r", "\n", "\0", '"', "'", '""', '"\n', ",", ";;", "\ufeff", "\u202e", "\u2028", "=1+1", "NaN",
    "nan",
    "inf", "-0", "1e999", "1,5", "1.234,5", "9" * 400, "9007199254740993", "0x10", "None", "null", "2026-02-30",
    "9999-12-31", "0000-00-00", "2024-03-31 02:30:00", "2024-01-01T25:00:00Z", "01/02/03", "-1", "1e308", "%s%n",
    "../x",
    "'; DROP TABLE x --", "<script>", "{{7*7}}", LONG, "é", "e\u0301", "💶", "\x1b[31m", "\x7f", "$lead",
]  # fmt: skip
RAW = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe9",
    b"\xc3",
    b'"',
    b'"\n',
    b"\r",
    b"\n\n",
    b"\x1a",
    b"PK\x03\x04",
    b"PAR1",
]
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 10**30, -(10**400), 2**63, 1e308, 5e-324, float("nan"), float("inf"), [], {}, [[]],
    [None],
    {"": ""}, {"a": {"b": []}}, "\ud800", *TEXTS,
]  # fmt: skip
Path = list[str | int]

LARGEST = 10**300  # of whole numbers that a float multiplies


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """Bytes with one to four changes of any kind."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(_CHANGES)(rng, content)
    return content


def _flip(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) or 1)
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + rng.choice([*RAW, *(text.encode() for text in TEXTS)]) + content[at:]


def _delete(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + content[at + rng.choice([1, 2, 9, 90]) :]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, len(content))
    return content[: at + rng.randint(1, 60)] + content[at:]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randint(0, len(content))]


def _recode(rng: random.Random, content: bytes) -> bytes:
    if not rng.randrange(4):
        return gzip.compress(content, mtime=0)
    return content.decode("utf-8", "replace").encode(
        rng.choice(["utf-16", "utf-16-be", "latin-1", "utf-8-sig"]), "replace"
    )


_CHANGES: list[Callable[[random.Random, bytes], bytes]] = [
    _flip,
    _flip,
    _insert,
    _insert,
    _delete,
    _repeat,
    _cut,
    _recode,
]


def changed_text(rng: random.Random, text: str) -> str:
    """Text with one to four words or signs replaced by others; most stay in their form, so that checks see them."""
    for _ in range(rng.randint(1, 4)):
        parts = text.split(rng.choice(["\n", " ", ",", "="]))
        separator = text[len(parts[0]) : len(parts[0]) + 1] or "\n"
        parts[rng.randrange(len(parts))] = rng.choice([*TEXTS, "1", "-2", "0.5", parts[rng.randrange(len(parts))]])
        text = separator.join(parts)
    return text


def changed_tree(rng: random.Random, tree: Any) -> Any:
    """A tree of mappings and lists with one to three values replaced, removed, renamed, repeated or nested."""
    tree = deepcopy(tree)
    for _ in range(rng.randint(1, 3)):
        paths = list(_paths(tree))
        if not paths:
            return rng.choice(VALUES)
        _change_at(rng, tree, rng.choice(paths))
    return tree


def _paths(tree: Any, path: Path | None = None) -> list[Path]:
    here = path or []
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [one for key, child in children for one in ([*here, key], *_paths(child, [*here, key]))]


def _change_at(rng: random.Random, tree: Any, path: Path) -> None:
    node = tree
    for key in path[:-1]:
        node = node[key]
    key = path[-1]
    kind = rng.randrange(8)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(TEXTS)] = node.pop(key)
    elif kind == 2:
        node[key] = [deepcopy(node[key])] * rng.choice([1, 2, 40])
    elif kind == 3:
        node[key] = _nested(rng.choice([5, 60]))
    elif kind == 4 and isinstance(node[key], int | float) and not isinstance(node[key], bool):
        factor = rng.choice([-1, 0, 2, 1e6, 1e-9])
        node[key] = node[key] * factor if abs(node[key]) < LARGEST else -node[key]
    else:
        node[key] = deepcopy(rng.choice(VALUES))


def _nested(depth: int) -> Any:
    tree: Any = []
    for _ in range(depth):
        tree = [tree]
    return tree


def as_json(rng: random.Random, tree: Any) -> bytes:
    """A tree as JSON, which may be damaged besides; what has no JSON is written as text."""
    try:
        text = json.dumps(tree).encode()
    except (RecursionError, ValueError, TypeError):
        text = b"[" * 3000
    if not rng.randrange(50):
        return text.replace(b"[", b"[" * 5_000, 1)
    return text if rng.randrange(5) else changed_bytes(rng, text)


def csv_bytes(rng: random.Random) -> bytes:
    """A small table as somebody may have exported it, changed."""
    separator = rng.choice([",", ";", "\t", "|"])
    rows = [["id", "created", "country", "size"]]
    rows += [[f"L{index}", f"2024-01-{index + 1:02d}", "DE", str(index)] for index in range(rng.randint(0, 12))]
    for _ in range(rng.randint(0, 5)):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(TEXTS)
    quoted = (separator.join(f'"{cell}"' if rng.randrange(3) == 0 else cell for cell in row) for row in rows)
    text = rng.choice(["\n", "\r\n", "\r"]).join(quoted)
    return changed_bytes(rng, text.encode()) if rng.randrange(4) else text.encode()


def parquet_bytes(rng: random.Random) -> bytes:
    """A Parquet file, in most cases damaged."""
    values: dict[str, Any] = {"id": ["a", "b", None], "size": [1.5, float("nan"), None], "at": [1, 2, 2**40]}
    kinds = {"at": pa.timestamp(rng.choice(["s", "us", "ns"])), "size": pa.float64(), "id": pa.string()}
    try:
        table = pa.table({name: pa.array(cells, kinds[name]) for name, cells in values.items()})
    except pa.ArrowInvalid:
        table = pa.table({"id": values["id"]})
    file = io.BytesIO()
    pq.write_table(table, file)
    return changed_bytes(rng, file.getvalue()) if rng.randrange(5) else file.getvalue()


def changed_zip(rng: random.Random, content: bytes) -> bytes:
    """A workbook with a part of it changed, or damaged as a file."""
    if not rng.randrange(3):
        return changed_bytes(rng, content)
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            part = old.read(name)
            new.writestr(name, part if name != chosen else changed_bytes(rng, part))
    return file.getvalue()
