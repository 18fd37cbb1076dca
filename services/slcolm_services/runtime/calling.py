"""What surrounds a call that a service makes to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from slcolm_services.runtime.correlation import bound_names, to_tell
from slcolm_services.runtime.tracing import CLIENT, begin

STATUS_CODE = "rpc.response.status_code"
"""Attribute of spans of calls: the name of the status code."""


class _Details(NamedTuple):
    """Details of a call, as interceptors of the synchronous stack pass them on."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


class Calling(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]  # generic in the stub only
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Makes each attempt a span, and tells the other service of it, of the run and of the stage.

    For synchronous channels.
    """

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Make the call."""
        attempt = begin(
            details.method.lstrip("/"), kind=CLIENT, attributes=attributes_of(details.method)
        )
        metadata = (*to_tell(), *attempt.headers.items())
        made = continuation(_with(details, metadata), request)

        def ended(call: Any) -> None:
            code = call.code()
            attempt.note({STATUS_CODE: code.name})
            if code is not grpc.StatusCode.OK:
                attempt.fail(code.name)
            attempt.end()

        made.add_done_callback(ended)
        return made

    intercept_unary_stream = intercept_unary_unary  # type: ignore[assignment]


def _with(details: Any, metadata: Sequence[tuple[str, str]]) -> _Details:
    return _Details(
        details.method,
        details.timeout,
        (*(details.metadata or ()), *metadata),
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )


def attributes_of(method: str) -> dict[str, str]:
    """Attributes of the span of a call: names of OpenTelemetry's conventions, and our own ids."""
    own = {f"slcolm.{name}": value for name, value in bound_names().items()}
    return {"rpc.system.name": "grpc", "rpc.method": method.lstrip("/"), **own}
