"""Every key has a default and a description, files state what differs, and what cannot be meant is refused."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from features.schema.errors import ParamsError
from models.evaluation.metrics import EvaluateParams
from models.tiers.declarations import TierParams
from pipelines.config.params import DEFAULT, Params, load, quickened, require_day, with_as_of
from pipelines.config.source import Source

SOURCE = """
source:
  order: none
  timezone: UTC
  leads: {path: a.csv, columns: {lead_id: id}}
  attributes: {}
  events: []
  event_labels: {}
  outcomes: {path: a.csv, columns: {lead_id: id, converted: won}}
  yes_values: ["1"]
  no_values: ["0"]
  stages: []
  attribute_history: []
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str) -> Params:
    return load(written(folder, text))


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ParamsError) as caught:
        loaded(folder, text)
    assert caught.value.exit_code == 2
    assert str(folder / "mine.yaml") in str(caught.value)
    return str(caught.value)


def test_an_overlay_states_only_what_differs(tmp_path: Path) -> None:
    found, plain = loaded(tmp_path, "train: {boosters: 3}\npoints: {double_odds: 20}\n"), load()
    assert (found.train.boosters, found.points.double_odds) == (3, 20)
    assert found.train == plain.train.model_copy(update={"boosters": 3})
    assert found.points == plain.points.model_copy(update={"double_odds": 20.0})
    rest = {name for name in Params.model_fields if getattr(found, name) == getattr(plain, name)}
    assert rest == set(Params.model_fields) - {"train", "points"}


def test_lists_are_replaced_whole(tmp_path: Path) -> None:
    assert loaded(tmp_path, "features: {windows_days: [3]}").features.windows_days == [3]
    found = loaded(tmp_path, "features: {function: [{level: art, words: [painter]}]}").features
    assert [rule.level for rule in found.function] == ["art"]


def test_the_source_is_replaced_whole(tmp_path: Path) -> None:
    found = loaded(tmp_path, SOURCE)
    assert (found.source.attributes, found.source.events, found.source.event_labels) == ({}, [], {})
    assert found.source.leads.columns == {"lead_id": "id"}
    assert found.train == load().train
    left_out = loaded(tmp_path, SOURCE.replace('  yes_values: ["1"]\n', "")).source
    assert left_out.yes_values == Source.model_fields["yes_values"].default


def test_what_a_table_or_attribute_leaves_out_comes_from_the_defaults(tmp_path: Path) -> None:
    named = SOURCE.replace("attributes: {}", "attributes: {size: {known: export}, town: {column: City, known: export}}")
    found = loaded(tmp_path, named).source
    assert (found.leads.format, found.leads.missing, found.outcomes[0].separator) == ("csv", [""], ",")
    assert {name: spec.column for name, spec in found.attributes.items()} == {"size": "size", "town": "City"}
    assert (found.attributes["size"].kind, found.event_defaults.channel) == ("category", "online")


def test_the_same_file_as_base_and_overlay_is_read_once() -> None:
    assert load(DEFAULT) == load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {bosters: 3}", "line 1: train.bosters is not a key; did you mean train.boosters?"),
        ("trane: {boosters: 3}", "line 1: trane is not a key; did you mean train?"),
        ("train:\n  horizon_days: 3", "line 2: train.horizon_days is not a key; did you mean snapshots.horizon_days?"),
        ("report: {trees: 5}", "report.trees is not a key; use one of: top_leads"),
        (
            "delivery:\n  postgres:\n    shema: a",
            "line 3: delivery.postgres.shema is not a key; did you mean delivery.postgres.schema?",
        ),
        ("train: {boosters: many}", "train.boosters: Input should be a valid integer"),
        ("train: {boosters: many}", "(found 'many')"),
        ("train: {boosters: 0}", "train.boosters: Input should be greater than or equal to 1 (found 0)"),
        ("train: {boosters: 1.5}", "train.boosters: Input should be a valid integer"),
        ("train: {boosters: null}", "train.boosters: Input should be a valid integer (found None)"),
        ("train: {boosters: [3]}", "train.boosters"),
        ("train: 5", "train: Input should be a valid dictionary"),
        ("train:", "train: Input should be a valid dictionary"),
        ("project: {name: 5}", "project.name: Input should be a valid string (found 5)"),
        ("project: {name: ''}", "project.name"),
        ("selection: {logistic_c: [0.1, 0]}", "selection.logistic_c.1: Input should be greater than 0 (found 0)"),
        ("selection: {linear_shares: [1.1]}", "selection.linear_shares.0: Input should be less than or equal to 1"),
        ("selection: {level_half_lives: []}", "selection.level_half_lives: List should have at least 1 item"),
        ("selection: {folds: {count: 0}}", "selection.folds.count: Input should be greater than or equal to 1"),
        ("search: {num_leaves: [4]}", "search.num_leaves.1: Field required"),
        ("readiness: {min_periods: 0}", "readiness.min_periods: Input should be greater than or equal to 1 (found 0)"),
        ("evaluate: {top_shares: [2]}", "evaluate.top_shares.0: Input should be less than or equal to 1 (found 2)"),
        ("split: {test_share: 1}", "split.test_share: Input should be less than 1 (found 1)"),
        ("snapshots: {anchor: soon}", "snapshots.anchor"),
        ("score: {as_of: soon}", "score.as_of"),
        ("score: {as_of: 2026-02-30}", "day is out of range for month"),
        ("score: {as_of: '2026-02-30'}", "score.as_of"),
        ("features: {windows_days: [7, 1]}", "features: windows_days must ascend from 1 or more, found [7, 1]"),
        ("tiers: {policy: luck}", "tiers.policy: Input should be 'capacity', 'score' or 'value' (found 'luck')"),
        ("tiers: {ladder: []}", "tiers.ladder"),
        (
            "tiers: {policy: capcity}",
            "tiers.policy: Input should be 'capacity', 'score' or 'value' (found 'capcity'); did you mean 'capacity'?",
        ),
        ("source: 5", "source: Input should be a valid dictionary"),
        ("source: {}", "source.leads: Field required (found nothing)"),
    ],
)
def test_a_fault_names_the_file_the_key_and_what_was_found(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def attribute(text: str, order: str = "none") -> str:
    return SOURCE.replace("attributes: {}", f"attributes: {{town: {text}}}").replace("order: none", f"order: {order}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (attribute("{known: outcome}"), "source.attributes.town: an attribute that is known: outcome needs the reason"),
        (attribute("{known: later}"), "source.attributes.town.known: Input should be 'creation', 'history'"),
        (
            attribute("{colour: red}"),
            "line 6: source.attributes.town.colour is not a key; did you mean source.attributes.town.column?",
        ),
        (attribute("5"), "source.attributes.town: Input should be a valid dictionary"),
        (
            attribute("{known: history}"),
            "source: attribute 'town' is known: history, but source.attribute_history lists",
        ),
        (SOURCE.replace("events: []", "events: [{path: e.csv}]"), "source: events need order: dates"),
        (SOURCE.replace("events: []", "events: {path: e.csv}"), "source: events need order: dates"),
        (SOURCE.replace("events: []", "events: 5"), "source.events: Input should be a valid list"),
        (SOURCE.replace("events: []", "events: [5]"), "line 7: source.events.0: Input should be a valid dictionary"),
        (SOURCE.replace("events: []", "events: [{format: csv}]"), "source.events.0.path: Field required"),
        (
            SOURCE.replace("order: none", "order: dates"),
            "source: order is 'dates' but leads.columns does not map created_at",
        ),
        (SOURCE.replace("{lead_id: id}}", "{lead_id: id, created_at: day}}"), "order is 'none' but leads.columns maps"),
        (SOURCE.replace("leads: {path: a.csv, columns", "leads: {columns"), "source.leads.path: Field required"),
        (
            SOURCE.replace("leads: {path: a.csv, columns: {lead_id: id}}", "leads: [a.csv]"),
            "source.leads: Input should be",
        ),
        (SOURCE.replace("  outcomes: {path: a.csv, columns: {lead_id: id, converted: won}}\n", ""), "source.outcomes"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    loaded(tmp_path, SOURCE)
    assert said in refusal(tmp_path, text)


def test_an_attribute_of_the_export_has_no_place_beside_dates(tmp_path: Path) -> None:
    dated = attribute("{known: export}", order="dates").replace("{lead_id: id}}", "{lead_id: id, created_at: day}}", 1)
    assert "source: attribute 'town' is known: export, so with dates" in refusal(tmp_path, dated)
    assert loaded(tmp_path, dated.replace("known: export", "known: creation")).source.order == "dates"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds NoneType; expected sections"),
        ("- train", "holds list; expected sections"),
        ("train", "holds str; expected sections"),
        ("train: {", "is not readable as YAML"),
        ("a: b: c", "is not readable as YAML"),
        ("train: {boosters: 1}\ntrain: {boosters: 2}\n", "says a key twice, again in line 2: train: {boosters: 2}"),
        ("train:\n  boosters: 1\n  boosters: 2\n", "says a key twice, again in line 3: boosters: 2"),
    ],
)
def test_what_is_no_mapping_of_sections_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"train: \xff\xfe")
    with pytest.raises(ParamsError, match=r"mine\.yaml is not readable as YAML"):
        load(tmp_path / "mine.yaml")
    for missing in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(ParamsError, match=f"no params file at {re.escape(str(missing))}; name one that is"):
            load(missing)


def test_a_key_that_no_file_says_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SOURCE, encoding="utf-8")
    found = load(base=tmp_path / "base.yaml")
    for name, field in Params.model_fields.items():
        assert name == "source" or getattr(found, name) == field.default
    with pytest.raises(ParamsError, match=r"base\.yaml: source: Field required"):
        (tmp_path / "base.yaml").write_text("train: {boosters: 3}", encoding="utf-8")
        load(base=tmp_path / "base.yaml")


def test_the_projects_file_differs_from_the_defaults_by_what_speaks_of_its_data() -> None:
    plain = load()
    differ = {name for name, field in Params.model_fields.items() if getattr(plain, name) != field.default}
    assert differ == {"source", "rules", "tiers", "evaluate"}
    assert plain.tiers.model_copy(update={"triggers": [], "exclusions": []}) == TierParams()
    assert plain.evaluate.model_copy(update={"segments": []}) == EvaluateParams()


def test_a_mapping_in_a_file_adds_to_its_default(tmp_path: Path) -> None:
    found = loaded(tmp_path, "spark: {settings: {spark.executor.memory: 8g}}\ngrades: {fit: {steps: [0.2, 0.2, 0.2]}}")
    assert found.spark.settings == {"spark.driver.memory": "2g", "spark.executor.memory": "8g"}
    assert (found.grades.fit.by, found.grades.fit.steps) == ("share", (0.2, 0.2, 0.2))


def test_three_paths_are_a_source(tmp_path: Path) -> None:
    source = loaded(tmp_path, "source:\n  leads: leads.csv\n  events: e.parquet\n  outcomes: won.csv.gz").source
    assert [(table.path, table.format) for table in (source.leads, *source.events, *source.outcomes)] == [
        ("leads.csv", "csv"),
        ("e.parquet", "parquet"),
        ("won.csv.gz", "csv"),
    ]
    assert (source.leads.columns, source.order, source.attributes, source.stages) == (None, "dates", {}, [])
    same = loaded(
        tmp_path, "source: {leads: {path: crm.db, table: leads}, events: [a.csv, {path: b.CSV}], outcomes: o}"
    )
    assert (same.source.leads.format, [table.path for table in same.source.events]) == ("duckdb", ["a.csv", "b.CSV"])


def test_a_fault_names_the_file_that_says_it(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text("train:\n  boosters: 0\n" + SOURCE, encoding="utf-8")
    mine.write_text("# mine\ntrain: {max_rounds: 9}\ntiers:\n  ladder:\n    - {nam: hot}\n", encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load(mine, base)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(f"{base}, line 2: train.boosters: Input should be greater")
    assert all(line.startswith(f"{mine}, line 5: tiers.ladder.0.") for line in rest)
    assert "tiers.ladder.0.nam is not a key; did you mean tiers.ladder.0.name?" in rest[-1]
    mine.write_text(
        "tiers:\n  triggers:\n  - name: it\n    when: {types: [a], days: 0}\n    tier: hot", encoding="utf-8"
    )
    with pytest.raises(ParamsError, match=r"mine\.yaml, line 4: tiers\.triggers\.0\.when\.event\.days"):
        load(mine)


def test_numbers_are_read_as_numbers(tmp_path: Path) -> None:
    assert loaded(tmp_path, "train: {learning_rate: 1e-3}").train.learning_rate == 0.001
    assert loaded(tmp_path, "train: {learning_rate: 0.001}").train.learning_rate == 0.001


def test_dates_are_dates(tmp_path: Path) -> None:
    assert loaded(tmp_path, "score: {as_of: 2026-11-01}").score.as_of == dt.date(2026, 11, 1)
    assert loaded(tmp_path, 'score: {as_of: "2026-11-01"}').score.as_of == dt.date(2026, 11, 1)
    assert loaded(tmp_path, "score: {as_of: latest}").score.as_of == "latest"


def test_the_command_line_moves_the_scoring_date_alone() -> None:
    plain = load()
    found = with_as_of(plain, "2026-11-01")
    assert found.score.as_of == dt.date(2026, 11, 1)
    assert found.score.model_copy(update={"as_of": plain.score.as_of}) == plain.score
    assert found.model_copy(update={"score": plain.score}) == plain
    for wrong in ("yesterday", "2026-02-30", "01/11/2026", ""):
        with pytest.raises(ParamsError, match=f"--as-of '{wrong}' is not a date; write it as 2026-11-01"):
            with_as_of(plain, wrong)


def test_a_moment_has_a_zone_and_lists_that_are_kept_have_days() -> None:
    found = with_as_of(load(), "2026-11-01T10:30+01:00")
    assert found.score.as_of == dt.datetime(2026, 11, 1, 9, 30, tzinfo=dt.UTC)
    twice = [
        with_as_of(load(), f"2026-10-25T02:30{zone}").score.as_of for zone in ("+02:00", "+01:00")
    ]  # clocks go back
    assert twice == [dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC) for hour in (0, 1)]
    with pytest.raises(ParamsError, match="lists that are kept are of days; give a day"):
        require_day(found)
    require_day(with_as_of(load(), "2026-11-01"))
    with pytest.raises(ParamsError, match="2026-11-01T10:30Z"):
        with_as_of(load(), "2026-11-01T10:30")


def test_a_moment_in_the_file_has_a_zone(tmp_path: Path) -> None:
    for text in ("2026-11-01T10:30Z", '"2026-11-01T10:30:00Z"'):
        score = loaded(tmp_path, f"score: {{as_of: {text}}}").score
        assert score.as_of == dt.datetime(2026, 11, 1, 10, 30, tzinfo=dt.UTC)
        assert type(score).model_validate_json(score.model_dump_json()) == score
    with pytest.raises(ParamsError, match=r"score\.as_of"):
        loaded(tmp_path, 'score: {as_of: "2026-11-01T10:30"}')


def test_nothing_can_be_changed_once_it_is_read() -> None:
    params = load()
    for section in (params, params.train, params.source, params.source.leads, params.points, params.features):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), 1)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    inside = [model for part in get_args(annotation) for model in models_in(part)]
    return [annotation, *inside] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else inside


def test_every_key_is_described_in_whole_words() -> None:
    seen: set[type[BaseModel]] = set()
    todo: list[type[BaseModel]] = [Params]
    while todo:
        model = todo.pop()
        seen.add(model)
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no description"
            assert field.description[-1] in ".?", f"{model.__name__}.{name} ends in the midst of a sentence"
            todo += [each for each in models_in(field.annotation) if each not in seen]
    assert len(seen) > 40


def test_the_projects_file_can_be_faced() -> None:
    assert len(DEFAULT.read_text(encoding="utf-8").splitlines()) <= 130


def test_a_quick_run_takes_less_of_the_same(tmp_path: Path) -> None:
    usual = load(written(tmp_path, "capacity: {per_period: 7}\nsearch: {trials: 50}\nselection: {most_features: 9}\n"))
    quick = quickened(usual)
    assert (quick.search.trials, quick.selection.folds.count, quick.backtest.cuts) == (0, 1, 0)
    assert quick.snapshots.max_rows < usual.snapshots.max_rows
    assert (quick.capacity, quick.selection.most_features, quick.source) == (usual.capacity, 9, usual.source)
    assert quick.project.quick and not usual.project.quick


def bomb() -> str:
    """Lists of lists by aliases: 10 lines for 10^9 values."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join([*lines, "source: *a8"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb(), "more than 50,000 values, what aliases repeat included"),
        (
            "source: " + "[" * 3000 + "]" * 3000,
            "line 1: more than 50,000 values, what aliases repeat included, or deeper",
        ),
        ("\n".join(" " * depth + "a:" for depth in range(60)), "deeper than 40 levels"),
        ("source: &a {leads: *a}", "the alias *a stands for what is not written before it"),
        ("#" * 1_000_001, "has 1,000,001 bytes; a params file has at most 1,000,000"),
    ],
)
def test_a_file_that_would_grow_in_memory_is_refused_before_it_is_built(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_an_alias_that_stands_for_little_is_read(tmp_path: Path) -> None:
    assert loaded(tmp_path, "snapshots: {horizon_days: &days 14, every_days: *days}").snapshots.every_days == 14


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("project: {threads: 100000}", "line 1: project.threads: Input should be less than or equal to 512"),
        (
            "snapshots: {horizon_days: 99999999999}",
            "snapshots.horizon_days: Input should be less than or equal to 36500",
        ),
        ("snapshots: {anchor: '9999-12-31'}", "snapshots.anchor: expected a day from 1900 to 2100 (found 9999-12-31)"),
        ("points: {double_odds: inf}", "points.double_odds: expected a number from -1e+15 to 1e+15 (found inf)"),
        ("features: {windows_days: [7, 99999999999]}", "features.windows_days.1"),
        ("delivery: {attempts: 2000}", "delivery.attempts: Input should be less than or equal to 100 (found 2000)"),
        ("monitor: {min_events: 1000000000000000000}", "monitor.min_events: expected a number from -1e+15 to 1e+15"),
        ("tiers: {value: {deal_value: .inf}}", "tiers.value.deal_value: expected a number"),
        ("delivery: {hubspot: {gone: {lead_score: .nan}}}", "delivery.hubspot.gone.lead_score: expected a number"),
        ("snapshots: {min_age_days: 300}", "min_age_days 300 lies above max_age_days 180"),
        ("simulate: {first_day: '2027-01-01'}", "first_day 2027-01-01 is not before last_day 2026-06-30"),
        ("delivery: {first_wait_s: 1000}", "first_wait_s 1000 is longer than longest_wait_s 300"),
        ("retrain: {rest_days: 100}", "rest_days 100 is longer than every_days 28"),
        ("search: {trials: 0, num_leaves: [60, 7]}", "search: num_leaves runs from 60 down to 7"),
    ],
)
def test_numbers_and_days_have_bounds_that_agree_with_each_other(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)
