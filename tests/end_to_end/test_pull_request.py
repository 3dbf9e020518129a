"""The workflow that comments a pull request: its plots exist, and no code of other repositories runs."""

from __future__ import annotations

import json
import re

import yaml

from tests.support.paths import ROOT

WORKFLOW = (ROOT / "docs" / "operations" / "github" / "retrain.yml").read_text(encoding="utf-8")
JOB = yaml.safe_load(WORKFLOW)["jobs"]["report"]
PLOTS = {name: plot for one in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] for name, plot in one.items()}


def test_its_pictures_are_plots_of_the_pipeline() -> None:
    named = re.findall(r"for plot in (.+); do", WORKFLOW)[0]
    assert set(re.findall(r'"([^"]+)"', named)) == {"Calibration", "Lift of the best leads"} <= PLOTS.keys()


def test_curves_of_several_models_are_told_apart_and_never_averaged() -> None:
    for name in ("Gain of the best leads", "Lift of the best leads"):
        template = json.loads((ROOT / PLOTS[name]["template"]).read_text(encoding="utf-8"))
        assert template["encoding"]["color"]["field"] == "who"
        assert template["mark"] == {"type": "line"} and "transform" not in template


def test_a_branch_of_another_repository_gets_no_secrets() -> None:
    assert JOB["if"].startswith("github.event.pull_request.head.repo.full_name == github.repository")
    assert "pull_request_target" not in WORKFLOW
