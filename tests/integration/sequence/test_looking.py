"""Looking at runs runs nothing: the records of a home are read as they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from support.annals import Data

from slcolm_client import Client
from slcolm_services.embedded import Embedded


def _runs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slcolm_services", "runs", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def _listed(home: Path) -> dict[str, Any]:
    result = _runs("list", "--home", home, "--json")
    assert result.returncode == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    assert isinstance(run, dict)
    return run


def test_an_interrupted_run_is_shown_and_cancelled_without_going_on(
    data: Data, tmp_path: Path
) -> None:
    with Embedded(tmp_path) as system, Client(system.coordinator) as client:
        created = client.create_run(data.spec(client, seed=4))
        for state in client.watch_run(created.id, timeout_seconds=120):
            if state.stages[0].total:
                break
        at_work = _listed(tmp_path)
        refused = _runs("cancel", created.id, "--home", tmp_path)
        coordinator = psutil.Process(system.pids["coordinator"])
        os.kill(coordinator.pid, signal.SIGKILL)
        while coordinator.is_running() and coordinator.status() != psutil.STATUS_ZOMBIE:
            pass
    logs = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}

    left = _listed(tmp_path)
    shown = _runs("show", created.id, "--home", tmp_path)
    cancelled = _runs("cancel", created.id, "--home", tmp_path, "--json")

    assert (at_work["id"], at_work["interrupted"]) == (created.id, False)
    assert refused.returncode == 1
    assert "HOME_IN_USE" in refused.stderr
    assert (left["state"], left["interrupted"]) == ("RUN_STATE_RUNNING", True)
    assert shown.returncode == 0, shown.stderr
    assert f"run {created.id} interrupted" in shown.stdout
    assert json.loads(cancelled.stdout)["state"] == "RUN_STATE_CANCELLED"
    assert _listed(tmp_path)["interrupted"] is False
    # No service was started: each writes to its log first of all.
    assert logs == {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}


def test_a_run_that_is_not_there_and_a_home_that_is_not_there_are_named(tmp_path: Path) -> None:
    missing = _runs("list", "--home", tmp_path / "nowhere")

    assert missing.returncode == 1
    assert "nowhere" in missing.stderr
    assert not (tmp_path / "nowhere").exists()
