"""The coordinator on the wire: requests in, answers out, work off the event loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import structlog
from google.protobuf.message import Message

from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_services.coordinator.asking import providers_of
from slcolm_services.coordinator.context import DATASET_FIELDS, Tools
from slcolm_services.coordinator.engine import Engine
from slcolm_services.coordinator.online import predict
from slcolm_services.coordinator.runs import ENDED
from slcolm_services.errors import (
    DatasetNotFound,
    FieldViolation,
    InvalidInput,
)
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.wire import check_batch, schema_from_wire

Context: TypeAlias = "grpc.aio.ServicerContext[Message, Message]"

_CHUNK_BYTES = 1024 * 1024


class CoordinatorServicer(coordinator_pb2_grpc.CoordinatorServiceServicer):
    """Serves `slcolm.coordinator.v1.CoordinatorService`."""

    def __init__(self, tools: Tools, engine: Engine) -> None:
        self._tools = tools
        self._config = tools.config
        self._datasets = tools.datasets
        self._engine = engine

    async def UploadDataset(
        self,
        request_iterator: AsyncIterator[coordinator_pb2.UploadDatasetRequest],
        context: Context,
    ) -> coordinator_pb2.UploadDatasetResponse:
        """Store a data set after checking every line of it."""
        del context
        data = bytearray()
        first: coordinator_pb2.UploadDatasetRequest | None = None
        async for request in request_iterator:
            first = first or request
            data += request.chunk
            if len(data) > self._config.max_dataset_bytes:
                raise InvalidInput(
                    f"a data set may have {self._config.max_dataset_bytes} bytes",
                    violations=[FieldViolation("chunk", "the data set is too large")],
                )
        if first is None:
            raise InvalidInput("no message came: the first one names the data set")
        schema = schema_from_wire(first.schema)
        digest, count = await asyncio.to_thread(
            self._datasets.add, first.name or "data set", bytes(data), schema
        )
        return coordinator_pb2.UploadDatasetResponse(digest=digest, document_count=count)

    async def CreateRun(
        self, request: coordinator_pb2.CreateRunRequest, context: Context
    ) -> coordinator_pb2.CreateRunResponse:
        """Start a run over data sets that are in the store."""
        del context
        spec = request.spec
        if not schema_from_wire(spec.schema, "spec.schema").relation_types:
            raise InvalidInput(
                "the task has no relation types, and a run is about relations",
                violations=[FieldViolation("spec.schema.relation_types", "must not be empty")],
            )
        for field in DATASET_FIELDS:
            digest = getattr(spec, field)
            if not digest:
                raise InvalidInput(
                    f"spec.{field} is missing",
                    violations=[FieldViolation(f"spec.{field}", "must name a data set")],
                )
            if not await asyncio.to_thread(self._datasets.load, digest):
                raise DatasetNotFound(f"the data set of spec.{field} is empty")
        _check_guidance(spec)
        # What no provider can do is told now, not after hours of training.
        await asyncio.to_thread(providers_of, self._tools.peers, spec)
        run = await asyncio.to_thread(
            self._engine.create, spec, request.request_id or str(uuid.uuid4())
        )
        structlog.contextvars.bind_contextvars(run_id=run.id)
        return coordinator_pb2.CreateRunResponse(run=run)

    async def GetRun(
        self, request: coordinator_pb2.GetRunRequest, context: Context
    ) -> coordinator_pb2.GetRunResponse:
        """Describe a run."""
        del context
        run = await asyncio.to_thread(self._engine.get, request.run_id)
        return coordinator_pb2.GetRunResponse(run=run)

    async def ListRuns(
        self, request: coordinator_pb2.ListRunsRequest, context: Context
    ) -> coordinator_pb2.ListRunsResponse:
        """List runs, newest first."""
        del context
        runs = await asyncio.to_thread(self._engine.all_runs)
        part, token = page(runs, request.page_size, request.page_token)
        return coordinator_pb2.ListRunsResponse(runs=part, next_page_token=token)

    async def CancelRun(
        self, request: coordinator_pb2.CancelRunRequest, context: Context
    ) -> coordinator_pb2.CancelRunResponse:
        """Stop a run."""
        del context
        run = await asyncio.to_thread(self._engine.cancel, request.run_id)
        return coordinator_pb2.CancelRunResponse(run=run)

    async def ResumeRun(
        self, request: coordinator_pb2.ResumeRunRequest, context: Context
    ) -> coordinator_pb2.ResumeRunResponse:
        """Go on with a run."""
        del context
        run = await asyncio.to_thread(self._engine.resume, request.run_id)
        return coordinator_pb2.ResumeRunResponse(run=run)

    async def DeleteRun(
        self, request: coordinator_pb2.DeleteRunRequest, context: Context
    ) -> coordinator_pb2.DeleteRunResponse:
        """Delete a run with what it alone has."""
        del context
        freed = await asyncio.to_thread(
            self._engine.delete, request.run_id, validate_only=request.validate_only
        )
        return coordinator_pb2.DeleteRunResponse(
            artifact_count=freed.artifacts, artifact_bytes=freed.bytes
        )

    async def WatchRun(
        self, request: coordinator_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[coordinator_pb2.WatchRunResponse]:
        """Stream the run as it is now, then every change, until it has ended."""
        del context
        previous = None
        while True:
            run = await asyncio.to_thread(self._engine.watched, request.run_id)
            if run != previous:
                yield coordinator_pb2.WatchRunResponse(run=run)
            if run.state in ENDED:
                return
            previous = run
            await asyncio.sleep(self._config.watch_poll_seconds)

    async def DownloadArtifact(
        self, request: coordinator_pb2.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[coordinator_pb2.DownloadArtifactResponse]:
        """Stream a file that a stage has left."""
        del context
        digest = await asyncio.to_thread(self._engine.artifact, request.run_id, request.name)
        data = await asyncio.to_thread(self._tools.records.get_file, digest)
        for start in range(0, len(data), _CHUNK_BYTES):
            chunk = data[start : start + _CHUNK_BYTES]
            yield coordinator_pb2.DownloadArtifactResponse(chunk=chunk)

    async def Predict(
        self, request: coordinator_pb2.PredictRequest, context: Context
    ) -> coordinator_pb2.PredictResponse:
        """Run guide and predict on single texts."""
        del context
        check_batch(
            [document.id for document in request.documents],
            field="documents",
            limit=self._config.max_predict_documents,
        )
        run, artifacts = await asyncio.to_thread(self._engine.ready, request.run_id)
        policy = await asyncio.to_thread(self._tools.policy, artifacts)
        return await asyncio.to_thread(predict, self._tools, run, policy, request.documents)


def _check_guidance(spec: coordinator_pb2.RunSpec) -> None:
    """Check the numbers of a run's guidance.

    Raises:
        InvalidInput: One is out of range.
    """
    budget = spec.budget
    violations = [
        FieldViolation(f"spec.{name}", f"must not be negative, got {value:g}")
        for name, value in (
            ("demonstration_count", spec.demonstration_count),
            ("samples", spec.samples),
            ("prompt.max_demonstrations", spec.prompt.max_demonstrations),
            ("budget.max_calls", budget.max_calls),
            ("budget.max_tokens", budget.max_tokens),
            ("budget.max_cost", budget.max_cost),
        )
        if not value >= 0
    ]
    if spec.HasField("budget") and not (budget.max_calls or budget.max_tokens or budget.max_cost):
        violations.append(FieldViolation("spec.budget", "must limit calls, tokens or cost"))
    if violations:
        problems = "; ".join(f"{item.field} {item.problem}" for item in violations)
        raise InvalidInput(problems, violations=violations)
