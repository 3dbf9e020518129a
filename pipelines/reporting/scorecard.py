"""The learned scorecard as files: a CSV to type into a CRM, Markdown, a draft for HubSpot, and a table to print."""

from __future__ import annotations

from rich.table import Table

from models.evaluation.results import EvaluationResult
from models.scoring.scorer import Scorer
from pipelines.reporting.scorecard_hubspot import hubspot_draft
from pipelines.reporting.scorecard_table import against_model, meaning, table, to_markdown
from pipelines.storage.bundle import load_bundle
from pipelines.storage.files import staged_file, write_csv, write_json
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_evaluation
from pipelines.storage.run_context import RunContext


def write_scorecard(scorer: Scorer, metrics: EvaluationResult, name: str, layout: Layout) -> None:
    """Write scorecard.csv, scorecard.md and scorecard_hubspot.json.

    Parameters
    ----------
    metrics
        How the card compares with the model.
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
    scorer = load_bundle(run.layout.tested_model, run.params.project.threads)
    metrics = read_evaluation(run.layout, scorer.model_id)
    printed = Table("criterion", title="Learned scorecard", title_justify="left")
    for column in ("points", "rows", "converted"):
        printed.add_column(column, justify="right")
    for row in table(scorer.scorecard, scorer.catalogue).itertuples():
        printed.add_row(str(row.criterion), f"{row.points:+d}", f"{row.rows:,}", f"{row.conversion_rate:.1%}")
    return printed, [meaning(scorer.scorecard), *against_model(metrics)]
