"""The report in a headless browser, driven by a script that clicks and types."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from pipelines.artifacts import Layout

CHROMIUM = Path("/usr/bin/chromium")


def drive(layout: Layout, folder: Path) -> dict[str, Any]:
    """Open the page with a script that clicks and types, under the page's own policy, and return what it saw."""
    driver = """
      const found = {errors: [], aria: [], status: []};
      addEventListener("error", (event) => found.errors.push(event.message));
      addEventListener("securitypolicyviolation", (event) => found.errors.push(event.violatedDirective));
      addEventListener("load", () => setTimeout(() => {
        const table = document.getElementById("top-leads");
        const rows = () => Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
        const values = () => rows().map((row) => row.cells[6].dataset.value);
        const header = table.tHead.rows[0].cells[6];
        const status = document.querySelector("[data-filter=top-leads] [role=status]");
        found.status.push(status.textContent);
        for (const order of ["descending", "ascending"]) {
          header.querySelector("button").click();
          found[order] = values();
          found.aria.push(header.getAttribute("aria-sort"));
        }
        const search = document.querySelector("[data-filter=top-leads] input");
        search.value = rows()[2].cells[0].textContent.toUpperCase();
        search.dispatchEvent(new Event("input"));
        found.searched = rows().map((row) => row.cells[0].textContent);
        found.status.push(status.textContent);
        dispatchEvent(new Event("beforeprint"));
        const places = Array.from(document.querySelectorAll("[data-chart]")).filter((place) => place.checkVisibility());
        found.charts = places.length;
        found.drawn = places.filter((place) => place.querySelector("svg.main-svg path, svg.main-svg text")).length;
        found.title = document.title;
        document.body.dataset.found = btoa(JSON.stringify(found));
      }, 500));
    """
    known = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    source = layout.report.path.read_text(encoding="utf-8")
    source = source.replace("script-src ", f"script-src 'sha256-{known}' ", 1)
    source = source.replace("<title>", f"<script>{driver}</script><title>", 1)
    driven = folder / "driven.html"
    driven.write_text(source, encoding="utf-8", newline="\n")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", driven.as_uri()]
    dom = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout
    match = re.search(r'data-found="([^"]+)"', dom)
    assert match, "the script did not reach its end"
    found: dict[str, Any] = json.loads(base64.b64decode(match[1]))
    return found
