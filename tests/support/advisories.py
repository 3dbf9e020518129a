"""What pip-audit found, in a line: `make test` fails on a known weakness, and says where it could not ask."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def verdict(answer: str) -> tuple[str, bool]:
    """Say what pip-audit's JSON holds, and whether a weakness is known; an answer that is none says so.

    Examples
    --------
    >>> verdict('{"dependencies": [{"name": "x", "version": "1", "vulns": []}]}')
    ('pip-audit: no known weakness in 1 package', False)
    >>> verdict("")[1]
    False
    """
    try:
        packages = json.loads(answer)["dependencies"]
        weak = {
            f"{one['name']} {one['version']}": [of["id"] for of in one["vulns"]] for one in packages if one.get("vulns")
        }
    except (ValueError, KeyError, TypeError):
        packages, weak = [], {}
    asked = sum("vulns" in one for one in packages)
    if weak:
        found = "; ".join(f"{name}: {', '.join(ids)}" for name, ids in weak.items())
        return f"pip-audit: known weaknesses: {found}; raise the versions by `make lock`", True
    if not asked:
        why = "as the advisory service of PyPI did not answer"
        return f"pip-audit: no package was checked, {why}; `make audit` asks again", False
    rest = f"; {len(packages) - asked} could not be asked about" if asked < len(packages) else ""
    return f"pip-audit: no known weakness in {asked} package{'s' if asked > 1 else ''}{rest}", False


if __name__ == "__main__":
    path = Path(sys.argv[1])
    line, failed = verdict(path.read_text(encoding="utf-8") if path.is_file() else "")
    print(line)
    sys.exit(failed)
