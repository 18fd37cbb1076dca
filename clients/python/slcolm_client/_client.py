"""The synchronous clients."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import grpc
from google.protobuf.message import Message

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_client._call import Schedule, metadata_of, retried, stream
from slcolm_client._channel import connect
from slcolm_client._errors import closed, error_from_rpc
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


class _Connected:
    """A stub on a channel, with the deadline of calls on it."""

    def __init__(
        self,
        stub: Callable[[grpc.Channel], Any],
        address: str,
        *,
        timeout_seconds: float,
        security: Security,
    ) -> None:
        self._channel = connect(address, security=security)
        self._open_stub = stub(self._channel)
        self._timeout_seconds = timeout_seconds
        self._closed = False

    @property
    def _stub(self) -> Any:
        if self._closed:
            raise closed()
        return self._open_stub

    def close(self) -> None:
        """Close the connection; calls in flight end with `CLIENT_CLOSED`."""
        self._closed = True
        self._channel.close()

    def _call(self, method: str, request: Message) -> Any:
        metadata = metadata_of(None)
        # The stub is asked for at each attempt: the client may be closed between two.
        return retried(
            lambda timeout: getattr(self._stub, method)(
                request, timeout=timeout, metadata=metadata
            ),
            Schedule(self._timeout_seconds),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Client(_Connected):
    """A client of the coordinator: data sets, runs, and predictions with what a run has made.

    Thread-safe. Every method raises `SlcolmClientError`: what the service answered, or what no
    call can be made with, which is `InvalidArgument` for a wrong argument (`violations` names it)
    and `FailedPrecondition` with the reason `CLIENT_CLOSED` after `close`. A coordinator that
    cannot be reached is tried again for 20 s, one that is overloaded until the deadline.

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

    def upload_dataset(
        self, name: str, data: Path | bytes, schema: common_pb2.TaskSchema
    ) -> coordinator_pb2.UploadDatasetResponse:
        """Store a data set (native JSONL) under the digest of its content.

        A retry sends the whole again; the store holds it once.

        Args:
            name: What messages call it, for example `train.jsonl`.
            data: A file, or its bytes.
            schema: Task schema that it is checked against.

        Returns:
            Digest, which names the data set from now on, and number of documents.

        Raises:
            InvalidArgument: The data has problems; `violations` names them with their lines.
            OSError: The file cannot be read.
        """
        content = dataset_bytes(data)
        metadata = metadata_of(None)

        def attempt(seconds: float) -> coordinator_pb2.UploadDatasetResponse:
            messages = upload_messages(name, content, schema)
            response: coordinator_pb2.UploadDatasetResponse = self._stub.UploadDataset(
                messages, timeout=seconds, metadata=metadata
            )
            return response

        return retried(attempt, Schedule(self._timeout_seconds))

    def create_run(
        self, spec: coordinator_pb2.RunSpec, *, request_id: str | None = None
    ) -> coordinator_pb2.Run:
        """Start a run.

        Args:
            spec: Everything that shapes its result.
            request_id: UUID of this wish; with the same one, the same run comes back. Retries
                within this call keep it, so that they start one run only.
        """
        request = create_run_request(spec, request_id)
        response: coordinator_pb2.CreateRunResponse = self._call("CreateRun", request)
        return response.run

    def get_run(self, run_id: str) -> coordinator_pb2.Run:
        """A run as it is now."""
        request = coordinator_pb2.GetRunRequest(run_id=run_id)
        response: coordinator_pb2.GetRunResponse = self._call("GetRun", request)
        return response.run

    def list_runs(self, *, page_size: int = 0) -> Iterator[coordinator_pb2.Run]:
        """All runs, newest first, fetched a page at a time.

        Args:
            page_size: Runs a page; 0 leaves it to the coordinator.
        """
        request = coordinator_pb2.ListRunsRequest(page_size=page_size)
        while True:
            response = self._call("ListRuns", request)
            yield from response.runs
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def watch_run(
        self, run_id: str, *, timeout_seconds: float | None = None
    ) -> Iterator[coordinator_pb2.Run]:
        """Follow a run: as it is now, then every change, until it has ended.

        A connection that breaks is made again; what changed meanwhile then comes at once. Closing
        the iterator leaves the run alone.

        Args:
            run_id: Which run.
            timeout_seconds: How long to watch; None for as long as it takes.

        Raises:
            DeadlineExceeded: The run had not ended in time.
        """
        watch = Watch(run_id, timeout_seconds)
        metadata = metadata_of(None)
        while not watch.ended:
            failure = None
            try:
                for response in stream(
                    self._stub.WatchRun,
                    watch.request,
                    timeout=watch.timeout_seconds,
                    metadata=metadata,
                ):
                    if watch.is_news(response.run):
                        yield response.run
            except grpc.RpcError as error:
                failure = error_from_rpc(error)
            if not watch.ended:
                time.sleep(watch.pause(failure))

    def cancel_run(self, run_id: str) -> coordinator_pb2.Run:
        """Stop a run after the call in flight.

        Raises:
            FailedPrecondition: The run has ended (`RUN_ENDED`). A retry after a lost answer may
                find that too.
        """
        request = coordinator_pb2.CancelRunRequest(run_id=run_id)
        response: coordinator_pb2.CancelRunResponse = self._call("CancelRun", request)
        return response.run

    def resume_run(self, run_id: str) -> coordinator_pb2.Run:
        """Go on with a failed, cancelled or interrupted run; a retry does no more than one call."""
        request = coordinator_pb2.ResumeRunRequest(run_id=run_id)
        response: coordinator_pb2.ResumeRunResponse = self._call("ResumeRun", request)
        return response.run

    def download(self, run_id: str, name: str) -> bytes:
        """A file of a finished stage, in memory.

        Args:
            run_id: Which run.
            name: File name, for example `report.json` or `merged.jsonl`.

        Raises:
            NotFound: The run has no such file.
        """
        file = io.BytesIO()
        self._download(run_id, name, file)
        return file.getvalue()

    def download_file(self, run_id: str, name: str, path: Path) -> None:
        """Write a file of a finished stage to `path`, which appears when it is complete.

        Args:
            run_id: Which run.
            name: As for `download`.
            path: Where to; what is there is replaced.

        Raises:
            NotFound: The run has no such file.
            OSError: `path` cannot be written.
        """
        with whole_file(path) as file:
            self._download(run_id, name, file)

    def _download(self, run_id: str, name: str, file: BinaryIO) -> None:
        request = coordinator_pb2.DownloadArtifactRequest(run_id=run_id, name=name)
        metadata = metadata_of(None)

        def attempt(seconds: float) -> None:
            file.seek(0)
            file.truncate()
            file.writelines(
                response.chunk
                for response in stream(
                    self._stub.DownloadArtifact, request, timeout=seconds, metadata=metadata
                )
            )

        retried(attempt, Schedule(self._timeout_seconds))

    def predict(
        self, texts: Texts, *, run_id: str, batch_size: int = BATCH_SIZE
    ) -> tuple[Prediction, ...]:
        """Entities and relations of texts, with the model, index and policy of a succeeded run.

        A failed text costs itself: its prediction carries the error. A retry may repeat LLM
        calls that were not answered; answered ones come from the service's ledger.

        Args:
            texts: Texts, or texts by the names that the predictions will carry.
            run_id: Which run.
            batch_size: Texts a call.

        Returns:
            A prediction for each text, in order.

        Raises:
            FailedPrecondition: The run has not succeeded (`RUN_NOT_READY`).
            InvalidArgument: One of `texts` is no text; nothing was sent.
        """
        predictions: list[Prediction] = []
        for documents in batches(texts, batch_size):
            request = coordinator_pb2.PredictRequest(run_id=run_id, documents=documents)
            predictions += read_predictions(self._call("Predict", request), documents)
        return tuple(predictions)


class ExtractionClient(_Connected):
    """A client of an extraction service: the small model alone.

    Takes what `Client` takes, and behaves as it does.
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

    def extract(
        self,
        texts: Texts,
        *,
        model_revision: str = "",
        include_vectors: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> tuple[Extraction, ...]:
        """Entities and relations of texts. Retries repeat nothing but the work.

        Args:
            texts: Texts, or texts by the names that the extractions will carry.
            model_revision: Which model; empty for the service's default.
            include_vectors: Whether to return sentence vectors.
            batch_size: Texts a call.

        Returns:
            An extraction for each text, in order; a failed text's carries the error.

        Raises:
            InvalidArgument: One of `texts` is no text; nothing was sent.
        """
        extractions: list[Extraction] = []
        for documents in batches(texts, batch_size):
            request = extraction_pb2.ExtractRequest(
                documents=documents, model_revision=model_revision, include_vectors=include_vectors
            )
            extractions += read_extractions(self._call("Extract", request), documents)
        return tuple(extractions)
