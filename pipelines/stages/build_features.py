"""Stage build_features: contract tables in, labelled snapshots with their features out."""

from __future__ import annotations

import logging
from contextlib import closing

import ibis
import numpy as np
import pandas as pd

from features.attributes.as_of import attributes_as_of, check_history
from features.events.definitions import count_events
from features.matrix.catalogue import to_frame
from features.matrix.matrix import MatrixSpec
from features.rules.declarations import RulesParams, unseen_types
from features.schema.errors import DataError, ParamsError
from features.schema.vocabulary import Vocabulary
from models.evaluation.results import PartCounts, SnapshotCounts
from models.splitting.holdout import PARTS, draw_rows, split_at, split_by_hash, split_by_position, split_by_time
from pipelines.config.params import Params
from pipelines.scoring.history import labelled, labelled_moments
from pipelines.storage.contract_store import Contract, Opener
from pipelines.storage.files import write_csv, write_json, write_parquet
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")


def build_features(run: RunContext, opened: Opener = Contract.open) -> SnapshotCounts:
    """Write matrix.parquet, vocabulary.json, snapshots.json and catalogue.csv.

    Parameters
    ----------
    opened
        Opens the contract tables, on the chosen engine.

    Returns
    -------
    SnapshotCounts
        As written to snapshots.json.

    Raises
    ------
    DataError
        Where no snapshot has a matured label.
    """
    with closing(opened(run.layout, run.params.project)) as contract:
        return _build(contract, run)


def _build(contract: Contract, run: RunContext) -> SnapshotCounts:
    if run.params.source.order == "dates":
        check_history(contract.leads, contract.history)
    labels = labelled(contract, run.params.population)
    snapshots = labels[labels["matured"]].reset_index(drop=True)
    if snapshots.empty:
        raise _nothing_matured(run.params, contract)
    snapshots = snapshots.assign(part=split_parts(snapshots, run.params))
    limits = run.params.snapshots
    sample = draw_rows(snapshots, limits.max_rows, limits.max_test_rows, run.params.project.seed)
    spec = learn_spec(contract, snapshots, run.params)
    _warn_of_types(contract, run.params.rules)
    matrix = pd.concat(contract.matrix(sample.drop(columns="matured"), spec, run.params.rules), ignore_index=True)
    counts = _counts(labels, snapshots, sample, run.params).model_copy(
        update={"fingerprint": contract.profile.fingerprint}
    )
    write_parquet(matrix, run.layout.matrix.path)
    _write_moments(contract, snapshots, spec, run)
    write_json(spec.model_dump(mode="json"), run.layout.vocabulary.path)
    write_result(counts, run.layout.snapshot_counts.path)
    write_csv(to_frame(spec.catalogue), run.layout.catalogue.path)
    parts = ", ".join(f"{name} {counts.parts[name].rows:,}" for name in PARTS)
    log.info("build_features: %d features of %s snapshots (%s)", len(spec.catalogue), f"{len(matrix):,}", parts)
    return counts


def _write_moments(contract: Contract, snapshots: pd.DataFrame, spec: MatrixSpec, run: RunContext) -> None:
    """Write the rows of moments between lists, divided where the test of the lists begins; none: no file."""
    path, population = run.layout.moments.path, run.params.population
    if population is None or population.moments is None:
        path.unlink(missing_ok=True)
        return
    labels = labelled_moments(contract, population, population.moments)
    rows = labels[labels["matured"]].drop(columns="matured").reset_index(drop=True)
    if rows.empty:
        raise ParamsError(
            "snapshots.moments: no moment between lists has matured; leave it out, or give ages_hours in whole days "
            "where leads are created in days"
        )
    rows["part"] = split_at(rows, snapshots.loc[snapshots["part"] == "test", "snapshot_at"].min())
    drawn = draw_rows(rows, population.max_rows, population.max_test_rows, run.params.project.seed)
    write_parquet(pd.concat(contract.matrix(drawn, spec, run.params.rules), ignore_index=True), path)
    counts = ", ".join(f"{kind} {n:,}" for kind, n in drawn["moment"].value_counts().sort_index().items())
    log.info("build_features: %s moments between lists (%s)", f"{len(drawn):,}", counts)


def split_parts(snapshots: pd.DataFrame, params: Params) -> pd.Series[str]:
    """Return the part of each matured snapshot, by the order of the source."""
    if params.source.order == "dates":
        return split_by_time(snapshots, params.split)
    if params.source.order == "rows":
        return split_by_position(snapshots["position"], params.split)
    return split_by_hash(snapshots["lead_id"], params.project.seed, params.split)


def learn_spec(contract: Contract, snapshots: pd.DataFrame, params: Params) -> MatrixSpec:
    """Learn the matrix's columns from what was known on the first day of the part "test"."""
    return MatrixSpec(
        attributes=params.source.attributes,
        event_labels=params.source.event_labels,
        event_units=params.source.event_units,
        params=params.features,
        vocabulary=_learn_vocabulary(contract, snapshots, params),
    )


def _learn_vocabulary(contract: Contract, snapshots: pd.DataFrame, params: Params) -> Vocabulary:
    training = snapshots[snapshots["part"] == "train"]
    if params.source.order == "dates":
        until = snapshots.loc[snapshots["part"] == "test", "snapshot_at"].min()
        known = contract.leads.loc[contract.leads["created_at"] < until, ["lead_id"]]
        leads = attributes_as_of(
            known.assign(snapshot_at=until), contract.leads, contract.history, params.source.attributes
        )
        counts = count_events(contract.events, ibis.literal(until.to_pydatetime())).to_pyarrow().to_pandas()
    else:
        leads = contract.leads[contract.leads["lead_id"].isin(training["lead_id"])]
        counts = pd.DataFrame({"event_type": [], "direction": [], "channel": [], "n": [], "n_valued": []})
    return Vocabulary.learn(params.source.attributes, leads, counts, params.features)


def _warn_of_types(contract: Contract, rules: RulesParams) -> None:
    """Warn of event types in the rules that no event has: misspelt, or not yet seen."""
    if rules.events or rules.patterns:
        seen = contract.events.select("event_type").distinct().to_pyarrow().column("event_type").to_pylist()
        for name in unseen_types(rules, seen):
            log.warning("build_features: rules name event type %r, which no event has", name)


def _counts(labels: pd.DataFrame, snapshots: pd.DataFrame, sample: pd.DataFrame, params: Params) -> SnapshotCounts:
    return SnapshotCounts(
        order=params.source.order,
        snapshots=len(labels),
        immature=int((~labels["matured"]).sum()),
        matured=len(snapshots),
        sampled=len(sample),
        tested_share=_tested_share(snapshots, sample),
        parts={part: _describe_part(*(of[of["part"] == part] for of in (snapshots, sample))) for part in PARTS},
    )


def _tested_share(snapshots: pd.DataFrame, sample: pd.DataFrame) -> float:
    leads, tested = (of.loc[of["part"] == "test", "lead_id"].nunique() for of in (snapshots, sample))
    return float(np.round(tested / max(leads, 1), 9))


def _describe_part(rows: pd.DataFrame, drawn: pd.DataFrame) -> PartCounts:
    dated = rows["snapshot_at"].notna().any()
    return PartCounts(
        drawn=len(drawn),
        rows=len(rows),
        leads=rows["lead_id"].nunique(),
        positive=int(rows["label"].sum()),
        base_rate=float(np.round(rows["label"].mean(), 9)) if len(rows) else None,
        first=rows["snapshot_at"].min().date().isoformat() if dated else None,
        last=rows["snapshot_at"].max().date().isoformat() if dated else None,
    )


def _nothing_matured(params: Params, contract: Contract) -> DataError:
    if params.source.order != "dates":
        return DataError(
            "outcomes",
            "converted",
            found="no lead with a known outcome",
            expected="yes or no for past leads",
            fix="Check source.yes_values, source.no_values and source.outcomes.columns.",
        )
    wait = params.snapshots.horizon_days + params.snapshots.outcome_lag_days
    return DataError(
        "leads",
        "created_at",
        found=f"no snapshot whose horizon had passed by {contract.outcomes_until:%Y-%m-%d}",
        expected=f"leads created more than {wait} days before the end of the outcomes",
        fix="Give a longer history or a shorter snapshots.horizon_days.",
    )
