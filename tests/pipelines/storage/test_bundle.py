"""A bundle is a folder of text that comes back as it was saved, or not at all."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest

from features.schema.errors import ModelError
from models.scoring.scorer import Scorer
from pipelines.storage.bundle import MANIFEST, load_bundle, save_bundle, warn_of_scale
from tests.support.small_model import matrix, scorer

FILES = ["booster_0.txt", "booster_1.txt", "card.json", "linear.json", "scorecard.json", "statistics.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(scorer(), tmp_path / "model")
    return tmp_path / "model"


def test_it_comes_back_bit_for_bit(folder: Path) -> None:
    for threads in (1, 2):
        again = load_bundle(folder, threads)
        assert again.metadata == scorer().metadata
        assert again.model_id == scorer().model_id
        pd.testing.assert_frame_equal(again.score(matrix(), 5), scorer().score(matrix(), 5), check_exact=True)


def test_saving_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save_bundle(load_bundle(folder, 1), tmp_path / "again")
    first, second = ({path.name: path.read_bytes() for path in each.iterdir()} for each in (folder, tmp_path / "again"))
    assert first == second


def test_saving_over_another_bundle_leaves_nothing_of_it(folder: Path) -> None:
    save_bundle(scorer(boosters=1), folder)
    assert load_bundle(folder, 1).model_id == scorer(boosters=1).model_id
    assert sorted(path.name for path in folder.iterdir()) == sorted({*FILES, MANIFEST} - {"booster_1.txt"})
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_it_is_text_and_nothing_in_it_is_unpickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert load_bundle(folder, 1).score(matrix(), 5)["score"].max() > 0
    for path in folder.iterdir():
        assert path.read_bytes().decode("utf-8").isprintable() or "\n" in path.read_text(encoding="utf-8")
        assert "\0" not in path.read_text(encoding="utf-8")
        assert path.suffix in (".json", ".txt")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_flipped_byte_is_found(folder: Path, name: str, share: float) -> None:
    content = (folder / name).read_bytes()
    at = int(share * len(content))
    for flip in (0x01, 0x80):
        (folder / name).write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
        with pytest.raises(ModelError, match="train"):
            load_bundle(folder, 1)
    (folder / name).write_bytes(content)
    load_bundle(folder, 1)


@pytest.mark.parametrize("name", ["card.json", "booster_1.txt"])
def test_a_text_that_was_cut_or_grew_is_found(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for damaged in (b"", content[: len(content) // 2], content + b" ", content.replace(b"\n", b"\r\n")):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ModelError, match=f"{name} is not what train saved"):
            load_bundle(folder, 1)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"no complete model in .*{name}.*run `leadscore stage train`"):
        load_bundle(folder, 1)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no complete model in .*nowhere"):
        load_bundle(tmp_path / "nowhere", 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"card.json": 5}', "{}"])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="train"):
        load_bundle(folder, 1)


def test_an_old_format_is_refused(folder: Path) -> None:
    old = scorer().metadata.model_copy(update={"format": 0})
    save_bundle(replace(scorer(), metadata=old), folder)
    with pytest.raises(ModelError, match="has format 0, this version reads 6; train again"):
        load_bundle(folder, 1)


@pytest.mark.parametrize(
    ("path", "name"),
    [(["snapshots", "horizon_days"], "snapshots.horizon_days"), (["matrix", "params", "windows_days"], "windows_days")],
)
def test_no_default_of_today_stands_in_for_what_a_model_was_trained_with(
    folder: Path, path: list[str], name: str
) -> None:
    files = scorer().to_files()
    tree = json.loads(files["card.json"])
    del reduce(lambda part, key: part[key], path[:-1], tree)[path[-1]]
    with pytest.raises(ModelError, match=f"{name} is missing"):
        Scorer.from_files(files | {"card.json": json.dumps(tree)}, 1)


@pytest.mark.parametrize("name", ["booster_2.txt", "evil.pkl", ".hidden"])
def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("tree", encoding="utf-8")
    with pytest.raises(ModelError, match=f"holds '{name}', which its manifest does not name"):
        load_bundle(folder, 1)
    names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert sorted(names) == FILES


def test_a_changed_scale_is_told_before_the_model_in_place_goes(
    folder: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    scale = scorer().metadata.points
    for bundle, after in ((folder, scale), (tmp_path / "nothing there", scale.model_copy(update={"double_odds": 20}))):
        warn_of_scale(bundle, after)
    assert caplog.messages == []
    warn_of_scale(folder, scale.model_copy(update={"anchor_score": 40.0}))
    assert len(caplog.messages) == 1
    assert "50 points meant a probability of 0.05 and now mean" in caplog.messages[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"points": {"anchor_score": 1}}', "\x00"])
def test_a_model_in_place_that_cannot_be_read_stops_no_training(
    folder: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "card.json").write_text(text, encoding="utf-8")
    warn_of_scale(folder, scorer().metadata.points)
    assert caplog.messages == []


def test_a_bundle_of_an_older_format_still_tells_its_scale(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree = json.loads((folder / "card.json").read_text(encoding="utf-8")) | {"format": 3}
    tree.pop("grades")
    (folder / "card.json").write_text(json.dumps(tree), encoding="utf-8")
    warn_of_scale(folder, scorer().metadata.points.model_copy(update={"double_odds": 20.0}))
    assert "12 more double the odds to 50 points at 0.05, 20 more double the odds" in caplog.messages[0]
