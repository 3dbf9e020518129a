"""A score list that is ready to be published with all that stands beside it, complete or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from models.lists.results import OwnersSummary
from pipelines.config.params import Params
from pipelines.lists.not_called import write_not_called
from pipelines.lists.owner_lists import ASSIGNED, FOLDER, ListInputs, add_owner_lists
from pipelines.nurture.nurture_list import NurtureList, write_nurture
from pipelines.scheduled.manifest import MANIFEST, ListManifest
from pipelines.scheduled.published import INPUTS, SCORES, SHEET, PublishedLists
from pipelines.scoring.score_list import RankedList, ranked_rows, write_rows
from pipelines.scoring.shards import read_inputs
from pipelines.storage.contract_store import Display
from pipelines.storage.files import file_digest, write_json, write_parquet


@dataclass(frozen=True)
class Draft:
    """A score list that is not yet published.

    Attributes
    ----------
    work
        The folder of its shards.
    timings
        Seconds, and how many leads were not scored again; in no other file.
    waiting
        Leads of the best tier that nobody has called; None where nothing says who was.
    nurture
        Leads to look at again; None without `nurture.on`.
    """

    name: str
    work: Path
    parts: list[Path]
    listed: RankedList
    manifest: ListManifest
    timings: dict[str, float]
    display: Display
    waiting: pd.DataFrame | None
    nurture: NurtureList | None


def publish(draft: Draft, published: PublishedLists, params: Params) -> None:
    """Write a complete list with those of owners, sync it to the disk, and remove its shards."""
    with published.new(draft.name) as staged:
        write_rows(ranked_rows(draft.parts, draft.listed), staged / SCORES, staged / SHEET, draft.display)
        write_parquet(read_inputs(draft.parts), staged / INPUTS)
        write_not_called(draft.waiting, staged, draft.display)
        if draft.nurture is not None:
            write_nurture(draft.nurture, staged, draft.display)
        by_owner = _write_owner_lists(draft, published, params, staged / FOLDER) if params.lists.owner else None
        files = sorted(path for path in staged.rglob("*") if path.is_file())
        outputs = {path.relative_to(staged).as_posix(): file_digest(path) for path in files}
        manifest = draft.manifest.model_copy(update={"outputs": outputs, "by_owner": by_owner})
        write_json(manifest.model_dump(), staged / MANIFEST)
        write_json(draft.timings, staged / "timings.json")
    shutil.rmtree(draft.work)


def _write_owner_lists(draft: Draft, published: PublishedLists, params: Params, folder: Path) -> OwnersSummary:
    before = published.run(draft.manifest.previous or draft.name) / FOLDER / ASSIGNED
    folder.mkdir()
    inputs = ListInputs(folder.parent / SCORES, draft.display, params.tiers.names, before)
    return add_owner_lists(folder, inputs, params)
