"""The asyncio clients: the same methods as the synchronous ones, on grpc's asyncio stack."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import grpc
from google.protobuf.message import Message

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_client._call import Schedule, metadata_of
from slcolm_client._channel import connect_aio
from slcolm_client._errors import closed, error_from_rpc, misused
from slcolm_client._messages import (
    BATCH_SIZE,
    Texts,
    batches,
    create_run_request,
    dataset_bytes,
    read_extractions,
    read_predictions,
    upload_messages,
    whole_file,
)
from slcolm_client._results import Extraction, Prediction
from slcolm_client._security import PLAINTEXT, Security
from slcolm_client._watch import Watch

ResultT = TypeVar("ResultT")


@asynccontextmanager
async def _stream(
    method: Callable[..., Any], request: Message, **options: Any
) -> AsyncIterator[Any]:
    """A streaming call, which is cancelled at the end of the block."""
    messages = method(request, **options)
    try:
        yield messages
    finally:
        messages.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _AsyncConnected:
    """A stub on a channel of the running event loop, with the deadline of calls on it."""

    def __init__(
        self,
        stub: Callable[[grpc.aio.Channel], Any],
        address: str,
        *,
        timeout_seconds: float,
        security: Security,
    ) -> None:
        self._loop = _running_loop()
        if self._loop is None:
            raise misused(
                "WRONG_EVENT_LOOP",
                f"{type(self).__name__} must be made inside a coroutine, on the event loop that "
                "will use it",
            )
        self._channel = connect_aio(address, security=security)
        self._open_stub = stub(self._channel)
        self._timeout_seconds = timeout_seconds
        self._closed = False

    @property
    def _stub(self) -> Any:
        self._check_loop()
        if self._closed:
            raise closed()
        return self._open_stub

    def _check_loop(self) -> None:
        if _running_loop() is not self._loop:
            raise misused(
                "WRONG_EVENT_LOOP",
                f"this {type(self).__name__} belongs to another event loop: make one on each",
            )

    async def close(self) -> None:
        """Close the connection; calls in flight end with `CLIENT_CLOSED`."""
        self._check_loop()
        self._closed = True
        await self._channel.close(None)

    async def _call(self, method: str, request: Message) -> Any:
        metadata = metadata_of(None)
        # The stub is asked for at each attempt: the client may be closed between two.
        return await self._retried(
            lambda timeout: getattr(self._stub, method)(request, timeout=timeout, metadata=metadata)
        )

    async def _retried(self, attempt: Callable[[float], Awaitable[ResultT]]) -> ResultT:
        schedule = Schedule(self._timeout_seconds)
        while True:
            try:
                with self._in_flight():
                    return await attempt(schedule.remaining_seconds)
            except grpc.RpcError as error:
                failure = error_from_rpc(error)
            await asyncio.sleep(schedule.pause(failure))

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        """Tell the end of the client, which cancels its calls, from that of the calling task."""
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise closed() from None
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncClient(_AsyncConnected):
    """A client of the coordinator. Its methods are those of `Client`, which documents them.

    Make it and use it on one event loop, or it raises `FailedPrecondition` with the reason
    `WRONG_EVENT_LOOP`. Cancelling a task cancels its call.

    Args:
        address: `host:port` of the coordinator, or a gRPC target.
        timeout_seconds: Deadline of each call, its retries included.
        security: TLS, and the token that every call carries.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 60.0,
        security: Security = PLAINTEXT,
    ) -> None:
        super().__init__(
            coordinator_pb2_grpc.CoordinatorServiceStub,
            address,
            timeout_seconds=timeout_seconds,
            security=security,
        )

    async def upload_dataset(
        self, name: str, data: Path | bytes, schema: common_pb2.TaskSchema
    ) -> coordinator_pb2.UploadDatasetResponse:
        """See `Client.upload_dataset`. A file is read in a thread."""
        content = await asyncio.to_thread(dataset_bytes, data)
        metadata = metadata_of(None)

        async def attempt(seconds: float) -> coordinator_pb2.UploadDatasetResponse:
            messages = upload_messages(name, content, schema)
            response: coordinator_pb2.UploadDatasetResponse = await self._stub.UploadDataset(
                messages, timeout=seconds, metadata=metadata
            )
            return response

        return await self._retried(attempt)

    async def create_run(
        self, spec: coordinator_pb2.RunSpec, *, request_id: str | None = None
    ) -> coordinator_pb2.Run:
        """See `Client.create_run`."""
        request = create_run_request(spec, request_id)
        response: coordinator_pb2.CreateRunResponse = await self._call("CreateRun", request)
        return response.run

    async def get_run(self, run_id: str) -> coordinator_pb2.Run:
        """See `Client.get_run`."""
        request = coordinator_pb2.GetRunRequest(run_id=run_id)
        response: coordinator_pb2.GetRunResponse = await self._call("GetRun", request)
        return response.run

    async def list_runs(self, *, page_size: int = 0) -> AsyncIterator[coordinator_pb2.Run]:
        """See `Client.list_runs`."""
        request = coordinator_pb2.ListRunsRequest(page_size=page_size)
        while True:
            response = await self._call("ListRuns", request)
            for run in response.runs:
                yield run
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    async def watch_run(
        self, run_id: str, *, timeout_seconds: float | None = None
    ) -> AsyncIterator[coordinator_pb2.Run]:
        """See `Client.watch_run`."""
        watch = Watch(run_id, timeout_seconds)
        metadata = metadata_of(None)
        while not watch.ended:
            failure = None
            try:
                with self._in_flight():
                    async with _stream(
                        self._stub.WatchRun,
                        watch.request,
                        timeout=watch.timeout_seconds,
                        metadata=metadata,
                    ) as responses:
                        async for response in responses:
                            if watch.is_news(response.run):
                                yield response.run
            except grpc.RpcError as error:
                failure = error_from_rpc(error)
            if not watch.ended:
                await asyncio.sleep(watch.pause(failure))

    async def cancel_run(self, run_id: str) -> coordinator_pb2.Run:
        """See `Client.cancel_run`."""
        request = coordinator_pb2.CancelRunRequest(run_id=run_id)
        response: coordinator_pb2.CancelRunResponse = await self._call("CancelRun", request)
        return response.run

    async def resume_run(self, run_id: str) -> coordinator_pb2.Run:
        """See `Client.resume_run`."""
        request = coordinator_pb2.ResumeRunRequest(run_id=run_id)
        response: coordinator_pb2.ResumeRunResponse = await self._call("ResumeRun", request)
        return response.run

    async def download(self, run_id: str, name: str) -> bytes:
        """See `Client.download`."""
        file = io.BytesIO()
        await self._download(run_id, name, file)
        return file.getvalue()

    async def download_file(self, run_id: str, name: str, path: Path) -> None:
        """See `Client.download_file`. Chunks are written as they come, which blocks for each."""
        with whole_file(path) as file:
            await self._download(run_id, name, file)

    async def _download(self, run_id: str, name: str, file: BinaryIO) -> None:
        request = coordinator_pb2.DownloadArtifactRequest(run_id=run_id, name=name)
        metadata = metadata_of(None)

        async def attempt(seconds: float) -> None:
            file.seek(0)
            file.truncate()
            async with _stream(
                self._stub.DownloadArtifact, request, timeout=seconds, metadata=metadata
            ) as responses:
                async for response in responses:
                    file.write(response.chunk)

        await self._retried(attempt)

    async def predict(
        self, texts: Texts, *, run_id: str, batch_size: int = BATCH_SIZE
    ) -> tuple[Prediction, ...]:
        """See `Client.predict`."""
        predictions: list[Prediction] = []
        for documents in batches(texts, batch_size):
            request = coordinator_pb2.PredictRequest(run_id=run_id, documents=documents)
            response = await self._call("Predict", request)
            predictions += read_predictions(response, documents)
        return tuple(predictions)


class AsyncExtractionClient(_AsyncConnected):
    """A client of an extraction service. Its methods are those of `ExtractionClient`.

    Takes what `AsyncClient` takes, and behaves as it does.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 60.0,
        security: Security = PLAINTEXT,
    ) -> None:
        super().__init__(
            extraction_pb2_grpc.ExtractionServiceStub,
            address,
            timeout_seconds=timeout_seconds,
            security=security,
        )

    async def extract(
        self,
        texts: Texts,
        *,
        model_revision: str = "",
        include_vectors: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> tuple[Extraction, ...]:
        """See `ExtractionClient.extract`."""
        extractions: list[Extraction] = []
        for documents in batches(texts, batch_size):
            request = extraction_pb2.ExtractRequest(
                documents=documents, model_revision=model_revision, include_vectors=include_vectors
            )
            response = await self._call("Extract", request)
            extractions += read_extractions(response, documents)
        return tuple(extractions)
