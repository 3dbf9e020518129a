"""What the benchmarks rely on: metrics equal to scikit-learn's, and months that use nothing of later ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.figures import draws, summary
from benchmarks.published import code_digest, learning_code, marked, pages
from benchmarks.regret_bound import fit, probability, records
from benchmarks.simulated_years import Scenario
from benchmarks.tasks import month_split, split_of
from benchmarks.two_years import keep
from benchmarks.two_years_evaluation import predictor
from models.evaluation.wins_on_no_list import never_at_risk
from pipelines.simulation.export import simulate
from pipelines.simulation.market import COUNTRIES, SOURCES, names
from tests.support.paths import ROOT
from tests.support.tables import PARAMS
from tests.support.tiny import tiny_copy, tiny_params

DAY = pd.Timedelta(days=1)


def tied_predictions(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leads of three rows each, labels, and probabilities of which many are equal."""
    rng = np.random.default_rng(3)
    probability = rng.integers(1, 10, n) / 10
    return np.repeat(np.arange(n // 3), 3), (rng.random(n) < probability).astype("float64"), probability


def test_metrics_equal_scikit_learn_also_on_ties() -> None:
    lead, label, probability = tied_predictions()
    metrics = summary(draws(lead, label, probability), None)
    assert metrics["auc"] == pytest.approx(roc_auc_score(label, probability), abs=1e-5)
    assert metrics["log_loss"] == pytest.approx(log_loss(label, probability), abs=1e-5)


def test_a_worse_method_lies_behind_ours_and_an_equal_one_does_not() -> None:
    lead, label, probability = tied_predictions()
    ours = draws(lead, label, probability)
    worse = summary(draws(lead, label, 1 - probability), ours)
    equal = summary(draws(lead, label, probability), ours)
    for name in ("auc_behind_interval", "log_loss_behind_interval"):
        assert min(worse[name]) > 0  # type: ignore[arg-type]  # an interval is a list
        assert equal[name] == [0, 0]


def test_random_rows_keep_the_rate_and_ordered_rows_keep_the_order() -> None:
    table = pd.DataFrame({"label": (np.arange(1000) % 4 == 0).astype("float64")})
    at_random = split_of(table, in_order=False)
    assert table["label"].groupby(at_random).mean().tolist() == pytest.approx([0.25, 0.25])
    assert (at_random == "test").sum() == 300
    assert (split_of(table, in_order=True) == "test").tolist() == [False] * 700 + [True] * 300


def test_a_month_learns_only_what_was_known_when_it_began() -> None:
    at = pd.Series(pd.date_range("2022-01-03", "2022-09-19", freq="7D", unit="us"))
    matured = pd.DataFrame(
        {"lead_id": at.dt.strftime("%j"), "snapshot_at": at, "known_at": at + 30 * DAY, "label": 0.0}
    )
    rows = month_split(matured, pd.Period("2022-06", "M"), PARAMS)
    test, train = rows[rows["part"] == "test"], rows[rows["part"] != "test"]
    assert test["snapshot_at"].tolist() == list(pd.date_range("2022-06-06", "2022-06-27", freq="7D"))
    assert train["snapshot_at"].max() == pd.Timestamp("2022-05-02")
    assert (train["known_at"] <= test["snapshot_at"].min()).all()


def test_regret_bound_uses_the_leads_of_the_simulator() -> None:
    """A lead drawn again equals that of the tables, and the effect of its attributes moves its true probability."""
    params = PARAMS.model_copy(update={"simulate": PARAMS.simulate.model_copy(update={"leads": 400})})
    history = simulate(params.simulate, params.project.seed, params.snapshots)
    rows = history.oracle.merge(history.leads[["lead_id", "country", "lead_source"]].fillna(""), on="lead_id")
    known = records(rows, params)
    assert names(COUNTRIES, known["country"].to_numpy()).tolist() == rows["country"].tolist()
    assert names(SOURCES, known["source"].to_numpy()).tolist() == rows["lead_source"].tolist()
    assert known["worth"].corr(np.log(rows["probability"])) > 0.5


def test_regret_bound_learner_recovers_the_true_weights() -> None:
    rng = np.random.default_rng(5)
    columns = np.column_stack([np.ones(20_000), rng.random((20_000, 2)) < 0.5]).astype("float64")
    offset, truth = rng.normal(-2, 1, 20_000), np.array([0.3, 1.0, -0.7])
    label = (rng.random(20_000) < probability(offset + columns @ truth)).astype("float64")
    np.testing.assert_allclose(fit(columns, offset, label, np.ones(20_000), 0.1), truth, atol=0.1)
    drawn = (label == 1) | (rng.random(20_000) < 0.5)  # half of the others, each for two
    counts = np.where(label == 1, 1.0, 2.0)
    rows = (one[drawn] for one in (columns, offset, label, counts))
    np.testing.assert_allclose(fit(*rows, 0.1), truth, atol=0.15)


def test_predictions_of_a_scenario_do_not_depend_on_another(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = tiny_copy(tmp_path_factory, tmp_path / "made")
    params = tiny_params(tmp_path)
    scenario = Scenario(tmp_path, tmp_path / "tiny.yaml", params, 0)
    model_id = keep(made.bundle, scenario)
    histories = [replace(scenario, number=number).draw([]) for number in (0, 1)]
    days = sorted(histories[0].oracle["snapshot_at"].unique())[-3:-1]
    predict = predictor(scenario, histories[0], "one")
    before = predict(model_id, days)
    other = predictor(scenario, histories[1], "another")(model_id, days)
    pd.testing.assert_frame_equal(predict(model_id, days), before)
    assert len(before) > 50
    assert other["probability"].mean() != before["probability"].mean()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_says_whether_its_figures_are_of_todays_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert marked(text, ROOT, learning_code()) == text, "run: python -m benchmarks.published"


def test_the_digest_of_code_changes_with_what_it_does_and_not_with_its_words() -> None:
    code = 'def f(x: int) -> int:\n    """Add one."""\n    return x + 1\n\n\ny = Field(default=1, description="One.")\n'
    reworded = code.replace("Add one.", "Add 1.").replace('description="One."', 'description="1."') + "# a comment\n"
    assert code_digest({"a.py": reworded}) == code_digest({"a.py": code})
    for other in (code.replace("x + 1", "x + 2"), code.replace("default=1", "default=2"), code + "z = 1\n"):
        assert code_digest({"a.py": other}) != code_digest({"a.py": code})


def test_figures_of_older_code_are_named_so(tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text('{"code": "abc"}')
    (tmp_path / "old.json").write_text("{}")
    page = "<!-- made by: new.json -->\n\n| 1 |\n<!-- made by: old.json -->\nsomething else\n| 2 |\n"
    new, old = re.findall("(?<=-->\n).*", marked(page, tmp_path, "abc"))
    assert "as it is, `abc`" in new
    assert "made by older code" in old
    assert "made by older code" in marked(page, tmp_path, "abd").splitlines()[1]


def test_a_win_is_scored_at_the_moment_unless_its_lead_had_left_long_before() -> None:
    population = PARAMS.snapshots.model_copy(update={"max_age_days": 60, "horizon_days": 30})
    created = pd.Timestamp("2026-01-05 09:00")
    won = {"at once": 0.01, "within reach": 89.0, "too late": 91.0, "lost before": 50.0, "lost lately": 50.0}
    lost = {"lost before": created + 10 * DAY, "lost lately": created + 30 * DAY}
    wins = pd.DataFrame(
        {
            "created_at": created,
            "converted_at": [created + days * DAY for days in won.values()],
            "lost_at": [lost.get(name, pd.NaT) for name in won],
        },
        index=list(won),
    ).astype({"created_at": "datetime64[us]", "converted_at": "datetime64[us]"})
    assert list(wins.index[never_at_risk(wins, population)]) == ["too late", "lost before"]
