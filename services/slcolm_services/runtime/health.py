"""The standard health service, with readiness and liveness apart.

Not `grpc_health.v1._async.HealthServicer`: there, when one of several watchers of a name leaves,
the others are never told of a change again, so that in a drain they go on sending; and its
watches never end by themselves, so that every stop takes the whole grace period.
"""

# ruff: noqa: N802  the methods are named by the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIVENESS = "liveness"
"""Name that is SERVING while the event loop turns, in a drain too: else the process is killed."""

_Status = health_pb2.HealthCheckResponse
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped base
    """Serves the state of the whole server (`""`), of a service by its name, and liveness.

    Each dependency has its own name besides.

    Args:
        service: Full gRPC name of the service that readiness is about. It is not ready at first.
        dependencies: Names of what it depends on, and whether readiness does too. They count as
            missing at first.
    """

    def __init__(self, service: str, dependencies: Mapping[str, bool] | None = None) -> None:
        self._service = service
        self._needed = {name for name, needed in (dependencies or {}).items() if needed}
        self._there = dict.fromkeys(dependencies or {}, False)
        self._open = False
        self._changed = asyncio.Condition()
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether the service takes calls, as callers are told."""
        return self._open and all(self._there[name] for name in self._needed)

    async def set_ready(self, *, ready: bool) -> None:
        """Say whether the service takes calls, given that what it needs is there."""
        async with self._changed:
            self._open = ready
            self._changed.notify_all()

    async def set_there(self, dependency: str, there: bool) -> None:
        """Say whether a dependency is there."""
        async with self._changed:
            self._there[dependency] = there
            self._changed.notify_all()

    async def close(self) -> None:
        """End every watch, so that a stopping server need not wait for them."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        """Answer with the present state."""
        if self._state(request.service) == _Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _Status(status=self._state(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Stream the present state, then every change."""
        del context
        told: int | None = None
        while True:
            async with self._changed:
                while not self._closed and self._state(request.service) == told:
                    await self._changed.wait()
                if self._closed:
                    return
                told = self._state(request.service)
            # Outside the lock: a reader that is slow must not hold up a change of state.
            yield _Status(status=told)

    def _state(self, name: str) -> int:
        if name == LIVENESS:
            serving = True
        elif name in ("", self._service):
            serving = self.ready
        elif name in self._there:
            serving = self._there[name]
        else:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if serving else _Status.NOT_SERVING)
