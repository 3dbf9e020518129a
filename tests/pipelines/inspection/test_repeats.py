"""`inspect` counts leads that may be others once more, and shows none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.inspection.proposal import inspect

Lead = tuple[str, str, str, str]
ROWS: list[Lead] = [
    (f"p{n}@firm{n}.example", f"0{150 + n} {3_000_000 + 7919 * n}", f"Name{n} Last{n}", f"Firm {n}") for n in range(60)
]
AGAIN: list[Lead] = [
    ("P1@firm1.example", "", "Other One", "Else"),
    ("p2+crm@firm2.example", "", "Other Two", "Else"),
    ("x3@else.example", "+49 153 3023757", "Other Three", "Else"),
    ("x4@else.example", "", "LAST4 NAME4", "FIRM 4 GmbH"),
    ("p5@firm5.example", "0155-3039595", "Name5 Last5", "Firm 5"),
]


def warnings(folder: Path, head: str, rows: list[Lead]) -> list[str]:
    lines = [f"L{n},{mail},{phone},{name},{firm},{n % 3 == 0}" for n, (mail, phone, name, firm) in enumerate(rows)]
    (folder / "leads.csv").write_text("\n".join([f"lead_id,{head},converted", *lines]) + "\n", encoding="utf-8")
    return [said for said in inspect(folder / "leads.csv", None, None).warnings if "once more" in said]


@pytest.mark.parametrize("head", ["Email,Phone,Name,Company", "E-Mail,Telefon,Full Name,Firma"])
def test_repeats_are_counted_by_each_way(head: str, tmp_path: Path) -> None:
    assert warnings(tmp_path, head, ROWS + AGAIN) == [
        "leads.csv: 5 leads may be others once more (3 by mail, 2 by phone, 2 by name and company); where they are, "
        "merge them in the CRM, or list old and new ids in source.aliases"
    ]


def test_leads_that_differ_are_no_repeats(tmp_path: Path) -> None:
    assert warnings(tmp_path, "Email,Phone,Name,Company", ROWS) == []


def test_names_in_two_columns(tmp_path: Path) -> None:
    rows = [f"L{n},Ann{n % 50},Lee{n % 50},Firm{n % 50},{n % 3 == 0}" for n in range(100)]
    text = "\n".join(["lead_id,First Name,Last Name,Account,converted", *rows]) + "\n"
    (tmp_path / "leads.csv").write_text(text, encoding="utf-8")
    said = " ".join(inspect(tmp_path / "leads.csv", None, None).warnings)
    assert "50 leads may be others once more (50 by name and company)" in said
