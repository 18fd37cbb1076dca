"""The clients against a real server with the project's runtime around it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.clients import (
    FILE,
    RUNNING,
    SUCCEEDED,
    Coordinator,
    Stack,
    busy,
    dropped,
    on_loop,
    served,
    until,
)

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import (
    AsyncClient,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    connect,
    wait_until_ready,
)
from slcolm_services.errors import DataInvalid, FieldViolation


@on_loop
async def test_failures_that_pass_are_retried_with_the_same_request_id(stack: Stack) -> None:
    coordinator = Coordinator(failures=[dropped(), busy()])
    async with served(coordinator) as server, stack.coordinator(server.address) as client:
        run = await client.create_run(coordinator_pb2.RunSpec(display_name="x"))
    assert run.id == "run0"
    assert len(coordinator.created) == 1
    assert len(coordinator.request_ids) == 3
    assert len(set(coordinator.seen_metadata)) == 1


@on_loop
async def test_the_callers_request_id_starts_one_run_only(stack: Stack) -> None:
    async with served(Coordinator()) as server, stack.coordinator(server.address) as client:
        spec = coordinator_pb2.RunSpec()
        runs = [await client.create_run(spec, request_id="wish") for _ in range(2)]
    assert [run.id for run in runs] == ["run0", "run0"]


@on_loop
async def test_errors_arrive_typed_and_are_not_retried(stack: Stack) -> None:
    problem = FieldViolation("line 3: text", "must not be empty")
    coordinator = Coordinator(failures=[DataInvalid("bad data", violations=[problem])])
    async with served(coordinator) as server, stack.coordinator(server.address) as client:
        with pytest.raises(InvalidArgument) as invalid:
            await client.upload_dataset("train.jsonl", b"x", common_pb2.TaskSchema())
        with pytest.raises(NotFound) as missing:
            await client.get_run("r9")
    assert invalid.value.violations == (("line 3: text", "must not be empty"),)
    assert invalid.value.request_id
    assert missing.value.reason == "RUN_NOT_FOUND"
    assert missing.value.metadata == {"run": "r9"}
    assert coordinator.calls == ["UploadDataset", "GetRun"]


@on_loop
async def test_an_upload_that_broke_off_is_sent_whole_again(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"x" * 3_000_000)
    coordinator = Coordinator(failures=[dropped()])
    async with served(coordinator) as server, stack.coordinator(server.address) as client:
        response = await client.upload_dataset("train.jsonl", path, common_pb2.TaskSchema())
    assert (response.digest, response.document_count) == ("train.jsonl", 3_000_000)


@on_loop
async def test_lists_are_whole_whatever_the_pages(stack: Stack) -> None:
    async with served(Coordinator()) as server, stack.coordinator(server.address) as client:
        assert [run.id async for run in client.list_runs()] == ["0", "1", "2", "3", "4"]


@on_loop
async def test_watching_goes_on_over_a_broken_stream_without_repeating_itself(
    stack: Stack,
) -> None:
    coordinator = Coordinator(failures=[dropped()])
    async with served(coordinator) as server, stack.coordinator(server.address) as client:
        states = [run.state async for run in client.watch_run("r")]
    assert states == [RUNNING, SUCCEEDED]
    assert coordinator.calls == ["WatchRun", "WatchRun"]


@on_loop
async def test_watching_ends_with_its_time(stack: Stack) -> None:
    async with served(Coordinator()) as server, stack.coordinator(server.address) as client:
        watching = client.watch_run("never", timeout_seconds=0.5)
        assert (await anext(watching)).state == RUNNING
        with pytest.raises(DeadlineExceeded):
            await anext(watching)


@on_loop
async def test_a_download_that_broke_off_begins_again(stack: Stack, tmp_path: Path) -> None:
    coordinator = Coordinator(failures=[dropped(), dropped()])
    async with served(coordinator) as server, stack.coordinator(server.address) as client:
        assert await client.download("r", "report.json") == FILE
        await client.download_file("r", "report.json", tmp_path / "report.json")
    assert (tmp_path / "report.json").read_bytes() == FILE
    assert await asyncio.to_thread(lambda: len(list(tmp_path.iterdir()))) == 1


@on_loop
async def test_predictions_of_many_texts_come_in_order(stack: Stack) -> None:
    texts = [f"text {i}" for i in range(70)]
    async with served(Coordinator()) as server, stack.coordinator(server.address) as client:
        predictions = await client.predict(texts, run_id="r")
        named = await client.predict({"a": "x", "b": "y"}, run_id="r")
    assert [p.explanation for p in predictions] == texts
    assert [p.id for p in predictions] == [str(i) for i in range(70)]
    assert [(p.id, p.explanation) for p in named] == [("a", "x"), ("b", "y")]


@on_loop
async def test_a_service_that_restarts_is_waited_for(stack: Stack) -> None:
    coordinator = Coordinator()
    async with served(coordinator) as server:
        client = stack.coordinator(server.address)
        await client.create_run(coordinator_pb2.RunSpec())
    creating = asyncio.ensure_future(client.create_run(coordinator_pb2.RunSpec()))
    await asyncio.sleep(0.3)
    async with served(coordinator, port=server.port):
        await creating
        await client.close()
    assert len(coordinator.created) == 2


@on_loop
async def test_a_deadline_bounds_the_wait_for_a_service_that_is_not_there(stack: Stack) -> None:
    async with served(Coordinator()) as server:
        address = server.address
    async with stack.coordinator(address, timeout_seconds=0.3) as client:
        with pytest.raises(Unavailable) as caught:
            await client.get_run("r")
    assert caught.value.reason == ""

    def waits_in_vain() -> bool:
        with connect(address) as channel:
            return not wait_until_ready(channel, timeout_seconds=0.1)

    assert await asyncio.to_thread(waits_in_vain)


@on_loop
async def test_a_client_that_is_closed_does_not_try_its_calls_again(stack: Stack) -> None:
    coordinator = Coordinator()
    async with served(coordinator) as server:
        client = stack.coordinator(server.address)
        watching = client.watch_run("never")
        assert (await anext(watching)).state == RUNNING
        calls = [
            asyncio.ensure_future(anext(watching)),
            asyncio.ensure_future(client.get_run("never")),
        ]
        await until(lambda: "GetRun" in coordinator.calls)
        await client.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(FailedPrecondition) as caught:
            await client.get_run("r")
    assert caught.value.reason == "CLIENT_CLOSED"
    assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["CLIENT_CLOSED"] * 2
    assert coordinator.calls == ["WatchRun", "GetRun"]


@on_loop
async def test_a_cancelled_task_is_cancelled_and_is_not_an_error_of_the_service() -> None:
    async with served(Coordinator()) as server, AsyncClient(server.address) as client:
        watching = client.watch_run("never")
        assert (await anext(watching)).state == RUNNING
        task = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@on_loop
async def test_a_call_that_a_server_drops_without_a_word_is_retried(stack: Stack) -> None:
    """Servers of gRPC answer CANCELLED when they stop; no caller has cancelled."""

    class Dropping(Coordinator):
        drops = 1

        async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802
            if self.drops:
                self.drops -= 1
                await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
            return await super().ListRuns(request, context)

    async with served(Dropping()) as server, stack.coordinator(server.address) as client:
        assert len([run async for run in client.list_runs()]) == 5
