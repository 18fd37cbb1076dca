"""Following a run over connections that break: what both stacks share."""

from __future__ import annotations

import math

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client._errors import DeadlineExceeded, SlcolmClientError, Unavailable
from slcolm_client._retrying import Retries, Schedule

_STREAM_SECONDS = 600.0
_ENDED = frozenset(
    {
        coordinator_pb2.RUN_STATE_SUCCEEDED,
        coordinator_pb2.RUN_STATE_FAILED,
        coordinator_pb2.RUN_STATE_CANCELLED,
    }
)


class Watch:
    """Where the watching of a run stands.

    Args:
        run_id: Which run.
        timeout_seconds: How long to watch; None for as long as it takes.
        retries: How long a service that cannot be reached is tried again.
    """

    def __init__(self, run_id: str, timeout_seconds: float | None, retries: Retries) -> None:
        self.request = coordinator_pb2.WatchRunRequest(run_id=run_id)
        self.ended = False
        self.schedule = Schedule(
            math.inf if timeout_seconds is None else timeout_seconds, retries=retries
        )
        self._last: coordinator_pb2.Run | None = None

    @property
    def timeout_seconds(self) -> float:
        """Deadline of the next stream; every stream has one, so that none outlives its use."""
        return min(_STREAM_SECONDS, self.schedule.remaining_seconds)

    def is_news(self, run: coordinator_pb2.Run) -> bool:
        """Take in a state of the run; a new stream begins with one that may be known."""
        self.schedule.restart()
        self.ended = run.state in _ENDED
        known, self._last = self._last, run
        return run != known

    def trouble(self, failure: SlcolmClientError | None) -> SlcolmClientError | None:
        """What the next stream must wait for, by the schedule; None: for nothing.

        Args:
            failure: Why the last stream broke off; None when the service just ended it.
        """
        if self.ended:
            return None
        if isinstance(failure, DeadlineExceeded) and self.schedule.remaining_seconds > 0:
            return None
        return failure or Unavailable("the service ended the stream before the run had ended")
