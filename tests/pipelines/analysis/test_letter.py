"""The letter to a person: what was stored with the score, in words, and never made anew."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError, ParamsError
from pipelines.analysis.letter import save_letter, write_letter
from pipelines.storage.files import write_parquet
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("letter")
    return RunContext(tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out"))


def test_it_says_what_was_stored(finished: RunContext) -> None:
    scores = pd.read_parquet(finished.layout.scores.path)
    row = scores.iloc[2]
    text = write_letter(row["lead_id"], finished, None, None)
    assert f"- Score: {row['score']} of 100, place 3 of {len(scores):,} on the list of {row['as_of']:%Y-%m-%d}." in text
    assert "buy within 14 days; of all people, about" in text
    reasons = json.loads(row["reasons"])
    assert all(f"- {reason['text']}" in text for reason in reasons)
    rest = row["points"] - row["base_points"] - sum(reason["points"] for reason in reasons)
    assert f"All other reasons together: {rest:+.0f}. The sum is {row['points']:.0f};" in text
    assert f"Model {row['model_id']}, data {row['data_fingerprint'][:16]}" in text
    lead = pd.read_parquet(finished.layout.leads.path).set_index("lead_id").loc[row["lead_id"]]
    assert f": {lead['country']}\n" in text
    assert text.count("[write here: ") == 2


def test_reasons_are_those_of_the_list_even_where_the_model_is_another(finished: RunContext, tmp_path: Path) -> None:
    scores = pd.read_parquet(finished.layout.scores.path)
    first = json.dumps([{"text": "+7 a *reason* <b>of then</b>", "points": 7.0}])
    changed = scores.assign(model_id="older", reasons=first)
    own = RunContext(finished.params, tmp_layout := type(finished.layout).folder(tmp_path))
    write_parquet(changed, tmp_layout.scores.path)
    tmp_layout.contract.parent.mkdir(parents=True)
    tmp_layout.contract.symlink_to(finished.layout.contract)
    text = write_letter(scores["lead_id"][0], own, None, None)
    assert "- +7 a \\*reason\\* &lt;b&gt;of then&lt;/b&gt;" in text
    assert "The model that gave this score is not kept any more" in text


def test_a_lead_on_no_list_is_told(finished: RunContext) -> None:
    with pytest.raises(ParamsError, match="none of 1 lists has that lead"):
        write_letter("nobody", finished, None, None)


def test_where_there_is_no_list_that_is_said(finished: RunContext, tmp_path: Path) -> None:
    empty = RunContext(finished.params, type(finished.layout).folder(tmp_path))
    with pytest.raises(DataError, match=r"scores\.parquet.*found no file.*Run `leadscore stage score` first"):
        write_letter("a1", empty, None, None)
    with pytest.raises(ParamsError, match="holds no list; name the folder that `nightly score` wrote"):
        write_letter("a1", empty, tmp_path, None)
    with pytest.raises(ParamsError, match="holds no list of 2026-01-05"):
        write_letter("a1", empty, tmp_path, "2026-01-05")
    with pytest.raises(ParamsError, match="--day 2026-01-05 is one of the lists of --lists"):
        write_letter("a1", finished, None, "2026-01-05")


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    save_letter("text\n", tmp_path / "letter.md")
    assert stat.S_IMODE((tmp_path / "letter.md").stat().st_mode) == 0o600


def test_model_files_hold_no_lead(finished: RunContext) -> None:
    ids = {lead.encode() for lead in pd.read_parquet(finished.layout.leads.path)["lead_id"]}
    folders = [finished.layout.bundle, finished.layout.tested_model, finished.layout.random_split]
    for path in (path for folder in folders for path in folder.iterdir()):
        content = path.read_bytes()
        assert not [lead for lead in ids if lead in content], path.name
