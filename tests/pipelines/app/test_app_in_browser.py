"""`leadscore app` in a real browser: the list is shown, a lead is chosen and explained, nothing leaves the machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, Browser, browser
from tests.support.paths import ROOT
from tests.support.services import needs
from tests.support.tiny import tiny_copy, tiny_params

pytestmark = [
    pytest.mark.xdist_group("tiny"),
    needs(CHROMIUM.exists(), f"no browser at {CHROMIUM}"),
    needs(importlib.util.find_spec("marimo") is not None, "no marimo; `pip install 'leadscore[app]'` brings it"),
]
DEEP = """(() => { const found = []; const walk = (root) => { for (const one of root.querySelectorAll("*")) {
  found.push(one); if (one.shadowRoot) walk(one.shadowRoot); } }; walk(document); return found; })()"""
PATIENCE_S = 60


def wait(chromium: Browser, script: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not chromium.run(script):
        assert time.monotonic() < end, (script, chromium.faults)
        time.sleep(0.2)


def test_a_lead_is_chosen_and_explained(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tiny_copy(tmp_path_factory, tmp_path / "out").reports
    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()", "app", "--port", "0"]
    tiny_params(tmp_path)
    command += ["--params", str(tmp_path / "tiny.yaml"), "--out", str(out)]
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with started as server, browser(tmp_path) as chromium:
        try:
            assert server.stderr is not None
            (address,) = re.findall(r"http://\S+", server.stderr.readline())
            chromium.call("Page.navigate", url=address)
            wait(chromium, f"{DEEP}.some((one) => one.matches('td [role=checkbox]'))")
            chromium.run(f"{DEEP}.find((one) => one.matches('td [role=checkbox]')).click()")
            chromium.run(f"{DEEP}.filter((one) => one.matches('[role=tab]'))[1].focus()")
            chromium.press("Enter", 13, "\r")
            wait(chromium, f"{DEEP}.some((one) => one.tagName === 'IFRAME')")
            assert {re.split("[/:]", url)[3] for url in chromium.requests if url.startswith("http")} == {"127.0.0.1"}
        finally:
            server.kill()
