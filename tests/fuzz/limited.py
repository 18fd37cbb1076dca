"""One input through one target in a process that may use only so much: `python -m fuzz.limited`.

    python -m fuzz.limited TARGET FILE CPU_SECONDS MEMORY_MIB

Limits of the processor's time, unlike those of the clock, mean the same on a busy machine.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from fuzz.targets import TARGETS


def main() -> None:
    """Set the limits when everything is imported, then try the input."""
    _, name, path, seconds, memory = sys.argv
    target, content = TARGETS[name], Path(path).read_bytes()
    for seed in target.seeds():
        target.check(seed)
    used = resource.getrusage(resource.RUSAGE_SELF)
    at_most = int(used.ru_utime + used.ru_stime) + int(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (at_most, at_most))
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory) * 1024**2,) * 2)
    target.check(content)


if __name__ == "__main__":
    main()
