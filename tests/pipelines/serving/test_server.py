"""The process itself: what it acknowledged is there after a kill, and it ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from pipelines.serving.store import FactStore
from pipelines.storage.bundle import save_bundle
from pipelines.storage.layout import Layout
from tests.support.paths import ROOT
from tests.support.small_model import scorer
from tests.support.small_server import DEFAULTS
from tests.support.tables import SPEC

START = "from pipelines.cli.app import main; main()"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    save_bundle(scorer(), Layout.folder(tmp_path / "out").bundle)
    (tmp_path / "params.yaml").write_text("tiers: {triggers: [], exclusions: []}\n", encoding="utf-8")
    return tmp_path / "out"


@contextmanager
def started(out: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port, and its address."""
    words = [sys.executable, "-c", START, "serve", "--out", str(out), "--port", "0"]
    words += ["--params", str(out.parent / "params.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process, _address(process)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"on (http://[\d.:]+)", line):
            return found[1]
    raise AssertionError("".join(lines))


def test_what_was_acknowledged_survives_a_kill(out: Path) -> None:
    lead, kept = {"lead_id": "n1", "created_at": "2024-01-01T00:00:00Z"}, 0
    with started(out) as (process, address):
        assert requests.post(f"{address}/leads", json={"leads": [lead]}, timeout=60).ok
        for number in range(20):
            event = {"id": f"e{number}", "lead_id": "n1", "event_at": "2024-01-02T00:00:00Z", "event_type": "visit"}
            kept += requests.post(f"{address}/events", json={"events": [event]}, timeout=60).json()["new"]
        process.kill()
    store = FactStore.open(FactStore.url_of(out / "artifacts" / "serve.sqlite"), DEFAULTS)
    found = store.lead("n1", SPEC.attributes)
    store.close()
    assert found is not None
    assert len(found.events) == kept == 20


def test_it_ends_when_it_is_told_to(out: Path) -> None:
    with started(out) as (process, address):
        assert requests.get(f"{address}/readyz", timeout=60).json()["model_id"] == scorer().model_id
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
