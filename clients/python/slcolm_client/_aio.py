"""The asyncio clients: the same methods as the synchronous ones, on grpc's asyncio stack."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import grpc

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2_grpc
from slcolm_client._aio_connected import AioConnected, stream_aio
from slcolm_client._bulk import (
    BATCH_SIZE,
    BATCHES_IN_FLIGHT,
    Batcher,
    each,
    items_of,
    items_of_aio,
    sendable,
)
from slcolm_client._call import metadata_of, new_request_id
from slcolm_client._channel import check_limit
from slcolm_client._errors import error_from_rpc
from slcolm_client._messages import (
    AsyncTexts,
    ManyTexts,
    Texts,
    create_run_request,
    dataset_bytes,
    extracting,
    predicting,
    upload_messages,
    whole_file,
)
from slcolm_client._results import Extraction, Prediction
from slcolm_client._watch import Watch


class AsyncClient(AioConnected):
    """A client of the coordinator. Its methods are those of `Client`, which documents them.

    Make it and use it on one event loop, or it raises `FailedPrecondition` with the reason
    `WRONG_EVENT_LOOP`. Cancelling a task cancels its call.

    Takes what `Client` takes, and behaves as it does.
    """

    _stub_class = coordinator_pb2_grpc.CoordinatorServiceStub

    async def upload_dataset(
        self, name: str, data: Path | bytes, schema: common_pb2.TaskSchema
    ) -> coordinator_pb2.UploadDatasetResponse:
        """See `Client.upload_dataset`. A file is read in a thread."""
        content = await asyncio.to_thread(dataset_bytes, data)

        async def attempt(**options: Any) -> coordinator_pb2.UploadDatasetResponse:
            messages = upload_messages(name, content, schema)
            response: coordinator_pb2.UploadDatasetResponse = await self._stub.UploadDataset(
                messages, **options
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
        watch = Watch(run_id, timeout_seconds, self._retries)
        request_id = new_request_id()
        while not watch.ended:
            failure = None
            try:
                with self._in_flight():
                    async with stream_aio(
                        self._stub.WatchRun,
                        watch.request,
                        timeout=watch.timeout_seconds,
                        metadata=metadata_of(request_id),
                    ) as responses:
                        async for response in responses:
                            if watch.is_news(response.run):
                                yield response.run
            except grpc.RpcError as error:
                failure = error_from_rpc(error, request_id=request_id)
            if (trouble := watch.trouble(failure)) is not None:
                await self._wait_to_retry(watch.schedule, trouble)

    async def cancel_run(self, run_id: str) -> coordinator_pb2.Run:
        """See `Client.cancel_run`."""
        request = coordinator_pb2.CancelRunRequest(run_id=run_id)
        response: coordinator_pb2.CancelRunResponse = await self._call(
            "CancelRun", request, once=True
        )
        return response.run

    async def delete_run(
        self, run_id: str, *, validate_only: bool = False
    ) -> coordinator_pb2.DeleteRunResponse:
        """See `Client.delete_run`."""
        request = coordinator_pb2.DeleteRunRequest(run_id=run_id, validate_only=validate_only)
        response: coordinator_pb2.DeleteRunResponse = await self._call(
            "DeleteRun", request, once=True
        )
        return response

    async def resume_run(self, run_id: str) -> coordinator_pb2.Run:
        """See `Client.resume_run`."""
        request = coordinator_pb2.ResumeRunRequest(run_id=run_id)
        response: coordinator_pb2.ResumeRunResponse = await self._call(
            "ResumeRun", request, once=True
        )
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

        async def attempt(**options: Any) -> None:
            file.seek(0)
            file.truncate()
            async with stream_aio(self._stub.DownloadArtifact, request, **options) as responses:
                async for response in responses:
                    file.write(response.chunk)

        await self._retried(attempt)

    async def predict(
        self, texts: Texts, *, run_id: str, batch_size: int = BATCH_SIZE
    ) -> tuple[Prediction, ...]:
        """See `Client.predict`."""
        stream = self._answers(
            each(sendable(items_of(texts))),
            predicting(run_id, all_or_nothing=True),
            Batcher(batch_size),
            ahead=BATCHES_IN_FLIGHT,
        )
        return tuple([prediction async for prediction in stream])

    def predict_stream(
        self,
        texts: ManyTexts | AsyncTexts,
        *,
        run_id: str,
        batch_size: int = BATCH_SIZE,
        batches_in_flight: int = BATCHES_IN_FLIGHT,
    ) -> AsyncGenerator[Prediction, None]:
        """See `Client.predict_stream`. Texts may come from an asynchronous iterable too."""
        check_limit("batches_in_flight", batches_in_flight)
        return self._answers(
            items_of_aio(texts),
            predicting(run_id, all_or_nothing=False),
            Batcher(batch_size),
            ahead=batches_in_flight,
        )


class AsyncExtractionClient(AioConnected):
    """A client of an extraction service. Its methods are those of `ExtractionClient`.

    Takes what `AsyncClient` takes, and behaves as it does.
    """

    _stub_class = extraction_pb2_grpc.ExtractionServiceStub

    async def extract(
        self,
        texts: Texts,
        *,
        model_revision: str = "",
        include_vectors: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> tuple[Extraction, ...]:
        """See `ExtractionClient.extract`."""
        stream = self._answers(
            each(sendable(items_of(texts))),
            extracting(model_revision, include_vectors=include_vectors, all_or_nothing=True),
            Batcher(batch_size),
            ahead=BATCHES_IN_FLIGHT,
        )
        return tuple([extraction async for extraction in stream])

    def extract_stream(
        self,
        texts: ManyTexts | AsyncTexts,
        *,
        model_revision: str = "",
        include_vectors: bool = False,
        batch_size: int = BATCH_SIZE,
        batches_in_flight: int = BATCHES_IN_FLIGHT,
    ) -> AsyncGenerator[Extraction, None]:
        """See `ExtractionClient.extract_stream`. Texts may be iterated with `async for` too."""
        check_limit("batches_in_flight", batches_in_flight)
        return self._answers(
            items_of_aio(texts),
            extracting(model_revision, include_vectors=include_vectors, all_or_nothing=False),
            Batcher(batch_size),
            ahead=batches_in_flight,
        )
