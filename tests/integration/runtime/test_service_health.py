"""What real services say of their databases, folders, models, endpoints and peers when these go."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import tomli_w
from support.asking import SCHEMA, texts
from support.chat_server import chat_server, reply
from support.disks import CannotMount, fill, read_only, small_disk
from support.health import NOT_SERVING, SERVING, becomes, states
from support.postgres import NoPostgres, cluster
from support.s3 import s3_server

from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.embedded import PEERS
from slcolm_services.guidance import service as guidance
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.retrieval import service as retrieval
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.runtime.config import Secret, ServerConfig
from slcolm_services.runtime.server import Server, Service
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire
from slcolm_services.training import service as training
from slcolm_services.training.config import TrainingConfig

_PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Server]:
    config = ServerConfig(check_seconds=0.2, drain_delay_seconds=0.0, grace_seconds=0.0)
    async with Server(service, config) as server:
        await server.load()
        yield server


def test_guidance_is_not_ready_without_its_ledger(tmp_path: Path) -> None:
    """SQLite goes on writing to a file that was deleted: everything would work and be lost."""
    config = GuidanceConfig(ledger_url=Secret(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))

    async def scenario() -> None:
        async with running(guidance.build(config)) as server:
            assert await states(server.address, "", "ledger") == [SERVING] * 2
            (tmp_path / "ledger.sqlite").rename(tmp_path / "elsewhere")
            await becomes(server.address, "", NOT_SERVING)
            assert await states(server.address, "ledger", "liveness") == [NOT_SERVING, SERVING]
            (tmp_path / "elsewhere").rename(tmp_path / "ledger.sqlite")
            await becomes(server.address, "", SERVING)

    asyncio.run(scenario())


def test_guidance_is_not_ready_while_its_disk_is_full(tmp_path: Path) -> None:
    async def scenario(disk: Path) -> None:
        service = guidance.build(
            GuidanceConfig(ledger_url=Secret(f"sqlite:///{disk / 'ledger.sqlite'}"))
        )
        async with running(service) as server:
            fill(disk / "ballast")
            await becomes(server.address, "ledger", NOT_SERVING)
            assert await states(server.address, "") == [NOT_SERVING]
            (disk / "ballast").unlink()
            await becomes(server.address, "", SERVING)

    try:
        with small_disk(tmp_path / "disk", mib=2) as disk:
            asyncio.run(scenario(disk))
    except CannotMount as problem:
        pytest.skip(str(problem))


def test_an_endpoint_that_keeps_failing_is_told_and_the_ledger_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")

    async def guide(server: Server, count: int) -> list[Any]:
        items = [
            guidance_pb2.GuideItem(prediction=document_to_wire(item.prediction))
            for item in texts(count)
        ]
        asked = guidance_pb2.GuideRequest(items=items, schema=schema_to_wire(SCHEMA))
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = guidance_pb2_grpc.GuidanceServiceStub(channel)
            answer = await stub.Guide(asked, timeout=_PATIENCE_SECONDS)
        return [result.WhichOneof("outcome") for result in answer.results]

    async def scenario() -> None:
        with chat_server() as endpoint:
            config = GuidanceConfig(
                provider="openai",
                model="tiny",
                base_url=endpoint.url,
                api_key_env="",
                ledger_url=Secret(f"sqlite:///{tmp_path / 'ledger.sqlite'}"),
                max_attempts=1,
                backoff_seconds=0.1,
                max_backoff_seconds=0.5,
            )
            async with running(guidance.build(config)) as server:
                assert await states(server.address, "provider/openai") == [SERVING]
                assert await guide(server, 1) == ["guided"]
                usual, endpoint.usual = endpoint.usual, lambda _: reply(500, {})
                while await states(server.address, "provider/openai") == [SERVING]:
                    assert await guide(server, 2) == ["guided", "error"]
                # What is in the ledger needs no endpoint: the service takes calls.
                assert await states(server.address, "") == [SERVING]
                endpoint.usual = usual
                while await states(server.address, "provider/openai") == [NOT_SERVING]:
                    await guide(server, 3)

    asyncio.run(scenario())


def test_retrieval_is_not_ready_without_its_folder(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(retrieval.build(RetrievalConfig(folder=tmp_path / "index"))) as server:
            assert await states(server.address, "", "index") == [SERVING] * 2
            shutil.rmtree(tmp_path / "index")
            await becomes(server.address, "", NOT_SERVING)
            assert await states(server.address, "index") == [NOT_SERVING]

    asyncio.run(scenario())


def test_retrieval_is_not_ready_before_its_server_is_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async def scenario() -> None:
            service = retrieval.build(RetrievalConfig(qdrant_url=Secret(url)))
            async with running(service) as server:
                assert await states(server.address, "", "index") == [NOT_SERVING] * 2

        asyncio.run(scenario())


def test_training_is_not_ready_while_its_store_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    config = TrainingConfig(store=str(tmp_path / "store"), work_dir=tmp_path / "work")

    async def scenario() -> None:
        async with running(training.build(config)) as server:
            assert await states(server.address, "", "store") == [SERVING] * 2
            with read_only(tmp_path / "store"):
                await becomes(server.address, "store", NOT_SERVING)
                assert await states(server.address, "") == [NOT_SERVING]
            await becomes(server.address, "", SERVING)

    try:
        asyncio.run(scenario())
    except CannotMount as problem:
        pytest.skip(str(problem))


def test_training_is_not_ready_while_its_bucket_is_missing_or_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(server: Server) -> None:
        assert await states(server.address, "store") == [NOT_SERVING]
        await asyncio.to_thread(s3.make_bucket, "bucket")
        await becomes(server.address, "", SERVING)
        s3.process.kill()
        await becomes(server.address, "", NOT_SERVING)

    async def serving() -> None:
        config = TrainingConfig(store="s3://bucket/slcolm", work_dir=tmp_path / "work")
        async with running(training.build(config)) as server:
            await scenario(server)

    with s3_server() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        asyncio.run(serving())


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Any]:
    """Starts a coordinator whose peers are all away, on a database."""
    with ExitStack() as stack:

        def start(database_url: str) -> str:
            config = tmp_path / "coordinator.toml"
            own = {f"{role}_address": "127.0.0.1:1" for role in PEERS}
            own |= {"store": str(tmp_path / "store"), "database_url": database_url}
            settings = {"coordinator": own, "server": {"check_seconds": 0.5}}
            config.write_text(tomli_w.dumps(settings), encoding="utf-8")
            serve = [sys.executable, "-m", "slcolm_services", "serve", "--role", "coordinator"]
            process = subprocess.Popen(
                [*serve, "--config", str(config)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            stack.callback(process.stdout.close)
            return str(json.loads(process.stdout.readline())["address"])

        yield start


def test_a_coordinator_is_ready_without_its_peers_and_not_without_its_database(
    coordinator: Any, tmp_path: Path
) -> None:
    """Runs wait for services that come back; without a database no run is taken."""
    address = coordinator(f"sqlite:///{tmp_path / 'runs.sqlite'}")

    async def scenario() -> None:
        await becomes(address, "", SERVING)
        assert await states(address, "database", "store") == [SERVING] * 2
        assert await states(address, *PEERS) == [NOT_SERVING] * len(PEERS)
        (tmp_path / "runs.sqlite").unlink()
        await becomes(address, "", NOT_SERVING)
        assert await states(address, "database") == [NOT_SERVING]

    asyncio.run(scenario())


def test_a_coordinator_is_not_ready_while_postgresql_is_away(coordinator: Any) -> None:
    try:
        with cluster() as postgres:
            address = coordinator(postgres.new_database())
            asyncio.run(becomes(address, "", SERVING))
    except NoPostgres as problem:
        pytest.skip(str(problem))
    asyncio.run(becomes(address, "", NOT_SERVING))
    assert asyncio.run(states(address, "database", "liveness")) == [NOT_SERVING, SERVING]
