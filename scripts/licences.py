"""List the licences of what an SBOM names: `python scripts/licences.py sbom.cdx.json`.

A line for each component: name, version and licence, as the package itself declares it. A package
that declares none is an error: somebody has to look.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Print the list; exit status 1 where a component has no licence."""
    (path,) = sys.argv[1:]
    components = json.loads(Path(path).read_text(encoding="utf-8"))["components"]
    missing = []
    for component in sorted(components, key=lambda item: str(item["name"]).lower()):
        found = licences(component)
        if not found:
            missing.append(component["name"])
        print(component["name"], component["version"], " AND ".join(found) or "UNKNOWN", sep="\t")
    if missing:
        print(f"no licence is declared by: {', '.join(missing)}", file=sys.stderr)
        sys.exit(1)


def licences(component: dict[str, Any]) -> list[str]:
    """SPDX expressions where there are some, else what was declared otherwise."""
    expressions, others = [], []
    for entry in component.get("licenses", []):
        licence = entry.get("license", {})
        if "expression" in entry:
            expressions.append(entry["expression"])
        elif "id" in licence:
            expressions.append(licence["id"])
        elif licence.get("name"):
            others.append(licence["name"])
    return sorted(set(expressions or others))


if __name__ == "__main__":
    main()
