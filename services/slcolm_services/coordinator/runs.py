"""What the run database holds: runs are described, and cancelled, without running anything.

DBOS and its client answer the same questions, so a coordinator at work and a command that only
looks describe a run in the same words.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dbos import DBOSClient, DBOSPortableJSONSerializer
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.stages import STAGE_NAMES
from slcolm_services.errors import ConfigInvalid, FieldViolation, NotFound, RunEnded, RunNotFound
from slcolm_services.runtime.status import status_of

WORKFLOW = "training-guide-predict"
"""Name of the workflow that an attempt is."""
ENDED = frozenset(
    {
        coordinator_pb2.RUN_STATE_SUCCEEDED,
        coordinator_pb2.RUN_STATE_FAILED,
        coordinator_pb2.RUN_STATE_CANCELLED,
    }
)
_STATES = {
    "ENQUEUED": coordinator_pb2.RUN_STATE_QUEUED,
    "DELAYED": coordinator_pb2.RUN_STATE_QUEUED,
    "PENDING": coordinator_pb2.RUN_STATE_RUNNING,
    "SUCCESS": coordinator_pb2.RUN_STATE_SUCCEEDED,
    "ERROR": coordinator_pb2.RUN_STATE_FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": coordinator_pb2.RUN_STATE_FAILED,
    "CANCELLED": coordinator_pb2.RUN_STATE_CANCELLED,
}
_UNFINISHED = {status: state for status, state in _STATES.items() if state not in ENDED}


class Workflows(Protocol):
    """What `DBOS` and `DBOSClient` have in common, as far as it is used."""

    def list_workflows(
        self,
        *,
        name: str | None = None,
        workflow_id_prefix: str | None = None,
        status: list[str] | None = None,
        load_input: bool = True,
        load_output: bool = True,
    ) -> list[Any]:
        """Workflows of a name, with ids that begin in some way, in some states; oldest first."""

    def list_workflow_steps(self, workflow_id: str) -> list[Any]:
        """Finished steps of a workflow."""

    def cancel_workflow(self, workflow_id: str) -> None:
        """Let a workflow do no further step."""

    def delete_workflow(self, workflow_id: str) -> None:
        """Delete a workflow with its steps."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the stage in flight is.

    Attributes:
        stage: Name of the stage.
        done: Items that are done.
        total: Items in all; 0 where that is not known.
        message: A line for people.
    """

    stage: str
    done: int
    total: int
    message: str


class Runs:
    """Runs as the database has them. Every method blocks.

    Args:
        workflows: `DBOS` or a `DBOSClient`.
        progress: The progress of an attempt, where it is known: the process that works on it
            knows it, the database does not.
    """

    def __init__(
        self,
        workflows: Workflows,
        progress: Callable[[str], Progress | None] = lambda _: None,
    ) -> None:
        self._workflows = workflows
        self._progress = progress

    def get_run(self, run_id: str) -> coordinator_pb2.Run:
        """Describe a run.

        Raises:
            RunNotFound: There is no such run.
        """
        return self._describe(run_id, self._existing(run_id))

    def list_runs(self) -> list[coordinator_pb2.Run]:
        """Describe every run, newest first."""
        attempts: dict[str, list[Any]] = {}
        for status in self._workflows.list_workflows(name=WORKFLOW):
            attempts.setdefault(run_of(status.workflow_id), []).append(status)
        runs = [self._describe(run_id, part) for run_id, part in attempts.items()]
        return sorted(runs, key=lambda run: run.create_time.ToNanoseconds(), reverse=True)

    def count_unfinished(self) -> dict[str, int]:
        """Runs that are queued, and that are running."""
        counts = dict.fromkeys(map(state_name, _UNFINISHED.values()), 0)
        for status in self._workflows.list_workflows(
            name=WORKFLOW, status=list(_UNFINISHED), load_input=False, load_output=False
        ):
            counts[state_name(_UNFINISHED[status.status])] += 1
        return counts

    def pending(self) -> dict[str, set[str]]:
        """Attempts that are being worked on, by the name of the coordinator that does so.

        That is what the database has: a coordinator may be dead, or have lost an attempt.
        """
        found: dict[str, set[str]] = {}
        for status in self._workflows.list_workflows(
            name=WORKFLOW, status=["PENDING"], load_input=False, load_output=False
        ):
            found.setdefault(status.executor_id, set()).add(status.workflow_id)
        return found

    def is_cancelled(self, attempt_id: str) -> bool:
        """Whether an attempt was cancelled, by whomever."""
        found = self._workflows.list_workflows(
            workflow_id_prefix=attempt_id, load_input=False, load_output=False
        )
        return any(
            status.workflow_id == attempt_id and status.status == "CANCELLED" for status in found
        )

    def cancel_run(self, run_id: str) -> coordinator_pb2.Run:
        """Let a run do no further stage; a stage in flight is not stopped by this.

        Raises:
            RunNotFound: There is no such run.
            RunEnded: It has ended.
        """
        attempts = self._existing(run_id)
        if self._describe(run_id, attempts).state in ENDED:
            raise RunEnded(f"run {run_id} has ended", metadata={"run_id": run_id})
        self._workflows.cancel_workflow(attempts[-1].workflow_id)
        return self.get_run(run_id)

    def attempts(self, run_id: str) -> list[Any]:
        """DBOS's statuses of the attempts of a run, in order; none where there is no such run."""
        statuses = self._workflows.list_workflows(workflow_id_prefix=f"{run_id}.")
        return sorted(statuses, key=lambda status: int(status.workflow_id.split(".")[1]))

    def results(self, run_id: str) -> list[StageResult]:
        """What the stages of all attempts at a run have left.

        Raises:
            RunNotFound: There is no such run.
        """
        return [
            _result_of(step)
            for attempt in self._existing(run_id)
            for step in self._workflows.list_workflow_steps(attempt.workflow_id)
        ]

    def delete(self, run_id: str) -> None:
        """Delete what the database has of a run. Its artifacts stay.

        Raises:
            RunNotFound: There is no such run.
        """
        for attempt in self._existing(run_id):
            self._workflows.delete_workflow(attempt.workflow_id)

    def _existing(self, run_id: str) -> list[Any]:
        attempts = self.attempts(run_id)
        if not attempts:
            raise RunNotFound(f"no run {run_id!r}", metadata={"run_id": run_id})
        return attempts

    def _describe(self, run_id: str, attempts: list[Any]) -> coordinator_pb2.Run:
        latest = attempts[-1]
        state = _STATES[latest.status]
        output = latest.output if isinstance(latest.output, dict) else {}
        if "error" in output:
            state = coordinator_pb2.RUN_STATE_FAILED
        run = coordinator_pb2.Run(
            id=run_id,
            spec=spec_of(latest),
            state=state,
            create_time=_timestamp(attempts[0].created_at),
        )
        if state in ENDED:
            run.end_time.CopyFrom(_timestamp(latest.updated_at))
        if "error" in output:
            run.error.CopyFrom(_decode(output["error"]))
        elif state == coordinator_pb2.RUN_STATE_FAILED:
            run.error.CopyFrom(status_of(RuntimeError("the workflow failed")))
        steps = self._workflows.list_workflow_steps(latest.workflow_id)
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
        progress = self._progress(attempt_id)
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


@contextmanager
def open_runs(database_url: str) -> Iterator[Runs]:
    """Open a run database that a coordinator has made, to look at it: no run is gone on with.

    Args:
        database_url: SQLAlchemy URL (SQLite or PostgreSQL).

    Raises:
        NotFound: There is no database.
        ConfigInvalid: It cannot be read.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        # SQLite would make an empty one.
        raise NotFound(f"nothing was ever run here: there is no run database {url.database}")
    try:
        client = DBOSClient(
            system_database_url=database_url,
            serializer=DBOSPortableJSONSerializer(),
            retry_connection_errors=False,
        )
        try:
            yield Runs(client)
        finally:
            client.destroy()
    except SQLAlchemyError as error:
        raise database_error(error) from error


def database_error(error: SQLAlchemyError) -> ConfigInvalid:
    """What is wrong with the run database; the full text would name a URL with its password."""
    reason = str(getattr(error, "orig", None) or type(error).__name__)
    return ConfigInvalid(
        f"the run database cannot be opened: {reason}",
        violations=[FieldViolation("[coordinator] database_url", reason)],
    )


def state_name(state: coordinator_pb2.RunState) -> str:
    """A state in a word, such as `failed`."""
    return coordinator_pb2.RunState.Name(state).removeprefix("RUN_STATE_").lower()


def run_of(attempt_id: str) -> str:
    """The run that an attempt is one at."""
    return attempt_id.split(".", maxsplit=1)[0]


def spec_of(attempt: Any) -> coordinator_pb2.RunSpec:
    """What an attempt was started with."""
    # After the spec comes the trace that the run belongs to, where there is one.
    _, spec, *_ = attempt.input["args"]
    return json_format.ParseDict(spec, coordinator_pb2.RunSpec())


def encode_status(status: Status) -> str:
    """A status as the run database keeps it, in a stage's `error`."""
    return base64.b64encode(status.SerializeToString()).decode()


def _decode(text: str) -> Status:
    return Status.FromString(base64.b64decode(text))


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


def _timestamp(epoch_ms: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(epoch_ms)
    return timestamp
