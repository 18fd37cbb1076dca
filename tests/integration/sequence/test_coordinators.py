"""Several coordinators on one run database: no stage twice, and the dead are replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support.annals import Data
from support.postgres import NoPostgres, cluster
from support.trained import Trained
from support.wall_clock import NoFakeTime, WallClock

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client
from slcolm_services.embedded import PEERS, Embedded

_PATIENCE_SECONDS = 240.0


@dataclass
class Coordinator:
    """A coordinator in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    log: Path

    def stages(self, event: str) -> list[tuple[str, str]]:
        """Run and stage of the log lines of an event."""
        text = self.log.read_text(encoding="utf-8")
        # gRPC writes lines of its own.
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [(line["run_id"], line["stage"]) for line in lines if line["event"] == event]


Start = Callable[..., Coordinator]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    try:
        with cluster() as running:
            yield running
    except NoPostgres as problem:
        pytest.skip(str(problem))


@pytest.fixture(params=["sqlite", "postgresql"])
def start(
    request: pytest.FixtureRequest, system: Embedded, home: Path, tmp_path: Path
) -> Iterator[Start]:
    """Starts coordinators on one new database, beside the services of the tests' system."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    else:
        url = request.getfixturevalue("postgres").new_database()
    config = tmp_path / "coordinator.toml"
    peers = {f"{role}_address": system.addresses[role] for role in PEERS}
    own = {"store": str(home / "store"), "database_url": url, **peers}
    config.write_text(tomli_w.dumps({"coordinator": own, "server": {"port": 0}}), "utf-8")
    command = [sys.executable, "-m", "slcolm_services", "serve", "--role", "coordinator"]
    with ExitStack() as stack:

        def spawn(**environment: str) -> Coordinator:
            log = tmp_path / f"{time.monotonic_ns()}.log"
            stderr = stack.enter_context(log.open("w", encoding="utf-8"))
            process = subprocess.Popen(
                [*command, "--config", str(config)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **environment},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            stack.callback(process.stdout.close)
            address = json.loads(process.stdout.readline())["address"]
            return Coordinator(process, address, log)

        yield spawn


def _has_begun(coordinator: Coordinator, run_id: str, stage: str) -> bool:
    return (run_id, stage) in coordinator.stages("stage started")


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def test_no_stage_is_run_twice_and_both_see_every_run(
    start: Start, data: Data, home: Path, trained: Trained
) -> None:
    trained.give(home, 31, 32, 33)
    first, second = start(), start()
    with Client(first.address) as one, Client(second.address) as other:
        created = [
            client.create_run(data.spec(client, seed=seed)).id
            for seed, client in ((31, one), (32, other), (33, one))
        ]
        for run_id in created:
            *_, last = other.watch_run(run_id, timeout_seconds=_PATIENCE_SECONDS)
            assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
        assert {run.id for run in one.list_runs()} == set(created)
    started = Counter(first.stages("stage started") + second.stages("stage started"))
    assert len(started) == 9 * len(created)
    assert set(started.values()) == {1}


def test_what_a_killed_coordinator_has_left_another_one_finishes(
    start: Start, data: Data, home: Path, trained: Trained
) -> None:
    trained.give(home, 41)
    both = first, second = start(), start()
    with Client(first.address) as client:
        run_id = client.create_run(data.spec(client, seed=41)).id
    _until(lambda: first.stages("stage started") or second.stages("stage started"))
    dead, alive = both if first.stages("stage started") else (second, first)
    _until(lambda: dead.stages("stage done"))
    os.kill(dead.process.pid, signal.SIGKILL)
    with Client(alive.address) as client:
        *_, last = client.watch_run(run_id, timeout_seconds=_PATIENCE_SECONDS)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    again = set(dead.stages("stage done")) & set(alive.stages("stage started"))
    # The last one may have been done and not yet recorded.
    assert again <= set(dead.stages("stage done")[-1:])


def test_a_coordinator_that_stands_still_keeps_its_runs(
    start: Start, data: Data, home: Path, trained: Trained
) -> None:
    """Only the end of a process frees its runs: no clock that another one could read wrong."""
    trained.give(home, 51)
    first = start()
    with Client(first.address) as client:
        run_id = client.create_run(data.spec(client, seed=51)).id
    _until(lambda: first.stages("stage started"))
    os.kill(first.process.pid, signal.SIGSTOP)
    second = start()
    time.sleep(6.0)  # three rounds of looking for the dead
    assert not second.stages("stage started")
    os.kill(first.process.pid, signal.SIGCONT)
    with Client(second.address) as client:
        *_, last = client.watch_run(run_id, timeout_seconds=_PATIENCE_SECONDS)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    assert not second.stages("stage started")


def test_a_run_is_cancelled_through_a_coordinator_that_does_not_work_on_it(
    start: Start, data: Data
) -> None:
    first = start()
    with Client(first.address) as client:
        run_id = client.create_run(data.spec(client, seed=71)).id
    _until(lambda: first.stages("stage started"))
    with Client(start().address) as client:
        assert client.cancel_run(run_id).state == coordinator_pb2.RUN_STATE_CANCELLED
    _until(lambda: first.stages("stage failed"))
    assert len(first.stages("stage started")) == len(first.stages("stage done")) + 1


def test_a_clock_that_jumps_changes_nothing(start: Start, data: Data, tmp_path: Path) -> None:
    """Days ahead, days back and a year ahead, in the middle of stages."""
    try:
        clock = WallClock(tmp_path / "offset")
    except NoFakeTime as problem:
        pytest.skip(str(problem))
    coordinator = start(**clock.environment)
    with Client(coordinator.address) as client:
        run_id = client.create_run(data.spec(client, seed=42)).id
        for stage, days in (("train", 2), ("index", -2), ("guide", 400)):
            _until(partial(_has_begun, coordinator, run_id, stage))
            clock.jump(days * 86_400)
        *_, last = client.watch_run(run_id, timeout_seconds=_PATIENCE_SECONDS)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    started = Counter(coordinator.stages("stage started"))
    assert len(started) == 9
    assert set(started.values()) == {1}
