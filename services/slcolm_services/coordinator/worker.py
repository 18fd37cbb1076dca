"""Runs stages in this process: their progress, how they are stopped, and what is told of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from google.protobuf import json_format

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_services.coordinator.context import StageContext, Tools
from slcolm_services.coordinator.measures import CoordinatorMeasures
from slcolm_services.coordinator.runs import Progress, encode_status, run_of
from slcolm_services.coordinator.stages import run_stage
from slcolm_services.errors import Cancelled, SlcolmError
from slcolm_services.runtime import tracing
from slcolm_services.runtime.status import status_of

_log = structlog.get_logger(__name__)


class Worker:
    """Works on attempts. Thread-safe.

    Args:
        tools: What stages work with.
        measures: Where stages and the ends of runs are counted.
    """

    def __init__(self, tools: Tools, measures: CoordinatorMeasures) -> None:
        self._tools = tools
        self._measures = measures
        self._lock = threading.Lock()
        self._progress: dict[str, Progress] = {}
        self._cancelled: set[str] = set()
        self._closed = False

    def progress_of(self, attempt_id: str) -> Progress | None:
        """How far the stage in flight of an attempt is; None where none is in flight here."""
        with self._lock:
            return self._progress.get(attempt_id)

    def active(self) -> set[str]:
        """Attempts with a stage in flight that were not cancelled."""
        with self._lock:
            return set(self._progress) - self._cancelled

    def cancel(self, attempt_id: str) -> None:
        """Have the stage in flight of an attempt fail as cancelled at its next progress."""
        with self._lock:
            self._cancelled.add(attempt_id)

    def close(self) -> None:
        """Have every stage in flight fail as cancelled at its next progress."""
        with self._lock:
            self._closed = True

    def count_end(self, attempt_id: str, state: str) -> None:
        """Count the end of an attempt."""
        with self._lock:
            # When the coordinator stops, its runs go on later; cancelled ones are counted already.
            counts = not self._closed and attempt_id not in self._cancelled
        if counts:
            self._measures.runs_ended.labels(state).inc()

    def run_stage(
        self,
        attempt_id: str,
        name: str,
        spec: dict[str, Any],
        *,
        values: Mapping[str, str],
        artifacts: Mapping[str, str],
        seconds: Mapping[str, float],
        traceparent: str = "",
    ) -> dict[str, Any]:
        """Run one stage. A failure is a value: DBOS would otherwise log it with its trace.

        Args:
            attempt_id: The attempt.
            name: The stage.
            spec: The run's spec as JSON.
            values: Values of the stages before this one.
            artifacts: Their artifacts: file name to digest.
            seconds: Their wall times.
            traceparent: The trace that the run belongs to.

        Returns:
            The result and its time in seconds, or the error as the run database keeps it.
        """
        run_id = run_of(attempt_id)
        start = time.monotonic()
        with (
            structlog.contextvars.bound_contextvars(run_id=run_id, stage=name),
            tracing.span(
                f"stage {name}",
                attributes={"slcolm.run_id": run_id, "slcolm.stage": name},
                parent=tracing.continuing(traceparent),
            ) as span,
        ):
            _log.info("stage started")

            def progress(done: int, total: int, message: str) -> None:
                self._note(attempt_id, Progress(name, done, total, message))

            try:
                progress(0, 0, "")
                parsed = json_format.ParseDict(spec, coordinator_pb2.RunSpec())
                context = StageContext(run_id, parsed, values, artifacts, progress, seconds)
                result = run_stage(self._tools, name, context)
            except SlcolmError as error:
                _log.warning("stage failed", reason=error.reason)
                span.fail(error.reason)
                outcome = "cancelled" if isinstance(error, Cancelled) else "failed"
                self._measures.stages.labels(name, outcome).inc()
                return {"error": encode_status(status_of(error))}
            except Exception as error:  # noqa: BLE001  it is logged and becomes the run's error
                _log.exception("stage failed")
                span.fail(type(error).__name__)
                self._measures.stages.labels(name, "failed").inc()
                return {"error": encode_status(status_of(error))}
            finally:
                with self._lock:
                    self._progress.pop(attempt_id, None)
            took = time.monotonic() - start
            self._measures.stages.labels(name, "reused" if result.reused else "done").inc()
            if not result.reused:
                self._measures.stage_seconds.labels(name).observe(took)
            _log.info("stage done", reused=result.reused)
            return {"result": result.to_json(), "seconds": took}

    def _note(self, attempt_id: str, progress: Progress) -> None:
        """Keep how far a stage is.

        Raises:
            Cancelled: It is to stop.
        """
        with self._lock:
            if self._closed:
                raise Cancelled("the coordinator is stopping")
            if attempt_id in self._cancelled:
                raise Cancelled(f"run {attempt_id} was cancelled")
            self._progress[attempt_id] = progress
