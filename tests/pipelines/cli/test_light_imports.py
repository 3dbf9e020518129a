"""What commands import: who needs a library that takes seconds imports it; counted in modules and not in time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.support.paths import ROOT
from tests.support.tiny import tiny_copy

SLOW = ["ibis", "lightgbm", "mlflow", "optuna", "pandera", "scipy.stats", "shap", "sklearn", "sqlalchemy"]
COMMANDS = [["report", "--summary"], ["model", "scorecard"], ["lead", "explain"], ["tiers"]]
IMPORTED = f"""
import json, sys
from pipelines.cli.app import app
seen = {{}}
for args in {COMMANDS}:
    given = sys.argv[2:] if "explain" in args else []
    app([*args, *given, "--out", sys.argv[1]], standalone_mode=False)
    seen[args[-1]] = [name for name in {SLOW} if name in sys.modules]
print(json.dumps(seen))
"""


def test_what_only_reads_imports_no_library_that_takes_seconds(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layout = tiny_copy(tmp_path_factory, tmp_path / "out")
    lead = str(pd.read_parquet(layout.scores.path, columns=["lead_id"])["lead_id"].iloc[0])
    command = [sys.executable, "-c", IMPORTED, str(layout.reports), lead]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["--summary"] == seen["scorecard"] == []
    assert set(seen["explain"]) <= {"ibis", "lightgbm", "sqlalchemy"}  # events and trees, but no scikit-learn
    assert set(seen["tiers"]) <= {"ibis", "lightgbm", "scipy.stats", "sqlalchemy"}
