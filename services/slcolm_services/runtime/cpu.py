"""How many processors this process may really use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """Processors that the affinity mask and the CPU quotas of the cgroups leave, at least 1.

    Numeric libraries ask the host for its cores and know nothing of quotas; in a container they
    then start too many threads, which the kernel stops in turn.

    Args:
        root: Where `proc` and `sys` are; another folder in tests.
    """
    # macOS and Windows have neither affinity masks nor cgroups.
    affinity = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Quotas in processors, of version 2 and version 1 cgroups."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            # A quota may stand on any group above ours; seen from inside, ours may be "/".
            group = mount / path.lstrip("/")
            for folder in (group, *group.parents):
                yield from _ratio(*_read(folder / "cpu.max").split()[:2])
                if folder == mount:
                    break
        elif "cpu" in controllers.split(","):
            for folder in (mount / "cpu" / path.lstrip("/"), mount / "cpu"):
                quota = _read(folder / "cpu.cfs_quota_us").strip()
                yield from _ratio(quota, _read(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str = "", period: str = "") -> Iterator[float]:
    # No quota reads `max` in version 2 and -1 in version 1.
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
