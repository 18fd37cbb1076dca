"""From the project's errors to `google.rpc.Status`, with the details that AIP-193 asks for."""

from __future__ import annotations

import asyncio
import itertools
from urllib.parse import quote

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from slcolm_services.errors import (
    DOMAIN,
    BudgetExhausted,
    Cancelled,
    NotFound,
    SlcolmError,
)
from slcolm_services.runtime.storage import storage_error

DETAILS_TRAILER = "grpc-status-details-bin"
"""Trailing metadata key under which gRPC carries a serialized `google.rpc.Status`."""

PUSHBACK_TRAILER = "grpc-retry-pushback-ms"
"""Trailing metadata key that delays the retries of any gRPC client (gRFC A6)."""

_MAX_TRAILER_BYTES = 6 * 1024
_MAX_MESSAGE_CHARACTERS = 250
_MAX_VALUE_CHARACTERS = 200
"""Of a field, a problem or a value of metadata: a caller's words may be as long as a message."""
_MAX_VIOLATIONS = 100
_MAX_METADATA = 10
_LEFT_OUT = "violations_left_out"
_INTERNAL = "internal error; the service's log has it under the request id"


def status_of(error: BaseException) -> status_pb2.Status:
    """Say an error in the words of the wire.

    Errors outside the project's tree may hold anything, document text included, so nothing of
    them is told: they become INTERNAL with a fixed message, but for those of disks.

    Args:
        error: What was raised.

    Returns:
        The status. It always carries `ErrorInfo`, then `BadRequest` where there are violations,
        `RetryInfo` where the error knows when to come back, `ResourceInfo` for what was not
        found and `QuotaFailure` for a spent budget; each at most once.
    """
    if isinstance(error, asyncio.CancelledError):
        error = Cancelled("the call was cancelled")
    if not isinstance(error, SlcolmError):
        error = storage_error(error) or SlcolmError(_INTERNAL)
    status = status_pb2.Status(
        code=grpc.StatusCode[error.code].value[0],  # pairs of number and words
        message=error.message,
    )
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """The gRPC status code of a status; UNKNOWN for a number that gRPC does not define."""
    return _CODES.get(status.code, grpc.StatusCode.UNKNOWN)


def trailers_of(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata that carries a status's details, and its delay for generic clients."""
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_TRAILER, status.SerializeToString())]
    for detail in status.details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info = error_details_pb2.RetryInfo()
            detail.Unpack(info)
            trailers.append((PUSHBACK_TRAILER, str(info.retry_delay.ToMilliseconds())))
    return tuple(trailers)


def fitted(status: status_pb2.Status) -> status_pb2.Status:
    """Make a status fit into trailing metadata: the last field violations are left out if need be.

    Clients drop a call whose metadata is too large: gRPC's C core refuses from 8 KiB on. What is
    left out is counted in the `ErrorInfo` metadata as `violations_left_out`.
    """
    status.message = _short(status.message, _MAX_MESSAGE_CHARACTERS)
    left_out = 0
    for detail in status.details:
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest()
            detail.Unpack(request)
            while request.field_violations and _wire_bytes(status) > _MAX_TRAILER_BYTES:
                request.field_violations.pop()
                left_out += 1
                detail.Pack(request)
    if left_out:
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                before = int(info.metadata.get(_LEFT_OUT, "0"))
                info.metadata[_LEFT_OUT] = str(before + left_out)
                detail.Pack(info)
    return status


def _short(text: str, most: int = _MAX_VALUE_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _wire_bytes(status: status_pb2.Status) -> int:
    # The message travels twice: percent-encoded, and inside the details, which may be base64.
    return len(quote(status.message)) + len(status.SerializeToString()) * 4 // 3


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _details(error: SlcolmError) -> list[Message]:
    metadata = {
        _short(name): _short(value)
        for name, value in itertools.islice(error.metadata.items(), _MAX_METADATA)
    }
    left_out = len(error.violations) - _MAX_VIOLATIONS
    if left_out > 0:
        metadata[_LEFT_OUT] = str(left_out)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=_short(violation.field), description=_short(violation.problem)
                    )
                    for violation in error.violations[:_MAX_VIOLATIONS]
                ]
            )
        )
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, NotFound):
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.reason.removesuffix("_NOT_FOUND").lower(),
                resource_name=_short(next(iter(error.metadata.values()), "")),
                description=_short(error.message),
            )
        )
    if isinstance(error, BudgetExhausted):
        details.append(
            error_details_pb2.QuotaFailure(
                violations=[
                    error_details_pb2.QuotaFailure.Violation(
                        subject=_short(error.metadata.get("subject", "budget")),
                        description=_short(error.message),
                    )
                ]
            )
        )
    return details
