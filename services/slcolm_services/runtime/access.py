"""Lets in who may call a method, before the request is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from slcolm_services.errors import PermissionDenied
from slcolm_services.runtime.auth import Authenticate
from slcolm_services.runtime.roles import Role

caller_name: ContextVar[str] = ContextVar("caller_name")
"""Who makes the present call, where calls need a token."""

NeededRole = Callable[[str], Role | None]
"""From a full method name to the role that it needs; None where anybody may call it."""


class Access(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stub only
    """Refuses calls without a token that is known and has the role.

    Args:
        authenticate: Finds out whose token a call carries.
        needed_role: Role that a method needs.
    """

    def __init__(self, authenticate: Authenticate, needed_role: NeededRole) -> None:
        self._authenticate = authenticate
        self._needed_role = needed_role

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Give a call to its handler, or to one that refuses it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        needed = self._needed_role(method)
        if handler is None or needed is None:
            return handler
        try:
            caller = await self._authenticate(handler_call_details.invocation_metadata or ())
        except Exception as error:  # noqa: BLE001  whatever went wrong, nobody gets in
            return _refusal(error)
        caller_name.set(caller.name)
        if caller.role is None or caller.role < needed:
            role = needed.name.lower()
            message = f"{method} needs the role {role}"
            return _refusal(PermissionDenied(message, metadata={"method": method, "role": role}))
        return handler


def _refusal(error: Exception) -> Any:
    """A handler that raises. It is one of streams: those need no request before they run."""

    async def refuse(requests: Any, context: Any) -> None:
        del requests, context
        raise error

    return grpc.stream_stream_rpc_method_handler(refuse)
