"""How DuckDB is opened."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pipelines.config.sections import Project

NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
# For a file that others made: its views see its own tables, no file, no address and no variable of this program.
SEALED = NO_EXTENSIONS | {"enable_external_access": "false", "python_enable_replacements": "false"}


@cache
def in_memory() -> duckdb.DuckDBPyConnection:
    """One for all that is small: to open it takes longer than most of its queries; ask for a cursor of it."""
    return duckdb.connect(config=dict(NO_EXTENSIONS))


def memory_limit(project: Project) -> str:
    """What DuckDB may hold: half, because it goes over by a fifth, and Python, Arrow and LightGBM need the rest."""
    return f"{project.memory_gb / 2}GB"
