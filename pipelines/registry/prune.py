"""Files of MLflow that nothing points to any more are deleted, so that weekly retraining does not fill a disk.

The rule: what an alias points to is kept whole, version and run. Of a version that was champion once the model stays,
so that its scores can be made again. All other versions go with their files, and so do reports and charts of their
runs. Parameters, figures, tags and decisions stay in MLflow's database.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.store.entities import PagedList

from pipelines.config.params import Params
from pipelines.registry.registry import Registry
from pipelines.storage.lock import hold

BY_RETRAIN = "retrain"  # the tag made_by of runs that nobody started by hand
BESIDE_MODEL = ("code", "artifacts/tested_model")  # of a former champion: what only MLflow's server and the gate read


@dataclass
class Leftovers:
    """What nothing points to.

    Attributes
    ----------
    versions
        Of the registry, to be deleted there.
    files
        Folders and files, to be deleted after them.
    remote
        How many places are no folder of this machine, and so stay.
    """

    versions: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    remote: int = 0

    def add(self, uri: str, *parts: str) -> None:
        """Take a folder in, or only parts of it."""
        split = urlsplit(uri)
        if split.scheme not in ("", "file"):
            self.remote += 1
            return
        folder = Path(unquote(split.path))
        self.files += [path for path in ([folder / part for part in parts] or [folder]) if path.exists()]

    @property
    def size(self) -> int:
        """Bytes of the files."""
        inside = (one for path in self.files for one in (path, *path.rglob("*")))
        return sum(one.stat().st_size for one in inside if one.is_file())


def prune(params: Params, *, every: bool, dry_run: bool = False) -> list[str]:
    """Delete what nothing in the registry points to.

    Parameters
    ----------
    every
        Also of runs that somebody tracked by hand; else only of those that `retrain` made.
    dry_run
        Delete nothing, and say what would go.

    Returns
    -------
    list of str
        What was done, for people.

    Raises
    ------
    BusyError
        Where a decision is being made.
    """
    with hold(Path(params.track.artifacts)):
        registry = Registry.open(params)
        if registry.unfinished():
            return ["nothing pruned: a decision is unfinished; run promote or rollback again"]
        found = leftovers(registry, params.project.name, every=every)
        size = found.size / 1e6
        if not dry_run:
            for version in found.versions:
                registry.client.delete_model_version(registry.name, version)
            for path in found.files:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    what = f"{len(found.versions):,} versions and {size:,.1f} MB of files that no alias points to"
    lines = [f"would prune {what}" if dry_run else f"pruned {what}"] if found.versions or found.files else []
    return lines + ([f"not pruned: {found.remote:,} places that are not on this machine"] if found.remote else [])


def _pages(search: Callable[..., PagedList[Any]], *words: Any) -> list[Any]:
    """All results of a search of MLflow, which gives them in pages."""
    page = search(*words)
    found = list(page)
    while page.token:
        page = search(*words, page_token=page.token)
        found += page
    return found


def leftovers(registry: Registry, experiment: str, *, every: bool) -> Leftovers:
    """Find what nothing points to."""
    client = registry.client
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return Leftovers()
    chosen = "attributes.status != 'RUNNING'"  # one that is being logged now
    if not every:
        chosen += f" AND tags.made_by = '{BY_RETRAIN}'"
    runs = {run.info.run_id: run.info.artifact_uri for run in _pages(client.search_runs, [known.experiment_id], chosen)}
    versions = _pages(client.search_model_versions, f"name = '{registry.name}'")
    pointed = set(registry.aliases().values())
    decisions = registry.decisions()
    champions = {one["version"] for one in decisions if one["answer"] != "refused"}
    champions |= {one["champion"]["version"] for one in decisions if one.get("champion")}  # by hand, too
    found = Leftovers()
    for one in versions:
        if str(one.version) in pointed:
            runs.pop(one.run_id, None)
    for one in versions:
        if str(one.version) not in pointed and one.run_id in runs:
            place = client.get_model_version_download_uri(registry.name, one.version)
            if str(one.version) in champions:
                found.add(place, *BESIDE_MODEL)
            else:
                found.versions.append(str(one.version))
                found.add(place)
    for uri in runs.values():
        found.add(uri)
    return found
