"""Durable runs on DBOS: the sequence of stages. What is known of every run is read in `runs`.

A run is one or more attempts; an attempt is a DBOS workflow named `RUN.N` whose steps are the
stages. DBOS records each finished step. Every process is an executor of its own; what one that died
has left unfinished another takes over, be it the next one on the same machine or a replica, and
goes on at the next stage. A failed or cancelled run is resumed as a further attempt, which takes
the stages that are done from their records. Everything that DBOS stores is JSON.

DBOS keeps its registry and its connection per process: there is one engine per process.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID
from google.protobuf import json_format
from sqlalchemy.exc import SQLAlchemyError

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_services.coordinator.at_work import AtWork
from slcolm_services.coordinator.context import Tools
from slcolm_services.coordinator.deletion import Deletion, Freed
from slcolm_services.coordinator.measures import CoordinatorMeasures
from slcolm_services.coordinator.presence import Presence, presence
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.runs import (
    ENDED,
    WORKFLOW,
    Runs,
    database_error,
    run_of,
    spec_of,
    state_name,
)
from slcolm_services.coordinator.stages import STAGE_NAMES
from slcolm_services.coordinator.worker import Worker
from slcolm_services.errors import (
    ArtifactNotFound,
    InvalidInput,
    RunNotReady,
    Unavailable,
)
from slcolm_services.runtime import tracing
from slcolm_services.runtime.database import make_folder_of, sqlite_file
from slcolm_services.runtime.dependencies import SameFile

_log = structlog.get_logger(__name__)

_QUEUE = "runs"
_SEQUENCE_VERSION = "2"
"""Raised when the order or meaning of the stages changes: older unfinished runs are then left."""
_WATCH_SECONDS = 2.0
_SILENT_SECONDS = 10.0
"""Time after which a database that was not read counts as away: five rounds of watching."""


class Engine:
    """Creates, runs, cancels and resumes runs. Every method blocks; call it off the event loop."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._config = tools.config
        self._at_work = AtWork()
        self._stopping = threading.Event()
        self._name = uuid.uuid4().hex
        # Kept to the end of the process: what it holds lets go when nobody refers to it.
        self._presence: Presence | None = None
        self._looked_at = time.monotonic()
        self._file: SameFile | None = None
        self._workflow: Callable[..., dict[str, Any]] | None = None
        self.measures = CoordinatorMeasures(Runs(DBOS).count_unfinished)
        self._worker = Worker(tools, self.measures)
        self._runs = Runs(DBOS, self._worker.progress_of)

    def launch(self) -> None:
        """Open the database and go on with what was left unfinished.

        Side effects: creates the database where there is none; starts threads.

        Raises:
            ConfigInvalid: The database cannot be opened.
        """
        try:
            self._open()
        except SQLAlchemyError as error:
            raise database_error(error) from error

    def _open(self) -> None:
        make_folder_of(self._config.database_url)
        self._presence = presence(self._config.database_url, self._name)
        DBOS(
            config={
                "name": "slcolm",
                "system_database_url": self._config.database_url,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "application_version": _SEQUENCE_VERSION,
                "executor_id": self._name,
            }
        )

        @DBOS.workflow(name=WORKFLOW)
        def sequence(
            attempt_id: str, spec: dict[str, Any], traceparent: str = ""
        ) -> dict[str, Any]:
            with self._at_work.working(attempt_id):
                outcome = self._run_sequence(attempt_id, spec, traceparent)
            self._worker.count_end(attempt_id, "failed" if "failed" in outcome else "succeeded")
            return outcome

        self._workflow = sequence
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=self._config.max_concurrent_runs,
            polling_interval_sec=0.2,
        )
        self._presence.hold()
        self._looked_at = time.monotonic()
        file = sqlite_file(self._config.database_url)
        self._file = SameFile(file) if file is not None else None
        threading.Thread(
            target=self._watch, args=(self._presence,), name="watch", daemon=True
        ).start()

    async def check(self) -> None:
        """Go on where the database was read not long ago, refuses nothing, and is still there.

        Raises:
            Unavailable: It does not answer, or its file is gone.
            StorageFull: Its disk is full.
            StorageRefused: It may not be written to.
        """
        if (error := self._at_work.failing()) is not None:
            raise error
        if self._file is not None:
            self._file.check()
        if time.monotonic() - self._looked_at > _SILENT_SECONDS:
            raise Unavailable("the run database has not answered for long")

    def _watch(self, own: Presence) -> None:
        """Take over what the dead have left, and notice what was cancelled through others."""
        while not self._stopping.is_set():
            try:
                own.hold()
                pending = self._runs.pending()
                self._take_up_lost(pending.pop(self._name, set()))
                self._take_over(own, pending)
                self._notice_cancelled()
                self._looked_at = time.monotonic()
            except Exception as error:  # noqa: BLE001  the next round may find the database again
                _log.warning("coordinators not looked at", error=type(error).__name__)
            self._stopping.wait(_WATCH_SECONDS)

    def _take_over(self, own: Presence, others: Iterable[str]) -> None:
        """Queue again what those of the other coordinators that are no more were working on."""
        for name in others:
            with own.of_dead(name) as dead:
                if dead:
                    # Only what still is that executor's: who asks second gets nothing.
                    taken = DBOS._recover_pending_workflows([name])  # noqa: SLF001  as DBOS's own server does
                    _log.info("runs taken over", count=len(taken))

    def _take_up_lost(self, pending: set[str]) -> None:
        """Queue again what this process was working on when the database failed."""
        for attempt_id in self._at_work.lost(pending):
            DBOS.resume_workflow(attempt_id, queue_name=_QUEUE)
            _log.info("run taken up again", run_id=run_of(attempt_id))

    def _notice_cancelled(self) -> None:
        for attempt_id in self._worker.active():
            if self._runs.is_cancelled(attempt_id):
                self._worker.cancel(attempt_id)

    def close(self) -> None:
        """Stop working. Runs in progress go on when an engine is launched again."""
        self._stopping.set()
        # Stages in flight fail now, and must fail unrecorded; DBOS would log each with a trace.
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        self._worker.close()

    def create(self, spec: coordinator_pb2.RunSpec, request_id: str) -> coordinator_pb2.Run:
        """Start a run; the same request id returns the same run.

        Raises:
            InvalidInput: The request id was used for another run.
        """
        run_id = uuid.uuid5(uuid.NAMESPACE_OID, request_id).hex[:12]
        existing = self._runs.attempts(run_id)
        if not existing:
            self._start(f"{run_id}.1", spec)
        elif spec_of(existing[0]) != spec:
            raise InvalidInput(f"request id {request_id!r} was used for a run with another spec")
        return self.get(run_id)

    def resume(self, run_id: str) -> coordinator_pb2.Run:
        """Go on with a failed or cancelled run; a run that is still going is left as it is.

        Raises:
            RunNotFound: There is no such run.
        """
        run = self.get(run_id)
        if run.state in (coordinator_pb2.RUN_STATE_FAILED, coordinator_pb2.RUN_STATE_CANCELLED):
            attempts = self._runs.attempts(run_id)
            self._start(f"{run_id}.{len(attempts) + 1}", run.spec)
        return self.get(run_id)

    def cancel(self, run_id: str) -> coordinator_pb2.Run:
        """Stop a run after the call in flight.

        Raises:
            RunNotFound: There is no such run.
            RunEnded: It has ended.
        """
        run = self._runs.cancel_run(run_id)
        self._worker.cancel(self._runs.attempts(run_id)[-1].workflow_id)
        self.measures.runs_ended.labels("cancelled").inc()
        return run

    def delete(self, run_id: str, *, validate_only: bool) -> Freed:
        """Delete a run that has ended, or only tell what would go; see `Deletion.delete`."""
        deletion = Deletion(self._runs, self._tools.store, self._tools.peers)
        return deletion.delete(run_id, validate_only=validate_only)

    def get(self, run_id: str) -> coordinator_pb2.Run:
        """Describe a run.

        Raises:
            RunNotFound: There is no such run.
        """
        return self._runs.get_run(run_id)

    def watched(self, run_id: str) -> coordinator_pb2.Run:
        """Describe a run to who waits for its end.

        Raises:
            RunNotFound: There is no such run.
            SlcolmError: Nothing becomes of it for a reason that the run database cannot take: why.
        """
        run = self.get(run_id)
        if run.state not in ENDED:
            trouble = self._at_work.trouble(self._runs.attempts(run_id)[-1].workflow_id)
            if trouble is not None:
                raise type(trouble)(
                    f"{trouble.message}; run {run_id} goes on when that is no longer so",
                    metadata={"run_id": run_id},
                )
        return run

    def all_runs(self) -> list[coordinator_pb2.Run]:
        """Describe every run, newest first."""
        return self._runs.list_runs()

    def artifact(self, run_id: str, name: str) -> str:
        """Digest of a file that a stage of the run has left.

        Raises:
            RunNotFound: There is no such run.
            ArtifactNotFound: The run has left no such file.
        """
        run = self.get(run_id)
        names: list[str] = []
        for stage in run.stages:
            if name in stage.artifacts:
                return stage.artifacts[name]
            names.extend(stage.artifacts)
        raise ArtifactNotFound(
            f"run {run_id} has no {name!r}; it has: {', '.join(sorted(names)) or 'nothing yet'}",
            metadata={"run_id": run_id, "name": name},
        )

    def ready(self, run_id: str) -> tuple[coordinator_pb2.Run, dict[str, str]]:
        """A run that can serve online prediction, with its artifacts.

        Raises:
            RunNotFound: There is no such run.
            RunNotReady: It has not succeeded.
        """
        run = self.get(run_id)
        if run.state != coordinator_pb2.RUN_STATE_SUCCEEDED:
            raise RunNotReady(
                f"run {run_id} is {state_name(run.state)}", metadata={"run_id": run_id}
            )
        return run, {
            name: digest for stage in run.stages for name, digest in stage.artifacts.items()
        }

    def _start(self, attempt_id: str, spec: coordinator_pb2.RunSpec) -> None:
        assert self._workflow is not None, "launch() comes first"  # noqa: S101
        with SetWorkflowID(attempt_id):
            DBOS.enqueue_workflow(
                _QUEUE,
                self._workflow,
                attempt_id,
                json_format.MessageToDict(spec, preserving_proto_field_name=True),
                # The stages, which may be run much later and elsewhere, are of the caller's trace.
                *filter(None, [tracing.traceparent()]),
            )

    def _run_sequence(
        self, attempt_id: str, spec: dict[str, Any], traceparent: str = ""
    ) -> dict[str, Any]:
        """Run every stage. Deterministic between steps, as DBOS needs it."""
        values: dict[str, str] = {}
        artifacts: dict[str, str] = {}
        seconds: dict[str, float] = {}
        for name in STAGE_NAMES:
            outcome = DBOS.run_step(
                {"name": name},
                self._worker.run_stage,
                attempt_id,
                name,
                spec,
                values=values,
                artifacts=artifacts,
                seconds=seconds,
                traceparent=traceparent,
            )
            if "error" in outcome:
                return {"failed": name, "error": outcome["error"]}
            result = StageResult.from_json(outcome["result"])
            values |= result.values
            artifacts |= result.artifacts
            # A step that older code recorded has no time.
            if "seconds" in outcome:
                seconds[name] = outcome["seconds"]
        return {"values": values}
