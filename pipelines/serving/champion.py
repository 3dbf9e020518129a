"""The model that is served: taken whole from its folder, and changed between two requests when the folder changes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread

from pydantic import ValidationError

from features.schema.errors import DataError, ModelError
from models.scoring.scorer import Scorer
from models.tiers.declarations import TierParams
from pipelines.scheduled.manifest import read_manifest
from pipelines.scoring.override_store import read_overrides
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.serving.moment import MomentScorer
from pipelines.storage.bundle import MANIFEST, load_bundle

log = logging.getLogger("leadscore")
LOOK_EVERY_S = 2.0
Stamp = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where the model and the newest list are, and what a business sets of their use.

    Attributes
    ----------
    bundle
        The folder of the model.
    summary
        score_summary.json of a run, or the folder `current` of published lists.
    reasons
        The most a lead.
    overrides
        The files of them; see `override_store.stores`.
    """

    bundle: Path
    summary: Path
    tiers: TierParams
    reasons: int
    overrides: Sequence[Path] = ()

    def stamp(self) -> Stamp:
        """Return what changes whenever the model, the list or an override does."""
        return tuple(_digest(path) for path in (self.bundle / MANIFEST, self._summary_file, *self.overrides))

    def read(self) -> MomentScorer:
        """Load the model, check every file of it, and make it warm; raises ModelError, or DataError for overrides."""
        scorer = load_bundle(self.bundle, threads=1)
        given = read_overrides(self.overrides, self.tiers.names)
        served = MomentScorer(scorer, self.tiers, self._listed(scorer), self.reasons, given)
        served.warm_up()
        return served

    @property
    def _summary_file(self) -> Path:
        return self.summary / "manifest.json" if self.summary.is_dir() else self.summary

    def _listed(self, scorer: Scorer) -> ScoreSummary | None:
        """Return the newest list, if it is one by this model."""
        if self.summary.is_dir():
            listed: ScoreSummary | None = read_manifest(self.summary)
        else:
            try:
                listed = ScoreSummary.model_validate_json(self.summary.read_bytes())
            except (OSError, ValidationError):
                listed = None
        return listed if listed is not None and listed.model_id == scorer.model_id else None


@dataclass
class Champion:
    """The model in use. A request takes `current` once, so that no answer is half of one model and half of another.

    Attributes
    ----------
    refused
        Why the newest folder was not taken; "" where it was.
    swapped
        Told the outcome of each change: taken or refused.
    """

    origin: Origin
    current: MomentScorer
    stamp: Stamp
    swapped: Callable[[str], None] = lambda _: None
    refused: str = ""
    _lock: Lock = field(default_factory=Lock)
    _stop: Event = field(default_factory=Event)

    @classmethod
    def take(cls, origin: Origin) -> Champion:
        """Load the model that is there; raises ModelError where there is none, or a damaged one."""
        stamp = origin.stamp()
        return cls(origin, origin.read(), stamp)

    def look(self) -> None:
        """Take the folder's model and list if they have changed; a damaged one is refused, and the old one goes on."""
        with self._lock:
            stamp = self.origin.stamp()
            if stamp == self.stamp:
                return
            try:
                taken = self.origin.read()
            except (DataError, ModelError) as error:
                if stamp == self.origin.stamp():  # else it is being swapped, and whole at the next look
                    self._refuse(str(error))
                return
            if stamp != self.origin.stamp():  # swapped while it was read: the next look takes the newer one
                return
            self.current, self.stamp, self.refused = taken, stamp, ""
            self.swapped("taken")
            log.info("serve: model %s, tiers by %s", taken.model_id, taken.tier_by)

    def watch(self) -> Thread:
        """Look again and again, until `stop`."""

        def run() -> None:
            while not self._stop.wait(LOOK_EVERY_S):
                try:
                    self.look()
                except Exception as error:  # whatever it is, the old model goes on
                    self._refuse(f"{type(error).__name__} while it was read")

        thread = Thread(target=run, daemon=True, name="champion")
        thread.start()
        return thread

    def stop(self) -> None:
        """End `watch`."""
        self._stop.set()

    def _refuse(self, reason: str) -> None:
        """Say why the old model goes on, once for each reason."""
        if reason != self.refused:
            self.refused = reason
            self.swapped("refused")
            log.warning("serve: model %s goes on, the new one is refused: %s", self.current.model_id, reason)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
