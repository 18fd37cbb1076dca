"""The clients against a real server with the project's runtime around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    call,
    connect,
    wait_until_ready,
)
from slcolm_services.errors import (
    DataInvalid,
    FieldViolation,
    Overloaded,
    RunNotFound,
    ServiceUnavailable,
)
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server, Service

RUNNING, SUCCEEDED = coordinator_pb2.RUN_STATE_RUNNING, coordinator_pb2.RUN_STATE_SUCCEEDED
NAME = coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"].full_name
FILE = bytes(range(256)) * 100


@dataclass
class Coordinator(coordinator_pb2_grpc.CoordinatorServiceServicer):
    """Answers from memory, and fails first as often as it is told to."""

    failures: list[BaseException] = field(default_factory=list)
    created: dict[str, coordinator_pb2.Run] = field(default_factory=dict)
    request_ids: list[str] = field(default_factory=list)
    seen_metadata: list[str] = field(default_factory=list)
    streams: int = 0

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def UploadDataset(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        messages = [message async for message in request_iterator]
        self._maybe_fail()
        data = b"".join(message.chunk for message in messages)
        return coordinator_pb2.UploadDatasetResponse(
            digest=messages[0].name, document_count=len(data)
        )

    async def CreateRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.request_ids.append(request.request_id)
        self.seen_metadata += [v for k, v in context.invocation_metadata() if k == "x-request-id"]
        run = self.created.setdefault(
            request.request_id, coordinator_pb2.Run(id=f"run{len(self.created)}")
        )
        self._maybe_fail()
        return coordinator_pb2.CreateRunResponse(run=run)

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._maybe_fail()
        raise RunNotFound(f"there is no run {request.run_id}", metadata={"run": request.run_id})

    async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._maybe_fail()
        start = int(request.page_token or 0)
        runs = [coordinator_pb2.Run(id=str(i)) for i in range(start, min(start + 2, 5))]
        return coordinator_pb2.ListRunsResponse(
            runs=runs, next_page_token=str(start + 2) if start + 2 < 5 else ""
        )

    async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.streams += 1
        yield coordinator_pb2.WatchRunResponse(run=coordinator_pb2.Run(id="r", state=RUNNING))
        self._maybe_fail()
        if request.run_id == "never":
            await asyncio.Event().wait()
        yield coordinator_pb2.WatchRunResponse(run=coordinator_pb2.Run(id="r", state=SUCCEEDED))

    async def DownloadArtifact(self, request: Any, context: Any) -> Any:  # noqa: N802
        yield coordinator_pb2.DownloadArtifactResponse(chunk=FILE[:1000])
        self._maybe_fail()
        yield coordinator_pb2.DownloadArtifactResponse(chunk=FILE[1000:])

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._maybe_fail()
        response = coordinator_pb2.PredictResponse(model_revision="m")
        for document in request.documents:
            response.results.add(id=document.id).prediction.explanation = document.text
        return response


def service(coordinator: Coordinator) -> Service:
    return Service(
        name=NAME,
        register=lambda server: coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(
            coordinator, server
        ),
        unlimited_methods=frozenset({f"/{NAME}/WatchRun"}),
    )


CONFIG = ServerConfig(drain_delay_seconds=0.0, grace_seconds=0.0)


@asynccontextmanager
async def served(coordinator: Coordinator, port: int = 0) -> AsyncIterator[Server]:
    async with Server(service(coordinator), replace(CONFIG, port=port)) as server:
        await server.load()
        yield server


@contextmanager
def in_thread(coordinator: Coordinator, port: int = 0) -> Iterator[str]:
    """Serve from a thread, for the synchronous client; yields the address."""
    ready = threading.Event()
    box: list[Any] = []

    async def main() -> None:
        stop = asyncio.Event()
        async with served(coordinator, port) as server:
            box.extend((server.address, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(30)
    address, loop, stop = box
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def dropped() -> BaseException:
    """Comes over the wire as UNAVAILABLE, with the wait that the service asks for."""
    return ServiceUnavailable("restarting", retry_after_seconds=0.01)


def busy() -> BaseException:
    return Overloaded("busy", retry_after_seconds=0.01)


def test_failures_that_pass_are_retried_with_the_same_request_id() -> None:
    coordinator = Coordinator(failures=[dropped(), busy()])
    with in_thread(coordinator) as address, Client(address) as client:
        run = client.create_run(coordinator_pb2.RunSpec(display_name="x"))
    assert run.id == "run0"
    assert len(coordinator.created) == 1
    assert len(coordinator.request_ids) == 3
    assert len(set(coordinator.seen_metadata)) == 1


def test_the_callers_request_id_starts_one_run_only() -> None:
    coordinator = Coordinator()
    with in_thread(coordinator) as address, Client(address) as client:
        runs = {
            client.create_run(coordinator_pb2.RunSpec(), request_id="wish").id for _ in range(2)
        }
    assert runs == {"run0"}


def test_errors_arrive_typed_and_are_not_retried() -> None:
    problem = FieldViolation("line 3: text", "must not be empty")
    coordinator = Coordinator(failures=[DataInvalid("bad data", violations=[problem])])
    with in_thread(coordinator) as address, Client(address) as client:
        with pytest.raises(InvalidArgument) as invalid:
            client.upload_dataset("train.jsonl", b"x", common_pb2.TaskSchema())
        with pytest.raises(NotFound) as missing:
            client.get_run("r9")
    assert invalid.value.violations == (("line 3: text", "must not be empty"),)
    assert invalid.value.request_id
    assert missing.value.reason == "RUN_NOT_FOUND"
    assert missing.value.metadata == {"run": "r9"}


def test_an_upload_that_broke_off_is_sent_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"x" * 3_000_000)
    with in_thread(Coordinator(failures=[dropped()])) as address, Client(address) as client:
        response = client.upload_dataset("train.jsonl", path, common_pb2.TaskSchema())
    assert (response.digest, response.document_count) == ("train.jsonl", 3_000_000)


def test_lists_are_whole_whatever_the_pages() -> None:
    with in_thread(Coordinator()) as address, Client(address) as client:
        assert [run.id for run in client.list_runs()] == ["0", "1", "2", "3", "4"]


def test_watching_goes_on_over_a_broken_stream_without_repeating_itself() -> None:
    coordinator = Coordinator(failures=[dropped()])
    with in_thread(coordinator) as address, Client(address) as client:
        states = [run.state for run in client.watch_run("r")]
    assert states == [RUNNING, SUCCEEDED]
    assert coordinator.streams == 2


def test_watching_ends_with_its_time() -> None:
    with in_thread(Coordinator()) as address, Client(address) as client:
        watching = client.watch_run("never", timeout_seconds=0.5)
        assert next(watching).state == RUNNING
        with pytest.raises(DeadlineExceeded):
            next(watching)


def test_a_download_that_broke_off_begins_again(tmp_path: Path) -> None:
    coordinator = Coordinator(failures=[dropped(), dropped()])
    with in_thread(coordinator) as address, Client(address) as client:
        assert client.download("r", "report.json") == FILE
        client.download_file("r", "report.json", tmp_path / "report.json")
    assert (tmp_path / "report.json").read_bytes() == FILE
    assert len(list(tmp_path.iterdir())) == 1


def test_predictions_of_many_texts_come_in_order() -> None:
    texts = [f"text {i}" for i in range(70)]
    with in_thread(Coordinator()) as address, Client(address) as client:
        predictions = client.predict(texts, run_id="r")
    assert [p.explanation for p in predictions] == texts
    assert [p.id for p in predictions] == [str(i) for i in range(70)]


def test_a_service_that_restarts_is_waited_for() -> None:
    coordinator = Coordinator()
    with in_thread(coordinator) as address:
        client = Client(address)
        client.create_run(coordinator_pb2.RunSpec())
    restarted = threading.Event()

    def create() -> None:
        client.create_run(coordinator_pb2.RunSpec())
        restarted.set()

    caller = threading.Thread(target=create)
    caller.start()
    with in_thread(coordinator, port=int(address.rpartition(":")[2])):
        assert restarted.wait(30)
        caller.join()
    client.close()
    assert len(coordinator.created) == 2


def test_a_deadline_bounds_the_wait_for_a_service_that_is_not_there() -> None:
    with in_thread(Coordinator()) as address:
        pass
    with Client(address, timeout_seconds=0.3) as client, pytest.raises(Unavailable) as caught:
        client.get_run("r")
    assert caught.value.reason == ""
    with connect(address) as channel:
        assert not wait_until_ready(channel, timeout_seconds=0.1)


def test_any_service_can_be_called_in_one_line() -> None:
    coordinator = Coordinator(failures=[busy(), Overloaded("full", retry_after_seconds=60.0)])
    with in_thread(coordinator) as address, connect(address) as channel:
        stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
        with pytest.raises(ResourceExhausted) as caught:
            call(
                stub.ListRuns,
                coordinator_pb2.ListRunsRequest(),
                timeout_seconds=5.0,
                request_id="mine",
            )
    assert caught.value.request_id == "mine"
    assert caught.value.retry_after_seconds == 60.0


def test_the_asyncio_client_does_what_the_synchronous_one_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        coordinator = Coordinator()
        async with served(coordinator) as server, AsyncClient(server.address) as client:
            coordinator.failures = [dropped(), busy()]
            assert (await client.create_run(coordinator_pb2.RunSpec())).id == "run0"
            coordinator.failures = [dropped()]
            upload = await client.upload_dataset("a", b"xyz", common_pb2.TaskSchema())
            assert (upload.digest, upload.document_count) == ("a", 3)
            assert [run.id async for run in client.list_runs()] == ["0", "1", "2", "3", "4"]
            coordinator.failures = [dropped()]
            assert [run.state async for run in client.watch_run("r")] == [RUNNING, SUCCEEDED]
            coordinator.failures = [dropped()]
            await client.download_file("r", "report.json", tmp_path / "report.json")
            assert (tmp_path / "report.json").read_bytes() == FILE
            assert await client.download("r", "report.json") == FILE
            predictions = await client.predict({"a": "x", "b": "y"}, run_id="r")
            assert [(p.id, p.explanation) for p in predictions] == [("a", "x"), ("b", "y")]
            with pytest.raises(NotFound) as caught:
                await client.get_run("r9")
            assert caught.value.reason == "RUN_NOT_FOUND"

    asyncio.run(scenario())


def test_a_cancelled_task_is_cancelled_and_is_not_an_error_of_the_service() -> None:
    async def scenario() -> None:
        async with served(Coordinator()) as server, AsyncClient(server.address) as client:
            watching = client.watch_run("never")
            assert (await anext(watching)).state == RUNNING
            task = asyncio.ensure_future(anext(watching))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scenario())


def test_a_client_that_is_closed_does_not_try_its_calls_again() -> None:
    with in_thread(Coordinator()) as address:
        client = Client(address)
        watching = client.watch_run("never")
        assert next(watching).state == RUNNING
        client.close()
        with pytest.raises(FailedPrecondition) as caught:
            next(watching)
    assert caught.value.reason == "CLIENT_CLOSED"


class Hanging(Coordinator):
    """Never says what a run is."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.set()
        await asyncio.Event().wait()


def test_calls_in_flight_of_a_closed_asyncio_client_end_and_do_not_cancel_their_task() -> None:
    async def scenario() -> None:
        coordinator = Hanging()
        async with served(coordinator) as server:
            client = AsyncClient(server.address)
            watching = client.watch_run("never")
            assert (await anext(watching)).state == RUNNING
            calls = [
                asyncio.ensure_future(anext(watching)),
                asyncio.create_task(client.get_run("r")),
            ]
            await coordinator.asked.wait()
            await client.close()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == [
            "CLIENT_CLOSED"
        ] * 2

    asyncio.run(scenario())


def test_a_call_that_a_server_drops_without_a_word_is_retried() -> None:
    """Servers of gRPC answer CANCELLED when they stop; no caller has cancelled."""

    class Dropping(Coordinator):
        drops = 1

        async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802
            if self.drops:
                self.drops -= 1
                await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
            return await super().ListRuns(request, context)

    with in_thread(Dropping()) as address, Client(address) as client:
        assert len(list(client.list_runs())) == 5
