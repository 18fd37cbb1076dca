"""The synchronous clients."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import grpc

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2_grpc
from slcolm_client._bulk import BATCH_SIZE, BATCHES_IN_FLIGHT, Batcher, items_of, sendable
from slcolm_client._call import metadata_of, new_request_id, stream
from slcolm_client._channel import check_limit
from slcolm_client._connected import Connected
from slcolm_client._errors import error_from_rpc
from slcolm_client._messages import (
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


class Client(Connected):
    """A client of the coordinator: data sets, runs, and predictions with what a run has made.

    Thread-safe. Every method raises `SlcolmClientError`: what the service answered, or what no
    call can be made with, which is `InvalidArgument` for a wrong argument (`violations` names it)
    and `FailedPrecondition` with the reason `CLIENT_CLOSED` after `close`.

    A call that fails as UNAVAILABLE is tried again for `patience_seconds`; one that is refused
    with a time to come back at, until its deadline. Nothing else is. `cancel_run`, `resume_run`
    and `delete_run` are tried again only where the coordinator said that it had not begun.

    Args:
        address: `host:port` of the coordinator, or a gRPC target: `dns:///HOST:PORT` for every
            address of a name, `ipv4:HOST:PORT,HOST:PORT` for a list. Each gets its share of calls.
        timeout_seconds: Deadline of each call, its retries and its waiting for a place included.
        security: TLS, and the token that every call carries.
        retries: How often failed calls are tried again.
        max_calls_in_flight: Calls at once; more wait for a place. `watch_run` takes none.
        max_message_bytes: Largest message in either direction.
    """

    _stub_class = coordinator_pb2_grpc.CoordinatorServiceStub

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

        def attempt(**options: Any) -> coordinator_pb2.UploadDatasetResponse:
            messages = upload_messages(name, content, schema)
            response: coordinator_pb2.UploadDatasetResponse = self._stub.UploadDataset(
                messages, **options
            )
            return response

        return self._retried(attempt)

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
        watch = Watch(run_id, timeout_seconds, self._retries)
        request_id = new_request_id()
        while not watch.ended:
            failure = None
            try:
                for response in stream(
                    self._stub.WatchRun,
                    watch.request,
                    timeout=watch.timeout_seconds,
                    metadata=metadata_of(request_id),
                ):
                    if watch.is_news(response.run):
                        yield response.run
            except grpc.RpcError as error:
                failure = error_from_rpc(error, request_id=request_id)
            if (trouble := watch.trouble(failure)) is not None:
                self._wait_to_retry(watch.schedule, trouble)

    def cancel_run(self, run_id: str) -> coordinator_pb2.Run:
        """Stop a run after the call in flight.

        Raises:
            FailedPrecondition: The run has ended (`RUN_ENDED`).
            Unavailable: The answer was lost, maybe with the run cancelled: `get_run` tells.
        """
        request = coordinator_pb2.CancelRunRequest(run_id=run_id)
        response: coordinator_pb2.CancelRunResponse = self._call("CancelRun", request, once=True)
        return response.run

    def delete_run(
        self, run_id: str, *, validate_only: bool = False
    ) -> coordinator_pb2.DeleteRunResponse:
        """Delete a run that has ended, with everything that no other run has.

        Args:
            run_id: The run.
            validate_only: Only tell what would go.

        Raises:
            FailedPrecondition: The run, or one on the same data, has not ended (`RUN_NOT_ENDED`).
            Unavailable: The answer was lost, maybe with the run deleted: `get_run` tells.
        """
        request = coordinator_pb2.DeleteRunRequest(run_id=run_id, validate_only=validate_only)
        response: coordinator_pb2.DeleteRunResponse = self._call("DeleteRun", request, once=True)
        return response

    def resume_run(self, run_id: str) -> coordinator_pb2.Run:
        """Go on with a failed, cancelled or interrupted run.

        Raises:
            Unavailable: The answer was lost, maybe with the run going on: `get_run` tells.
        """
        request = coordinator_pb2.ResumeRunRequest(run_id=run_id)
        response: coordinator_pb2.ResumeRunResponse = self._call("ResumeRun", request, once=True)
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

        def attempt(**options: Any) -> None:
            file.seek(0)
            file.truncate()
            file.writelines(
                response.chunk
                for response in stream(self._stub.DownloadArtifact, request, **options)
            )

        self._retried(attempt)

    def predict(
        self, texts: Texts, *, run_id: str, batch_size: int = BATCH_SIZE
    ) -> tuple[Prediction, ...]:
        """Entities and relations of texts, with the model, index and policy of a succeeded run.

        A failed text costs itself: its prediction carries the error. A failed call costs them
        all; `predict_stream` keeps the others. A retry may repeat LLM calls that were not answered;
        answered ones come from the service's ledger.

        Args:
            texts: Texts, or texts by the names that the predictions will carry.
            run_id: Which run.
            batch_size: Most texts a call. Where the service takes less, less is sent.

        Returns:
            A prediction for each text, in order.

        Raises:
            FailedPrecondition: The run has not succeeded (`RUN_NOT_READY`).
            InvalidArgument: One of `texts` is no text; nothing was sent.
        """
        return tuple(
            self._answers(
                sendable(items_of(texts)),
                predicting(run_id, all_or_nothing=True),
                Batcher(batch_size),
                ahead=BATCHES_IN_FLIGHT,
            )
        )

    def predict_stream(
        self,
        texts: ManyTexts,
        *,
        run_id: str,
        batch_size: int = BATCH_SIZE,
        batches_in_flight: int = BATCHES_IN_FLIGHT,
    ) -> Generator[Prediction, None, None]:
        """Predictions of any number of texts, one by one as they come, in order.

        Texts are read as predictions are taken: of both there are never more in memory than
        `batches_in_flight` batches. A failed text costs itself, and a failed call its batch: their
        predictions carry the error. Closing the iterator cancels the calls in flight.

        Args:
            texts: Texts, texts by name, or pairs of name and text; any iterable.
            run_id: Which run.
            batch_size: Most texts a call. Where the service takes less, less is sent.
            batches_in_flight: Calls at once.

        Raises:
            SlcolmClientError: What would fail every call alike, after the predictions before it:
                `NotFound`, `FailedPrecondition`, `Unauthenticated`, `PermissionDenied`,
                `Unimplemented`, `Cancelled`. And `InvalidArgument` for other arguments, at once.
        """
        check_limit("batches_in_flight", batches_in_flight)
        return self._answers(
            items_of(texts),
            predicting(run_id, all_or_nothing=False),
            Batcher(batch_size),
            ahead=batches_in_flight,
        )


class ExtractionClient(Connected):
    """A client of an extraction service: the small model alone.

    Takes what `Client` takes, and behaves as it does.
    """

    _stub_class = extraction_pb2_grpc.ExtractionServiceStub

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
            batch_size: Most texts a call. Where the service takes less, less is sent.

        Returns:
            An extraction for each text, in order; a failed text's carries the error. A failed call
            costs them all; `extract_stream` keeps the others.

        Raises:
            InvalidArgument: One of `texts` is no text; nothing was sent.
        """
        return tuple(
            self._answers(
                sendable(items_of(texts)),
                extracting(model_revision, include_vectors=include_vectors, all_or_nothing=True),
                Batcher(batch_size),
                ahead=BATCHES_IN_FLIGHT,
            )
        )

    def extract_stream(
        self,
        texts: ManyTexts,
        *,
        model_revision: str = "",
        include_vectors: bool = False,
        batch_size: int = BATCH_SIZE,
        batches_in_flight: int = BATCHES_IN_FLIGHT,
    ) -> Generator[Extraction, None, None]:
        """Extractions of any number of texts, one by one; see `Client.predict_stream`."""
        check_limit("batches_in_flight", batches_in_flight)
        return self._answers(
            items_of(texts),
            extracting(model_revision, include_vectors=include_vectors, all_or_nothing=False),
            Batcher(batch_size),
            ahead=batches_in_flight,
        )
