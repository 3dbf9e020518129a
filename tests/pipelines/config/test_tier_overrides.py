"""Triggers, exclusions and deal values in params.yaml: what they may ask, and of which data."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from features.schema.errors import ParamsError
from models.tiers.declarations import TierParams
from pipelines.config.params import load
from tests.support.small_source import EXAMPLES, mapping

OWN_SOURCE = {"source": mapping()}


def loaded(folder: Path, tiers: dict[str, object], **more: object) -> TierParams:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"tiers": tiers} | more, sort_keys=False), encoding="utf-8")
    return load(file).tiers


def asks(attribute: str, test: str, value: object, tier: str = "cold") -> dict[str, object]:
    return {"name": "it", "when": {"attribute": attribute, "test": test, "value": value}, "tier": tier}


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in EXAMPLES.glob("*.yaml") if "source" in yaml.safe_load(path.read_text("utf-8")))
)
def test_a_source_of_ones_own_has_no_triggers_of_another(name: str) -> None:
    assert load().tiers.triggers and load().tiers.exclusions
    tiers = load(EXAMPLES / f"{name}.yaml").tiers
    assert (tiers.triggers, tiers.exclusions, tiers.value.attribute) == ([], [], None)
    assert tiers.ladder == load().tiers.ladder


def test_a_source_may_bring_its_own(tmp_path: Path) -> None:
    own = [asks("size", "at_least", 50, "hot")]
    tiers = loaded(tmp_path, {"triggers": own, "value": {"attribute": "size"}}, **OWN_SOURCE)
    assert [one.name for one in tiers.triggers] == ["it"]
    assert (tiers.value.attribute, tiers.value.deal_value) == ("size", load().tiers.value.deal_value)
    assert tiers.exclusions == []


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ({"triggers": [asks("siez", "at_least", 5, "hot")]}, "tiers.triggers: 'it' tests attribute 'siez', which"),
        ({"exclusions": [asks("size", "is", ["big"])]}, "tiers.exclusions: 'it' tests attribute 'size', which is a"),
        ({"exclusions": [asks("country", "below", 3)]}, "'country', which is text; use test: is"),
        ({"exclusions": [asks("country", "is", 3)]}, "test: is takes a list of texts"),
        ({"value": {"attribute": "country"}}, "tiers.value tests attribute 'country', which is text"),
        ({"value": {"attribute": "worth"}}, "tiers.value tests attribute 'worth', which these data do not have"),
        ({"value": {"call_cost": 0}}, "tiers.value.call_cost: Input should be greater than 0"),
        ({"triggers": [{"name": "it", "when": {"types": ["visit"]}, "tier": "hot"}]}, "days: Field required"),
        ({"triggers": [asks("size", "at_least", 5, "golden")]}, "'it' gives tier 'golden', which is none of hot, warm"),
    ],
)
def test_a_fault_is_named_when_params_are_read(tmp_path: Path, tiers: dict[str, object], said: str) -> None:
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, tiers, **OWN_SOURCE)
    assert said in str(error.value)


def test_thresholds_of_the_rules_name_the_tiers_that_overrides_give(tmp_path: Path) -> None:
    rules = {"start": 0, "attributes": [], "events": [], "patterns": [], "thresholds": [{"name": "go", "at_least": 5}]}
    with pytest.raises(ParamsError, match=r"'it' gives tier 'hot', which rules\.thresholds do not name"):
        loaded(tmp_path, {"triggers": [asks("size", "at_least", 5, "hot")]}, **OWN_SOURCE, rules=rules)
    loaded(tmp_path, {"exclusions": [asks("size", "at_least", 5, "excluded")]}, **OWN_SOURCE, rules=rules)


def test_an_exclusion_may_ask_what_the_crm_says_today(tmp_path: Path) -> None:
    attributes = {"status": {"known": "outcome", "why": "sales sets it"}, "size": {"kind": "number"}}
    source = {"source": mapping(attributes=attributes)}
    tiers = loaded(tmp_path, {"exclusions": [asks("status", "is", ["Lost"], "excluded")]}, **source)
    assert [one.name for one in tiers.exclusions] == ["it"]
    with pytest.raises(ParamsError, match=r"tiers.triggers: 'it' tests attribute 'status', which is known only after"):
        loaded(tmp_path, {"triggers": [asks("status", "is", ["Lost"], "hot")]}, **source)
    with pytest.raises(ParamsError, match="'status', which is text; use test: is"):
        loaded(tmp_path, {"exclusions": [asks("status", "below", 3)]}, **source)
