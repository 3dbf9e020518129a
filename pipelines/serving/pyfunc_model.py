"""The model as MLflow serves it: loaded from this source file and the text bundle, so that nothing is unpickled."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import ValidationError

from features.matrix.one_lead import LeadQuery
from features.schema.errors import DataError
from models.scoring.scorer import Scorer
from pipelines.serving.bodies import ScoreRequest, in_time, one_line
from pipelines.serving.facts import Defaults, lead_of
from pipelines.storage.bundle import load_bundle

REASONS = 5
FACTS = "facts"
OUTPUT = ["lead_id", "probability", "score", "reasons", "reasons_text"]
UNSAID = Defaults("inbound", "online", "UTC")  # never used: facts say direction and channel, and the zone of times


class ServedModel(PythonModel):
    """Scores leads by their features, or by the facts; tiers belong to a list, which a batch is not: there are none."""

    scorer: Scorer

    def load_context(self, context: PythonModelContext) -> None:
        self.scorer = load_bundle(Path(context.artifacts["bundle"]), threads=1)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return probability, score and reasons, in the order of the rows.

        Parameters
        ----------
        model_input
            `facts`: a lead, its events and `as_of`, as JSON or its text, as `POST /score` of `leadscore serve` takes
            them; or `lead_id` and the features, ready.

        Raises
        ------
        DataError
            Where facts are not what `POST /score` takes, or leave out as_of, or the direction or channel of an event.
        """
        given = model_input.columns
        if FACTS not in given and "lead_id" not in given:
            raise _wrong(0, "neither facts nor lead_id", "`facts`, or `lead_id` and features")
        rows = self._features(model_input[FACTS]) if FACTS in given else model_input.reset_index(drop=True)
        return self.scorer.score(rows, REASONS)[OUTPUT]

    @cached_property
    def _query(self) -> LeadQuery:
        return LeadQuery(self.scorer.metadata.matrix)

    def _features(self, facts: pd.Series[Any]) -> pd.DataFrame:
        """Compute the features of each row's lead at its moment, as a list does."""
        attributes, ids, rows = self.scorer.metadata.matrix.attributes, [], []
        for number, given in enumerate(facts):
            request = _read(number, given)
            lead = lead_of(request, attributes, UNSAID)
            at = in_time(str(request.as_of))
            if lead.created_at is not None and not lead.created_at < at:
                raise _wrong(number, f"as_of {request.as_of}", "a moment after the lead's creation")
            ids.append(lead.lead_id)
            rows.append(self._query.row(lead, at).features)
        names = self.scorer.feature_names
        none = np.empty((0, len(names)), "float32")
        return pd.DataFrame(np.concatenate([none, *rows]), columns=names).assign(lead_id=pd.Series(ids, dtype="str"))


def _read(number: int, given: object) -> ScoreRequest:
    try:
        tree = json.loads(given) if isinstance(given, str) else given
        request = ScoreRequest.model_validate(tree)
    except ValidationError as error:
        raise _wrong(number, one_line(list(error.errors())), "what POST /score takes") from None  # type: ignore[arg-type]
    except ValueError:
        raise _wrong(number, "a text that is no JSON", "a lead and its events") from None
    if request.as_of is None:
        raise _wrong(number, "no as_of", "the moment to score at")
    if any(event.direction is None or event.channel is None for event in request.events):
        raise _wrong(number, "an event without direction or channel", "both, as no params are here to give a default")
    return request


def _wrong(number: int, found: str, expected: str) -> DataError:
    return DataError(FACTS, f"row {number}", found=found, expected=expected, fix="See docs/python.md.")


mlflow.models.set_model(ServedModel())
