"""Where the checkout lies, and the real data beside it, which some machines lack."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"
