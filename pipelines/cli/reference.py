"""The reference pages, made of the params' types and comments, the commands, the catalogue and the artifacts."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml import YAML

from features.matrix.catalogue import Catalogue, catalogue
from features.schema.declarations import AttributeSpec
from features.schema.vocabulary import GROUPS, Vocabulary
from pipelines.config.params import DEFAULT, Params, load
from pipelines.config.source import EventDefaults, TableSource
from pipelines.reporting.glossary import glossary_page
from pipelines.scoring.score_list import MEANING, SCORES
from pipelines.storage.files import staged_file
from pipelines.storage.layout import Artifact, Layout

Tree = dict[str, Any]
Notes = dict[tuple[str, ...], "Note"]
MADE = "<!-- Made by `leadscore docs`; change what it is made of and run that again. -->"
LONGEST = 60  # characters of a default that is shown whole
KEY = re.compile(r"^( *)(?:- )?([A-Za-z_]\w*):(?: |$)(.*)$")
COMMENT = re.compile(r"(?:^|\s)# (.*)$")
KINDS = ("number", "category", "title", "domain")
EVENT = "EVENT_TYPE"


@dataclass
class Note:
    """What params.yaml says of a key: behind it, and on lines of their own below it."""

    text: str
    below: list[str] = field(default_factory=list)

    def told(self, items: Iterable[str]) -> tuple[str, dict[str, str]]:
        """Return the words on the key, and those on the keys of the items of its list."""
        words, of_items = self.text, dict.fromkeys(items, "")
        current = ""
        for line in self.below:
            name, _, rest = line.partition(": ")
            if name in of_items:
                current, of_items[name] = name, rest
            elif current:
                of_items[current] += f" {line}"
            else:
                words = f"{words} {line}".strip()
        return words, of_items


def write_reference(app: typer.Typer, folder: Path) -> list[Path]:
    """Write every page of the reference into a folder, and the glossary beside it; equal code gives equal bytes."""
    written = []
    for name, text in (pages(app) | {"../glossary.md": glossary_page()}).items():
        with staged_file(folder / name) as staged:
            staged.write_text(text, encoding="utf-8", newline="\n")
        written.append(folder / name)
    return written


def pages(app: typer.Typer) -> dict[str, str]:
    """Return file name to text of each page."""
    return {
        "params.md": params_page(DEFAULT.read_text(encoding="utf-8")),
        "commands.md": commands_page(app),
        "features.md": features_page(load()),
        "files.md": files_page(),
    }


def params_page(text: str) -> str:
    """Describe each key of params.yaml: its type and bounds, its default, and its comment."""
    schema, notes = Params.model_json_schema(), notes_of(text)
    definitions = schema["$defs"]
    tree = YAML(typ="safe", pure=True).load(text)
    defaults = {"table": TableSource, "event": EventDefaults, "attribute": AttributeSpec}
    parts = {name: definitions[model.__name__] for name, model in defaults.items()}
    sections = {"source_defaults": {"properties": parts}} | schema["properties"]
    lines = ["# Parameters", "", MADE, ""]
    lines += [
        "Every key of `params.yaml`. A file given with `--params` is laid over it and states only what differs; its",
        "`source` and its `rules`, where it has them, replace these whole. A key that is not listed here is refused.",
        "",
    ]
    for name in [name for name in tree if name in sections]:
        lines += [f"## {name}", ""]
        about = notes.get((name,), Note("")).text
        lines += [f"{about[:1].upper()}{about[1:]}.", ""] if about else []
        rows = _rows((name,), _resolved(sections[name], definitions), definitions, notes, tree[name])
        lines += _table(("key", "type", "default", "what it does, and when to change it"), rows)
    return _page(lines)


def notes_of(text: str) -> Notes:
    """Read the comments of a YAML file: behind a key, and on lines of their own below it that are set in further."""
    notes: Notes = {}
    open_keys: list[tuple[int, str]] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#   ") and open_keys:
            notes[tuple(key for _, key in open_keys)].below.append(bare[1:].strip())
        elif found := KEY.match(line):
            open_keys = [one for one in open_keys if one[0] < len(found[1])] + [(len(found[1]), found[2])]
            comment = COMMENT.search(_without_quoted(found[3]))
            notes.setdefault(tuple(key for _, key in open_keys), Note(comment[1].strip() if comment else ""))
    return notes


def _without_quoted(text: str) -> str:
    """Hide a # inside quotes; the comment itself may hold quotes."""
    return re.sub(r'^((?:[^"#]|"[^"]*")*)', lambda before: re.sub(r'"[^"]*"', "", before[0]), text)


def _rows(path: tuple[str, ...], node: Tree, definitions: Tree, notes: Notes, value: Tree) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key below a node; sections within it, and the items of its lists, come after their key."""
    for name, child in node["properties"].items():
        if name not in value and path[0] != "source_defaults":
            continue  # of the typed tree alone: filled in when params are loaded
        here, inner = (*path, name), _resolved(child, definitions)
        dotted, note, own = ".".join(here), notes.get(here, Note("")), value.get(name)
        is_table = inner.get("title") == "TableSource" and path[0] != "source_defaults"
        if "properties" in inner and not is_table:
            yield f"`{dotted}`", "section", "", note.text
            yield from _rows(here, inner, definitions, notes, own or {})
            continue
        item = _resolved(child.get("items", {}), definitions)
        parts = {} if item.get("title") == "TableSource" else item.get("properties", {})
        words, of_items = note.told(parts)
        yield f"`{dotted}`", type_in_words(child, definitions), _default(own), words
        for key, one in parts.items():
            yield f"`{dotted}[].{key}`", type_in_words(one, definitions), "", of_items[key]


def type_in_words(node: Tree, definitions: Tree) -> str:
    """Say in words what a JSON schema asks for."""
    node = _resolved(node, definitions)
    if "anyOf" in node:
        return " or ".join(type_in_words(one, definitions) for one in node["anyOf"])
    if "enum" in node:
        return "one of " + ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    match node.get("type"):
        case "array":
            return _list_in_words(node, definitions)
        case "object" if node.get("title") in ("TableSource", "AttributeSpec"):
            kind = "table" if node["title"] == "TableSource" else "attribute"
            return f"{kind} (see `source_defaults.{kind}`)"
        case "object" if "properties" in node:
            return "mapping of " + ", ".join(f"`{name}`" for name in node["properties"])
        case "object":
            return f"mapping of names to {type_in_words(node['additionalProperties'], definitions)}"
        case "string":
            return "date" if node.get("format") == "date" else "text, not empty" if node.get("minLength") else "text"
        case "null":
            return "null"
        case "boolean":
            return "true or false"
        case kind:
            return " ".join(["whole number" if kind == "integer" else "number", *_bounds(node)])


def _list_in_words(node: Tree, definitions: Tree) -> str:
    if "prefixItems" in node:
        return "list of " + " and ".join(type_in_words(one, definitions) for one in node["prefixItems"])
    least = ", not empty" if node.get("minItems") else ""
    return f"list of {type_in_words(node['items'], definitions)}{least}"


def _bounds(node: Tree) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {node[name]:g}" for name, sign in signs.items() if name in node]
    return [" and ".join(found)] if found else []


def commands_page(app: typer.Typer) -> str:
    """Describe each command: what it does, and its arguments and options."""
    lines = ["# Commands", "", MADE, ""]
    for name, command in _commands(typer.main.get_command(app), "leadscore"):
        arguments = [_usage(one) for one in command.params if one.param_type_name == "argument"]
        lines += [f"## {name}", "", _escaped(inspect.cleandoc(command.help or "")), ""]
        lines += ["```text", " ".join([name, *arguments, *(["[OPTIONS]"] if _options(command) else [])]), "```", ""]
        if command.params:
            lines += _table(("argument or option", "default", "meaning"), map(_parameter, command.params))
    lines += ["## Exit codes", ""]
    lines += _table(
        ("code", "meaning"),
        [
            ("0", "done"),
            ("1", "a fault of the program itself"),
            ("2", "the command line or the params say something that cannot be meant"),
            ("3", "a table breaks the contract, is missing, or is too little to learn from"),
            ("4", "a saved model is missing, damaged, or does not fit"),
            ("5", "nightly score: the feed has stopped or shrunk; nothing was published"),
            ("6", "nightly score, deliver: not everything could be written; what was there stays"),
            ("7", "another run holds the folder"),
            ("8", "model promote, nightly retrain: a check of the gate failed; the champion stays"),
            ("9", "nightly monitor: something has moved; the findings are written"),
        ],
    )
    return _page(lines)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for part, child in command.commands.items():
            yield from _commands(child, f"{name} {part}")
    else:
        yield name, command


def _options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option"]


def _usage(argument: Any) -> str:
    return _name(argument) if argument.required else f"[{_name(argument)}]"


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _parameter(one: Any) -> tuple[str, str, str]:
    name = (
        _name(one) if one.param_type_name == "argument" else " ".join([", ".join(one.opts), one.metavar or ""]).strip()
    )
    kind = one.type_descriptor.annotation
    named = [str(choice.value) for choice in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
    choices = f" One of: {', '.join(named)}." if named else ""
    default = "required" if one.required else "" if one.default in (None, False) else f"`{one.default}`"
    return f"`{name}`", default, f"{one.help or ''}{choices}"


def features_page(params: Params) -> str:
    """Describe the features that a number, a category, a title, a domain and one event type give."""
    lines = ["# Features", "", MADE, ""]
    lines += [
        "What each kind of attribute and each event type gives, by the windows of the default `params.yaml`. A run's",
        "own list, with your names and levels, is `catalogue.csv` and stands in the report. `NUMBER`, `CATEGORY`,",
        f"`TITLE` and `DOMAIN` stand for your attributes, `{EVENT}` for each event type with features of its own.",
        "",
    ]
    rows = [
        (f"`{one.name}`", one.group, one.label, one.unit, {"0": "0", "missing": "missing", "none": ""}[one.empty])
        for one in _every_kind(params)
    ]
    lines += _table(("feature", "group", "what it is", "unit", "no such event"), rows)
    return _page(lines)


def _every_kind(params: Params) -> Catalogue:
    spec = next(iter(params.source.attributes.values()))
    attributes = {
        kind.upper(): spec.model_copy(update={"kind": kind, "known": "creation", "label": kind.upper(), "unit": ""})
        for kind in KINDS
    }
    vocabulary = Vocabulary(
        event_types=[EVENT],
        valued_types=[EVENT],
        channels={EVENT: "none"},
        event_groups=list(GROUPS),
        has_other=True,
        levels={"CATEGORY": []},
        frequencies={"CATEGORY": {}},
        dated=True,
    )
    return catalogue(attributes, {EVENT: EVENT}, {}, params.features, vocabulary)


def files_page() -> str:
    """Describe each file that the stages write: where it lies, what one row is, and its key."""
    lines = ["# Files", "", MADE, ""]
    lines += [
        "Where the stages write, in the project's own folders. A run with `--out FOLDER` writes what lies in",
        "`reports/` to the folder itself, and `data/` and `artifacts/` below it.",
        "",
    ]
    layout = Layout.workspace(Path())
    places = {name: getattr(layout, name) for name, one in vars(Layout).items() if isinstance(one, property)}
    files = {name: one for name, one in places.items() if isinstance(one, Artifact)}
    rows = [(f"`{one.path.as_posix()}`", one.grain, ", ".join(f"`{key}`" for key in one.key)) for one in files.values()]
    lines += _table(("file", "one row is", "key"), rows)
    scores = f"`{layout.scores.path.name}` and `{layout.scores_csv.path.name}`"
    lines += ["## Columns of the scores", "", f"Of {scores}, in this order, best lead first.", ""]
    columns = [(f"`{column.name}`", str(column.type), MEANING[column.name]) for column in SCORES]
    lines += _table(("column", "type", "what it says"), columns)
    return _page(lines)


def _resolved(node: Tree, definitions: Tree) -> Tree:
    found: Tree = definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
    return found


def _default(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text}`" if len(text) <= LONGEST else "see `params.yaml`"


def _escaped(text: str) -> str:
    return text.replace("*", "\\*")


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    head = tuple(head)
    return [line(head), "|" + "---|" * len(head), *map(line, rows), ""]


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
