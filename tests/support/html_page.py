"""A page as tests read it: its elements, their attributes and texts."""

from __future__ import annotations

from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "input", "br", "img", "hr"}


@lru_cache(maxsize=4)
def parsed(source: str) -> Page:
    """A page, parsed once for all tests that read it."""
    return Page(source)


class Page(HTMLParser):
    """The elements of a page in their order, each with its attributes and all the text inside it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []
        self.feed(source)
        for element in self.elements:
            element["text"] = "".join(element["text"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": [], "attrs": dict(attrs), "inside": self._open.copy()}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()["tag"] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element["text"].append(data)

    def all(self, tag: str, **attrs: str) -> list[dict[str, Any]]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return [
            element
            for element in self.elements
            if element["tag"] == tag and all(element["attrs"].get(name) == value for name, value in wanted.items())
        ]

    def rows(self, table: str) -> list[list[str]]:
        """The texts of a table's cells, row by row."""
        parts = [element for element in self.elements if element["tag"] in ("tr", "th", "td")]
        inside = [element for element in parts if any(table == at["attrs"].get("id") for at in element["inside"])]
        rows = [element for element in inside if element["tag"] == "tr"]
        cells = [element for element in inside if element["tag"] != "tr"]
        return [[cell["text"] for cell in cells if cell["inside"][-1] is row] for row in rows]
