"""Both stacks of the SDK for one test, and services that misbehave as they are told to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, Self

from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_client import AsyncClient, AsyncExtractionClient, Client, ExtractionClient
from slcolm_services.errors import Overloaded, RunNotFound, ServiceUnavailable
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server, Service
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import check_batch

P = ParamSpec("P")

RUNNING, SUCCEEDED = coordinator_pb2.RUN_STATE_RUNNING, coordinator_pb2.RUN_STATE_SUCCEEDED
COORDINATOR = coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"].full_name
EXTRACTION = extraction_pb2.DESCRIPTOR.services_by_name["ExtractionService"].full_name
FILE = bytes(range(256)) * 100

_STREAMS = frozenset({"list_runs", "watch_run", "predict_stream", "extract_stream"})
_END = object()


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test on a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; the test's own time limit ends it otherwise."""
    while not holds():  # noqa: ASYNC110  what holds is not always on this loop
        await asyncio.sleep(0.01)


class Threaded:
    """A synchronous client that is used as the asyncio one is: its calls run in threads."""

    def __init__(self, client: Client | ExtractionClient) -> None:
        self.client = client
        self._pool = ThreadPoolExecutor(64)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        if name in _STREAMS:
            return lambda *args, **kwargs: _Stream(method(*args, **kwargs), self._run)
        return lambda *args, **kwargs: self._run(lambda: method(*args, **kwargs))

    def _run(self, do: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, do)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._run(self.client.close)
        self._pool.shutdown(wait=False)


class _Stream:
    def __init__(self, results: Iterator[Any], run: Callable[..., Awaitable[Any]]) -> None:
        self._results = results
        self._run = run

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> Any:
        found = await self._run(lambda: next(self._results, _END))
        if found is _END:
            raise StopAsyncIteration
        return found

    async def aclose(self) -> None:
        assert isinstance(self._results, Generator)
        await self._run(self._results.close)


@dataclass(frozen=True)
class Stack:
    """One of the two stacks, used alike."""

    name: str

    def coordinator(self, address: str, **settings: Any) -> Any:
        """A client of a coordinator, as an asynchronous context manager."""
        if self.name == "asyncio":
            return AsyncClient(address, **settings)
        return Threaded(Client(address, **settings))

    def extraction(self, address: str, **settings: Any) -> Any:
        """Likewise, of an extraction service."""
        if self.name == "asyncio":
            return AsyncExtractionClient(address, **settings)
        return Threaded(ExtractionClient(address, **settings))


@contextmanager
def timeout_of(client: Any, seconds: float) -> Iterator[None]:
    """Another deadline for the calls that begin in the block."""
    inner = client.client if isinstance(client, Threaded) else client
    before, inner._timeout_seconds = inner._timeout_seconds, seconds
    yield
    inner._timeout_seconds = before


def dropped() -> BaseException:
    """Comes over the wire as UNAVAILABLE, with the wait that the service asks for."""
    return ServiceUnavailable("restarting", retry_after_seconds=0.01)


def busy(retry_after_seconds: float = 0.01) -> BaseException:
    """Comes over the wire as RESOURCE_EXHAUSTED with RetryInfo."""
    return Overloaded("busy", retry_after_seconds=retry_after_seconds)


@dataclass
class Coordinator(coordinator_pb2_grpc.CoordinatorServiceServicer):
    """Answers from memory, and fails first as often as it is told to.

    Attributes:
        failures: What the next calls fail with.
        calls: Methods of the calls that arrived.
        request_ids: Ids of the wishes that `CreateRun` was told of.
        seen_metadata: Request ids of those calls.
        before_answer: Called between the work of a `CancelRun` or `ResumeRun` and its answer.
    """

    failures: list[BaseException] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    created: dict[str, coordinator_pb2.Run] = field(default_factory=dict)
    request_ids: list[str] = field(default_factory=list)
    seen_metadata: list[str] = field(default_factory=list)
    before_answer: Callable[[], Awaitable[None]] | None = None

    def _arrive(self, method: str) -> None:
        self.calls.append(method)

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def UploadDataset(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("UploadDataset")
        messages = [message async for message in request_iterator]
        self._maybe_fail()
        data = b"".join(message.chunk for message in messages)
        return coordinator_pb2.UploadDatasetResponse(
            digest=messages[0].name, document_count=len(data)
        )

    async def CreateRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("CreateRun")
        self.request_ids.append(request.request_id)
        self.seen_metadata += [v for k, v in context.invocation_metadata() if k == "x-request-id"]
        run = self.created.setdefault(
            request.request_id, coordinator_pb2.Run(id=f"run{len(self.created)}")
        )
        self._maybe_fail()
        return coordinator_pb2.CreateRunResponse(run=run)

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("GetRun")
        self._maybe_fail()
        if request.run_id == "never":
            await asyncio.Event().wait()
        raise RunNotFound(f"there is no run {request.run_id}", metadata={"run": request.run_id})

    async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("ListRuns")
        self._maybe_fail()
        start = int(request.page_token or 0)
        runs = [coordinator_pb2.Run(id=str(i)) for i in range(start, min(start + 2, 5))]
        return coordinator_pb2.ListRunsResponse(
            runs=runs, next_page_token=str(start + 2) if start + 2 < 5 else ""
        )

    async def CancelRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._do("CancelRun")
        return coordinator_pb2.CancelRunResponse(run=coordinator_pb2.Run(id=request.run_id))

    async def ResumeRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._do("ResumeRun")
        return coordinator_pb2.ResumeRunResponse(run=coordinator_pb2.Run(id=request.run_id))

    async def _do(self, method: str) -> None:
        self._arrive(method)
        self._maybe_fail()
        if self.before_answer is not None:
            await self.before_answer()

    async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("WatchRun")
        yield coordinator_pb2.WatchRunResponse(run=coordinator_pb2.Run(id="r", state=RUNNING))
        self._maybe_fail()
        if request.run_id == "never":
            await asyncio.Event().wait()
        yield coordinator_pb2.WatchRunResponse(run=coordinator_pb2.Run(id="r", state=SUCCEEDED))

    async def DownloadArtifact(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("DownloadArtifact")
        yield coordinator_pb2.DownloadArtifactResponse(chunk=FILE[:1000])
        self._maybe_fail()
        yield coordinator_pb2.DownloadArtifactResponse(chunk=FILE[1000:])

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._arrive("Predict")
        self._maybe_fail()
        response = coordinator_pb2.PredictResponse(model_revision="m")
        for document in request.documents:
            found = response.results.add(id=document.id).prediction
            found.explanation = document.text
            triple = {"head": document.text[:1], "type": "T", "tail": document.text[5:6]}
            found.triples.add(triple=triple, sources=["slm"])
        return response


@dataclass
class Extractor(extraction_pb2_grpc.ExtractionServiceServicer):
    """Gives every text back, and fails where it is told to.

    Attributes:
        failures: What the next calls fail with.
        failure_of: Makes what the call that holds a text fails with, every time.
        bad_texts: Texts that fail alone.
        limit: Most texts a call.
        gate: Calls wait for it, except those that hold the text `passing`.
        arrived: Names of the texts of each call that arrived.
        request_ids: Request ids of those calls.
        running: Calls that wait.
        most_running: Most of them at once.
        cancelled: Calls whose caller went away.
    """

    failures: list[BaseException] = field(default_factory=list)
    failure_of: dict[str, Callable[[], BaseException]] = field(default_factory=dict)
    bad_texts: Sequence[str] = ()
    limit: int = 1000
    gate: asyncio.Event | None = None
    passing: str = ""
    arrived: list[tuple[str, ...]] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    cancelled: int = 0

    async def Extract(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.arrived.append(tuple(document.id for document in request.documents))
        self.request_ids += [v for k, v in context.invocation_metadata() if k == "x-request-id"]
        check_batch(self.arrived[-1], field="documents", limit=self.limit)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            texts = [document.text for document in request.documents]
            if self.gate is not None and self.passing not in texts:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.failures:
            raise self.failures.pop(0)
        for document in request.documents:
            if document.text in self.failure_of:
                failure = self.failure_of[document.text]()
                raise failure
        response = extraction_pb2.ExtractResponse(model_revision="m")
        for document in request.documents:
            result = response.results.add(id=document.id)
            if document.text in self.bad_texts:
                result.error.CopyFrom(status_of(ServiceUnavailable("not this one")))
            else:
                result.extraction.document.text = document.text
                result.extraction.document.entities.add(type="T", text=document.text)
        return response


def service(servicer: Coordinator | Extractor) -> Service:
    """The service of a servicer, as the runtime serves it."""
    if isinstance(servicer, Coordinator):
        return Service(
            name=COORDINATOR,
            register=lambda server: coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(
                servicer, server
            ),
            unlimited_methods=frozenset({f"/{COORDINATOR}/WatchRun"}),
        )
    return Service(
        name=EXTRACTION,
        register=lambda server: extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(
            servicer, server
        ),
    )


@asynccontextmanager
async def served(
    servicer: Coordinator | Extractor, port: int = 0, **settings: Any
) -> AsyncIterator[Server]:
    """Serve it on the running loop; leaving stops at once, as a server that is killed does."""
    config = ServerConfig(drain_delay_seconds=0.0, grace_seconds=0.0)
    async with Server(service(servicer), replace(config, port=port, **settings)) as server:
        await server.load()
        yield server
