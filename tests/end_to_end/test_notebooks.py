"""Notebooks run from the artifacts of a run, with dates or without, and are kept without outputs."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.pipelines.stages.test_report import undated_run
from tests.support.paths import ROOT
from tests.support.services import require
from tests.support.tiny import tiny_copy

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.filterwarnings("ignore")  # of shap and matplotlib


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_copy(tmp_path_factory, tmp_path_factory.mktemp("notebooks") / "out").reports


@pytest.fixture(scope="module")
def undated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undated_run(tmp_path_factory.mktemp("undated_notebooks"))[1].reports


def code_of(notebook: Path) -> list[Any]:
    return [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("which", ["dated", "undated"])
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(
    notebook: Path, which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: a kernel for each would import the program eight times."""
    cells = code_of(notebook)
    drawing = any("shap.plots" in cell.source for cell in cells)
    if drawing:
        require(find_spec("matplotlib") is not None, "no matplotlib, which shap's plots need")
    monkeypatch.setenv("LEADSCORE_OUT", str(request.getfixturevalue(which)))
    monkeypatch.setenv("MPLBACKEND", "agg")
    shell = InteractiveShell()
    shell = InteractiveShell()
    for cell in cells:
        ran = shell.run_cell(cell.source)
        if drawing:
            import_module("matplotlib.pyplot").close("all")  # as a kernel does, which shows each cell's figures
        ran.raise_error()
        if hasattr(ran.result, "_repr_html_"):
            assert ran.result._repr_html_()
    if "strongest" in shell.user_ns:  # it was once the first by the alphabet
        points = abs(shell.user_ns["explanation"].values).mean(axis=0)
        assert points[shell.user_ns["strongest"]] >= 0.8 * max(
            points[index] for index in shell.user_ns["numbers"].values()
        )


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs_and_defines_nothing(notebook: Path) -> None:
    cells = code_of(notebook)
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
    assert not [cell for cell in cells if "def " in cell.source or "class " in cell.source]
