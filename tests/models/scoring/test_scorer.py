"""One lead scores as it does among others, columns come in any order, and what does not fit is refused by name."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from features.schema.errors import ModelError
from models.learners.ensemble import Ensemble
from models.points.scale import score
from models.scoring.scorer import Scorer
from models.tiers.score_lists import best_first
from tests.support.small_model import ENTRIES, NAMES, SETTINGS, history, matrix, metadata, scorecard, scorer

COLUMNS = ["lead_id", "probability", "raw_score", "points", "score", "base_points", "fit", "engagement",
           "online", "offline", "other_engagement", "negative", "grade", "reasons", "reasons_text"]  # fmt: skip


def scored(rows: pd.DataFrame | None = None, reasons: int = 5) -> pd.DataFrame:
    return scorer().score(matrix() if rows is None else rows, reasons)


def test_the_numbers_of_a_lead_belong_together() -> None:
    model, found = scorer(), scored()
    assert found.columns.tolist() == COLUMNS
    assert found["lead_id"].tolist() == matrix()["lead_id"].tolist()
    assert found["raw_score"].tolist() == model.log_odds(matrix()).tolist()
    assert found["probability"].tolist() == model.probability(matrix()).tolist() == expit(found["raw_score"]).tolist()
    assert found["points"].tolist() == model.metadata.points.points(found["raw_score"].to_numpy()).tolist()
    assert found["score"].tolist() == score(found["points"].to_numpy()).tolist()
    assert len(set(found["base_points"])) == 1
    total = found["base_points"] + found["fit"] + found["engagement"]
    assert total.to_numpy() == pytest.approx(found["points"].to_numpy(), abs=1e-9)


def test_probabilities_rank_the_leads_that_convert() -> None:
    rows = matrix().set_index("lead_id")["label"]
    assert rows.loc[scored()["lead_id"].iloc[best_first(scored())[:100]]].mean() > rows.mean() + 0.2


def test_reasons_are_those_of_the_lead() -> None:
    found = scored(reasons=3)
    _, parts = scorer().contributions(matrix())
    sums = pd.DataFrame(parts.T, index=[entry.theme for entry in ENTRIES]).groupby(level=0).sum()
    sums.columns = matrix()["lead_id"]
    for row in found.iloc[best_first(found)[:40]].to_dict("records"):
        reasons, lead = json.loads(row["reasons"]), row["lead_id"]
        signed = (reason["text"].split(" ", 1) for reason in reasons)
        assert "; ".join(f"{said} ({points})" for points, said in signed) == row["reasons_text"]
        strongest = sums[lead].abs().nlargest(3)
        assert [reason["theme"] for reason in reasons] == strongest[strongest > 0.5].index.tolist()
        for reason in reasons:
            assert reason["points"] == pytest.approx(sums.loc[reason["theme"], lead], abs=1e-4)
    assert (scored(reasons=0)["reasons"] == "[]").all()


def test_one_lead_scores_bit_for_bit_as_among_others() -> None:
    model = scorer(boosters=9)
    together = model.score(matrix(), 5).set_index("lead_id")
    for number in range(0, 600, 20):
        alone = model.score(matrix().iloc[[number]], 5).set_index("lead_id")
        among = together.loc[alone.index]
        pd.testing.assert_frame_equal(alone, among, check_exact=True)
        assert alone["reasons"].item() == among["reasons"].item()


def test_the_order_of_rows_and_columns_and_further_columns_change_nothing() -> None:
    mixed = matrix()[[*NAMES[::-1], "lead_id"]].assign(surplus="x").sample(frac=1, random_state=1)
    found = scored(mixed).set_index("lead_id").loc[matrix()["lead_id"]].reset_index()
    pd.testing.assert_frame_equal(found, scored(), check_exact=True)


@pytest.mark.parametrize("kind", ["float64", "Float32", "Float64", "object", "float64[pyarrow]"])
def test_other_types_of_columns_change_nothing(kind: str) -> None:
    changed = matrix().astype(dict.fromkeys(NAMES, kind))
    if kind == "object":
        changed = changed.where(changed.notna(), None)
    pd.testing.assert_frame_equal(scored(changed), scored(), check_exact=True)


def test_whole_numbers_with_gaps_are_taken() -> None:
    whole = matrix().assign(**{name: matrix()[name].round() for name in NAMES})
    changed = whole.astype(dict.fromkeys(NAMES, "Int64"))
    assert changed[NAMES].isna().any(axis=None)
    pd.testing.assert_frame_equal(scored(changed), scored(whole), check_exact=True)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ModelError, match=f"lacks 2 of the model's {len(NAMES)} features, first {NAMES[3]!r}"):
        scored(matrix().drop(columns=[NAMES[3], NAMES[7]]))


@pytest.mark.parametrize("target_encoding", [False, True])
@pytest.mark.parametrize("code", [99.0, -1.0, np.inf])
def test_levels_that_training_did_not_know_are_scored_and_said_to_be_unknown(
    code: float, target_encoding: bool
) -> None:
    model = scorer(target_encoding=target_encoding)
    found = model.score(matrix().assign(sector=code), reasons=99)
    assert np.isfinite(found["probability"]).all()
    trees = scorer(linear_share=0.0, target_encoding=target_encoding)
    assert (
        trees.log_odds(matrix().assign(sector=code)).tolist() == trees.log_odds(matrix().assign(sector=np.nan)).tolist()
    )
    reasons = [one for text in found["reasons"] for one in json.loads(text)]
    texts = {one["text"].split(" ", 1)[1] for one in reasons if one["feature"] == "sector"}
    assert texts == {"line of business: not known"}


def test_no_leads_give_an_empty_list() -> None:
    assert scored(matrix().head(0)).columns.tolist() == COLUMNS


def test_nothing_is_changed_in_place() -> None:
    rows = matrix().copy()
    scored(rows)
    pd.testing.assert_frame_equal(rows, matrix())


def test_a_blend_has_the_log_odds_of_both() -> None:
    trees, linear = (scorer(linear_share=share).log_odds(matrix()) for share in (0.0, 1.0))
    assert scorer(linear_share=0.25).log_odds(matrix()) == pytest.approx(0.75 * trees + 0.25 * linear)
    assert np.abs(trees - linear).max() > 0.1


def test_a_count_that_was_left_out_is_still_said_as_it_was() -> None:
    """A decayed count is said by the count of a window, which the learners need not see."""
    counts = [name for name in NAMES if name.startswith("count__")]
    rows, model = matrix(), Scorer(metadata(left_out=counts), scorer().models, scorecard())
    reasons = [json.loads(text) for text in model.score(rows, reasons=9)["reasons"]]
    said = [(lead, one) for lead, of_lead in enumerate(reasons) for one in of_lead if one["feature"] in counts]
    said = [(lead, one) for lead, one in said if one["value"] is not None]  # None: of what is missing in these rows
    assert said and all(one["value"] == rows[one["feature"]].iloc[lead] for lead, one in said)


def test_a_feature_that_was_left_out_has_no_say() -> None:
    model = Scorer(metadata(left_out=["sector", "count__visit__7d"]), scorer().models, scorecard())
    unknown = matrix().assign(sector=np.nan, count__visit__7d=np.nan)
    assert model.log_odds(matrix()).tolist() == scorer().log_odds(unknown).tolist()
    assert np.abs(model.log_odds(matrix()) - scorer().log_odds(matrix())).max() > 0.1
    base, parts = model.contributions(matrix())
    points = model.metadata.points.points(model.log_odds(matrix()))
    assert base + parts.sum(axis=1) == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize("target_encoding", [False, True])
@pytest.mark.parametrize("linear_share", [0.0, 0.5, 1.0])
def test_base_and_contributions_are_the_log_odds(linear_share: float, target_encoding: bool) -> None:
    model = scorer(linear_share=linear_share, target_encoding=target_encoding)
    rows = matrix().copy()
    rows.loc[:5, "sector"] = 99.0
    base, parts = model.contributions(rows)
    factor, offset = model.metadata.points.factor, model.metadata.points.offset
    assert offset + factor * model.log_odds(rows) == pytest.approx(base + parts.sum(axis=1), abs=1e-9)
    assert parts.shape == (len(rows), len(NAMES))
    assert np.abs(parts[:, NAMES.index("sector")]).max() > 0.5


def test_target_statistics_are_what_the_trees_see_and_nothing_else() -> None:
    """The logistic regression, the values behind the reasons and the scorecard still see codes."""
    codes, encoded = scorer(), scorer(target_encoding=True)
    assert encoded.logistic(matrix()).tolist() == codes.logistic(matrix()).tolist()
    assert encoded.by_scorecard(matrix()).tolist() == codes.by_scorecard(matrix()).tolist()
    np.testing.assert_array_equal(encoded.values(matrix()), matrix()[NAMES])
    target_encoding, values = encoded.models.target_encoding, encoded.values(matrix())
    direct = encoded.models.boosters.log_odds(target_encoding.apply(values))
    assert scorer(linear_share=0.0, target_encoding=True).log_odds(matrix()).tolist() == (-0.2 + 0.9 * direct).tolist()


def test_rivals_and_the_uncorrected_level_are_told_apart() -> None:
    model = scorer()
    shift = logit(model.uncorrected(matrix())) - model.log_odds(matrix())
    assert shift == pytest.approx(np.full(len(matrix()), -0.4), abs=1e-9)
    assert model.logistic(matrix()).tolist() == expit(model.models.linear.log_odds(model.values(matrix()))).tolist()
    points = model.scorecard.points(model.values(matrix()))
    assert (np.diff(model.by_scorecard(matrix())[np.argsort(points, kind="stable")]) >= 0).all()
    silent = Scorer(metadata(left_out=NAMES), model.models, scorecard())
    for rival in (silent.logistic, silent.by_scorecard, silent.uncorrected):
        assert len(set(rival(matrix()))) == 1


@pytest.mark.parametrize("target_encoding", [False, True])
def test_files_bring_back_every_bit(target_encoding: bool) -> None:
    model = scorer(boosters=12, target_encoding=target_encoding)
    files = model.to_files()
    again = Scorer.from_files(dict(sorted(files.items())), threads=1)
    assert again.to_files() == files
    assert again.model_id == model.model_id
    pd.testing.assert_frame_equal(again.score(matrix(), 5), model.score(matrix(), 5), check_exact=True)
    for figure in ("uncorrected", "logistic", "by_scorecard"):
        assert getattr(again, figure)(matrix()).tobytes() == getattr(model, figure)(matrix()).tobytes()


def test_the_id_tells_models_apart() -> None:
    model = scorer()
    longer = Ensemble.train(history(), replace(SETTINGS, rounds=9), seed=3, threads=2)
    others = [
        Scorer(metadata(base_rate=0.31), model.models, model.scorecard),
        Scorer(model.metadata, replace(model.models, boosters=longer.boosters), model.scorecard),
        Scorer(
            model.metadata,
            replace(model.models, target_encoding=scorer(target_encoding=True).models.target_encoding),
            scorecard(),
        ),
        Scorer(model.metadata, model.models, replace(model.scorecard, base=0.0)),
        Scorer(model.metadata, replace(model.models, linear=longer.linear), model.scorecard),
    ]
    assert model.model_id == Scorer(metadata(), model.models, model.scorecard).model_id
    assert [other.model_id == model.model_id for other in others] == [False, False, False, False, True]


def test_a_model_fitted_again_names_the_one_that_was_tested() -> None:
    tested = scorer()
    again = Scorer(metadata(tested_as=tested.model_id), tested.models, tested.scorecard)
    assert tested.tested_id == tested.model_id
    assert again.tested_id == tested.model_id != again.model_id
    assert Scorer.from_files(again.to_files(), threads=1).tested_id == tested.model_id


def test_the_intercept_of_a_list_goes_along_and_is_no_part_of_the_bundle() -> None:
    model = scorer().with_intercept(0.4)
    again = copy(model)  # as to another process
    assert again is not model
    assert again.sigmoid == model.sigmoid != scorer().sigmoid
    assert again.log_odds(matrix()).tobytes() == model.log_odds(matrix()).tobytes()
    assert model.to_files() == scorer().to_files()
    assert Scorer.from_files(model.to_files(), threads=1).sigmoid == scorer().sigmoid


@pytest.mark.parametrize("name", ["card.json", "linear.json", "scorecard.json", "statistics.json", "booster_0.txt"])
def test_a_bundle_without_a_file_is_refused(name: str) -> None:
    files = {key: text for key, text in scorer().to_files().items() if not key.startswith(name.split("_")[0])}
    with pytest.raises(ModelError, match=f"no {name}"):
        Scorer.from_files(files, threads=1)


def test_a_bundle_of_another_format_is_refused() -> None:
    files = scorer().to_files()
    for change, said in (
        ({"format": 0}, "has format 0, this version reads 6"),
        ({"base_rate": None}, "base_rate"),
        ({"colour": "red"}, "colour"),
    ):
        tree = json.loads(files["card.json"]) | change
        with pytest.raises(ModelError, match=said):
            Scorer.from_files(files | {"card.json": json.dumps(tree)}, threads=1)


def test_a_model_of_other_features_than_the_code_computes_is_refused() -> None:
    files = scorer().to_files()
    tree = json.loads(files["card.json"])
    tree["matrix"]["params"]["windows_days"].append(365)
    with pytest.raises(
        ModelError, match=rf"trained on {len(NAMES)} features, and this version computes \d+\); train again"
    ):
        Scorer.from_files(files | {"card.json": json.dumps(tree)}, threads=1)
