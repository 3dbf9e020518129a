"""MLflow's model scores a lead by its facts as the batch and the server do, and by ready features; without a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from features.matrix.matrix import feature_matrix
from features.schema.errors import DataError
from tests.pipelines.serving.test_app import AT, bodies
from tests.support.small_model import scorer
from tests.support.tables import MONDAY, SPEC, crowd

# Raised inside MLflow 3.17 when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def model() -> Any:
    from pipelines.serving.pyfunc_model import ServedModel

    served = ServedModel()
    served.scorer = scorer()
    return served


def predict(model: Any, **columns: Any) -> pd.DataFrame:
    found: pd.DataFrame = model.predict(None, pd.DataFrame(columns))
    return found


def facts() -> list[dict[str, Any]]:
    return bodies(crowd((MONDAY,), n_leads=6, n_events=60))


def test_facts_have_the_bits_of_ready_features(model: Any) -> None:
    scenario = crowd((MONDAY,), n_leads=6, n_events=60)
    pairs = [(lead["lead_id"], AT) for lead in scenario.leads]
    scenario = replace(scenario, pairs=pairs)
    matrix = feature_matrix(scenario.tables, SPEC).assign(lead_id=[lead for lead, _ in pairs])
    ready = predict(model, **{name: matrix[name] for name in ("lead_id", *scorer().feature_names)})
    for given in (facts(), [json.dumps(one) for one in facts()]):
        pd.testing.assert_frame_equal(predict(model, facts=given), ready, check_exact=True)
    assert list(ready.columns) == ["lead_id", "probability", "score", "reasons", "reasons_text"]


def test_a_batch_of_nobody_is_no_rows(model: Any) -> None:
    assert list(predict(model, facts=[]).columns) == ["lead_id", "probability", "score", "reasons", "reasons_text"]


def test_one_lead_at_two_moments_is_two_rows(model: Any) -> None:
    one = facts()[0]
    later = one | {"as_of": f"{(AT + pd.Timedelta(days=3)).isoformat()}Z"}
    assert predict(model, facts=[one, later])["lead_id"].tolist() == [one["lead"]["lead_id"]] * 2


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("{", "found a text that is no JSON"),
        ({"lead": {"lead_id": "n1"}}, "lead.created_at: found nothing"),
        ({"lead": {"lead_id": "n1", "created_at": "2024-01-01"}}, "found no as_of"),
        ({"lead": {"lead_id": "n1", "created_at": "2024-01-01"}, "as_of": "2023-01-01"}, "a moment after"),
        (
            {
                "lead": {"lead_id": "n1", "created_at": "2024-01-01"},
                "events": [{"event_at": "2024-01-02", "event_type": "visit"}],
                "as_of": "2024-01-03",
            },
            "without direction or channel",
        ),
    ],
)
def test_what_is_wrong_with_facts_is_said_with_the_row(model: Any, given: object, line: str) -> None:
    with pytest.raises(DataError, match=line) as refused:
        predict(model, facts=[facts()[0], given])
    assert "row 1" in str(refused.value)
    with pytest.raises(DataError, match="neither facts nor lead_id"):
        predict(model, other=[1.0])


def test_the_registry_serves_it_and_takes_either_kind_of_row(model: Any) -> None:
    from pipelines.registry.registry import SERVED, _signature

    assert SERVED.is_file()
    inputs = _signature(scorer()).inputs
    assert inputs is not None
    assert {"facts", "lead_id"} <= set(inputs.input_names())
    assert not inputs.required_input_names()
    from mlflow.models.utils import _enforce_schema

    told = _enforce_schema(pd.DataFrame({"facts": facts()}), inputs)  # as a server or `mlflow models predict` does it
    pd.testing.assert_frame_equal(predict(model, facts=list(told["facts"])), predict(model, facts=facts()))
