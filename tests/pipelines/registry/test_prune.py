"""Files of MLflow that nothing points to: which go, which stay, and that a retraining says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipelines.config.params import Params
from pipelines.config.sections import Track
from pipelines.registry.prune import BY_RETRAIN, prune
from pipelines.registry.registry import Registry, open_experiment
from tests.support.tables import PARAMS
from tests.support.tiny import empty_store

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
AT = pd.Timestamp("2026-01-05")


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    empty_store(tmp_path_factory, tmp_path / "mlflow.db")
    track = Track(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "files"))
    (tmp_path / "files").mkdir()
    return PARAMS.model_copy(update={"track": track})


def add_version(
    registry: Registry, name: str, made_by: str = BY_RETRAIN, *, ended: bool = True, bundle: Path | None = None
) -> str:
    """A run with a report and a registered model, of empty files or of a bundle's, as `track` leaves them."""
    client = registry.client
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    run = client.create_run(experiment.experiment_id, tags={"made_by": made_by})
    client.log_text(run.info.run_id, "x" * 1000, "report.html")
    model = client.create_logged_model(experiment.experiment_id, name="model", source_run_id=run.info.run_id)
    folder = Path(model.artifact_location.removeprefix("file://"))
    for part in ("MLmodel", "code/a.py", "artifacts/model/card.json", "artifacts/tested_model/card.json"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text("y" * 1000)
    if bundle is not None:
        shutil.copytree(bundle, folder / "artifacts" / "model", dirs_exist_ok=True)
    if not client.search_registered_models(f"name = '{registry.name}'"):
        client.create_registered_model(registry.name)
    version = client.create_model_version(
        registry.name, model.artifact_location, run.info.run_id, model_id=model.model_id
    )
    if ended:
        client.set_terminated(run.info.run_id)
    return str(version.version)


def there(params: Params) -> list[str]:
    """The files, without the names that MLflow makes up."""
    root = Path(params.track.artifacts)
    paths = (path.relative_to(root).parts for path in root.rglob("*") if path.is_file())
    return sorted("/".join(parts[2:]) for parts in paths if len(parts) > 2)


def test_what_no_alias_points_to_goes_and_former_champions_keep_their_model(store: Params) -> None:
    registry = Registry.open(store)
    open_experiment(store)
    former, _, champion, by_hand = (
        add_version(registry, store.project.name, who) for who in (BY_RETRAIN, BY_RETRAIN, BY_RETRAIN, "")
    )
    for version in (former, champion):
        decision = {"action": "promote", "answer": "promoted", "version": version}
        registry.finish(registry.record(decision, [], AT), AT)
    registry.set_alias("champion", champion)
    everything = there(store)
    assert prune(store, every=False, dry_run=True) == [
        "would prune 1 versions and 0.0 MB of files that no alias points to"
    ]
    assert there(store) == everything
    prune(store, every=False)
    whole = ["artifacts/MLmodel", "artifacts/artifacts/model/card.json", "artifacts/artifacts/tested_model/card.json"]
    whole += ["artifacts/code/a.py", "report.html"]
    of_former = ["artifacts/MLmodel", "artifacts/artifacts/model/card.json"]
    assert there(store) == sorted([*whole, *whole, *of_former])
    versions = registry.client.search_model_versions(f"name = '{registry.name}'")
    assert {str(one.version) for one in versions} == {former, champion, by_hand}
    prune(store, every=True)
    assert there(store) == sorted([*whole, *of_former])
    assert prune(store, every=True) == []


def test_nothing_is_pruned_while_a_decision_is_unfinished(store: Params) -> None:
    registry = Registry.open(store)
    open_experiment(store)
    add_version(registry, store.project.name)
    registry.record({"action": "promote", "answer": "promoted"}, [("champion", "1")], AT)
    assert "a decision is unfinished" in prune(store, every=True)[0]
    assert len(there(store)) == 5


def test_a_run_that_is_being_logged_and_a_champion_by_hand_stay(store: Params) -> None:
    registry = Registry.open(store)
    open_experiment(store)
    by_hand, refused = (add_version(registry, store.project.name) for _ in range(2))
    add_version(registry, store.project.name, ended=False)
    decision = {"action": "promote", "answer": "refused", "version": refused, "champion": {"version": by_hand}}
    registry.finish(registry.record(decision, [], AT), AT)
    prune(store, every=True)
    versions = registry.client.search_model_versions(f"name = '{registry.name}'")
    assert {str(one.version) for one in versions} == {by_hand, "3"}
    assert there(store).count("report.html") == 1 and there(store).count("artifacts/artifacts/model/card.json") == 2
