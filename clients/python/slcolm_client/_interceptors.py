"""Interceptors that give every call of a channel its token, for both stacks of gRPC.

Not gRPC's call credentials: those refuse loopback without TLS, and turn what goes wrong in getting
a token into UNAVAILABLE.

One function does for every kind of call; the stubs of grpc have a signature for each, hence what
is ignored below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from slcolm_client._security import Token, bearer


class _Details(NamedTuple):
    """Details of a call, as interceptors of the synchronous stack pass them on."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


class SyncToken(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]  # generic in the stub only
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """For channels of the synchronous stack."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Add the token."""
        return continuation(self._with_token(details), request)

    intercept_unary_stream = intercept_unary_unary  # type: ignore[assignment]
    intercept_stream_unary = intercept_unary_unary  # type: ignore[assignment]
    intercept_stream_stream = intercept_unary_unary  # type: ignore[assignment]

    def _with_token(self, details: Any) -> _Details:
        return _Details(
            details.method,
            details.timeout,
            (*(details.metadata or ()), bearer(self._token)),
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


class _AioToken:
    def __init__(self, token: Token) -> None:
        self._token = token

    async def intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        """Add the token."""
        metadata = grpc.aio.Metadata(*(details.metadata or ()), bearer(self._token))
        return await continuation(details._replace(metadata=metadata), request)


class _AioUnaryUnary(_AioToken, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    intercept_unary_unary = _AioToken.intercept  # type: ignore[assignment]


class _AioUnaryStream(_AioToken, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    intercept_unary_stream = _AioToken.intercept  # type: ignore[assignment]


class _AioStreamUnary(_AioToken, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[type-arg]
    intercept_stream_unary = _AioToken.intercept  # type: ignore[assignment]


class _AioStreamStream(_AioToken, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[type-arg]
    intercept_stream_stream = _AioToken.intercept  # type: ignore[assignment]


def aio_token(token: Token) -> list[Any]:
    """For channels of the asyncio stack, which takes an interceptor for one kind of calls only."""
    return [
        kind(token) for kind in (_AioUnaryUnary, _AioUnaryStream, _AioStreamUnary, _AioStreamStream)
    ]
