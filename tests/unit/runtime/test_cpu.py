"""Threads follow what the container may use, not what the host has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slcolm_services.runtime.cpu import available_cpus


@pytest.fixture(autouse=True)
def sixteen_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")


def test_without_cgroups_the_affinity_mask_decides(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == 16


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("250000 100000\n", 3),
        ("50000 100000\n", 1),
        ("9900000 100000\n", 16),
    ],
)
def test_a_version_2_quota_limits(tmp_path: Path, quota: str, cpus: int) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota})
    assert available_cpus(tmp_path) == cpus


def test_the_smallest_quota_above_our_group_limits(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pods/pod1/container\n",
            "sys/fs/cgroup/pods/pod1/container/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pods/pod1/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/pods/cpu.max": "800000 100000\n",
        },
    )
    assert available_cpus(tmp_path) == 4


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 16), ("300000", 3)])
def test_a_version_1_quota_limits(tmp_path: Path, quota: str, cpus: int) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": f"{quota}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert available_cpus(tmp_path) == cpus
