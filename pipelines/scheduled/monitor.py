"""The monitor: are the data still like those that the model learned from? Reads and reports; changes nothing else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy

from features.attributes.as_of import attributes_as_of
from features.cohort.labels import label_dated
from features.cohort.snapshots import DAY, grid
from features.schema.declarations import SnapshotParams
from features.schema.errors import AlertError, DataError
from models.checks import Check, CheckResult
from models.kpis.calibration_check import Lists
from models.kpis.results import RateComparison
from models.monitoring import outcome_checks as outcomes
from models.monitoring.input_checks import (
    CALENDAR,
    ENGAGEMENT,
    FIT,
    ROW_CHECKS,
    ListRows,
    fresh,
    inputs,
    level_rows,
    levels,
    summary_lines,
    volume,
    volume_rows,
)
from models.monitoring.outcome_checks import OutcomeSettings
from models.monitoring.results import Comparison, ListPeriod, MonitorResult
from models.points.scale import score
from models.scoring.fresh_intercept import fresh_log_odds, list_intercepts
from models.scoring.scorer import Scorer
from models.splitting.holdout import sample_leads
from models.tiers.capacity import sampled_capacity
from pipelines.config.params import Params
from pipelines.scheduled.feed_checks import feed_at
from pipelines.scoring.history import leads_at_risk
from pipelines.scoring.population import list_day
from pipelines.scoring.tier_backtest import put_into_tiers
from pipelines.storage.contract_store import Contract
from pipelines.storage.files import finite
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
LEAST_LISTS = 4  # of the reference: fewer tell nothing of how lists differ by themselves
NEW_LEADS = "new leads"


@dataclass(frozen=True)
class MonitoredLists:
    """The score lists that are monitored: moments of the model's grid, each oldest first.

    Attributes
    ----------
    reference
        The first lists that the tested model has not learned from, and that are older than the young lists and than the
        leads that come in now.
    newest
        The list that is checked.
    matured
        The newest lists whose outcome is known, and that the tested model has not learned from; of a young model they
        may be in the reference too.
    young
        For each of `monitor.early_days`: the lists of the last N days whose conversions are known.
    watched
        For how many days after each list they are counted: until the next list, or fewer where no more are known of the
        newest one.
    until
        Later outcomes are not known.
    """

    reference: pd.DatetimeIndex
    newest: pd.Timestamp
    matured: pd.DatetimeIndex
    young: dict[int, pd.DatetimeIndex]
    watched: float
    until: pd.Timestamp

    @classmethod
    def of(cls, scorer: Scorer, contract: Contract, as_of: pd.Timestamp, params: Params) -> MonitoredLists:
        """Choose the lists; raises DataError without dates, and where no list lies before `as_of`."""
        snapshots, learned = scorer.metadata.snapshots, scorer.metadata.trained_until
        if snapshots is None or learned is None:
            raise _nothing("tables without dates", "dates, as drift needs time", "Evaluate a new export instead.")
        moments = grid(contract.leads["created_at"].min(), as_of, snapshots)
        if moments.empty:
            raise _nothing(f"no lead before {as_of:%Y-%m-%d}", "leads to look at", "Choose a later --as-of.")
        until, newest = min(as_of, contract.outcomes_until.ceil("D")), moments[-1]
        unseen, monitor = moments[moments >= pd.Timestamp(learned)], params.monitor
        young, watched = _young(unseen, until, snapshots, monitor.early_days)
        youngest = min([newest - (monitor.arrival_days - 1) * DAY, *(lists[0] for lists in young.values())])
        reference = unseen[unseen < youngest][: monitor.reference_lists]
        wait = (snapshots.horizon_days + snapshots.outcome_lag_days) * DAY
        matured = unseen[unseen + wait <= until][-monitor.matured_lists :]
        return cls(reference, newest, matured, young, watched, until)

    @property
    def moments(self) -> pd.DatetimeIndex:
        """Every monitored list."""
        every = {*self.reference, self.newest, *self.matured}.union(*self.young.values())
        return pd.DatetimeIndex(sorted(every)).as_unit("us")


def _nothing(found: str, expected: str, fix: str) -> DataError:
    return DataError("leads", "created_at", found=found, expected=expected, fix=fix)


def _young(
    unseen: pd.DatetimeIndex, until: pd.Timestamp, snapshots: SnapshotParams, ages: Sequence[int]
) -> tuple[dict[int, pd.DatetimeIndex], float]:
    """Choose the lists whose conversions are known, for half of the days until the next list at least."""
    known, every = until - snapshots.outcome_lag_days * DAY, float(snapshots.every_days)
    lists = unseen[unseen <= known - every / 2 * DAY]
    if lists.empty:
        return {}, every
    watched = min(every, (known - lists[-1]) / DAY)
    return {age: lists[lists > lists[-1] - age * DAY] for age in ages}, watched


@dataclass(frozen=True)
class MonitorData:
    """The rows of every monitored list, scored by the tested model, with what is known of them by now.

    Attributes
    ----------
    rows
        lead_id, snapshot_at, created_at, converted_at (missing while not known), label (missing while immature), the
        features, probability, score, tier and by_rule.
    sampled
        Share of the leads that the rows are.
    """

    rows: pd.DataFrame
    contract: Contract
    scorer: Scorer
    calendar: MonitoredLists
    params: Params
    sampled: float

    @classmethod
    def read(cls, contract: Contract, scorer: Scorer, calendar: MonitoredLists, params: Params) -> MonitorData:
        """Score the leads of every list, or of a seeded share of them."""
        population = scorer.metadata.snapshots
        assert population is not None  # noqa: S101  # MonitoredLists.of has refused tables without dates
        every = leads_at_risk(contract, calendar.moments, population)
        rows = sample_leads(every, params.monitor.max_rows, params.project.seed, "monitor")
        labelled = label_dated(rows, contract.outcomes, calendar.until, population)
        born, won = contract.leads[["lead_id", "created_at"]], contract.outcomes[["lead_id", "converted_at"]]
        known = labelled.merge(born, "left", "lead_id").merge(won, "left", "lead_id")
        known = known.assign(converted_at=known["converted_at"].where(known["converted_at"] < calendar.until))
        matrix = pd.concat(contract.matrix(known, scorer.metadata.matrix), ignore_index=True)
        matured = matrix[matrix["label"].notna()]
        log_odds, sampled = fresh_log_odds(scorer, matrix, matured), len(rows) / len(every)
        listed, facts, given = put_into_tiers(matrix, log_odds, scorer.metadata, params, contract, sampled)
        columns = {"probability": scipy.special.expit(log_odds), "score": listed["score"], "tier": given}
        extra = pd.DataFrame(columns | {"by_rule": facts.held.any(axis=1)}, index=matrix.index)
        scored = pd.concat([matrix, extra], axis=1)
        newest = list_intercepts(scorer, matured, pd.Series([calendar.newest]))
        return cls(scored, contract, scorer.with_intercept(float(newest[0])), calendar, params, sampled)

    def of(self, moments: pd.DatetimeIndex | pd.Timestamp) -> pd.DataFrame:
        """The rows of some lists."""
        wanted = [moments] if isinstance(moments, pd.Timestamp) else moments
        return self.rows[self.rows["snapshot_at"].isin(wanted)].reset_index(drop=True)

    @cached_property
    def reference(self) -> pd.DataFrame:
        return self.of(self.calendar.reference)

    @cached_property
    def newest(self) -> pd.DataFrame:
        return self.of(self.calendar.newest)

    @cached_property
    def newest_any_season(self) -> pd.DataFrame:
        """The newest list as it would score had its leads come at the times of the year of the reference's.

        A model that reads when a lead was created moves its scores with the season, though the leads are as they were.
        So the newest leads borrow these features, all of one lead together, from random leads of the reference.
        """
        names = [entry.name for entry in self.scorer.catalogue if entry.measure == CALENDAR]
        if not {*names}.intersection(self.scorer.features_read):
            return self.newest
        drawn = np.random.default_rng(self.params.project.seed).integers(len(self.reference), size=len(self.newest))
        lent = self.reference[names].take(drawn).set_axis(self.newest.index)
        return self._at_newest_level(self.newest.assign(**{name: lent[name] for name in names}))

    @cached_property
    def reference_at_level(self) -> pd.DataFrame:
        """The reference at the newest list's intercept, which moves all scores alike, though leads are as they were."""
        return self._at_newest_level(self.reference)

    def _at_newest_level(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(score=score(self.scorer.metadata.points.points(self.scorer.log_odds(rows))))

    @cached_property
    def arrivals(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Leads that were new on lists of the reference, each once, and those that are new now."""
        apart, last = self.params.monitor.arrival_days * DAY, self.calendar.newest
        chosen: list[pd.Timestamp] = []
        for moment in self.calendar.reference[::-1]:
            if moment + apart <= last:
                chosen, last = [*chosen, moment], moment
        return self._new(self._at_newest_level(self.of(pd.DatetimeIndex(chosen)))), self._new(self.newest_any_season)

    def list_rows(self) -> ListRows:
        """Return what checks of rows compare."""
        at_level, best = (self.reference_at_level, self.newest_any_season), self.params.tiers.names[0]
        return ListRows(self.reference, self.newest, *at_level, *self.arrivals, best)

    def _new(self, rows: pd.DataFrame) -> pd.DataFrame:
        born = self.params.monitor.arrival_days * DAY
        return rows[rows["created_at"] >= rows["snapshot_at"] - born].reset_index(drop=True)

    @cached_property
    def settings(self) -> OutcomeSettings:
        params = self.params
        capacity = sampled_capacity(params.capacity.per_period, self.sampled)
        return OutcomeSettings(params.monitor, params.kpis, params.evaluate, capacity, params.project.seed)

    def compare_rates(self, rows: pd.DataFrame) -> list[RateComparison]:
        """Promise and outcome by tier; none where no list has matured."""
        if rows["label"].notna().sum() == 0:
            return []
        return outcomes.tier_comparisons(Lists(rows, self.params.tiers, self.scorer.metadata.points), self.settings)


def run_monitor(run: RunContext, scorer: Scorer, tested: Scorer, folder: Path) -> MonitorResult:
    """Run every check on the newest list at `score.as_of`, and write monitor.json into a folder.

    Parameters
    ----------
    run
        Its layout says where the contract tables lie.
    scorer
        The model that is monitored.
    tested
        The model as it was tested, which scores the lists: the one that scores has learned from all outcomes that were
        known, and would find those lists as it learned them.

    Raises
    ------
    DataError
        Where the tables carry no dates, or there is nothing to look at.
    """
    with closing(Contract.open(run.layout, run.params.project)) as contract:
        as_of = list_day(run.params, contract)
        calendar = MonitoredLists.of(tested, contract, as_of, run.params)
        newest = feed_at(contract, as_of).newest
        first = fresh(None if newest is None else pd.Timestamp(newest), as_of, run.params.job.max_silence_days)
        checks, compared = [_no_reference(calendar)], Comparison()
        if len(calendar.reference) >= LEAST_LISTS:
            data = MonitorData.read(contract, tested, calendar, run.params)
            empty = data.newest.empty or data.reference.empty
            checks, compared = ([_no_leads(data)], Comparison()) if empty else _run_checks(data)
        fingerprint = contract.profile.fingerprint
    checks = [first, *checks]
    result = MonitorResult(
        as_of=as_of.date().isoformat(),
        list=calendar.newest.date().isoformat(),
        model_id=scorer.model_id,
        tested_id=tested.model_id,
        tested_until=str(tested.metadata.trained_until),  # MonitoredLists.of has refused a model without it
        data_fingerprint=fingerprint,
        reference=_period(calendar.reference),
        matured=_period(calendar.matured),
        checks=checks,
        alerts=[check.code for check in checks if check.failed],
        lines=summary_lines(checks),
        **dict(compared),
    )
    write_result(result, folder / "monitor.json")
    for line in result.lines:
        log.log(logging.WARNING if result.alerts else logging.INFO, "monitor: %s", line)
    return result


def raise_alerts(result: MonitorResult) -> None:
    """Raise AlertError, which gives the scheduler an exit code of its own, where a check alerts."""
    if result.alerts:
        raise AlertError("; ".join(result.lines))


def _run_checks(data: MonitorData) -> tuple[list[CheckResult], Comparison]:
    """Run every check but the first."""
    params, calendar, reference, newest = data.params.monitor, data.calendar, data.reference, data.newest
    read = set(data.scorer.features_read)
    entries = [entry for entry in data.scorer.catalogue if entry.name in read]
    kinds = volume_rows(_weekly(data), params)
    groups = {group: [entry for entry in entries if entry.group == group] for group in ("engagement", "fit")}
    does, doing = inputs(ENGAGEMENT, reference, newest, groups["engagement"], params)
    comes, coming = inputs(FIT, *data.arrivals, groups["fit"], params)
    values = level_rows(*_values(data))
    matured, measured = data.of(calendar.matured), outcomes.performance(reference, data.settings)
    by_tier = {"reference": data.compare_rates(reference), "matured": data.compare_rates(matured)}
    later = matured[matured["snapshot_at"] > calendar.reference[-1]]
    now = outcomes.performance(later, data.settings)
    young = [_early_row(data, lists, age) for age, lists in calendar.young.items()]
    lists = {"newest": newest, "reference": reference}
    estimates = {name: outcomes.estimate(rows, data.settings) for name, rows in lists.items()}
    checks = [
        volume(kinds, params),
        does,
        comes,
        levels(values, params),
        *(check(data.list_rows(), params) for check in ROW_CHECKS),
        outcomes.tier_calibration(by_tier["matured"], params),
        outcomes.lift(measured, now, data.settings),
        outcomes.early(young, params),
        outcomes.estimated(estimates["newest"], estimates["reference"], measured),
    ]
    found = {
        "features": [*doing, *coming],
        "levels": [row for row in values if row["share"] >= params.level_share],
        "volumes": kinds,
        "tiers": by_tier,
        "performance": {"reference": measured, "matured": now},
        "estimate": estimates,
        "assumption": outcomes.ASSUMPTION,
        "early": young,
        "rows": {"reference": len(reference), "newest": len(newest), "matured": len(matured), "sampled": data.sampled},
    }
    return checks, Comparison.model_validate(finite(found))


def _early_row(data: MonitorData, lists: pd.DatetimeIndex, days: int) -> dict[str, object]:
    calendar = data.calendar
    row = outcomes.early_conversions(data.reference, data.of(lists), calendar.watched, days, len(calendar.young))
    return row | {"lists": len(lists), "since": lists[0].date().isoformat()}


def _weekly(data: MonitorData) -> pd.DataFrame:
    """Count what came in the days before each list of the reference and the newest one, among the leads on it.

    Returns
    -------
    DataFrame
        One row a list, the newest last: one column an event type, by its label, `new leads`, and `leads`.
    """
    import ibis

    moments = [*data.calendar.reference, data.calendar.newest]
    rows = data.rows.loc[data.rows["snapshot_at"].isin(moments), ["lead_id", "snapshot_at", "created_at"]]
    every = data.scorer.metadata.snapshots.every_days * DAY if data.scorer.metadata.snapshots else DAY
    asked = rows[["lead_id", "snapshot_at"]].assign(since=rows["snapshot_at"] - every)
    events, lists = data.contract.events, ibis.memtable(pa.Table.from_pandas(asked, preserve_index=False))
    both = events.inner_join(lists, "lead_id")
    inside = both.filter(
        both.event_at >= both.since, both.event_at < both.snapshot_at, both.known_at <= both.snapshot_at
    )
    counts = inside.group_by("snapshot_at", "event_type").agg(n=inside.count()).to_pyarrow().to_pandas()
    labels = data.scorer.metadata.matrix.event_labels
    named = counts.assign(kind=[labels.get(name, name) for name in counts["event_type"]])
    wide = named.pivot_table(index="snapshot_at", columns="kind", values="n", aggfunc="sum", fill_value=0)
    new = rows["created_at"] >= rows["snapshot_at"] - every
    of_list = rows.assign(new=new).groupby("snapshot_at")
    return wide.reindex(moments, fill_value=0).assign(**{NEW_LEADS: of_list["new"].sum(), "leads": of_list.size()})


def _values(data: MonitorData) -> tuple[dict[str, pd.Series[str]], dict[str, pd.Series[str]]]:
    """Return, by category, its value for the leads of the reference period and for those that come in now."""
    spec, contract = data.scorer.metadata.matrix, data.contract
    names = [name for name, one in spec.attributes.items() if one.kind == "category" and one.known != "outcome"]
    now = attributes_as_of(
        data.arrivals[1][["lead_id", "snapshot_at"]], contract.leads, contract.history, spec.attributes
    )
    born, days = contract.leads["created_at"], data.params.monitor.arrival_days * DAY
    inside = (born >= data.calendar.reference[0] - days) & (born < data.calendar.newest - days)
    asked = contract.leads.loc[inside, ["lead_id"]].assign(snapshot_at=data.calendar.newest)
    before = attributes_as_of(asked, contract.leads, contract.history, spec.attributes)
    return ({name: frame[name] for name in names} for frame in (before, now))  # type: ignore[return-value]


def _no_reference(calendar: MonitoredLists) -> CheckResult:
    n = len(calendar.reference)
    why = f"{n} lists are later than what the model learned from and older than new leads; {LEAST_LISTS} are needed"
    return Check("MN02", "There is a reference to compare with").not_applicable(why)


def _no_leads(data: MonitorData) -> CheckResult:
    which = f"the list of {data.calendar.newest:%Y-%m-%d}" if data.newest.empty else "the lists of the reference"
    return Check("MN02", "There are leads to compare").not_applicable(f"no lead is open on {which}")


def _period(moments: pd.DatetimeIndex) -> ListPeriod:
    days = [moment.date().isoformat() for moment in moments]
    return ListPeriod(lists=len(days), first=days[0] if days else None, last=days[-1] if days else None)
