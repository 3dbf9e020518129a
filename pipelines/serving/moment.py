"""One lead scored at one moment by one model: features, figures, tier and reasons; the same bits as on a list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import expit

from features.cohort.moments import HOURS_A_DAY, acted_lately
from features.cohort.snapshots import is_list
from features.matrix.one_lead import Lead, LeadQuery, LeadRow
from features.rules.conditions import ConditionQuery
from features.rules.declarations import AttributeTest
from features.schema.declarations import AttributeSpec
from features.schema.errors import DataError, ModelError
from models.lists.overrides import in_force, no_overrides, override_at_moment
from models.points.scale import score
from models.scoring.scorer import Scorer
from models.tiers.at_moment import LeadFigures, MomentTier, list_cut_offs, tier_at_moment, tier_by_figures
from models.tiers.declarations import TierParams
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.serving.bodies import MomentScore, ReasonShown, in_text
from pipelines.serving.facts import EVENTS

DAY = pd.Timedelta(days=1)
BETWEEN = "the model learned from lists alone, and this moment lies between two: an extrapolation"


@dataclass(frozen=True)
class MomentScorer:
    """A model, whole and warm, and the newest list by it, whose intercept and cut-offs it takes.

    Attributes
    ----------
    tiers
        The business's ladder, triggers and exclusions.
    listed
        None: there is no list by this model, so its own intercept and the fixed scores of its tiers hold.
    reasons
        The most a lead.
    overrides
        What people gave, see `as_overrides`.
    """

    scorer: Scorer
    tiers: TierParams
    listed: ScoreSummary | None
    reasons: int
    overrides: pd.DataFrame = field(default_factory=no_overrides)

    @property
    def model_id(self) -> str:
        return self.scorer.model_id

    @cached_property
    def attributes(self) -> Mapping[str, AttributeSpec]:
        return self.scorer.metadata.matrix.attributes

    def warm_up(self) -> None:
        """Compute what depends on the model alone, so that no request waits for it.

        Raises
        ------
        ModelError
            Where a trigger or an exclusion asks for what the model does not read.
        """
        known = {*self.attributes, *self.scorer.feature_names}
        for one in self.tiers.triggers + self.tiers.exclusions:
            if isinstance(one.when, AttributeTest) and one.when.attribute not in known:
                raise ModelError(
                    f"tiers: {one.name!r} tests attribute {one.when.attribute!r}, which model {self.model_id} does not "
                    "read; serve it with the params that it was trained with"
                )
        lead = Lead("warm", pd.Timestamp(0), dict.fromkeys(self.attributes), [], EVENTS.empty_table())
        self.score(lead, pd.Timestamp(0) + DAY)

    def score(self, lead: Lead, at: pd.Timestamp) -> MomentScore:
        """Score a lead as it was known at a moment, which is later than its creation.

        Raises
        ------
        DataError
            Where the lead was not there yet.
        """
        if lead.created_at is not None and not lead.created_at < at:
            raise DataError(
                "leads",
                "created_at",
                found=f"a lead created at {in_text(lead.created_at)}",
                expected=f"a lead created before the moment {in_text(at)}",
                fix="Give a later as_of.",
            )
        row = self._query.row(lead, at)
        figures = {name: column[0] for name, column in self._fresh.figures(row.features, self.reasons).items()}
        deal_value = self._deal_value(row)
        held = self._conditions.of_lead(row)
        known = LeadFigures(int(figures["score"]), float(figures["probability"]), held, deal_value)
        own = tier_at_moment(known, self.tiers, self._cut_offs)
        tier = self._overridden(own, known, lead.lead_id, float(figures["points"]), at)
        return MomentScore(
            lead_id=lead.lead_id,
            as_of=in_text(at),
            probability=known.probability,
            score=known.score,
            points=float(figures["points"]),
            fit=float(figures["fit"]),
            engagement=float(figures["engagement"]),
            grade=str(figures["grade"]),
            tier=tier.tier,
            stage=tier.stage,
            tier_reason=tier.reason,
            tier_by=self.tier_by,
            earned_tier=own.tier,
            reasons=[ReasonShown(**reason) for reason in json.loads(figures["reasons"])],
            reasons_text=figures["reasons_text"],
            cautions=self._cautions(lead, at),
            model_id=self.model_id,
        )

    @cached_property
    def tier_by(self) -> str:
        """What decides tiers, in words."""
        if self.tiers.policy == "value":
            return "value of a call"
        if self._cut_offs is None or self.listed is None:
            return "fixed scores of tiers.ladder"
        return f"cut-offs of the list of {self.listed.as_of}"

    @cached_property
    def _query(self) -> LeadQuery:
        return LeadQuery(self.scorer.metadata.matrix)

    @cached_property
    def _fresh(self) -> Scorer:
        intercept = None if self.listed is None else self.listed.intercept
        return self.scorer if intercept is None else self.scorer.with_intercept(intercept)

    @cached_property
    def _conditions(self) -> ConditionQuery:
        conditions = {one.name: one.when for one in self.tiers.triggers + self.tiers.exclusions}
        return ConditionQuery(self.scorer.metadata.matrix, conditions, current=True)

    @cached_property
    def _cut_offs(self) -> Sequence[float] | None:
        listed = self.listed
        if self.tiers.policy != "capacity" or listed is None or listed.by_fixed_scores or not listed.n:
            return None
        same_ladder = set(self.tiers.names) <= set(listed.tiers)
        return list_cut_offs(self.tiers, listed.lowest_score) if same_ladder else None

    @cached_property
    def _given(self) -> dict[str, pd.DataFrame]:
        return {str(lead_id): rows for lead_id, rows in self.overrides.groupby("lead_id")}

    def _overridden(
        self, own: MomentTier, known: LeadFigures, lead_id: str, points: float, at: pd.Timestamp
    ) -> MomentTier:
        """Return the tier that a person gave the lead, where there is a current override."""
        given = self._given.get(lead_id)
        if given is None:
            return own
        scale = self.scorer.metadata.points

        def by_score(more: float) -> str:
            chance = float(expit((points + more - scale.offset) / scale.factor))
            moved = replace(known, score=int(score(np.array([points + more]))[0]), probability=chance)
            return tier_by_figures(moved, self.tiers, self._cut_offs)

        stages = {one.name: one.stage for one in self.tiers.ladder}
        return override_at_moment(own, in_force(given, at), by_score, stages)

    def _deal_value(self, row: LeadRow) -> float | None:
        attribute = self.tiers.value.attribute
        cell = None if attribute is None else row.cells[attribute]
        return None if cell is None else float(cell)

    def _cautions(self, lead: Lead, at: pd.Timestamp) -> list[str]:
        population = self.scorer.metadata.snapshots
        if population is None or lead.created_at is None:
            return []
        age, high, learned = (at - lead.created_at) / DAY, population.max_age_days, population.moments
        low = float(population.min_age_days)
        if learned is not None and learned.ages_hours:
            low = min(low, learned.ages_hours[0] / HOURS_A_DAY)
        if low <= age <= high or (age > high and acted_lately(lead.events, at, population)):
            return [] if learned is not None or is_list(at, population) else [BETWEEN]
        return [f"the lead is {age:.3g} days old; the model learned from leads of {low:.3g} to {high} days"]
