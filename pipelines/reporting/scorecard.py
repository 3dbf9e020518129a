"""The learned scorecard as files: a CSV to type into a CRM, Markdown, a draft for HubSpot, and a table to print."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from features.schema.errors import DataError
from models.scoring.scorer import Scorer
from pipelines.reporting.scorecard_hubspot import hubspot_draft
from pipelines.reporting.scorecard_table import against_model, meaning, table, to_markdown
from pipelines.storage.bundle import load_bundle
from pipelines.storage.files import staged_file, write_csv, write_json
from pipelines.storage.layout import Layout
from pipelines.storage.provenance import Provenance
from pipelines.storage.run_context import RunContext


def write_scorecard(scorer: Scorer, metrics: dict[str, Any], name: str, layout: Layout) -> None:
    """Write scorecard.csv, scorecard.md and scorecard_hubspot.json.

    Parameters
    ----------
    metrics
        The tree of metrics.json, for how the card compares with the model.
    name
        Of the project; the score in HubSpot is named after it.
    """
    card, entries = scorer.scorecard, scorer.catalogue
    write_csv(table(card, entries), layout.scorecard_csv.path)
    with staged_file(layout.scorecard_md.path) as staged:
        staged.write_text(to_markdown(card, entries, against_model(metrics)), encoding="utf-8", newline="\n")
    write_json(hubspot_draft(card, entries, f"{name} scorecard"), layout.scorecard_hubspot.path)


def show_scorecard(run: RunContext) -> tuple[Table, list[str]]:
    """Return the card as a table for the terminal, and what its points mean and how it compares with the model.

    Raises
    ------
    DataError
        Where evaluate has not run.
    ModelError
        Where the metrics come from another model.
    """
    scorer = load_bundle(run.layout.bundle, run.params.project.threads)
    if not run.layout.metrics.path.is_file():
        raise DataError(
            "metrics.json",
            "",
            found="no file",
            expected="what evaluate writes",
            fix="Run `leadscore stage evaluate` first.",
        )
    metrics = json.loads(run.layout.metrics.path.read_text(encoding="utf-8"))
    made_from, own = Provenance(metrics["model_id"]), Provenance(scorer.model_id)
    made_from.require_same("metrics.json", own, str(run.layout.bundle), "`leadscore stage evaluate`")
    printed = Table("criterion", title="Learned scorecard", title_justify="left")
    for column in ("points", "rows", "converted"):
        printed.add_column(column, justify="right")
    for row in table(scorer.scorecard, scorer.catalogue).itertuples():
        printed.add_row(str(row.criterion), f"{row.points:+d}", f"{row.rows:,}", f"{row.conversion_rate:.1%}")
    return printed, [meaning(scorer.scorecard), *against_model(metrics)]
