"""What an artifact was made from, and the one check that two artifacts belong together."""

from __future__ import annotations

from dataclasses import dataclass, fields

from features.schema.errors import ModelError


@dataclass(frozen=True)
class Provenance:
    """The model, the data and the day behind an artifact; None where it does not depend on one of them."""

    model_id: str | None = None
    data_fingerprint: str | None = None
    as_of: str | None = None

    def require_same(self, name: str, other: Provenance, other_name: str, stages: str) -> None:
        """Raise ModelError where an artifact and another one differ in what both of them have.

        Parameters
        ----------
        name, other_name
            What the two artifacts are called in the message.
        stages
            What to run again, such as "`leadscore stage evaluate`".
        """
        for field in fields(self):
            own, others = getattr(self, field.name), getattr(other, field.name)
            if own is not None and others is not None and own != others:
                what = field.name.replace("_", " ")
                raise ModelError(f"{name}: {what} {own}, but {other_name}: {what} {others}; run {stages} again")
