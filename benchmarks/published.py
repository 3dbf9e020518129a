"""Which published figures the code has moved on from: `python -m benchmarks.published` marks them on their pages.

What a benchmark writes carries a digest of the code that makes features, models and scores. A page of such figures has
a line `<!-- made by: FILE.json -->`, and the line after it says by which code, and whether that is today's.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEARNING = (
    "features",
    "models/learners",
    "models/scorecard",
    "models/scoring",
    "models/splitting",
    "models/training",
    "pipelines/stages/backtest.py",
    "pipelines/stages/build_features.py",
    "pipelines/stages/train.py",
)
MARK = re.compile(r"(<!-- made by: (\S+\.json) -->\n)([^\n]*)")


class _Meaning(ast.NodeTransformer):
    """Drops what only people read: docstrings and the descriptions of parameters."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return super().generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST | None:
        return None if node.arg == "description" else self.generic_visit(node)


def code_digest(sources: dict[str, str]) -> str:
    """Return 16 hex digits that change with what any of some sources, by their paths, does, and not with its words."""
    digest = hashlib.sha256()
    for path, text in sorted(sources.items()):
        digest.update(f"{path}\0{ast.dump(_Meaning().visit(ast.parse(text)))}\0".encode())
    return digest.hexdigest()[:16]


def learning_code() -> str:
    """Return the digest of the code that makes features, models and scores."""
    files = [path for name in LEARNING for path in [ROOT / name, *(ROOT / name).rglob("*.py")] if path.suffix == ".py"]
    return code_digest({path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files})


def marked(text: str, root: Path, now: str) -> str:
    """Return a page whose marks say by which code its figures were made."""
    return MARK.sub(lambda found: found[1] + _status(root / found[2], now), text)


def _status(path: Path, now: str) -> str:
    code = json.loads(path.read_text(encoding="utf-8")).get("code")
    if code == now:
        return f"*Figures of `{path.name}`: made by the learning code as it is, `{code}`.*"
    made_by = f"`{code}`" if code else "from before figures carried a digest"
    return f"*Figures of `{path.name}`: **made by older code**, {made_by}; today's may differ.*"


def pages() -> list[Path]:
    """Return the pages that may print figures."""
    patterns = ("*.md", "docs/**/*.md", "benchmarks/*.md")
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def main() -> None:
    now = learning_code()
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := marked(text, ROOT, now)) != text:
            page.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
