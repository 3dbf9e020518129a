"""A search tries what it was given first, stays within bounds, and ends alike however often it was stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from features.schema.errors import ParamsError
from models.learners.gradient_boosting import TrainParams
from models.training.hyperparameter_search import SearchedSettings, SearchParams, search
from pipelines.config.params import load
from pipelines.stages.train import _drop_torn_line, _searched, _study
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.tables import PARAMS

START = PARAMS.train.boosting
TRIALS = 14  # more than the first ten, which the sampler draws at random
BOUNDS = PARAMS.search.model_copy(update={"trials": TRIALS})
optuna.logging.set_verbosity(optuna.logging.WARNING)


def bowl(train: TrainParams) -> float:
    """Least at 8 leaves and half of the features."""
    return math.log(train.num_leaves / 8) ** 2 + (train.feature_fraction - 0.5) ** 2


def run(study: optuna.Study, params: SearchParams = BOUNDS, loss: Callable[[TrainParams], float] = bowl) -> TrainParams:
    return search(loss, START, params, study, 11, lambda line: None)


def summary(trials: list[FrozenTrial]) -> list[tuple[object, ...]]:
    return [(trial.number, trial.value, tuple(sorted(trial.params.items()))) for trial in trials]


def undisturbed() -> tuple[TrainParams, list[tuple[object, ...]]]:
    study = optuna.create_study()
    return run(study), summary(study.trials)


def killed_after(evaluations: int) -> Callable[[TrainParams], float]:
    """A loss that can be evaluated N times; the next evaluation is interrupted."""
    left = [evaluations]

    def loss(train: TrainParams) -> float:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return bowl(train)

    return loss


@settings(max_examples=8)
@given(st.lists(st.integers(0, TRIALS), min_size=1, max_size=3))
def test_a_search_that_is_stopped_and_resumed_ends_like_an_undisturbed_one(stops: list[int]) -> None:
    study = optuna.create_study()
    for evaluations in stops:
        try:
            run(study, loss=killed_after(evaluations))
        except KeyboardInterrupt:
            assert all(trial.state.is_finished() for trial in study.trials)
    assert (run(study), summary(study.trials)) == undisturbed()


@pytest.mark.parametrize("evaluations", [0, 3, TRIALS - 1])
def test_a_search_in_a_file_goes_on_in_another_process(evaluations: int, tmp_path: Path) -> None:
    def opened() -> optuna.Study:
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "search.journal")))
        return optuna.create_study(storage=storage, study_name="one", load_if_exists=True)

    with pytest.raises(KeyboardInterrupt):
        run(opened(), loss=killed_after(evaluations))
    assert len(opened().trials) == evaluations
    assert (run(opened()), summary(opened().trials)) == undisturbed()
    assert run(opened(), loss=killed_after(0)) == undisturbed()[0]  # a finished search asks nothing more


def test_a_search_of_another_program_is_not_gone_on_with(tmp_path: Path) -> None:
    context = RunContext(PARAMS, Layout.folder(tmp_path))
    study = _study(context, "data", {"leadscore": "1"})
    study.add_trial(optuna.trial.create_trial(value=0.1))
    assert len(_study(context, "data", {"leadscore": "1"}).trials) == 1
    assert not _study(context, "data", {"leadscore": "2"}).trials  # its losses may differ in the last digit


def test_what_was_given_is_tried_first_and_the_best_is_kept() -> None:
    tried: list[TrainParams] = []

    def loss(train: TrainParams) -> float:
        tried.append(train)
        return bowl(train)

    result = run(optuna.create_study(), loss=loss)
    assert tried[0] == START
    assert len(tried) == TRIALS == len({train.model_dump_json() for train in tried})
    assert result == min(tried, key=bowl) != START
    for train in tried:
        for name, value in train.model_dump().items():
            low, high = BOUNDS.bounds.get(name, (value, value))
            assert low <= value <= high
            if name not in BOUNDS.bounds:
                assert value == getattr(START, name)
        assert TrainParams.model_validate(train.model_dump()) == train
        assert isinstance(train.num_leaves, int)


def test_what_has_done_well_elsewhere_is_tried_next_where_the_bounds_hold_it() -> None:
    low = {name: value[0] for name, value in BOUNDS.bounds.items()}
    inside = SearchedSettings.model_validate(low)
    outside = inside.model_copy(update={"lambda_l2": 2 * BOUNDS.lambda_l2[1]})
    tried: list[TrainParams] = []

    def loss(train: TrainParams) -> float:
        tried.append(train)
        return bowl(train)

    params = BOUNDS.model_copy(update={"first": [outside, inside]})
    search(loss, START, params, optuna.create_study(), 1, lambda _: None)
    assert tried[:2] == [START, START.model_copy(update=low)]
    assert len({train.model_dump_json() for train in tried}) == params.trials


@pytest.mark.parametrize(("order", "tried"), [("dates", []), ("rows", []), ("none", BOUNDS.first)])
def test_larger_trees_are_tried_first_where_no_time_passes(order: str, tried: list[SearchedSettings]) -> None:
    params = PARAMS.model_copy(update={"source": PARAMS.source.model_copy(update={"order": order})})
    assert BOUNDS.first and _searched(params).first == tried


def test_nothing_better_leaves_what_was_given() -> None:
    result = run(optuna.create_study(), loss=lambda train: float(train != START))
    assert result == START


def test_without_trials_nothing_is_evaluated() -> None:
    study = optuna.create_study()
    assert run(study, BOUNDS.model_copy(update={"trials": 0}), loss=killed_after(0)) == START
    assert study.trials == []


def test_another_seed_tries_other_settings() -> None:
    result = []
    for seed in (1, 2):
        study = optuna.create_study()
        search(bowl, START, BOUNDS.model_copy(update={"trials": 3}), study, seed, lambda line: None)
        result.append([trial.params for trial in study.trials])
    assert result[0][0] == result[1][0]
    assert result[0][1] == result[1][1]  # what has done well elsewhere
    assert result[0][2] != result[1][2]


def test_progress_is_reported_trial_by_trial() -> None:
    lines: list[str] = []
    search(bowl, START, BOUNDS.model_copy(update={"trials": 3}), optuna.create_study(), 1, lines.append)
    assert [line.split(": log-loss ")[0] for line in lines] == [f"trial {number}/3" for number in (1, 2, 3)]
    assert f"log-loss {bowl(START):.6f}, best {bowl(START):.6f}" in lines[0]


@pytest.mark.parametrize(
    "bounds", ["num_leaves: [1, 31]", "max_depth: [0, 6]", "feature_fraction: [0.1, 1.5]", "lambda_l2: [0, 100]"]
)
def test_bounds_with_which_nothing_trains_are_refused_by_name(bounds: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"search: {{{bounds}}}", encoding="utf-8")
    with pytest.raises(ParamsError, match=rf"search\.{bounds.split(':')[0]}\.[01]: Input should be"):
        load(tmp_path / "mine.yaml")


def test_bounds_that_do_not_hold_the_start_are_refused_by_both_names(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    for text, expected in (
        ("search: {num_leaves: [20, 31]}", "train.num_leaves is 15, outside of search.num_leaves [20, 31]"),
        ("train: {lambda_l2: 0.01}", r"train.lambda_l2 is 0.01, outside of search.lambda_l2 [0.1, 100.0]"),
    ):
        overlay.write_text(text, encoding="utf-8")
        with pytest.raises(ParamsError) as caught:
            load(overlay)
        assert expected in str(caught.value)
        assert "widen the bounds" in str(caught.value)
    overlay.write_text("search: {trials: 0, num_leaves: [20, 31]}", encoding="utf-8")
    assert load(overlay).search.trials == 0  # nothing is searched, so no bound matters


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_journal_that_ends_within_a_line_is_read_to_its_last_complete_line(tmp_path: Path, kept: float) -> None:
    journal = tmp_path / "search.journal"
    whole = b'{"op_code": 0}\n{"op_code": 4}\n{"op_code": 5}\n'
    journal.write_bytes(whole[: int(len(whole) * kept)])
    _drop_torn_line(journal)
    left = journal.read_bytes()
    assert whole.startswith(left) and (left == b"" or left.endswith(b"\n"))
    assert len(whole[: int(len(whole) * kept)]) - len(left) < len(b'{"op_code": 0}\n')
    _drop_torn_line(journal)
    assert journal.read_bytes() == left
