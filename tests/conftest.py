"""Small simulated tables for the tests, and one repeatable profile for hypothesis."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.crm_server import TOKEN, CrmServer, serving
from tests.support.postgres_server import Server, running

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=20)
settings.load_profile("repeatable")
gc.set_threshold(50_000, 20, 20)  # a fifteenth of the time went into looking through what all libraries hold


@pytest.fixture(autouse=True, scope="session")
def unserved() -> Iterator[None]:
    """Let MLflow not score its example with every model that is registered; test_track does so in a process."""
    with pytest.MonkeyPatch.context() as patch:
        if models := sys.modules.get("mlflow.models.utils"):
            patch.setattr(models, "_validate_serving_input", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, started when the first test asks for it."""
    with running() as started:
        yield started


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of the CRMs on this machine, which no proxy stands before."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("HUBSPOT_TOKEN", "SALESFORCE_TOKEN"):
        monkeypatch.setenv(variable, TOKEN)


@pytest.fixture(params=["hubspot", "salesforce"])
def crm(request: pytest.FixtureRequest) -> Iterator[CrmServer]:
    """Each of the CRMs, empty."""
    with serving(request.param) as server:
        yield server


@pytest.fixture(autouse=True, scope="module")
def own_registry() -> None:
    """Forget the store that the module before used: MLflow writes it into the environment, where it goes first."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
