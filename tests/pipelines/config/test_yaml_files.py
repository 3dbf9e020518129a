"""A params file is parsed once, however many read it, and anew when it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipelines.config.params import load
from pipelines.config.paths import read_paths


def test_a_file_is_parsed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, parsed = tmp_path / "mine.yaml", []
    load()  # params.yaml

    def counted(**kinds: Any) -> YAML:
        parsed.append(kinds)
        return YAML(**kinds)

    monkeypatch.setattr("pipelines.config.yaml_files.YAML", counted)
    for seed in (71, 72):
        file.write_text(f"project: {{seed: {seed}}}\npaths: {{out: results}}\n", encoding="utf-8")
        assert read_paths(file) == {"out": tmp_path / "results"}
        assert load(file).project.seed == load(file).project.seed == seed
    assert len(parsed) == 2
