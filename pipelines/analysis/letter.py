"""`leadscore lead letter`: what was known of a person, the score that was given, why, by which model, and when.

Nothing is computed anew: score and reasons are those of the list that sales saw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from features.attributes.as_of import attributes_as_of
from features.schema.errors import ModelError, ParamsError
from models.explanation.lead_explanation import attributes_known, timeline
from models.scoring.scorer import ModelMetadata
from pipelines.scheduled.job import feed_layout
from pipelines.scheduled.published import SCORES, PublishedLists
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract
from pipelines.storage.files import staged_file
from pipelines.storage.results import existing
from pipelines.storage.run_context import RunContext

OWNER_ONLY = 0o600
TO_FILL_IN = "[write here: "  # what only the business knows


@dataclass(frozen=True)
class StoredScore:
    """The row of a lead in a list, its place there, and the length of the list."""

    row: dict[str, Any]
    place: int
    n: int

    @property
    def day(self) -> pd.Timestamp:
        """The day of the list; NaT for tables without dates."""
        return pd.Timestamp(self.row["as_of"])


def write_letter(lead_id: str, run: RunContext, lists: Path | None, day: str | None) -> str:
    """Return the letter as Markdown.

    Parameters
    ----------
    lists
        The folder of published lists; None for the list of the run.
    day
        Of the list, such as 2026-06-29; None for the newest that has the lead.

    Raises
    ------
    ParamsError
        Where no list has the lead, or none of that day.
    DataError
        Where ingest or score has not run.
    """
    stored = _stored(lead_id, _score_files(run, lists, day))
    layout = run.layout if lists is None else feed_layout(lists)
    metadata = _metadata(str(stored.row["model_id"]), run, lists)
    sections = [
        _opening(run.params.project.name),
        _score(stored, metadata),
        _reasons(stored),
        _known(lead_id, stored, metadata, Contract.open(layout, run.params.project)),
        _model(stored, metadata),
        _rights(),
    ]
    return "\n\n".join(sections) + "\n"


def save_letter(text: str, path: Path) -> None:
    """Write a letter to a file that its owner alone reads."""
    with staged_file(path) as staged:
        staged.touch(mode=OWNER_ONLY)
        staged.write_text(text, encoding="utf-8", newline="\n")


# What is stored


def _score_files(run: RunContext, lists: Path | None, day: str | None) -> Sequence[Path]:
    """The lists to look into, newest first."""
    if lists is None and day is not None:
        raise ParamsError(f"--day {day} is one of the lists of --lists; name their folder, too")
    if lists is None:
        return [existing(run.layout.scores.path, "score")]
    published = PublishedLists(lists)
    days = {one: name for one, name in published.days().items() if day is None or one == day}
    files = [published.run(name) / SCORES for name in reversed(list(days.values()))]
    if there := [path for path in files if path.is_file()]:
        return there
    raise ParamsError(f"{lists} holds no list{f' of {day}' if day else ''}; name the folder that `nightly score` wrote")


def _stored(lead_id: str, files: Sequence[Path]) -> StoredScore:
    for path in files:
        scores = pd.read_parquet(path)
        place = scores.index[scores["lead_id"] == lead_id]
        if len(place):
            row = {str(name): value for name, value in scores.loc[place[0]].items()}
            return StoredScore(row, int(place[0]) + 1, len(scores))
    raise ParamsError(
        f"none of {len(files)} lists has that lead; give the id as the list has it, or --lists and --day of its list"
    )


def _metadata(model_id: str, run: RunContext, lists: Path | None) -> ModelMetadata | None:
    """The facts of the model that gave the score; None where it is not at hand any more."""
    folders = [run.layout.bundle]
    folders += [] if lists is None else [card.parent for card in (PublishedLists(lists).work).rglob("card.json")]
    for folder in folders:
        with suppress(ModelError):
            scorer = load_bundle(folder, run.params.project.threads)
            if scorer.model_id == model_id:
                return scorer.metadata
    return None


# In words


def _opening(project: str) -> str:
    return (
        "# What we know about you, and your score\n\n"
        f"You asked what we hold about you and how a computer program ({_plain(project)}) used it. This letter answers "
        "by what was stored at that time; nothing was computed anew for it."
    )


def _score(stored: StoredScore, metadata: ModelMetadata | None) -> str:
    row = stored.row
    lines = [
        f"- Score: {row['score']:.0f} of 100, place {stored.place:,} of {stored.n:,} on the list{_on(stored.day)}.",
        f"- Group: {_plain(row['tier'])}"
        + (f", because of {_plain(row['tier_reason'])}." if row["tier_reason"] else "."),
    ]
    if not pd.isna(row["probability"]):
        within = f" within {metadata.snapshots.horizon_days} days" if metadata and metadata.snapshots else ""
        chance = (
            f"- What it stands for: of 100 people with this score, about {100 * row['probability']:.2g} buy{within}"
        )
        lines.append(chance + (f"; of all people, about {100 * metadata.base_rate:.2g}." if metadata else "."))
    if row.get("explored") == "yes":
        lines.append("- You were drawn at random into the best group, so that we learn from people with lower scores.")
    return "\n".join(["## Your score", "", *lines])


def _reasons(stored: StoredScore) -> str:
    """The reasons that were stored with the score, and what all others add."""
    row, reasons = stored.row, json.loads(stored.row["reasons"] or "[]")
    lines = [f"- {_plain(reason['text'])}" for reason in reasons] or ["- None counted half a point or more."]
    rest = row["points"] - row["base_points"] - sum(reason["points"] for reason in reasons)
    return "\n".join(
        [
            "## Why",
            "",
            f"Everybody starts with {row['base_points']:.0f} points. The strongest reasons for more or fewer were:",
            "",
            *lines,
            "",
            f"All other reasons together: {rest:+.0f}. The sum is {row['points']:.0f}; a score ends at 0 and at 100.",
        ]
    )


def _known(lead_id: str, stored: StoredScore, metadata: ModelMetadata | None, contract: Contract) -> str:
    title = f"## What the program knew{_on(stored.day, 'on')}\n\n"
    if metadata is None:
        return title + "The model that gave this score is not kept any more; the reasons above name what it used."
    if not (contract.leads["lead_id"] == lead_id).any():
        return title + "Your data are not held here any more; the reasons above name what was used."
    moment = pd.DataFrame({"lead_id": [lead_id], "snapshot_at": pd.Series([stored.day], dtype="datetime64[us]")})
    spec = metadata.matrix
    frame = attributes_as_of(moment, contract.leads, contract.history, spec.attributes)
    facts = attributes_known(frame, spec.attributes, spec.vocabulary)
    lines = [f"- {_plain(fact['label'])}: {_plain(fact['value'])}" for fact in facts]
    events = contract.events.filter(contract.events.lead_id == lead_id).to_pyarrow().to_pandas()
    if not pd.isna(stored.day):
        lines += _counted(timeline(events, stored.day, spec.vocabulary, spec.event_labels))
    unused = [one.label or one.column for one in spec.attributes.values() if one.known == "outcome"]
    lines += [f"- Held and not used for the score: {_plain(', '.join(unused))}"] if unused else []
    if contract.profile.fingerprint != stored.row["data_fingerprint"]:
        lines += ["", "The data were read again since; what was corrected later may show here, and not in the score."]
    return title + "\n".join(lines)


def _counted(events: list[dict[str, Any]]) -> Iterator[str]:
    """Each kind of event: how often, and when first and last."""
    if not events:
        yield "- No visit, mail, call or other event"
        return
    for label, some in pd.DataFrame(events).groupby("label", sort=True)["event_at"]:
        first, last = some.min(), some.max()
        when = f"on {first:%Y-%m-%d}" if first == last else f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        yield f"- {_plain(label)}: {len(some):,} times, {when}" if len(some) > 1 else f"- {_plain(label)}: once, {when}"


def _model(stored: StoredScore, metadata: ModelMetadata | None) -> str:
    known = (
        f" It learned from outcomes known by {metadata.trained_until[:10]}."
        if metadata and metadata.trained_until
        else ""
    )
    return (
        "## How it was made\n\n"
        "A statistical model compares what is known of a person with what was known of earlier people, and with what "
        f"became of them: who bought and who did not. It is the same for all.{known} The score orders whom we call "
        "first.\n\n"
        f"{TO_FILL_IN}who decides by it, and whether a person looks at each case]\n\n"
        f"Model {stored.row['model_id']}, data {stored.row['data_fingerprint'][:16]}, list{_on(stored.day)}."
    )


def _rights() -> str:
    return (
        "## What you can ask for\n\n"
        "That we correct or delete your data, that we stop using them for scores, that a person looks at your case, "
        "and that you may say what you think of it; and you may complain to a data protection authority "
        "(Articles 15 to 22 and 77 of the General Data Protection Regulation).\n\n"
        f"{TO_FILL_IN}whom to write to, where the data came from, who received them, and how long they are kept]"
    )


def _on(day: pd.Timestamp, word: str = "of") -> str:
    return "" if pd.isna(day) else f" {word} {day:%Y-%m-%d}"


def _plain(text: object) -> str:
    """Text in one line that Markdown shows as it is."""
    return escape(" ".join(str(text).split()), quote=False).replace("*", r"\*").replace("_", r"\_").replace("`", r"\`")
