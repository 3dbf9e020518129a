"""Two runs side by side: what may be compared is, what may not is refused with its reason."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.evaluation.metrics import evaluate
from models.evaluation.ranked import Ranked
from models.promotion.run_comparison import ComparedRun, side_by_side
from tests.pipelines.cli.test_app import OVERLAY, leadscore, write_tables
from tests.support.results import evaluation, explanation
from tests.support.tables import MONDAY, PARAMS

CHOICE = PARAMS.evaluate.model_copy(update={"resamples": 40})


@cache
def a_run(name: str = "one", noise: float = 0.2, first: int = 0) -> ComparedRun:
    """A run on 300 of 400 leads, whose probabilities are the better the less noise they have."""
    rng = np.random.default_rng(1)
    signal, other = rng.normal(size=400), rng.normal(size=400)
    rows = pd.DataFrame({"lead_id": [f"lead {n}" for n in range(400)], "snapshot_at": MONDAY})
    rows["label"] = (rng.random(400) < 1 / (1 + np.exp(1 - 2 * signal))).astype("float64")
    rows["model"] = 1 / (1 + np.exp(1 - 2 * ((1 - noise) * signal + noise * other)))
    rows = rows.iloc[first : first + 300].reset_index(drop=True)
    points = 50 + 10 * np.log(rows["model"])
    scores = pd.DataFrame({"lead_id": rows["lead_id"], "as_of": MONDAY, "probability": rows["model"], "points": points})
    scores = scores.assign(score=points.round(), tier=np.where(points > 45, "hot", "cold"))
    test = evaluate(Ranked.of(rows, rows["model"].to_numpy(), 20, 5), CHOICE, 1).flat()
    settings = {"num_leaves": 15, "rounds": 40 + round(100 * noise)}
    return ComparedRun(
        name=name,
        metrics=evaluation(model_id=name, test=test),
        selection={"settings": settings, "decisions": [{"question": "blend", "chosen": "half"}], "left_out": []},
        explanation=explanation({"size": 3.0, f"only_{name}": 1.0}, {"company size": 3.0 - noise}),
        metadata={
            "format": 3,
            "trained_until": "2024-01-01",
            "sigmoid": {"slope": noise},
            "capacity": 20,
            "matrix": {
                "attributes": {},
                "event_labels": {},
                "params": {"windows_days": [7]},
                "vocabulary": {"x": noise},
            },
        },
        predictions=rows,
        scores=scores,
    )


def compared(a: ComparedRun, b: ComparedRun) -> dict[str, Any]:
    return side_by_side(a, b, CHOICE, 1)


def changed(run: ComparedRun, **metrics: object) -> ComparedRun:
    return replace(run, metrics=run.metrics.model_copy(update=metrics))


def test_a_run_against_itself_shows_no_difference() -> None:
    found = compared(a_run(), a_run())
    assert found["settings"] == [] and found["refused"] == []
    assert found["features"]["only_a"] == found["features"]["only_b"] == []
    assert {found["paired"][f"{name}_gap{end}"] for name in ("log_loss", "auc") for end in ("", "_low", "_high")} == {0}
    assert found["paired"]["verdict"] == "neither predicts surely better; neither ranks surely better"
    assert found["scores"]["tier_changed"] == 0
    assert found["scores"]["rank_correlation"] == pytest.approx(1)
    assert all(figure["a"] == figure["b"] for figure in found["measures"])


def test_the_better_model_is_named_and_turns_with_the_sides() -> None:
    good, bad = a_run("good", 0.1), a_run("bad", 0.9)
    there, back = compared(bad, good)["paired"], compared(good, bad)["paired"]
    assert there["verdict"] == "B predicts surely better; B ranks surely better"
    assert back["verdict"] == "A predicts surely better; A ranks surely better"
    gap = good.metrics.test.auc.value - bad.metrics.test.auc.value
    assert there["auc_gap"] == pytest.approx(gap)
    assert there["log_loss_gap"] == pytest.approx(bad.metrics.test.log_loss.value - good.metrics.test.log_loss.value)
    assert back["auc_gap"] == pytest.approx(-gap)


def test_pairs_are_the_rows_that_tested_both_and_nothing_else() -> None:
    found = compared(a_run("one", 0.1), a_run("two", 0.9, first=100))
    assert (found["paired"]["n"], found["paired"]["n_leads"]) == (200, 200)
    common = a_run("one", 0.1).predictions.iloc[100:]
    assert found["paired"]["n_positive"] == common["label"].sum()
    cut = replace(a_run("one", 0.1), predictions=common.sample(frac=1, random_state=1))
    assert compared(cut, a_run("two", 0.9, first=100))["paired"] == found["paired"]
    assert (found["scores"]["n"], found["scores"]["only_a"], found["scores"]["only_b"]) == (200, 100, 100)
    assert sum(flow["n"] for flow in found["scores"]["tiers"]) == 400


def on_day(run: ComparedRun, day: str) -> ComparedRun:
    return replace(run, scores=run.scores.assign(as_of=pd.Timestamp(day)))


REFUSED: dict[str, tuple[Callable[[ComparedRun], ComparedRun], dict[str, str]]] = {
    "data": (
        lambda run: changed(run, fingerprint="0" * 64),
        dict.fromkeys(("paired", "scores"), "the data differ (fingerprint ffffffff and 00000000)"),
    ),
    "horizon": (
        lambda run: changed(run, horizon_days=14),
        dict.fromkeys(("paired", "scores"), "the horizons differ (30 and 14 days)"),
    ),
    "capacity": (lambda run: changed(run, capacity=21), {"precision_at_k": "the capacities differ (20 and 21)"}),
    "day": (lambda run: on_day(run, "2024-04-01"), {"scores": "different days (2024-03-04 and 2024-04-01)"}),
    "rules": (
        lambda run: replace(run, scores=run.scores.assign(probability=np.nan)),
        {"scores": "scored by the hand-written rules"},
    ),
    "rows": (
        lambda run: replace(run, predictions=run.predictions.assign(lead_id="x" + run.predictions["lead_id"])),
        {"paired": "no row was a test row of both"},
    ),
    "labels": (
        lambda run: replace(run, predictions=run.predictions.assign(label=1 - run.predictions["label"])),
        {"paired": "the outcomes of the common rows differ"},
    ),
    "leads": (
        lambda run: replace(run, scores=run.scores.assign(lead_id="x" + run.scores["lead_id"])),
        {"scores": "no lead is on both lists"},
    ),
}


@pytest.mark.parametrize("case", [*REFUSED])
def test_what_cannot_be_compared_is_refused_with_its_reason_and_the_rest_is_shown(case: str) -> None:
    change, why = REFUSED[case]
    found = compared(a_run(), change(a_run("two", 0.5)))
    assert {one["what"] for one in found["refused"]} == set(why)
    for one in found["refused"]:
        assert why[one["what"]] in one["why"]
    assert (found["paired"] is None) == ("paired" in why)
    assert (found["scores"] is None) == ("scores" in why)
    names = [figure["name"] for figure in found["measures"]]
    assert "auc" in names and ("precision_at_k" in names) == ("precision_at_k" not in why)
    assert found["importance"]["themes"][0] == {"name": "company size", "label": "company size", "a": 2.8, "b": 2.5}


def test_settings_that_differ_are_named_and_what_was_learned_is_none() -> None:
    b = a_run("two", 0.5)
    b = replace(b, metadata={**b.metadata, "capacity": 30, "new": {"key": [1]}, "grades": {"fit": [9.0, 1.0, -3.0]}})
    assert compared(a_run(), b)["settings"] == [
        {"key": "capacity", "a": "20", "b": "30"},
        {"key": "new.key", "a": None, "b": "[1]"},
        {"key": "train.rounds", "a": "60", "b": "90"},
    ]


def test_features_of_one_run_alone_are_listed_and_have_no_points_in_the_other() -> None:
    found = compared(a_run(), a_run("two", 0.5))
    assert (found["features"]["only_a"], found["features"]["only_b"]) == (["only_one"], ["only_two"])
    assert found["features"]["both"] == 1
    by_name = {one["name"]: one for one in found["importance"]["features"]}
    assert (by_name["only_two"]["a"], by_name["only_two"]["b"]) == (None, 1.0)
    assert found["importance"]["features"][0] == {"name": "size", "label": "SIZE", "a": 3.0, "b": 3.0}


def test_the_command_compares_two_folders_and_writes_one_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tables(tmp_path)
    text = re.sub(r"backtest: .*", "backtest: {cuts: 0}", OVERLAY)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    one, two, out = (folder / name for name in ("one", "two", "side"))
    where = ("--params", folder / "params.yaml", "--out")
    assert leadscore(monkeypatch, "run", *where, one, "--data", folder) == 0
    shutil.copytree(one, two)
    (folder / "params.yaml").write_text(text.replace("max_rounds: 20", "max_rounds: 3"), encoding="utf-8")
    for stage in ("train", "evaluate", "explain", "score"):
        assert leadscore(monkeypatch, "stage", stage, *where, two) == 0
    capsys.readouterr()
    assert leadscore(monkeypatch, "model", "compare", one, two, *where[:2], "--save", out) == 0
    printed = " ".join(capsys.readouterr().out.split())
    tree = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    metrics = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in (one, two)]
    auc = next(figure for figure in tree["measures"] if figure["name"] == "auc")
    assert [auc["a"]["value"], auc["b"]["value"]] == [each["test"]["auc"] for each in metrics]
    assert tree["paired"]["n"] == metrics[0]["test"]["n"]
    assert "train.rounds" in [setting["key"] for setting in tree["settings"]]
    assert f"{tree['paired']['n']:,} rows" in printed and "above 0, B is better" in printed
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert (
        "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page and str(tmp_path) not in page
    )
    assert f"{auc['a']['value']:.3f}" in page
    before = (out / "compare.html").read_bytes()
    assert leadscore(monkeypatch, "model", "compare", one, tmp_path / "nowhere", "--save", out) == 3
    assert "no such file in" in capsys.readouterr().err
    assert (out / "compare.html").read_bytes() == before


def test_the_command_says_what_goes_in_and_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("model", "compare"), ("lead", "change")):
        assert leadscore(monkeypatch, *words, "--help") == 0
        printed = capsys.readouterr().out
        assert "IN:" in printed and "OUT:" in printed
