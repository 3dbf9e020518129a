"""What the fields of a lead held, and from when on: from the edits that a CRM keeps, a row for each moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pipelines.pull.store import Content

Edit = tuple[str, str, object, object]  # when, which field, what it held before, and what after


def states(lead: str, created: str, edits: Iterable[Edit], fields: Sequence[str]) -> Iterator[Content]:
    """The rows of one lead, the first from its creation on; none where nothing was edited.

    A field held from the start what the first edit says that it replaced.
    """
    ordered = sorted(edits, key=lambda edit: edit[:2])
    if not ordered:
        return
    now: Content = dict.fromkeys(fields)
    now |= {field: before for _, field, before, _ in reversed(ordered)}
    if created < ordered[0][0]:
        yield {"lead_id": lead, "valid_from": created} | now
    for at, some in groupby(ordered, key=lambda edit: edit[0]):
        now |= {field: after for _, field, _, after in some}
        yield {"lead_id": lead, "valid_from": at} | now
