"""Run every benchmark, each in a process of its own: `python -m benchmarks`.

Results go to benchmarks/out. A benchmark that needs the reference data says so and is passed over
where they are not there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Run them all; returns the number of those that failed."""
    failed = 0
    for script in sorted(FOLDER.glob("*.py")):
        if script.name.startswith("_"):
            continue
        print(f"== {script.stem}", flush=True)
        failed += subprocess.run([sys.executable, script], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
