"""Processes killed outright, at any point: no paid answer is lost, none is paid for twice."""

from __future__ import annotations

import asyncio
import os
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

from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.providers.batch import BatchState

PATIENT = 60.0
TESTS = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@contextmanager
def asking(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that asks; it is dead afterwards."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.asking", *arguments],
        env=os.environ | {"PYTHONPATH": path},
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
        asking(endpoint.url, ledger_url, "guide", "40") as one,
        asking(endpoint.url, ledger_url, "guide", "40") as other,
    ):
        for process in (one, other):
            assert process.wait(PATIENT) == 0
    assert len(endpoint.bodies) == 40


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
