"""Promote a challenger that passes the gate, or roll the champion back; the registry records every decision.

MLflow sets one alias at a time. A decision is therefore recorded first, in one transaction, with the aliases it sets in
their order; then they are set; then it is marked as finished. Each alias points to a complete version before and after
every one of these calls, and the next promote or rollback completes what a killed one left.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import mlflow
import numpy as np
import pandas as pd
import scipy

from features.schema.errors import ModelError, RefusedError
from models.checks import AuditResult, CheckResult
from models.evaluation.metrics import segment_levels
from models.points.scale import PointScale
from models.promotion.gate import Cohort, Gate, artifacts, judge, no_leak, surely_better, unseen
from models.scoring.baselines import baselines
from models.scoring.fresh_intercept import fresh_log_odds
from models.scoring.scorer import Scorer
from models.tiers.capacity import sampled_capacity
from pipelines.config.params import Params
from pipelines.registry.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    REFERENCE,
    Aliases,
    Registry,
    Unfinished,
    download_bundle,
    open_experiment,
)
from pipelines.scoring.tier_backtest import put_into_tiers
from pipelines.storage.bundle import check_fits, load_bundle, load_tested, read_scale
from pipelines.storage.contract_store import Contract, read_matrix
from pipelines.storage.lock import hold
from pipelines.storage.results import read_current, read_snapshot_counts
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
P = ParamSpec("P")
Given = TypeVar("Given", Params, RunContext)


@dataclass(frozen=True)
class Registered:
    """A version of the registry, its scorer, and the one that was tested with the same settings."""

    version: str
    scorer: Scorer
    tested: Scorer


def _one_at_a_time(decide: Callable[Concatenate[Given, P], list[str]]) -> Callable[Concatenate[Given, P], list[str]]:
    """Allow one decision at a time on a machine; a second one ends at once with BusyError."""

    @wraps(decide)
    def decide_one_at_a_time(given: Given, /, *rest: P.args, **named: P.kwargs) -> list[str]:
        params = given.params if isinstance(given, RunContext) else given
        with hold(Path(params.track.artifacts)):
            return decide(given, *rest, **named)

    return decide_one_at_a_time


@_one_at_a_time
def promote(run: RunContext, bundle: Path, at: pd.Timestamp) -> list[str]:
    """Judge the model of a bundle against the champion and the baselines, and promote it where it passes.

    Parameters
    ----------
    run
        One whose test period is later than what both models learned from, with its audit.json.
    at
        When the decision is made; goes into its record.

    Returns
    -------
    list of str
        What was decided and why, for people.

    Raises
    ------
    RefusedError
        Where a check fails; the aliases stay as they are, and the rejection is recorded.
    DataError, ModelError
        Where there is nothing to judge, or the champion cannot score these data.
    """
    registry = Registry.open(run.params)
    done = _complete(registry, at)
    loaded, checks = _load_challenger(bundle, run.params)
    if loaded is None:
        return _refuse(registry, _record(run.params, at, "", checks), at)
    challenger, tested = loaded
    aliases = registry.aliases()
    with tempfile.TemporaryDirectory() as work:
        champion, reference = (
            _registered(name, aliases, registry, run.params, Path(work)) for name in (CHAMPION, REFERENCE)
        )
        if champion is not None and champion.scorer.model_id == challenger.model_id:
            return [*done, f"{challenger.model_id} is the champion already, version {champion.version}"]
        if reference is not None and champion is not None and reference.version == champion.version:
            reference = None
        gate = Gate(run.params.promotion, run.params.evaluate, run.params.project.seed)
        audited = read_current(AuditResult, run.layout.audit.path, "audit", run.layout)
        cohort = _cohort(tested, champion, reference, run)
        checks = [*checks, no_leak(audited.checks, challenger, run.params.promotion), *judge(cohort, gate)]
        record = (
            _record(run.params, at, challenger.model_id, checks)
            | _rivals(champion, reference)
            | _rows_used(cohort.rows)
        )
        if any(check.failed for check in checks):
            return _refuse(registry, record, at)
        version = _version(registry, challenger, bundle, run.params, Path(work))
    targets: Aliases = [(PREVIOUS, champion.version)] if champion is not None else []
    targets += [(CHAMPION, version)]
    if surely_better(cohort, gate):
        targets += [(REFERENCE, version)]
    if aliases.get(CHALLENGER) == version:
        targets += [(CHALLENGER, None)]
    record |= {"answer": "promoted", "version": version}
    _switch(registry, registry.record(record, targets, at), at)
    return [*done, *_lines(checks), f"promoted: {challenger.model_id} is the champion, version {version}"]


@_one_at_a_time
def roll_back(params: Params, at: pd.Timestamp) -> list[str]:
    """Swap champion and previous, so that a second rollback undoes the first.

    Raises
    ------
    ModelError
        Where there is no previous champion, or it is not complete; nothing is changed then.
    """
    registry = Registry.open(params)
    pending = registry.unfinished()
    done = _complete(registry, at)
    if any(one.action == "rollback" for one in pending):
        return done
    aliases = registry.aliases()
    if CHAMPION not in aliases or PREVIOUS not in aliases:
        raise ModelError(
            f"{registry.name} has no previous champion to go back to; promote a second model first, or set the alias "
            f"{CHAMPION} of a version in MLflow"
        )
    champion, previous = aliases[CHAMPION], aliases[PREVIOUS]
    with tempfile.TemporaryDirectory() as work:
        restored = _fetch(previous, registry, params, Path(work) / PREVIOUS)
    targets: Aliases = [(CHAMPION, previous), (PREVIOUS, champion)]
    if aliases.get(REFERENCE) == champion:
        targets += [(REFERENCE, previous)]
    record = {
        "action": "rollback",
        "answer": "rolled back",
        "at": at.isoformat(),
        "model_id": restored.model_id,
        "version": previous,
        "champion": {"version": champion},
    }
    _switch(registry, registry.record(record, targets, at), at)
    return [*done, f"rolled back: {restored.model_id} is the champion again, version {previous}; it was {champion}"]


def _complete(registry: Registry, at: pd.Timestamp) -> list[str]:
    """Set the aliases of decisions that a killed command left unfinished."""
    pending = registry.unfinished()
    for one in pending:
        _switch(registry, one, at)
    return [f"completed an interrupted {one.action}" for one in pending if one.aliases]


def _switch(registry: Registry, decision: Unfinished, at: pd.Timestamp) -> None:
    """Set aliases in the order of the decision; doing it again changes nothing."""
    aliases = registry.aliases()
    for alias, version in decision.aliases:
        if aliases.get(alias) != version:
            registry.set_alias(alias, version)
    registry.finish(decision, at)


def _load_challenger(bundle: Path, params: Params) -> tuple[tuple[Scorer, Scorer] | None, list[CheckResult]]:
    """Load the challenger and its tested model; an error on loading fails the check of its artifacts."""
    if not bundle.is_dir():
        raise ModelError(f"no model in {bundle}; run `leadscore stage train`, or name a bundle's folder with --model")
    try:
        scorer = load_bundle(bundle, params.project.threads)
        return (scorer, load_tested(bundle, scorer)), [artifacts("")]
    except ModelError as error:
        return None, [artifacts(str(error)[:500])]


def _registered(
    alias: str, aliases: Mapping[str, str], registry: Registry, params: Params, work: Path
) -> Registered | None:
    if alias not in aliases:
        return None
    bundle = download_bundle(f"models:/{registry.name}/{aliases[alias]}", params, work / alias)
    scorer = load_bundle(bundle, params.project.threads)
    return Registered(aliases[alias], scorer, load_tested(bundle, scorer))


def champion_scale(params: Params) -> PointScale | None:
    """Return the scale of the champion's scores; None where there is no champion, or its scale cannot be read."""
    registry = Registry.open(params)
    version = registry.aliases().get(CHAMPION)
    if version is None:
        return None
    with tempfile.TemporaryDirectory() as work:
        return read_scale(download_bundle(f"models:/{registry.name}/{version}", params, Path(work) / "champion"))


def _fetch(version: str, registry: Registry, params: Params, folder: Path) -> Scorer:
    """Download a version and load it, which proves that it is complete."""
    return load_bundle(download_bundle(f"models:/{registry.name}/{version}", params, folder), params.project.threads)


def _version(registry: Registry, challenger: Scorer, bundle: Path, params: Params, work: Path) -> str:
    """Return the challenger's version, which is registered where track has not, and make sure that it is complete."""
    version = registry.version_of(challenger.model_id)
    if version is None:
        open_experiment(params)
        with mlflow.start_run(run_name=challenger.model_id):
            version = registry.register(challenger, bundle)
    if _fetch(version, registry, params, work / CHALLENGER).model_id != challenger.model_id:
        raise ModelError(f"version {version} of {registry.name} is not the model of its tag; run track again")
    return version


def _cohort(challenger: Scorer, champion: Registered | None, reference: Registered | None, run: RunContext) -> Cohort:
    """Score the matured rows that are later than what every model learned from, each with its own features."""
    matrix, spec = read_matrix(run.layout)
    counts = read_snapshot_counts(run.layout)
    sampled = counts.tested_share
    rivals = [one.tested for one in (champion, reference) if one is not None]
    with closing(Contract.open(run.layout, run.params.project)) as contract:
        for scorer in (challenger, *rivals):
            check_fits(scorer, contract)
        test = matrix[matrix["part"] == "test"]
        rows = unseen(test, [one.metadata for one in (challenger, *rivals)], contract.profile.fingerprint)
        if rows.empty:
            return _empty_cohort(rows)
        own = _features(rows, challenger, contract)
        log_odds = fresh_log_odds(challenger, own, own)
        old = None
        if champion is not None:
            its = _features(rows, champion.tested, contract)
            old = fresh_log_odds(champion.tested, its, its)
        record = (
            None if reference is None else reference.tested.probability(_features(rows, reference.tested, contract))
        )

        def tiers(scores: np.ndarray, scorer: Scorer) -> pd.Series[str]:
            return put_into_tiers(rows, scores, scorer.metadata, run.params, contract, sampled)[2]

        return Cohort(
            rows=rows[["lead_id", "snapshot_at", "label"]],
            challenger=scipy.special.expit(log_odds),
            champion=None if old is None else scipy.special.expit(old),
            reference=record,
            baselines=baselines(own, challenger),
            tiers=tiers(log_odds, challenger),
            champion_tiers=None if old is None or champion is None else tiers(old, champion.tested),
            segments=segment_levels(rows, spec.catalogue, run.params.evaluate),
            capacity=sampled_capacity(run.params.capacity.per_period, sampled),
        )


def _features(rows: pd.DataFrame, scorer: Scorer, contract: Contract) -> pd.DataFrame:
    """Compute a model's own features of the rows, in their order, next to the points by the hand-written rules."""
    kept = ("lead_id", "snapshot_at", "known_at", "label", "rule_points")
    own = rows[[name for name in kept if name in rows]]
    numbered = own.assign(row=np.arange(len(rows)))
    parts = contract.matrix(numbered, scorer.metadata.matrix)
    return pd.concat(parts, ignore_index=True).sort_values("row", ignore_index=True)


def _empty_cohort(rows: pd.DataFrame) -> Cohort:
    """Return the cohort without rows, on which the gate cannot judge."""
    none = pd.Series([], dtype="str")
    return Cohort(rows[["lead_id", "snapshot_at", "label"]], np.zeros(0), None, None, {}, none, None, pd.DataFrame(), 1)


def _record(params: Params, at: pd.Timestamp, model_id: str, checks: list[CheckResult]) -> dict[str, Any]:
    text = json.dumps(params.model_dump(mode="json"), sort_keys=True)
    return {
        "action": "promote",
        "at": at.isoformat(),
        "model_id": model_id,
        "params_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "checks": [_rounded(check) for check in checks],
    }


def _rounded(check: CheckResult) -> dict[str, Any]:
    """Keep six digits of each figure: a record is a tag of MLflow, whose length is limited."""
    figures = {name: float(f"{value:.6g}") for name, value in check.metrics.items()}
    return check.model_dump(exclude={"columns", "fix", "early"}) | {"metrics": figures}


def _rivals(champion: Registered | None, reference: Registered | None) -> dict[str, Any]:
    named = {CHAMPION: champion, REFERENCE: reference}
    return {
        name: None if one is None else {"version": one.version, "model_id": one.scorer.model_id}
        for name, one in named.items()
    }


def _rows_used(rows: pd.DataFrame) -> dict[str, Any]:
    """Describe the rows of a decision; without dates it has no period."""
    first, last = rows["snapshot_at"].min(), rows["snapshot_at"].max()
    period = {"first": None, "last": None} if pd.isna(first) else {"first": str(first.date()), "last": str(last.date())}
    counts = {"n": len(rows), "n_leads": int(rows["lead_id"].nunique()), "n_positive": int(rows["label"].sum())}
    return {"rows": counts | period}


def _refuse(registry: Registry, record: dict[str, Any], at: pd.Timestamp) -> list[str]:
    registry.finish(registry.record(record | {"answer": "refused"}, [], at), at)
    failed = [check for check in record["checks"] if check["status"] == "failed"]
    why = "; ".join(f"{check['code']} {check['title']}: {check['detail']}" for check in failed)
    raise RefusedError(f"refused, the champion stays: {why}")


def _lines(checks: list[CheckResult]) -> list[str]:
    return [f"{check.code} {check.status}: {check.title} ({check.detail})" for check in checks]
