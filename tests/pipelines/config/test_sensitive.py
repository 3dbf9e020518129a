"""Sensitive attributes are declared ones, and their bands ascend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features.schema.errors import ParamsError
from pipelines.config.params import load


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        ("sensitive: [nobody]", "audit.sensitive: 'nobody' is no number or category in source.attributes"),
        ("sensitive: [job_title]", "audit.sensitive: 'job_title' is no number or category"),
        ("sensitive: [country], bands: {country: [1]}", "audit.bands: 'country' is no number"),
        ("bands: {company_size: [1]}", "'company_size' is not in audit.sensitive"),
        ("sensitive: [company_size], bands: {company_size: [5, 5]}", "bands.company_size must ascend"),
    ],
)
def test_sensitive_attributes_are_there_and_their_bands_ascend(tmp_path: Path, audit: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"audit: {{{audit}}}", encoding="utf-8")
    with pytest.raises(ParamsError, match=re.escape(said)):
        load(tmp_path / "mine.yaml")
