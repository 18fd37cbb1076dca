"""Calls with a deadline, a request id and retries."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from slcolm_client._errors import (
    ResourceExhausted,
    SlcolmClientError,
    Unavailable,
    error_from_rpc,
)

ResponseT = TypeVar("ResponseT", bound=Message)
ResultT = TypeVar("ResultT")

UNAVAILABLE_PATIENCE_SECONDS = 20.0
"""How long a service that cannot be reached, or is starting, is asked again."""

_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 2.0
_GROWTH = 1.6
_JITTER = 0.2


class Schedule:
    """When to try a call again, and how long it may take: one for each call.

    Unreachable services are tried again for 20 s, with growing pauses; overloaded ones until the
    deadline, after the pause that they asked for. Nothing else is.

    Args:
        timeout_seconds: Deadline over all attempts.
        clock: Monotonic seconds.
        jitter: Random numbers in [0, 1).
    """

    def __init__(
        self,
        timeout_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._deadline = clock() + timeout_seconds
        self.restart()

    def restart(self) -> None:
        """Begin again with short pauses, after something has come through."""
        self._last_success = self._clock()
        self._attempts = 0

    @property
    def remaining_seconds(self) -> float:
        """Time left; never less than 0."""
        return max(0.0, self._deadline - self._clock())

    def pause(self, error: SlcolmClientError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            SlcolmClientError: `error` itself, when another attempt makes no sense or no time is
                left for it.
        """
        unavailable = isinstance(error, Unavailable)
        overloaded = isinstance(error, ResourceExhausted) and error.reason == "OVERLOADED"
        if not (unavailable or overloaded):
            raise error
        own = min(_FIRST_PAUSE_SECONDS * _GROWTH**self._attempts, _LAST_PAUSE_SECONDS)
        # Never earlier than asked, and never all at once.
        seconds = max(own, error.retry_after_seconds or 0.0) * (1 + _JITTER * self._jitter())
        waited = self._clock() - self._last_success
        if unavailable and waited + seconds > UNAVAILABLE_PATIENCE_SECONDS:
            raise error
        if seconds >= self.remaining_seconds:
            raise error
        self._attempts += 1
        return seconds


def metadata_of(request_id: str | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a call; it is the same for every attempt."""
    return (("x-request-id", request_id or uuid.uuid4().hex),)


def call(
    method: Callable[..., ResponseT],
    request: Message,
    *,
    timeout_seconds: float,
    request_id: str | None = None,
) -> ResponseT:
    """Call a unary method of any SLCoLM service, and wait for the answer.

    An attempt that failed as unreachable may have done its work: call methods that may be repeated.

    Args:
        method: Method of a synchronous stub, for example `stub.Extract`.
        request: What is sent.
        timeout_seconds: Deadline over all attempts and the pauses between them.
        request_id: Id for logs; made where none is given.

    Raises:
        SlcolmClientError: The subclass for the status code.
    """
    metadata = metadata_of(request_id)
    return retried(
        lambda timeout: method(request, timeout=timeout, metadata=metadata),
        Schedule(timeout_seconds),
    )


def retried(attempt: Callable[[float], ResultT], schedule: Schedule) -> ResultT:
    """Run an attempt, given its timeout in seconds, until it succeeds or may not be repeated.

    Raises:
        SlcolmClientError: The last attempt's error.
    """
    while True:
        try:
            return attempt(schedule.remaining_seconds)
        except grpc.RpcError as error:
            failure = error_from_rpc(error)
        # Outside the handler: the error's context would be the gRPC error's long text.
        time.sleep(schedule.pause(failure))


def stream(method: Callable[..., Any], request: Message, **options: Any) -> Iterator[Any]:
    """Messages of a streaming call, which is cancelled when the iterator is closed."""
    messages = method(request, **options)
    try:
        yield from messages
    finally:
        messages.cancel()
