"""The commands of `leadscore lead`: all about one lead's score, and why scores changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.options import (
    LISTS,
    AsOfOption,
    DataOption,
    LeadArgument,
    ListsOption,
    OutOption,
    ParamsOption,
    loaded,
    now,
)

lead_app = typer.Typer(help="One lead's score, and why scores changed.", no_args_is_help=True)


@lead_app.command()
def explain(
    lead_id: LeadArgument,
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write it as this page.")] = None,
) -> None:
    """Say all about one lead's score.

    Points from the base to the score, what would move it, leads like it, attributes and events.

    IN: data/contract, features, model, predictions, scores.

    OUT: the terminal, and the page of --html, which holds personal data.
    """
    from pipelines.analysis.explain_lead import explain_lead
    from pipelines.analysis.lead_page import show, write_lead_page
    from pipelines.storage.bundle import read_lightgbm

    read_lightgbm()
    run = loaded(params, out, as_of)
    explanation = explain_lead(lead_id, run)
    show(explanation, Console(highlight=False))
    if html is not None:
        write_lead_page(explanation, html, run.params.project.name)


@lead_app.command()
def change(
    lead_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Show this lead in full and write nothing; default: all leads.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DAY", help="The earlier day, such as 2026-05-01; default: --until."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="The later day; default: `score.as_of`.")
    ] = None,
    model_since: Annotated[
        Path | None,
        typer.Option("--model-since", metavar="FOLDER", help="The earlier model; default: artifacts/model."),
    ] = None,
    model_until: Annotated[
        Path | None,
        typer.Option("--model-until", metavar="FOLDER", help="The later model; default: artifacts/model."),
    ] = None,
    params: ParamsOption = None,
    out: OutOption = None,
) -> None:
    """Say why scores changed between two days or two models.

    By time, edits, events and the new model; the parts add up.

    IN: data/contract, one or two models.

    OUT: change.html, change.csv, change.parquet and change.json, which `leadscore report` shows; of one lead a table.
    """
    from pipelines.analysis.lead_change import explain_lead_change
    from pipelines.analysis.score_change import ChangeRequest, explain_changes
    from pipelines.storage.bundle import read_lightgbm

    read_lightgbm()
    request = ChangeRequest(since, until, model_since, model_until)
    if lead_id is None:
        explain_changes(request, loaded(params, out))
    else:
        Console().print(explain_lead_change(lead_id, request, loaded(params, out)))


@lead_app.command()
def rules(
    lead_id: LeadArgument,
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Show each point one lead earned by the rules.

    IN: data/contract, features.

    OUT: a table, with the decay of each point.
    """
    from pipelines.scoring.rule_scoring import explain_lead

    for line in explain_lead(lead_id, loaded(params, out, as_of)):
        typer.echo(line)


@lead_app.command()
def letter(
    lead_id: LeadArgument,
    params: ParamsOption = None,
    out: OutOption = None,
    lists: ListsOption = None,
    day: Annotated[str | None, typer.Option("--day", metavar="DAY", help="Of the list; default: the newest.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write it as this file, for you alone to read.")
    ] = None,
) -> None:
    """Write what a person may ask: data, score, reasons.

    In plain words, as they were stored with the list; nothing is computed anew. Lines in brackets are yours to fill in.

    IN: scores of the run or of a published list, data/contract, model.

    OUT: Markdown in the terminal, or in --markdown; it holds personal data.
    """
    from pipelines.analysis.letter import save_letter, write_letter

    text = write_letter(lead_id, loaded(params, out), lists, day)
    if markdown is None:
        typer.echo(text, nl=False)
    else:
        save_letter(text, markdown)


@lead_app.command()
def override(
    lead_id: LeadArgument,
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="Who says so.")] = "",
    tier: Annotated[
        str | None, typer.Option("--tier", metavar="TIER", help="The tier that the lead is in; or `excluded`.")
    ] = None,
    points: Annotated[
        float | None, typer.Option("--points", metavar="N", help="Instead: points on top of its own; below 0, fewer.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Shown on the list as the reason.")] = "",
    until: Annotated[
        str | None, typer.Option("--expires", metavar="DAY", help="The last day on which it counts.")
    ] = None,
    given: Annotated[
        str | None, typer.Option("--given", metavar="DAY", help="The first day on which it counts; default: today.")
    ] = None,
    take_back: Annotated[bool, typer.Option("--take-back", help="Take back what was said of the lead.")] = False,
    params: ParamsOption = None,
    out: OutOption = None,
    lists: ListsOption = None,
) -> None:
    """Give one lead another tier, or take that back.

    The next list has the lead in that tier, beside the model's own score. No feature, label or model knows of it; the
    report says later whether people were right. An exclusion goes before.

    IN: the scores of the run, or of the current list in --lists.

    OUT: overrides.parquet beside them.
    """
    from pipelines.analysis.lead_override import give_override, take_override_back

    run = loaded(params, out)
    if take_back:
        typer.echo(take_override_back(lead_id, run, lists, now()))
        return
    wanted = {"tier": tier, "points": points, "who": who, "why": why, "until": until, "given": given}
    typer.echo(give_override(lead_id, wanted, run, lists, now()))


@lead_app.command()
def forget(
    lead_id: LeadArgument,
    params: ParamsOption = None,
    data: DataOption = None,
    out: OutOption = None,
    lists: Annotated[list[Path] | None, LISTS] = None,
    postgres: Annotated[
        bool, typer.Option("--postgres", help="Also in the history table of `delivery.postgres`.")
    ] = False,
) -> None:
    """Delete one lead from every store, for good.

    With all ids that `source.aliases` says are the same person. The next ingest into these folders leaves the lead
    out. What was stopped is continued by the same command. Give --lists once for each folder. Exit code 3: a file
    cannot be read, and is named.

    IN: --out, --lists, the tables of `source.aliases` in --data, what `pull` wrote there and has read, MLflow's
    files, the tables and outboxes of `delivery`.

    OUT: the same without the lead; data/forgotten.json; a receipt in the terminal, by store and without the id.
    """
    from pipelines.privacy.forget import forget_lead

    receipt = forget_lead(lead_id, loaded(params, out), lists or [], postgres=postgres, data=data)
    for line in receipt.lines():
        typer.echo(line)
    receipt.check()
