"""Processes killed or stopped at any point, clocks that jump, a disk that is full.

No paid answer is lost, and none is paid for twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.asking import SCHEMA, guidance, texts
from support.batch_server import BatchServer, batch_server
from support.disks import CannotMount, fill, small_disk
from support.wall_clock import NoFakeTime, WallClock

from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.providers.batch import BatchState

PATIENT = 120.0
LONG_LEASE = "60"
"""For those of whom nobody dies, however slow the machine."""
TESTS = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@contextmanager
def asking(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that asks; it is dead afterwards."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.asking", *arguments],
        env=os.environ | {"PYTHONPATH": path} | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def count(ledger_url: str, table: str) -> int:
    engine = sa.create_engine(ledger_url)
    with closing(engine.connect()) as connection:
        try:
            query = sa.text(f"SELECT count(*) FROM {table}")
            return int(connection.scalar(query) or 0)
        except sa.exc.OperationalError:
            return 0  # the process has not made its tables yet
        finally:
            engine.dispose()


def test_paid_answers_outlive_a_kill(endpoint: Any, chat: Any, ledger_url: str) -> None:
    """Killed with some answers written and others not yet given: only these are asked again."""
    endpoint.behaviours.extend([chat.reply()] * 5 + [endpoint.hold] * 3)
    with asking(endpoint.url, ledger_url, "guide", "8") as process:
        for _ in range(8):
            assert endpoint.arrived.acquire(timeout=PATIENT)
        while count(ledger_url, "guidance_answers") < 5:
            assert process.poll() is None
            time.sleep(0.02)
    endpoint.released.set()
    with asking(endpoint.url, ledger_url, "guide", "8") as process:
        assert process.wait(PATIENT) == 0
    assert len(endpoint.bodies) == 8 + 3
    assert count(ledger_url, "guidance_answers") == 8
    with asking(endpoint.url, ledger_url, "guide", "8") as process:
        assert process.wait(PATIENT) == 0
    assert len(endpoint.bodies) == 8 + 3


def test_two_processes_ask_everything_once(endpoint: Any, ledger_url: str) -> None:
    """Two replicas with the same texts at the same time: one call a text, and both have it."""
    with (
        asking(endpoint.url, ledger_url, "guide", "40", LONG_LEASE) as one,
        asking(endpoint.url, ledger_url, "guide", "40", LONG_LEASE) as other,
    ):
        for process in (one, other):
            assert process.wait(PATIENT) == 0
    assert len(endpoint.bodies) == 40


@contextmanager
def one_asks_and_one_waits(
    endpoint: Any, ledger_url: str, lease: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """Two processes with the same text: the endpoint has the first one's request, and holds it."""
    endpoint.behaviours.append(endpoint.hold)
    with asking(endpoint.url, ledger_url, "guide", "1", lease, **environment) as asks:
        assert endpoint.arrived.acquire(timeout=PATIENT)
        with asking(endpoint.url, ledger_url, "guide", "1", lease, **environment) as waits:
            while count(ledger_url, "guidance_holders") < 2:
                assert waits.poll() is None
                time.sleep(0.02)
            yield asks, waits


def renewals(ledger_url: str, times: int) -> None:
    """Wait until every holder of claims has renewed its lease that often."""
    engine = sa.create_engine(ledger_url)
    query = sa.text("SELECT id, expire_time FROM guidance_holders")
    seen: dict[str, set[float]] = {}
    deadline = time.monotonic() + PATIENT
    while not seen or min(map(len, seen.values())) <= times:
        assert time.monotonic() < deadline, "somebody has stopped renewing"
        with closing(engine.connect()) as connection:
            for holder, value in connection.execute(query):
                seen.setdefault(holder, set()).add(value)
        time.sleep(0.02)
    engine.dispose()


def test_a_machine_that_stands_still_ages_nobody(endpoint: Any, ledger_url: str) -> None:
    """Both stopped for longer than a lease, as a suspended machine does: nothing is asked again."""
    with one_asks_and_one_waits(endpoint, ledger_url, "4") as (asks, waits):
        for process in (asks, waits):
            process.send_signal(signal.SIGSTOP)
        time.sleep(6)
        # Who waits wakes first, and finds a lease that has run out by every clock.
        for process in (waits, asks):
            process.send_signal(signal.SIGCONT)
        renewals(ledger_url, 2)
        endpoint.released.set()
        assert [process.wait(PATIENT) for process in (asks, waits)] == [0, 0]
    assert len(endpoint.bodies) == 1


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    try:
        return WallClock(tmp_path / "clock")
    except NoFakeTime as problem:
        pytest.skip(str(problem))


@pytest.mark.parametrize("seconds", [7200, -7200], ids=["forward", "back"])
def test_a_clock_that_jumps_ends_no_claim_of_the_living(
    endpoint: Any, ledger_url: str, clock: WallClock, seconds: int
) -> None:
    with one_asks_and_one_waits(endpoint, ledger_url, "4", **clock.environment) as (asks, waits):
        clock.jump(seconds)
        renewals(ledger_url, 3)
        endpoint.released.set()
        assert [process.wait(PATIENT) for process in (asks, waits)] == [0, 0]
    assert len(endpoint.bodies) == 1


def test_a_clock_that_was_set_back_keeps_no_claim_of_the_dead(
    endpoint: Any, ledger_url: str, clock: WallClock
) -> None:
    """Its lease would end in two hours by the clock; who waits for it goes on nevertheless."""
    with one_asks_and_one_waits(endpoint, ledger_url, "1", **clock.environment) as (asks, waits):
        asks.kill()
        clock.jump(-7200)
        assert waits.wait(PATIENT) == 0
    assert len(endpoint.bodies) == 2


def test_what_was_paid_for_on_a_full_disk_is_written_when_there_is_room(
    endpoint: Any, tmp_path: Path
) -> None:
    """Eight calls are in flight when the disk fills; their answers wait in memory for room."""
    endpoint.behaviours.extend([endpoint.hold] * 8)
    try:
        with small_disk(tmp_path / "disk", mib=2) as disk:
            ledger_url = f"sqlite:///{disk / 'ledger.sqlite'}"
            ballast = disk / "ballast"
            with asking(endpoint.url, ledger_url, "guide", "8") as process:
                for _ in range(8):
                    assert endpoint.arrived.acquire(timeout=PATIENT)
                fill(ballast)
                endpoint.released.set()
                time.sleep(2)  # it tries meanwhile
                assert count(ledger_url, "guidance_answers") == 0
                ballast.unlink()
                assert process.wait(PATIENT) == 0
            assert count(ledger_url, "guidance_answers") == 8
    except CannotMount as problem:
        pytest.skip(str(problem))
    assert len(endpoint.bodies) == 8


def test_who_waits_for_a_process_that_dies_asks_himself(endpoint: Any, ledger_url: str) -> None:
    endpoint.behaviours.append(endpoint.hold)
    with asking(endpoint.url, ledger_url, "guide", "1") as doomed:
        assert endpoint.arrived.acquire(timeout=PATIENT)
        with asking(endpoint.url, ledger_url, "guide", "1") as heir:
            while count(ledger_url, "guidance_holders") < 2:
                assert heir.poll() is None
                time.sleep(0.02)
            assert len(endpoint.bodies) == 1
            doomed.kill()
            assert heir.wait(PATIENT) == 0
    assert len(endpoint.bodies) == 2


CREATE = "POST /v1/batches"


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with batch_server() as running:
        yield running


@pytest.mark.parametrize(
    ("held", "created"),
    [("POST /v1/files", 0), (CREATE, 1)],
    ids=["before the batch is created", "after it, before that is known here"],
)
def test_a_batch_outlives_a_kill(
    server: BatchServer, ledger_url: str, held: str, created: int
) -> None:
    """Killed at its worst moment, a batch is neither lost nor doubled."""
    server.held.add(held)
    with asking(server.url, ledger_url, "batch", "5"):
        assert server.arrived.acquire(timeout=PATIENT)
    server.held.clear()
    assert len(server.batches) == created
    if created:
        server.end()

    async def go_on() -> None:
        work = guidance(server.url, ledger_url)
        await work.open()
        try:
            (batch,) = await work.batches.list()
            while batch.state is BatchState.RUNNING:
                batch = await work.batches.get(batch.id)
                await asyncio.sleep(0.05)  # until the dead process's lease has ended
            assert (batch.state, batch.answered) == (
                (BatchState.SUCCEEDED, 4) if created else (BatchState.FAILED, 0)
            )
            outcomes = await work.guide(texts(5), SCHEMA, timeout_seconds=PATIENT)
            assert all(isinstance(outcome, Guided) for outcome in outcomes)
            assert (await work.spending()).usage.calls == 5
        finally:
            await work.close()

    asyncio.run(go_on())
    assert len(server.batches) == created
    assert len(server.chats) == (1 if created else 5)
