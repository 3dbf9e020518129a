"""What every stage is given: the parameters of a run, and where its artifacts lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports this before it needs them
    from pipelines.config.params import Params
    from pipelines.storage.layout import Layout


@dataclass(frozen=True)
class RunContext:
    """The parameters of a run and its layout, which travel together."""

    params: Params
    layout: Layout
