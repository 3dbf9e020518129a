"""How far a scheduled run has come, for whoever watches it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

log = logging.getLogger("leadscore")


def with_progress(parts: Iterable[Path], total: int, label: str) -> Iterator[Path]:
    """Show progress: a bar in a terminal, else a log line for each shard where there are several."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(parts, label, total=total, console=console, transient=True)
        return
    for number, part in enumerate(parts, 1):
        if total > 1:
            log.info("%s: shard %d of %d", label, number, total)
        yield part
