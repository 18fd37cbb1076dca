"""List what is installed with this Python, and under which licence: `python scripts/licences.py`.

A line for each package: name, version and licence, as the package itself declares it. A package
that declares none is an error: somebody has to look.
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions

_CLASSIFIER = "License :: "


def main() -> None:
    """Print the list; exit status 1 where a package has no licence."""
    missing = []
    for package in sorted(distributions(), key=lambda item: item.name.lower()):
        found = licence(package)
        if not found:
            missing.append(package.name)
        print(package.name, package.version, found or "UNKNOWN", sep="\t")
    if missing:
        print(f"no licence is declared by: {', '.join(missing)}", file=sys.stderr)
        sys.exit(1)


def licence(package: Distribution) -> str:
    """An SPDX expression where there is one, else what was declared in one of the older ways."""
    metadata = package.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = {
        line.removeprefix(_CLASSIFIER).removeprefix("OSI Approved :: ")
        for line in metadata.get_all("Classifier", [])
        if line.startswith(_CLASSIFIER) and line != f"{_CLASSIFIER}OSI Approved"
    }
    if classifiers:
        return " AND ".join(sorted(classifiers))
    # Some put the whole text there.
    return str(metadata.get("License", "")).strip().partition("\n")[0]


if __name__ == "__main__":
    main()
