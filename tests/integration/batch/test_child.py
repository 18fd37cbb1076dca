"""The service that `slcolm batch --model` starts for itself, killed while it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.letters import write_model

from slcolm_client import connect, wait_until_ready
from slcolm_services.batch import child as children
from slcolm_services.batch.child import extraction_service
from slcolm_services.errors import ServiceUnavailable

ROWS, SHARD_ROWS = 2000, 200


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def child_of(pid: int) -> int:
    """The one process that another has started."""
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(found)


def test_a_service_that_is_killed_costs_time_and_no_row(model: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"AxBy{'Ax' * (n % 9)}\n" for n in range(ROWS)), encoding="utf-8")

    def start(out: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "slcolm_services", "batch", "--json"),
                *("--input", str(corpus), "--output", str(out), "--model", str(model)),
                *("--shard-rows", str(SHARD_ROWS), "--batch-size", "4", "--patience", "60"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"SLCOLM_EXTRACTION_THREADS": "1"},
        )

    whole, out = tmp_path / "whole", tmp_path / "out"
    start(whole).communicate(timeout=120)
    command = start(out)
    wait_for((out / "part-00001.jsonl").exists)
    os.kill(child_of(command.pid), signal.SIGKILL)
    stdout, stderr = command.communicate(timeout=120)

    assert command.returncode == 0, stderr
    assert json.loads(stdout)["rows"] == ROWS
    assert json.loads(stdout)["failed"] == {}
    assert "extraction service started again" in stderr
    assert "status -9" in stderr
    shards = [f"part-{number:05}.jsonl" for number in range(ROWS // SHARD_ROWS)]
    assert [(out / name).read_bytes() for name in shards] == [
        (whole / name).read_bytes() for name in shards
    ]


def test_it_is_started_again_at_its_address_so_often(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_MOST_RESTARTS", 1)
    with extraction_service(model) as child:
        address, pid = child.address, child.pid
        child.check()
        assert child.pid == pid

        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        child.check()
        assert (child.address, child.pid != pid) == (address, True)
        with connect(address) as channel:
            assert wait_until_ready(channel, timeout_seconds=30)

        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ServiceUnavailable, match=r"(?s)status -9.*it was started 2 times"):
            child.check()


def test_one_that_cannot_start_again_is_not_tried_again(model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "model"
    moved.symlink_to(model)
    with extraction_service(moved) as child:
        moved.unlink()
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ServiceUnavailable, match="ended with status 1"):
            child.check()
