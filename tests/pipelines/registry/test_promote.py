"""Promote and roll back on a small run and MLflow's sqlite, and after a kill at every call of the registry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from features.schema.errors import BusyError, ModelError, RefusedError
from models.learners.calibration import Sigmoid
from pipelines.config.params import Params
from pipelines.registry.promote import promote, roll_back
from pipelines.registry.registry import CHAMPION, PREVIOUS, REFERENCE, Registry, download_bundle
from pipelines.storage.bundle import load_bundle, load_tested, save_bundle
from pipelines.storage.layout import Layout
from pipelines.storage.lock import hold
from pipelines.storage.run_context import RunContext
from tests.support.paths import ROOT
from tests.support.tiny import empty_store, tiny_copy, tiny_params

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
AT = pd.Timestamp("2026-07-01 03:00")
LENIENT = """
promotion: {tolerance: 0.5, min_positive: 10, calibration_tolerance: 3.0, tier_changes: 1.0, segment_tolerance: 1.0,
            accepted: [LK01, LK02, LK03, LK04, LK05, LK06, LK07, LK10]}
"""


MINUTES = count(1)


class KilledError(RuntimeError):
    """The process ends here."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    """A small run, and the parameters of its registry with the first champion promoted."""
    folder = tmp_path_factory.mktemp("promoted")
    tracking = f"\ntrack: {{uri: 'sqlite:///{folder}/mlflow.db', artifacts: '{folder}/files'}}\n"
    params = tiny_params(folder, LENIENT + tracking)
    layout = tiny_copy(tmp_path_factory, folder / "out")
    empty_store(tmp_path_factory, folder / "mlflow.db")
    with pytest.raises(ModelError, match="previous"):
        roll_back(params, AT)
    lines = promote(RunContext(params, layout), layout.bundle, AT)
    assert "promoted" in lines[-1]
    return params, layout


def later() -> pd.Timestamp:
    """The next minute: no two decisions are made at one moment."""
    return AT + next(MINUTES) * pd.Timedelta(minutes=1)


def variant(layout: Layout, folder: Path, **changed: object) -> Path:
    """A challenger whose metadata, and those of the model that it was tested as, are changed alike."""
    scorer, tested = (load_bundle(one, 1) for one in (layout.bundle, layout.tested_model))
    sibling = replace(tested, metadata=tested.metadata.model_copy(update=changed))
    metadata = scorer.metadata.model_copy(update=changed | {"tested_as": sibling.model_id})
    save_bundle(sibling, folder / "tested_model")
    save_bundle(replace(scorer, metadata=metadata), folder / "model")
    return folder / "model"


def with_the_same_scores(layout: Layout, folder: Path) -> Path:
    """A challenger with the same probabilities."""
    before = load_bundle(layout.tested_model, 1).metadata.uncorrected
    return variant(layout, folder, uncorrected=before.model_copy(update={"intercept": before.intercept + 1}))


def moved(layout: Layout, folder: Path, shift: float) -> Path:
    """A challenger whose level is moved on every list."""
    metadata = load_bundle(layout.tested_model, 1).metadata
    sigmoid = Sigmoid(intercept=metadata.sigmoid.intercept + shift, slope=metadata.sigmoid.slope)
    return variant(layout, folder, sigmoid=sigmoid, recalibration_half_life=None)


def champion(params: Params, work: Path) -> str:
    """The id of the model that the alias points to, which must load."""
    return load_bundle(download_bundle(f"models:/{params.project.name}@champion", params, work / "got"), 1).model_id


def test_the_first_champion_is_the_bundle_and_is_not_promoted_twice(
    trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = trained
    own = load_bundle(layout.bundle, 1).model_id
    assert champion(params, tmp_path) == own
    before = Registry.open(params).decisions()
    assert "already" in promote(RunContext(params, layout), layout.bundle, later())[-1]
    assert Registry.open(params).decisions() == before
    first = before[0]
    assert (first["answer"], first["model_id"], first["at"]) == ("promoted", own, AT.isoformat())
    test = json.loads(layout.metrics.path.read_text())["test"]
    assert (first["rows"]["n"], first["rows"]["n_leads"]) == (test["n"], test["n_leads"])


@pytest.mark.parametrize("fault", ["bytes", "another file", "tested", "level"])
def test_a_refusal_names_its_reason_is_recorded_and_changes_no_alias(
    fault: str, trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = trained
    registry = Registry.open(params)
    bundle = moved(layout, tmp_path, 4.0 if fault == "level" else 0.01)
    if fault == "bytes":
        (bundle / "linear.json").write_text("{}")
    elif fault == "tested":
        (bundle.parent / "tested_model" / "linear.json").write_text("{}")
    elif fault == "another file":
        (bundle / "model.pkl").write_bytes(b"\x80")
    before, n = registry.aliases(), len(registry.decisions())
    reason = {"bytes": "linear.json", "another file": "model.pkl", "tested": "tested_model", "level": "PG08"}[fault]
    with pytest.raises(RefusedError, match=reason):
        promote(RunContext(params, layout), bundle, later())
    assert registry.aliases() == before
    assert registry.decisions()[n]["answer"] == "refused"
    assert not registry.unfinished()


@pytest.mark.parametrize(
    ("fault", "limits", "codes"),
    [
        ("worse", {"tolerance": 0.0}, {"PG04", "PG06"}),
        ("leaky", {"accepted": []}, {"PG02"}),
        ("tier-flipping", {"tier_changes": 0.0}, {"PG09"}),
    ],
)
def test_each_fault_is_refused_for_its_own_reason(
    fault: str, limits: dict[str, object], codes: set[str], trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = trained
    here = replace(layout, reports=tmp_path / "reports")
    here.reports.mkdir()
    attribute = "email_domain"
    leak = {
        "code": "LK04",
        "title": "A field is filled late",
        "status": "failed",
        "detail": "",
        "columns": {attribute: ""},
    }
    audited = json.loads(layout.audit.path.read_text()) | {"checks": [leak] if fault == "leaky" else []}
    here.audit.path.write_text(json.dumps(audited))
    strict = params.model_copy(update={"promotion": params.promotion.model_copy(update=limits)})
    changes: dict[str, dict[str, object]] = {
        "worse": {"sigmoid": Sigmoid(intercept=-3.0, slope=0.05)},
        "leaky": {"base_rate": 0.1},
        "tier-flipping": {"linear_share": 0.6},  # a log-loss no worse
    }
    bundle = variant(layout, tmp_path, **changes[fault])
    before = Registry.open(params).aliases()
    with pytest.raises(RefusedError) as refused:
        promote(RunContext(strict, here), bundle, later())
    codes_named = set(re.findall(r"PG\d\d", str(refused.value)))
    assert codes_named <= codes and sorted(codes)[0] in codes_named
    assert (attribute in str(refused.value)) == (fault == "leaky")
    assert Registry.open(params).aliases() == before


def test_a_better_challenger_takes_the_place_of_a_worse_champion(
    trained: tuple[Params, Layout], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    params, layout = trained
    empty_store(tmp_path_factory, tmp_path / "own.db")
    tracking = params.track.model_copy(
        update={"uri": f"sqlite:///{tmp_path}/own.db", "artifacts": str(tmp_path / "own")}
    )
    other = params.model_copy(update={"track": tracking})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    promote(RunContext(other, layout), moved(layout, tmp_path, 1.0), later())
    strict = other.model_copy(update={"promotion": params.promotion.model_copy(update={"tolerance": 0.1})})
    assert "promoted" in promote(RunContext(strict, layout), layout.bundle, later())[-1]
    aliases = Registry.open(other).aliases()
    assert aliases[CHAMPION] == aliases[REFERENCE] != aliases[PREVIOUS], "surely better: the new reference champion"
    Registry.open(params)


def test_a_second_decision_at_the_same_time_ends_at_once(trained: tuple[Params, Layout]) -> None:
    params, layout = trained
    before = Registry.open(params).aliases()
    with hold(Path(params.track.artifacts)):
        for decide in (
            lambda: promote(RunContext(params, layout), layout.bundle, later()),
            lambda: roll_back(params, later()),
        ):
            with pytest.raises(BusyError, match="process"):
                decide()
    assert Registry.open(params).aliases() == before


def test_rows_that_the_champion_learned_from_judge_nobody(trained: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = trained
    late = variant(layout, tmp_path, trained_until="2027-01-01")
    with pytest.raises(RefusedError, match=r"PG03.*0 matured rows"):
        promote(RunContext(params, layout), late, later())


def test_what_scores_knows_all_outcomes_and_its_figures_are_those_of_its_tested_model(
    trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    """The gate judges tested models, on rows that what scores has learned from; one without them is refused."""
    _, layout = trained
    scorer, tested = (load_bundle(one, 1) for one in (layout.bundle, layout.tested_model))
    rows = pd.read_parquet(layout.matrix.path, columns=["part", "known_at", "weight"])
    known = rows[rows["weight"] > 0].groupby(rows["part"] == "train")["known_at"].max()
    assert pd.Timestamp(scorer.metadata.trained_until or "") == known.max() > known[True]
    assert pd.Timestamp(tested.metadata.trained_until or "") == known[True]
    assert scorer.tested_id == tested.model_id == tested.tested_id != scorer.model_id
    assert json.loads(layout.metrics.path.read_text())["model_id"] == tested.model_id
    alone = shutil.copytree(layout.bundle, tmp_path / "alone" / "model")
    with pytest.raises(ModelError, match=r"no complete model in .*tested_model"):
        load_tested(alone, scorer)


def test_killed_at_any_call_the_alias_holds_a_whole_model_and_a_rerun_completes(
    trained: tuple[Params, Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, layout = trained
    registry = Registry.open(params)
    old = champion(params, tmp_path)
    bundle = with_the_same_scores(layout, tmp_path)
    new = load_bundle(bundle, 1).model_id

    def killed(after: int, command: str) -> None:
        """Run a command that dies after `after` calls of the registry."""
        calls = 0
        with monkeypatch.context() as patch:
            for name in ("record", "set_alias", "finish"):
                real = getattr(Registry, name)

                def call(*args: object, real: object = real) -> object:
                    nonlocal calls
                    if calls == after:
                        raise KilledError
                    calls += 1
                    return real(*args)  # type: ignore[operator]  # a method

                patch.setattr(Registry, name, call)
            with pytest.raises(KilledError):
                _run(command)

    def _run(command: str) -> None:
        promote(RunContext(params, layout), bundle, later()) if command == "promote" else roll_back(params, later())

    for after in range(4):  # record, previous, champion, finish: the same reference champion stays
        killed(after, "promote")
        assert champion(params, tmp_path) == (new if after > 2 else old)
        _run("promote")
        assert champion(params, tmp_path) == new
        assert not registry.unfinished()
        killed(after, "rollback")
        assert champion(params, tmp_path) == (old if after > 1 else new)
        _run("rollback")
        assert champion(params, tmp_path) == old
        aliases = registry.aliases()
        assert aliases[PREVIOUS] != aliases[CHAMPION]
        assert aliases[REFERENCE] == aliases[CHAMPION]
        assert not registry.unfinished()
    assert len({one.version for one in mlflow.MlflowClient().search_model_versions()}) == 2, "registered once each"
    shutil.rmtree(tmp_path / "got")


def test_sigkill_of_rollback_leaves_one_whole_champion_and_a_rerun_completes(
    trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    """As benchmarks.kill_promotion does with promote too, a hundred times."""
    params, layout = trained
    live = Path(params.track.artifacts).parent
    promote(RunContext(params, layout), with_the_same_scores(layout, tmp_path), later())
    shutil.copytree(live, tmp_path / "base", ignore=shutil.ignore_patterns("out", "got"))
    program = f"""
import sys
from pathlib import Path
from benchmarks.kill_promotion import Sandbox, kill
from pipelines.config.params import load
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

class Small(Sandbox):
    def reset(self):
        import shutil
        for name in ("mlflow.db", "files"):
            old = self.live / name
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
            copy = shutil.copytree if (self.base / name).is_dir() else shutil.copy
            copy(self.base / name, old)

here = RunContext(load(Path("{live}/tiny.yaml")), Layout.folder(Path("{layout.reports}")))
stage = Small(here, Path("{live}"), Path("{tmp_path}/base"), [])
sys.exit(bool(kill(stage, ("rollback",), 3, 1, Path("{tmp_path}/note"))["faults"]))
"""
    root = ROOT
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"3 runs: killed [1-3]", result.stdout), result.stdout
