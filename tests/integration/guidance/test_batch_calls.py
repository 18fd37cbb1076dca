"""Batches over gRPC, and as `slcolm batches` shows them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from support.batch_server import BatchServer, batch_server
from support.serving import details

from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire

PATIENT = 20.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    with batch_server() as running:
        yield running


@asynccontextmanager
async def serving(server: BatchServer, **settings: Any) -> AsyncIterator[tuple[str, Any]]:
    usual: dict[str, Any] = {
        "provider": "openai",
        "model": "tiny",
        "base_url": server.url,
        "api_key_env": "",
        "batches": True,
        "prompt_price": 10.0,
    }
    limits = ServerConfig(drain_delay_seconds=0.0, grace_seconds=0.0)
    async with Server(build(GuidanceConfig(**usual | settings)), limits) as running:
        await running.load()
        async with grpc.aio.insecure_channel(running.address) as channel:
            yield running.address, guidance_pb2_grpc.GuidanceServiceStub(channel)


def request(items: list[GuideItem], schema: TaskSchema, **more: Any) -> Any:
    return guidance_pb2.SubmitBatchRequest(
        items=[
            guidance_pb2.GuideItem(prediction=document_to_wire(item.prediction)) for item in items
        ],
        schema=schema_to_wire(schema),
        **more,
    )


async def run(*arguments: str) -> tuple[int, str]:
    """Exit status and output of `slcolm batches`."""
    command = "from slcolm_services.cli import main; main()"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", command, "batches", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


async def test_a_batch_is_submitted_followed_and_listed(
    server: BatchServer, items: list[GuideItem], schema: TaskSchema
) -> None:
    async with serving(server) as (address, stub):
        response = await stub.SubmitBatch(request(items, schema, run_id="r"), timeout=PATIENT)
        batch = response.batch
        assert (batch.state, batch.sent) == (guidance_pb2.BATCH_STATE_RUNNING, 1)
        assert batch.create_time.seconds > 0
        assert not batch.HasField("end_time")
        told = await run("show", batch.id, "--guidance", address, "--json")
        assert json.loads(told[1])["state"] == "BATCH_STATE_RUNNING"
        told = await run("cancel", batch.id, "--guidance", address)
        assert "running" in told[1]
        server.end("cancelled")
        ended = (
            await stub.GetBatch(guidance_pb2.GetBatchRequest(batch_id=batch.id), timeout=PATIENT)
        ).batch
        assert (ended.state, ended.answered) == (guidance_pb2.BATCH_STATE_CANCELLED, 1)
        assert ended.HasField("end_time")
        listed = await run("list", "--guidance", address, "--json")
        assert [each["id"] for each in json.loads(listed[1])["batches"]] == [batch.id]
        assert "cancelled" in (await run("list", "--guidance", address))[1]
        again = await stub.SubmitBatch(request(items, schema), timeout=PATIENT)
        assert not again.HasField("batch")
        providers = await stub.ListProviders(guidance_pb2.ListProvidersRequest(), timeout=PATIENT)
        assert {each.name: each.batch for each in providers.providers} == {
            "openai": True,
            "offline": False,
        }


async def test_a_failed_batch_says_why(
    server: BatchServer, items: list[GuideItem], schema: TaskSchema
) -> None:
    async with serving(server) as (address, stub):
        batch = (await stub.SubmitBatch(request(items, schema), timeout=PATIENT)).batch
        errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "x"}]}
        server.batches[0] |= {"status": "failed", "errors": errors}
        told = await run("show", batch.id, "--guidance", address)
        assert "token_limit_exceeded" in told[1]


async def test_errors_have_their_reasons(
    server: BatchServer, items: list[GuideItem], schema: TaskSchema
) -> None:
    async with serving(server) as (address, stub):
        for call, wish, reason in (
            (stub.GetBatch, guidance_pb2.GetBatchRequest(batch_id="x"), "BATCH_NOT_FOUND"),
            (stub.CancelBatch, guidance_pb2.CancelBatchRequest(batch_id="x"), "BATCH_NOT_FOUND"),
            (stub.SubmitBatch, request(items, schema, provider="offline"), "BATCH_UNSUPPORTED"),
            (stub.SubmitBatch, request(items, schema, run_id="r" * 201), "INVALID_INPUT"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(wish, timeout=PATIENT)
            assert details(caught.value)["ErrorInfo"].reason == reason
        budget = guidance_pb2.Budget(max_tokens=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SubmitBatch(
                request(items, schema, run_id="r", budget=budget), timeout=PATIENT
            )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        (violation,) = details(caught.value)["QuotaFailure"].violations
        assert violation.subject == "run:r"
        assert server.chats == []
        status, told = await run("show", "x", "--guidance", address, "--json")
        assert status == 1
        assert json.loads(told)["error"]["reason"] == "BATCH_NOT_FOUND"
