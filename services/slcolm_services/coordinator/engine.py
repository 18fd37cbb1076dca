"""Durable runs on DBOS: the sequence of stages, and what is known of every run.

A run is one or more attempts; an attempt is a DBOS workflow named `RUN.N` whose steps are the
stages. DBOS records each finished step, so that a coordinator that was killed goes on at the next
stage when it starts again. A failed or cancelled run is resumed as a further attempt, which takes
the stages that are done from their records. Everything that DBOS stores is JSON.

DBOS keeps its registry and its connection per process: there is one engine per process.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_services.coordinator.context import StageContext, Tools
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.stages import STAGE_NAMES, run_stage
from slcolm_services.errors import (
    ArtifactNotFound,
    Cancelled,
    ConfigInvalid,
    FieldViolation,
    InvalidInput,
    RunEnded,
    RunNotFound,
    RunNotReady,
    SlcolmError,
)
from slcolm_services.runtime.status import status_of

_log = structlog.get_logger(__name__)

_QUEUE = "runs"
_SEQUENCE_VERSION = "1"
"""Raised when the order or meaning of the stages changes: older unfinished runs are then left."""
_STATES = {
    "ENQUEUED": coordinator_pb2.RUN_STATE_QUEUED,
    "DELAYED": coordinator_pb2.RUN_STATE_QUEUED,
    "PENDING": coordinator_pb2.RUN_STATE_RUNNING,
    "SUCCESS": coordinator_pb2.RUN_STATE_SUCCEEDED,
    "ERROR": coordinator_pb2.RUN_STATE_FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": coordinator_pb2.RUN_STATE_FAILED,
    "CANCELLED": coordinator_pb2.RUN_STATE_CANCELLED,
}
ENDED = frozenset(
    {
        coordinator_pb2.RUN_STATE_SUCCEEDED,
        coordinator_pb2.RUN_STATE_FAILED,
        coordinator_pb2.RUN_STATE_CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class _Progress:
    stage: str
    done: int
    total: int
    message: str


class Engine:
    """Creates, runs and describes runs. Every method blocks; call it off the event loop."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._config = tools.config
        self._progress: dict[str, _Progress] = {}
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._workflow: Callable[..., dict[str, Any]] | None = None

    def launch(self) -> None:
        """Open the database and go on with what was left unfinished.

        Side effects: creates the database where there is none; starts threads.

        Raises:
            ConfigInvalid: The database cannot be opened.
        """
        try:
            self._open()
        except SQLAlchemyError as error:
            # The full text would name the URL, which may hold a password.
            reason = str(getattr(error, "orig", None) or type(error).__name__)
            raise ConfigInvalid(
                f"the run database cannot be opened: {reason}",
                violations=[FieldViolation("[coordinator] database_url", reason)],
            ) from error

    def _open(self) -> None:
        url = make_url(self._config.database_url)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        DBOS(
            config={
                "name": "slcolm",
                "system_database_url": self._config.database_url,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "application_version": _SEQUENCE_VERSION,
                "executor_id": self._config.executor_id,
            }
        )

        @DBOS.workflow(name="training-guide-predict")
        def sequence(attempt_id: str, spec: dict[str, Any]) -> dict[str, Any]:
            return self._run_sequence(attempt_id, spec)

        self._workflow = sequence
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=self._config.max_concurrent_runs,
            polling_interval_sec=0.2,
        )

    def close(self) -> None:
        """Stop working. Runs in progress go on when an engine is launched again."""
        # Stages in flight fail now, and must fail unrecorded; DBOS would log each with a trace.
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)

    def create(self, spec: coordinator_pb2.RunSpec, request_id: str) -> coordinator_pb2.Run:
        """Start a run; the same request id returns the same run.

        Raises:
            InvalidInput: The request id was used for another run.
        """
        run_id = uuid.uuid5(uuid.NAMESPACE_OID, request_id).hex[:12]
        existing = self._attempts(run_id)
        if not existing:
            self._start(f"{run_id}.1", spec)
        elif _spec_of(existing[0]) != spec:
            raise InvalidInput(f"request id {request_id!r} was used for a run with another spec")
        return self.get(run_id)

    def resume(self, run_id: str) -> coordinator_pb2.Run:
        """Go on with a failed or cancelled run; a run that is still going is left as it is.

        Raises:
            RunNotFound: There is no such run.
        """
        run = self.get(run_id)
        if run.state in (coordinator_pb2.RUN_STATE_FAILED, coordinator_pb2.RUN_STATE_CANCELLED):
            attempts = self._attempts(run_id)
            self._start(f"{run_id}.{len(attempts) + 1}", run.spec)
        return self.get(run_id)

    def cancel(self, run_id: str) -> coordinator_pb2.Run:
        """Stop a run after the call in flight.

        Raises:
            RunNotFound: There is no such run.
            RunEnded: It has ended.
        """
        run = self.get(run_id)
        if run.state in ENDED:
            raise RunEnded(f"run {run_id} has ended", metadata={"run_id": run_id})
        attempt_id = self._attempts(run_id)[-1].workflow_id
        with self._lock:
            self._cancelled.add(attempt_id)
        DBOS.cancel_workflow(attempt_id)
        return self.get(run_id)

    def get(self, run_id: str) -> coordinator_pb2.Run:
        """Describe a run.

        Raises:
            RunNotFound: There is no such run.
        """
        attempts = self._attempts(run_id)
        if not attempts:
            raise RunNotFound(f"no run {run_id!r}", metadata={"run_id": run_id})
        return self._describe(run_id, attempts)

    def all_runs(self) -> list[coordinator_pb2.Run]:
        """Describe every run, newest first."""
        attempts: dict[str, list[Any]] = {}
        for status in DBOS.list_workflows(name="training-guide-predict"):
            attempts.setdefault(status.workflow_id.split(".")[0], []).append(status)
        runs = [self._describe(run_id, part) for run_id, part in attempts.items()]
        return sorted(runs, key=lambda run: run.create_time.ToNanoseconds(), reverse=True)

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
            state = coordinator_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()
            raise RunNotReady(f"run {run_id} is {state}", metadata={"run_id": run_id})
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
            )

    def _run_sequence(self, attempt_id: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Run every stage. Deterministic between steps, as DBOS needs it."""
        values: dict[str, str] = {}
        artifacts: dict[str, str] = {}
        seconds: dict[str, float] = {}
        for name in STAGE_NAMES:
            outcome = DBOS.run_step(
                {"name": name},
                self._run_stage,
                attempt_id,
                name,
                spec,
                values=values,
                artifacts=artifacts,
                seconds=seconds,
            )
            if "error" in outcome:
                return {"failed": name, "error": outcome["error"]}
            result = StageResult.from_json(outcome["result"])
            values |= result.values
            artifacts |= result.artifacts
            seconds[name] = outcome["seconds"]
        return {"values": values}

    def _run_stage(
        self,
        attempt_id: str,
        name: str,
        spec: dict[str, Any],
        *,
        values: Mapping[str, str],
        artifacts: Mapping[str, str],
        seconds: Mapping[str, float],
    ) -> dict[str, Any]:
        """Run one stage. A failure is a value: DBOS would otherwise log it with its trace."""

        def progress(done: int, total: int, message: str) -> None:
            with self._lock:
                if attempt_id in self._cancelled:
                    raise Cancelled(f"run {attempt_id} was cancelled")
                self._progress[attempt_id] = _Progress(name, done, total, message)

        run_id = attempt_id.split(".", maxsplit=1)[0]
        start = time.monotonic()
        with structlog.contextvars.bound_contextvars(run_id=run_id, stage=name):
            _log.info("stage started")
            try:
                progress(0, 0, "")
                parsed = json_format.ParseDict(spec, coordinator_pb2.RunSpec())
                context = StageContext(run_id, parsed, values, artifacts, progress, seconds)
                result = run_stage(self._tools, name, context)
            except SlcolmError as error:
                _log.warning("stage failed", reason=error.reason)
                return {"error": _encode(status_of(error))}
            except Exception as error:  # noqa: BLE001  it is logged and becomes the run's error
                _log.exception("stage failed")
                return {"error": _encode(status_of(error))}
            finally:
                with self._lock:
                    self._progress.pop(attempt_id, None)
            _log.info("stage done", reused=result.reused)
            return {"result": result.to_json(), "seconds": time.monotonic() - start}

    @staticmethod
    def _attempts(run_id: str) -> list[Any]:
        statuses = DBOS.list_workflows(workflow_id_prefix=f"{run_id}.")
        return sorted(statuses, key=lambda status: int(status.workflow_id.split(".")[1]))

    def _describe(self, run_id: str, attempts: list[Any]) -> coordinator_pb2.Run:
        latest = attempts[-1]
        state = _STATES[latest.status]
        output = latest.output if isinstance(latest.output, dict) else {}
        if "error" in output:
            state = coordinator_pb2.RUN_STATE_FAILED
        run = coordinator_pb2.Run(
            id=run_id,
            spec=_spec_of(latest),
            state=state,
            create_time=_timestamp(attempts[0].created_at),
        )
        if state in ENDED:
            run.end_time.CopyFrom(_timestamp(latest.updated_at))
        if "error" in output:
            run.error.CopyFrom(_decode(output["error"]))
        elif state == coordinator_pb2.RUN_STATE_FAILED:
            run.error.CopyFrom(status_of(RuntimeError("the workflow failed")))
        steps = DBOS.list_workflow_steps(latest.workflow_id)
        run.stages.extend(self._describe_stages(latest.workflow_id, state, steps))
        values = {name: value for step in steps for name, value in _result_of(step).values.items()}
        run.model_revision = values.get("model_revision", "")
        run.index_revision = values.get("index_revision", "")
        run.policy_digest = values.get("policy_digest", "")
        return run

    def _describe_stages(
        self,
        attempt_id: str,
        run_state: coordinator_pb2.RunState,
        finished: Iterable[Mapping[str, Any]],
    ) -> list[coordinator_pb2.Stage]:
        steps = {step["function_name"]: step for step in finished}
        with self._lock:
            progress = self._progress.get(attempt_id)
        stages = []
        for name in STAGE_NAMES:
            stage = coordinator_pb2.Stage(name=name, state=coordinator_pb2.RUN_STATE_QUEUED)
            if name in steps:
                _fill_finished(stage, steps[name])
            elif progress is not None and progress.stage == name:
                stage.state = coordinator_pb2.RUN_STATE_RUNNING
                stage.done, stage.total = progress.done, progress.total
                stage.message = progress.message
            elif run_state in ENDED:
                stage.state = coordinator_pb2.RUN_STATE_CANCELLED
            stages.append(stage)
        return stages


def _fill_finished(stage: coordinator_pb2.Stage, step: Mapping[str, Any]) -> None:
    if step["started_at_epoch_ms"]:
        stage.start_time.CopyFrom(_timestamp(step["started_at_epoch_ms"]))
    if step["completed_at_epoch_ms"]:
        stage.end_time.CopyFrom(_timestamp(step["completed_at_epoch_ms"]))
    output = step["output"] or {}
    if "result" not in output:
        stage.state = coordinator_pb2.RUN_STATE_FAILED
        if "error" in output:
            stage.message = _decode(output["error"]).message
        return
    result = StageResult.from_json(output["result"])
    stage.state = coordinator_pb2.RUN_STATE_SUCCEEDED
    stage.done = stage.total = result.done
    stage.message = result.message
    stage.reused = result.reused
    stage.artifacts.update(result.artifacts)


def _result_of(step: Mapping[str, Any]) -> StageResult:
    output = step["output"] or {}
    if "result" in output:
        return StageResult.from_json(output["result"])
    return StageResult(message="")


def _spec_of(status: Any) -> coordinator_pb2.RunSpec:
    _, spec = status.input["args"]
    return json_format.ParseDict(spec, coordinator_pb2.RunSpec())


def _timestamp(epoch_ms: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(epoch_ms)
    return timestamp


def _encode(status: Status) -> str:
    return base64.b64encode(status.SerializeToString()).decode()


def _decode(text: str) -> Status:
    return Status.FromString(base64.b64decode(text))
