"""`paths` in a params file: the folders of a project, read before anything that takes long to import."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from features.schema.errors import ParamsError
from features.schema.spec import Spec
from pipelines.config.faults import describe
from pipelines.config.yaml_files import read_yaml


class Paths(Spec):
    """Folders, relative to the file that names them, so that no command needs them as options; an option goes first."""

    data: str | None = Field(default=None, min_length=1, description="Stands for --data: folder of your files.")
    out: str | None = Field(default=None, min_length=1, description="Stands for --out: folder of one run.")
    lists: str | None = Field(
        default=None,
        min_length=1,
        description="Stands for --lists: folder of published lists; `leadscore deliver` sends its current list.",
    )


class _Top(BaseModel):
    """A params file, of which only the paths count here."""

    paths: Paths = Paths()


def read_paths(file: Path) -> dict[str, Path]:
    """Return the folders that a params file names, by their options, as seen from the working folder.

    Raises
    ------
    ParamsError
        Where the file is not there, is no YAML, or says something else of them.
    """
    try:
        named = _Top.model_validate(read_yaml(file)).paths.model_dump(exclude_none=True)
    except ValidationError as error:
        raise ParamsError(describe(error, [file], _Top)) from None
    return {name: file.parent / folder for name, folder in named.items()}
