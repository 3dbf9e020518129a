"""The reference pages, made of the parameters' types, the commands, the catalogue and the artifacts."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from features.matrix.catalogue import Catalogue, catalogue
from features.schema.vocabulary import GROUPS, Vocabulary
from pipelines.config.params import Params, load
from pipelines.reporting.glossary import glossary_page
from pipelines.scoring.score_list import MEANING, MONEY, SCORES
from pipelines.storage.files import staged_file
from pipelines.storage.layout import Artifact, Layout

Tree = dict[str, Any]
MADE = "<!-- Made by `leadscore docs`; change what it is made of and run that again. -->"
LONGEST = 60  # characters of a default that is shown whole
HEAD = ("key", "type", "default", "what it does, and when to change it")
KINDS = ("number", "category", "title", "domain")
EVENT = "EVENT_TYPE"


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
        "params.md": params_page(),
        "params.schema.json": params_schema(),
        "commands.md": commands_page(app),
        "features.md": features_page(load()),
        "files.md": files_page(),
    }


def params_page() -> str:
    """Describe each key of params.yaml: its type and bounds, its default, and what it does."""
    schema = Params.model_json_schema()
    lines = ["# Parameters", "", MADE, ""]
    lines += [
        "Every key that `params.yaml` may hold, with its default; the file itself states what a business sets. A file",
        "given with `--params` is laid over it and states only what differs; its `source` and its `rules`, where it",
        "has them, replace these whole. `params.schema.json` tells the same to editors that complete YAML.",
        "A file has at most 1 MB, 50,000 values (what aliases repeat included) and 40 levels; a number without bounds",
        "of its own lies within ±1e15, and a day from 1900 to 2100.",
        "",
    ]
    for name, child in schema["properties"].items():
        section = _resolved(child, schema["$defs"])
        lines += [f"## {name}", "", child.get("description") or section["description"], ""]
        lines += _table(HEAD, _rows(name, section, schema["$defs"]))
    return _page(lines)


def params_schema() -> str:
    """Return the JSON schema of a params file, for editors; a file may leave out any section."""
    schema = {key: _untitled(value) for key, value in Params.model_json_schema().items() if key != "required"}
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _untitled(node: Any) -> Any:
    """Drop the titles, which repeat the keys, and the defaults of whole sections, which their keys have."""
    if isinstance(node, list):
        return [_untitled(one) for one in node]
    if not isinstance(node, dict):
        return node
    section = isinstance(node.get("default"), dict) and "$ref" in node
    left = {key: value for key, value in node.items() if not (key == "title" or (section and key == "default"))}
    return {key: _untitled(value) for key, value in left.items()}


def _rows(above: str, node: Tree, definitions: Tree) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key below a node; keys within it, and those of its items, come after it."""
    needed = node.get("required", [])
    for name, child in node["properties"].items():
        key, own = f"{above}.{name}", _resolved(child, definitions)
        section = "properties" in own
        default = "" if section else "required" if name in needed else _default(child.get("default"))
        kind = "section" if section else type_in_words(child, definitions)
        yield f"`{key}`", kind, default, child.get("description") or own.get("description", "")
        inside = own if section else _items(child, definitions)
        if "properties" in inside and (inside["title"] != "TableSource" or key == "source.leads"):
            yield from _rows(key if section or _holds_one(child) else f"{key}[]", inside, definitions)


def _holds_one(node: Tree) -> bool:
    """Whether a key holds one mapping, or nothing, rather than several."""
    return any("$ref" in one for one in [node, *node.get("anyOf", [])])


def _items(node: Tree, definitions: Tree) -> Tree:
    """The mapping that a key holds, alone, in a list or by name; an empty tree where it holds none."""
    held = [*node.get("anyOf", []), node.get("items", {}), node.get("additionalProperties", {})]
    found = [_resolved(one, definitions) for one in held if isinstance(one, dict)]
    return next((one for one in found if "properties" in one), {})


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
        case "object" if node.get("title") in ("TableSource", "LeadSource", "AttributeSpec"):
            return "table (see `source.leads`)" if node["title"] != "AttributeSpec" else "attribute"
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
        levels={"CATEGORY": [], "CATEGORY__with__CATEGORY": []},
        frequencies={"CATEGORY": {}},
        pairs={"CATEGORY__with__CATEGORY": ("CATEGORY", "CATEGORY")},
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
    lines += [
        f"`{layout.scores_csv.path.name}` also has the columns of `source.leads.display`, and `url` where there is a",
        "`url_template`, right behind `lead_id`.",
        "",
    ]
    columns = [(f"`{column.name}`", str(column.type), MEANING[column.name]) for column in [*SCORES, *MONEY]]
    lines += _table(("column", "type", "what it says"), columns)
    return _page(lines)


def _resolved(node: Tree, definitions: Tree) -> Tree:
    found: Tree = definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
    return found


def _default(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text}`" if len(text) <= LONGEST else "a list"


def _escaped(text: str) -> str:
    return text.replace("*", "\\*")


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    head = tuple(head)
    return [line(head), "|" + "---|" * len(head), *map(line, rows), ""]


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
