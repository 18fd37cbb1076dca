"""Calls of single methods with a deadline, a request id and retries."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from slcolm_client._channel import check_timeout
from slcolm_client._errors import error_from_rpc
from slcolm_client._retrying import Retries, RetryBudget, Schedule

ResponseT = TypeVar("ResponseT", bound=Message)


def new_request_id() -> str:
    """An id for the logs of both sides; it is the same for every attempt of a call."""
    return uuid.uuid4().hex


def metadata_of(request_id: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call."""
    return (("x-request-id", request_id),)


def call(
    method: Callable[..., ResponseT],
    request: Message,
    *,
    timeout_seconds: float,
    request_id: str | None = None,
    retries: Retries | None = None,
    budget: RetryBudget | None = None,
) -> ResponseT:
    """Call a unary method of any SLCoLM service, and wait for the answer.

    An attempt that failed as unreachable may have done its work: call methods that may be repeated.

    Args:
        method: Method of a synchronous stub, for example `stub.Extract`.
        request: What is sent.
        timeout_seconds: Deadline over all attempts and the pauses between them.
        request_id: Id for logs; made where none is given.
        retries: For how long an unreachable service is tried again.
        budget: Tokens that retries take, best one for each service. None: this call's own, made
            of `retries`.

    Raises:
        SlcolmClientError: The subclass for the status code; `InvalidArgument` for a deadline that
            is none.
    """
    check_timeout(timeout_seconds)
    retries = retries or Retries()
    budget = budget or RetryBudget(retries)
    request_id = request_id or new_request_id()
    schedule = Schedule(timeout_seconds, retries=retries)
    while True:
        try:
            response = method(
                request, timeout=schedule.remaining_seconds, metadata=metadata_of(request_id)
            )
        except grpc.RpcError as error:
            failure = error_from_rpc(error, request_id=request_id)
        else:
            budget.note_success()
            return response
        # Outside the handler: the error's context would be the gRPC error's long text.
        time.sleep(schedule.pause_within(budget, failure))


def stream(method: Callable[..., Any], request: Message, **options: Any) -> Iterator[Any]:
    """Messages of a streaming call, which is cancelled when the iterator is closed."""
    messages = method(request, **options)
    try:
        yield from messages
    finally:
        messages.cancel()
