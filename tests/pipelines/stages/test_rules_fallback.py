"""With too little to learn from nothing pretends to be a model: the rules rank the leads, and the page says so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.schema.errors import DataError, NotReadyError
from pipelines.config.params import load
from pipelines.scoring.score_list import COLUMNS
from pipelines.stages.run_all import run_all
from pipelines.stages.train import train
from pipelines.storage.contract_store import without_leads
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import OVERLAY, finished, leadscore, write_tables
from tests.pipelines.scoring.test_rule_scoring import RULES
from tests.support.html_page import parsed

SHOWN = 'path: leads.csv, display: {line: sector}, url_template: "https://crm.example/{lead_id}"'
STRICT = re.sub(r"readiness: .*", "readiness: {min_rows: 100, min_positive: 5000}", OVERLAY)


def run_of(folder: Path, text: str) -> tuple[Path, Path]:
    write_tables(folder)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder / "params.yaml", folder / "out"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("few")
    params, out = run_of(folder, STRICT.replace("path: leads.csv", SHOWN) + RULES)
    assert run_all(RunContext(load(params), Layout.folder(out)), folder) is False
    return Layout.folder(out)


def test_the_verdict_names_what_is_short_and_stands_in_every_place(layout: Layout) -> None:
    tree = json.loads(layout.metrics.path.read_text(encoding="utf-8"))
    assert tree["verdict"]["state"] == "not ready"
    said = tree["verdict"]["lines"][0]
    assert re.fullmatch(r"Not usable yet: \d+ converted \(needs 5000\)\.", said)
    assert "rules alone" in tree["verdict"]["lines"][1]
    page = layout.report.path.read_text(encoding="utf-8")
    main = page[page.index("<main") :]
    assert main.index(said) < main.index("Whom to call")


def test_no_figure_is_claimed_that_does_not_exist(layout: Layout) -> None:
    tree = json.loads(layout.metrics.path.read_text(encoding="utf-8"))
    assert not {"test", "baselines", "random_split"} & set(tree)
    page = layout.report.path.read_text(encoding="utf-8")
    text = page[page.index('<section id="verdict"') : page.index('<section id="data"')]
    for word in ("AUC", "log-loss", "calibration", "Expected conversions"):
        assert word.lower() not in text.lower()
    assert "every figure of this page" not in page
    assert not layout.bundle.exists()


def test_the_page_shows_leads_data_and_audit(layout: Layout) -> None:
    page = layout.report.path.read_text(encoding="utf-8")
    for section in ("verdict", "leads", "kpis", "data", "catalogue"):
        assert f'<section id="{section}"' in page
        assert f'href="#{section}"' in page
    assert 'href="#quality"' not in page
    best = pd.read_parquet(layout.scores.path).iloc[0]
    assert str(best["lead_id"]) in page
    assert "Leakage audit" in page
    assert page.index('row">hot') < page.index('row">warm') < page.index('row">cold')


def test_the_scores_are_those_of_the_rules(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    assert scores["probability"].isna().all()
    assert scores["model_id"].str.startswith("rules-").all()
    assert len(pd.read_csv(layout.scores_csv.path)) == len(scores) > 0


def test_the_list_and_the_page_show_what_people_are_shown(layout: Layout) -> None:
    sheet = pd.read_csv(layout.scores_csv.path, dtype=str)
    assert list(sheet)[:3] == ["lead_id", "line", "url"] and "line" not in pq.read_schema(layout.scores.path).names
    lead, line, address = sheet.iloc[0, :3]
    page = parsed(layout.report.path.read_text(encoding="utf-8"))
    row = next(row for row in page.rows("top-leads") if row[0].startswith(lead))
    assert row[0] == f"{lead}line: {line}open in the CRM"
    assert page.all("a", href=address)
    assert address == f"https://crm.example/{lead}"
    assert "open in the CRM" not in without_leads(layout.report.path.read_text(encoding="utf-8"))


def test_train_alone_refuses(layout: Layout) -> None:
    params = load(layout.reports.parent / "params.yaml")
    with pytest.raises(NotReadyError, match=r"needs 5000") as refusal:
        train(RunContext(params, layout))
    assert isinstance(refusal.value, DataError)
    assert refusal.value.exit_code == 3
    assert not layout.bundle.exists()


def test_the_command_ends_well_with_rules_and_refuses_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params, out = run_of(tmp_path, STRICT + RULES)
    words = ("run", "--params", params, "--data", tmp_path, "--out", out, "--track")
    assert leadscore(monkeypatch, *words) == 0
    assert "Not usable yet" in capsys.readouterr().out
    params.write_text(STRICT, encoding="utf-8")
    before = (out / "scores.parquet").read_bytes()
    assert leadscore(monkeypatch, *words) == 3
    assert "needs 5000" in capsys.readouterr().err
    assert (out / "scores.parquet").read_bytes() == before


def test_too_little_to_learn_from_and_nobody_to_call(tmp_path: Path) -> None:
    finished(tmp_path)
    text = STRICT.replace("converted_at: won", "converted_at: won, lost_at: lost") + RULES
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    layout = Layout.folder(tmp_path / "out")
    assert run_all(RunContext(load(tmp_path / "params.yaml"), layout), tmp_path) is False
    scores = pd.read_parquet(layout.scores.path)
    assert scores.empty and list(scores) == COLUMNS
    page = layout.report.path.read_text(encoding="utf-8")
    assert "There is no list." in page and "no lead open on 2026-01-" in page
