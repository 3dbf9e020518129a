"""dvc.yaml is true: deps cover what a stage imports, and its file of resolved parameters what it reads."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

from models.kpis.tier_kpis import KpiParams
from pipelines.config.params import Params, load
from pipelines.stages.resolve_params import READS, resolve_params
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.paths import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
SECTIONS = set(Params.model_fields)
CONFIG = ("pipelines", "config")
RUN_CONFIG = {"pipelines/config/secrets.py"}  # code that stages run; the rest declares values


@cache
def closure(module: str) -> frozenset[str]:
    """All files of the project that a module imports, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        path = Path(waiting.pop().replace(".", "/") + ".py")
        if str(path) in found or not (ROOT / path).is_file():
            continue
        found.add(str(path))
        if path.parts[:2] != CONFIG:  # a stage reads values, by its file of resolved parameters; it runs none of this
            waiting += _imports(ROOT / path)
    return frozenset(found)


def _imports(path: Path) -> list[str]:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    nodes = [node for node in tree if isinstance(node, ast.ImportFrom | ast.Import)]
    froms = [
        name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for name in [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ]
    return froms + [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]


def sections_read(tree: ast.AST) -> set[str]:
    """Sections of params.yaml that code reads, as `params.section` or `run.params.section`."""
    accesses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    read = {node.attr for node in accesses if ast.unparse(node.value).split(".")[-1] == "params"}
    return read & SECTIONS


def command_sections(stage: str) -> set[str]:
    """Sections that the stage's command passes on by name in the command line."""
    tree = ast.parse((ROOT / "pipelines/cli/stages.py").read_text(encoding="utf-8"))
    return sections_read(next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == stage))


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_the_imports(stage: str) -> None:
    deps = STAGES[stage]["deps"]
    missing = [
        file
        for file in closure(f"pipelines.stages.{stage}")
        if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)
        and (Path(file).parts[:2] != CONFIG or file in RUN_CONFIG)
    ]
    assert not missing, f"stage {stage} imports {missing}, which dvc.yaml does not list"


@pytest.mark.parametrize("stage", STAGES)
def test_no_dep_on_a_module_that_is_not_imported(stage: str) -> None:
    used = closure(f"pipelines.stages.{stage}")
    listed = [dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")]
    served = {f"pipelines/serving/{name}.py" for name in ("bodies", "facts", "pyfunc_model")}  # MLflow runs these
    served = served if stage == "track" else set()
    assert set(listed) - used - served == set()


@pytest.mark.parametrize("stage", STAGES)
def test_params_cover_the_sections_read(stage: str) -> None:
    files = [file for file in closure(f"pipelines.stages.{stage}") if file.startswith("pipelines/")]
    trees = [ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in files if file.split("/")[1] != "config"]
    read = set().union(*map(sections_read, trees)) | command_sections(stage)
    assert read <= set(READS.get(stage, ())), f"stage {stage} reads {read - set(READS[stage])}"


@pytest.mark.parametrize("stage", READS)
def test_a_stage_depends_on_its_own_parameters(stage: str) -> None:
    files = [dep for dep in STAGES[stage]["deps"] if dep.startswith("artifacts/params")]
    assert files == [f"artifacts/params/{stage}.json"]
    assert "params" not in STAGES[stage]


def test_only_a_value_that_a_stage_reads_changes_its_parameters(tmp_path: Path) -> None:
    plain, layout = load(), Layout.folder(tmp_path)
    resolve_params(RunContext(plain, layout))
    before = {path.stem: path.read_bytes() for path in layout.resolved.iterdir()}
    assert set(before) == set(READS) == set(STAGES) - {"resolve_params"}
    resolve_params(RunContext(plain.model_copy(update={"kpis": KpiParams(tolerance=0.2)}), layout))
    changed = {path.stem for path in layout.resolved.iterdir() if path.read_bytes() != before[path.stem]}
    assert changed == {"evaluate", "kpis"}, "both judge whether predictions are too high"


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_says_what_it_does_and_has_a_command(stage: str) -> None:
    assert len(STAGES[stage]["desc"]) > 80
    assert STAGES[stage]["cmd"] == f".venv/bin/leadscore stage {stage.replace('_', '-')}"


def test_outs_are_where_the_layout_says() -> None:
    layout = Layout.workspace(Path())
    outs = {str(out if isinstance(out, str) else next(iter(out))) for out in _outs()}
    files = [
        layout.leads, layout.matrix, layout.catalogue, layout.predictions, layout.metrics, layout.headline,
        layout.explanation, layout.scores, layout.scores_csv, layout.score_summary, layout.report, layout.oracle,
        layout.audit, layout.kpis,
    ]  # fmt: skip
    for file in files:
        assert any(str(file.path) == out or str(file.path).startswith(f"{out}/") for out in outs), file


def _outs() -> list[object]:
    return [out for stage in STAGES.values() for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]


def test_policy_is_read_by_no_stage_that_makes_features_labels_or_the_model() -> None:
    """So that another capacity, ladder, owner, override or rank trains nothing; exploration is off unless asked for."""
    policy = {"capacity", "tiers", "lists", "nurture", "money", "delivery", "report"}
    makes = ("simulate", "ingest", "build_features", "audit", "train", "backtest")
    assert {stage: policy & set(READS[stage]) for stage in makes} == {stage: set() for stage in makes}
