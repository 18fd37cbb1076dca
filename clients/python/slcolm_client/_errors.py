"""The SDK's errors: one class per gRPC status code, with the details that the service sent."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"
_PUSHBACK = "grpc-retry-pushback-ms"
_CANCELLED_HERE = "Locally cancelled by application!"
_CLIENT_DOMAIN = "slcolm_client"
# gRPC refuses such a message below the service, which therefore says nothing.
_TOO_LARGE = re.compile(r"message larger than max \((\d+) vs\. (\d+)\)", re.IGNORECASE)


class FieldViolation(NamedTuple):
    """One thing that is wrong with a request.

    Attributes:
        field: Path of the value, for example `documents[3].text`.
        problem: What is wrong with it, and what would be right.
    """

    field: str
    problem: str


class SlcolmClientError(Exception):
    """A call, or one item of a batch, that failed.

    Attributes:
        code: Name of the gRPC status code, for example `NOT_FOUND`. Fixed for every subclass.
        message: What happened, for people.
        reason: What happened, for programs, for example `RUN_NOT_FOUND`; unique within `domain`.
            Empty when the error came from the transport.
        domain: Who gave the reason: `slcolm`, or `slcolm_client` where the client itself did.
        metadata: The variable parts of the message.
        violations: What is wrong with which field of the request.
        retry_after_seconds: When a retry may succeed, where the service said so; infinite where it
            said never.
        request_id: Id of the call, which the service's log holds too; empty for an error of a
            single item.
    """

    code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after_seconds: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id

    def __str__(self) -> str:
        lines = [f"{self.reason or self.code}: {self.message}"]
        lines += [f"  {violation.field}: {violation.problem}" for violation in self.violations]
        if self.request_id:
            lines.append(f"  request id {self.request_id}")
        return "\n".join(lines)


class Cancelled(SlcolmClientError):
    """The caller cancelled."""

    code = "CANCELLED"


class InvalidArgument(SlcolmClientError):
    """The request is wrong; `violations` says where."""

    code = "INVALID_ARGUMENT"


class DeadlineExceeded(SlcolmClientError):
    """There was no answer in time. The service may have done the work all the same.

    Not so with the reason `CLIENT_BUSY`: the client's other calls left it no place, and nothing
    was sent.
    """

    code = "DEADLINE_EXCEEDED"


class NotFound(SlcolmClientError):
    """A named thing does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(SlcolmClientError):
    """What was to be made is there already."""

    code = "ALREADY_EXISTS"


class PermissionDenied(SlcolmClientError):
    """The caller may not do this."""

    code = "PERMISSION_DENIED"


class Unauthenticated(SlcolmClientError):
    """The caller is not known."""

    code = "UNAUTHENTICATED"


class ResourceExhausted(SlcolmClientError):
    """A limit is reached.

    `reason` tells `OVERLOADED` (come back), `BUDGET_EXHAUSTED` and `MESSAGE_TOO_LARGE` apart.
    """

    code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(SlcolmClientError):
    """The thing exists but is not in a state that allows the call.

    The client itself may be that thing: `CLIENT_CLOSED`, `WRONG_EVENT_LOOP`, and
    `TOKEN_OVER_PLAINTEXT`, `TOKEN_UNUSABLE` where its token cannot be sent.
    """

    code = "FAILED_PRECONDITION"


class Aborted(SlcolmClientError):
    """Another call came in between."""

    code = "ABORTED"


class OutOfRange(SlcolmClientError):
    """The call reached past an end."""

    code = "OUT_OF_RANGE"


class Unimplemented(SlcolmClientError):
    """The server at this address does not have the method: is it the right service?"""

    code = "UNIMPLEMENTED"


class Internal(SlcolmClientError):
    """Something broke inside the service; its log has the request id.

    With the reason `ANSWER_MISMATCHED`, it answered for other items than it was asked about.
    """

    code = "INTERNAL"


class Unavailable(SlcolmClientError):
    """The service cannot be reached, is starting, or dropped the call."""

    code = "UNAVAILABLE"


class DataLoss(SlcolmClientError):
    """Data is lost or damaged for good."""

    code = "DATA_LOSS"


def error_from_rpc(error: grpc.RpcError, *, request_id: str = "") -> SlcolmClientError:
    """Read what a gRPC call raised, of the synchronous or the asyncio stack.

    A call that the transport dropped comes as CANCELLED without details, although nobody
    cancelled it; it is `Unavailable` here.

    Args:
        error: What was raised.
        request_id: Id that was sent, where the service has not answered with one.
    """
    call: Any = error  # what gRPC raises is a call too, which its types do not say
    code: grpc.StatusCode = call.code()
    message: str = call.details() or ""
    metadata = dict(call.trailing_metadata() or ())
    request_id = metadata.get(_REQUEST_ID, request_id)
    try:
        status = status_pb2.Status.FromString(metadata.get(_DETAILS, b""))
    except DecodeError:
        status = status_pb2.Status()
    if not status.details and code is grpc.StatusCode.CANCELLED and message != _CANCELLED_HERE:
        return Unavailable(f"the call was dropped: {message}", request_id=request_id)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and (sizes := _TOO_LARGE.search(message)):
        return too_large(int(sizes[1]), int(sizes[2]), request_id)
    # The code of the call is what intermediaries agree on; details only add to it.
    number: int = code.value[0]
    found = error_from_status(
        status_pb2.Status(code=number, message=message, details=status.details),
        request_id=request_id,
    )
    if found.retry_after_seconds is None and _PUSHBACK in metadata:
        found.retry_after_seconds = _pushback_seconds(metadata[_PUSHBACK])
    return found


def is_of_transport(error: SlcolmClientError) -> bool:
    """Whether no service said this: none was reached, or the connection to it broke."""
    return isinstance(error, Unavailable) and not error.reason


def _pushback_seconds(value: str) -> float:
    """What a server says to every gRPC client; anything but a number of milliseconds is never."""
    return int(value) / 1000 if value.isdecimal() else math.inf


def error_from_status(status: status_pb2.Status, *, request_id: str = "") -> SlcolmClientError:
    """Read a `google.rpc.Status`, for example that of one item of a batch."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    has_retry = False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        has_retry = detail.Unpack(retry) or has_retry
    return _CLASSES.get(status.code, SlcolmClientError)(
        status.message,
        reason=info.reason,
        domain=info.domain,
        metadata=info.metadata,
        violations=[
            FieldViolation(violation.field, violation.description)
            for violation in bad_request.field_violations
        ],
        retry_after_seconds=retry.retry_delay.ToMilliseconds() / 1000 if has_retry else None,
        request_id=request_id,
    )


def invalid_argument(name: str, problem: str) -> InvalidArgument:
    """An argument that no request can be made of.

    Args:
        name: The argument, for example `texts[3]`.
        problem: What is wrong with it, and what would be right.
    """
    return InvalidArgument(
        f"{name} {problem}",
        reason="INVALID_INPUT",
        domain=_CLIENT_DOMAIN,
        violations=[FieldViolation(name, problem)],
    )


def too_large(size: int, limit: int, request_id: str) -> ResourceExhausted:
    """A message that is larger than one side takes, in bytes."""
    return ResourceExhausted(
        f"a message of {size} bytes is larger than the {limit} that are taken: send less at once, "
        "or raise max_message_bytes on both sides",
        reason="MESSAGE_TOO_LARGE",
        domain=_CLIENT_DOMAIN,
        metadata={"bytes": str(size), "limit": str(limit)},
        request_id=request_id,
    )


def misused(reason: str, message: str) -> FailedPrecondition:
    """A client that cannot be used, at this time or in this place.

    Args:
        reason: `CLIENT_CLOSED`, `WRONG_EVENT_LOOP`, `TOKEN_OVER_PLAINTEXT` or `TOKEN_UNUSABLE`.
        message: What happened, and what to do.
    """
    return FailedPrecondition(message, reason=reason, domain=_CLIENT_DOMAIN)


def closed() -> FailedPrecondition:
    """The client was closed before the call, or in the middle of it."""
    return misused("CLIENT_CLOSED", "the client is closed: make a new one")


def busy(limit: int, request_id: str) -> DeadlineExceeded:
    """No place among the calls in flight came free in time."""
    return DeadlineExceeded(
        f"{limit} calls of this client were in flight until the deadline: allow more by "
        "max_calls_in_flight, or more time",
        reason="CLIENT_BUSY",
        domain=_CLIENT_DOMAIN,
        metadata={"limit": str(limit)},
        request_id=request_id,
    )


def mismatched(asked: int, answered: int) -> Internal:
    """A batch was answered for other items than were asked about."""
    return Internal(
        f"{asked} items were sent, and the {answered} results are not theirs",
        reason="ANSWER_MISMATCHED",
        domain=_CLIENT_DOMAIN,
        metadata={"asked": str(asked), "answered": str(answered)},
    )


def abandoned() -> Cancelled:
    """The caller closed the stream that the call was part of."""
    return Cancelled("the stream of results was closed", domain=_CLIENT_DOMAIN)


_CLASSES: dict[int, type[SlcolmClientError]] = {
    grpc.StatusCode[cls.code].value[0]: cls for cls in SlcolmClientError.__subclasses__()
}
