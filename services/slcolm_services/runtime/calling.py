"""What surrounds a call that a service makes to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from slcolm_services.runtime.correlation import to_tell


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
    """Tells the other service which run and stage a call is for. For synchronous channels."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Make the call."""
        return continuation(_with(details, to_tell()), request)

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
