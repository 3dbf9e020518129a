"""params.yaml is complete and explained, an overlay states only what differs, and what cannot be meant is refused."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from features.schema.errors import ParamsError
from pipelines.config.params import DEFAULT, Params, load, with_as_of

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
    text = refusal(tmp_path, SOURCE.replace('  yes_values: ["1"]\n', ""))
    assert "source.yes_values: Field required (found nothing)" in text


def test_what_a_table_or_attribute_leaves_out_comes_from_the_defaults(tmp_path: Path) -> None:
    named = SOURCE.replace("attributes: {}", "attributes: {size: {known: export}, town: {column: City, known: export}}")
    found = loaded(tmp_path, named).source
    assert (found.leads.format, found.leads.missing, found.outcomes.separator) == ("csv", [""], ",")
    assert {name: spec.column for name, spec in found.attributes.items()} == {"size": "size", "town": "City"}
    assert (found.attributes["size"].kind, found.event_defaults.channel) == ("category", "online")
    other = loaded(tmp_path, named + "source_defaults: {table: {separator: ';'}, attribute: {kind: number}}").source
    assert (other.leads.separator, other.leads.encoding, other.attributes["town"].kind) == (";", "utf-8", "number")


def test_the_same_file_as_base_and_overlay_is_read_once() -> None:
    assert load(DEFAULT) == load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {bosters: 3}", "train.bosters: Extra inputs are not permitted (found 3)"),
        ("trane: {boosters: 3}", "trane: Extra inputs are not permitted"),
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
        ("selection: {folds: {count: 1}}", "selection.folds.count: Input should be greater than or equal to 2"),
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
        ("source_defaults: {tabel: {}}", "source_defaults.tabel: Extra inputs are not permitted"),
        ("source_defaults: {table: 5}", "source_defaults.table: Input should be a valid dictionary (found 5)"),
        ("source_defaults: 5", "source_defaults: Input should be a valid dictionary"),
        ("source_defaults: {event: {direction: up}}", "source_defaults.event.direction"),
        (
            "source_defaults: {table: {colour: red}}",
            "source.leads.colour: Extra inputs are not permitted (found 'red')",
        ),
        ("source: 5", "source: Input should be a valid dictionary"),
        ("source: {}", "source.order: Field required (found nothing)"),
    ],
)
def test_a_fault_names_the_file_the_key_and_what_was_found(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def attribute(text: str, order: str = "none") -> str:
    return SOURCE.replace("attributes: {}", f"attributes: {{town: {text}}}").replace("order: none", f"order: {order}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (attribute("{known: outcome}"), "source.attributes.town: an attribute that is known: outcome says why"),
        (attribute("{known: later}"), "source.attributes.town.known: Input should be 'creation', 'history'"),
        (attribute("{colour: red}"), "source.attributes.town.colour: Extra inputs are not permitted (found 'red')"),
        (attribute("5"), "source.attributes.town: Input should be a valid dictionary"),
        (
            attribute("{known: history}"),
            "source: attribute 'town' is known: history, but source.attribute_history lists",
        ),
        (SOURCE.replace("events: []", "events: [{path: e.csv}]"), "source: events need order: dates"),
        (SOURCE.replace("events: []", "events: {path: e.csv}"), "source.events: Input should be a valid list"),
        (SOURCE.replace("events: []", "events: [e.csv]"), "source.events.0: Input should be a valid dictionary"),
        (SOURCE.replace("events: []", "events: [{format: csv}]"), "source.events.0.path: Field required"),
        (
            SOURCE.replace("order: none", "order: dates"),
            "source: order is 'dates' but leads.columns does not map created_at",
        ),
        (SOURCE.replace("{lead_id: id}}", "{lead_id: id, created_at: day}}"), "order is 'none' but leads.columns maps"),
        (SOURCE.replace("leads: {path: a.csv, columns", "leads: {columns"), "source.leads.path: Field required"),
        (
            SOURCE.replace("leads: {path: a.csv, columns: {lead_id: id}}", "leads: a.csv"),
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
        with pytest.raises(ParamsError, match=f"no params file at {re.escape(str(missing))}; give one with --params"):
            load(missing)


def test_a_key_that_the_base_lacks_is_named(tmp_path: Path) -> None:
    tree = YAML(typ="safe", pure=True).load(DEFAULT.read_text(encoding="utf-8"))
    for section, key in (
        ("train", "max_bin"),
        ("points", None),
        ("source_defaults", "table"),
        ("source_defaults", None),
    ):
        cut = {name: dict(value) for name, value in tree.items()}
        place = cut if key is None else cut[section]
        del place[key or section]
        with (tmp_path / "base.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(cut, file)
        with pytest.raises(ParamsError, match=f"{section}{'.' + key if key else ''}: ") as caught:
            load(base=tmp_path / "base.yaml")
        assert str(tmp_path / "base.yaml") in str(caught.value)


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


def test_nothing_can_be_changed_once_it_is_read() -> None:
    params = load()
    for section in (params, params.train, params.source, params.source.leads, params.points, params.features):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), 1)


KEY = re.compile(r"^(?P<indent> *)(?:- )?(?P<key>[A-Za-z_]+):")


def uncommented(text: str) -> list[str]:
    """Keys with no comment in their own line, in the line below, or at a key above that is not a section of all."""
    lines, left, above = text.splitlines(), [], list[tuple[int, str, bool]]()
    for number, line in enumerate(lines):
        found = KEY.match(line)
        if not found:
            continue
        indent = len(found["indent"])
        above = [each for each in above if each[0] < indent]
        below = lines[number + 1].strip() if number + 1 < len(lines) else ""
        commented = "  # " in line or below.startswith("#")
        is_leaf = not line.partition("  #")[0].rstrip().endswith(":")
        if is_leaf and not commented and not any(each[2] for each in above):
            left.append(".".join([*(each[1] for each in above), found["key"]]))
        above.append((indent, found["key"], commented))
    return left


def test_every_key_is_explained_by_a_comment() -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    assert uncommented(text) == []
    for line, key in {"  seed: ": "project.seed", "  per_period: ": "capacity.per_period"}.items():
        bare = re.sub(rf"^({line}\d+)  #.*$", r"\1", text, flags=re.MULTILINE)
        assert uncommented(bare) == [key]
