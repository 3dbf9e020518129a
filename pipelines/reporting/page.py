"""HTML pages of one file, from templates, and the formats of their figures."""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.storage.files import staged_file
from pipelines.storage.layout import Layout

log = logging.getLogger("leadscore")
TEMPLATES = Path(__file__).resolve().parent / "templates"
NOT_DEFINED = "–"  # a figure that does not exist, such as the AUC of a segment without conversions


def write_page(text: str, layout: Layout) -> Path:
    """Write report.html, or leave the old one."""
    with staged_file(layout.report.path) as staged:
        staged.write_text(text, encoding="utf-8", newline="\n")
    log.info("report: %s, %.0f kB", layout.report.path, len(text.encode()) / 1e3)
    return layout.report.path


@functools.cache
def environment() -> Environment:
    """Return where templates live, compiled once, with what they may call; whatever a page shows is escaped."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "number": number, "points": points, "figure": figure_text}
    return made


def page(template: str, contents: dict[str, Any], project: str) -> str:
    """Fill a template and embed style and scripts, so that the page opens offline."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template(template)
        .render(
            contents,
            project=project,
            style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=_content_hash(script),
        )
    )


def percent(value: float | None, digits: int = 1) -> str:
    """Format a share, such as 6.1%."""
    return NOT_DEFINED if value is None or math.isnan(value) else f"{value:.{digits}%}"


def number(value: float | None, digits: int = 0) -> str:
    """Format a number with thousands separators."""
    return NOT_DEFINED if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def points(value: float, digits: int = 0) -> str:
    """Format points with their sign, a true minus, and no sign at zero."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if not text.strip("+−0.") else text


def figure_text(value: float | None, form: str) -> str:
    """Format a metric: as a share, as a multiple, or with three digits."""
    if form == "share":
        return percent(value)
    return number(value, 2 if form == "times" else 3)


def _content_hash(script: str) -> str:
    """The hash with which the page's content security policy allows its own script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
