"""How a call is surrounded: guards around the handler, and requests that cannot be read.

Each concern is a guard, an async context manager; an interceptor applies them, the first
outermost.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from slcolm_services.errors import (
    RequestUnreadable,
)
from slcolm_services.runtime.correlation import REQUEST_ID, told

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True)
class Call:
    """A call as guards see it.

    Attributes:
        method: Full name, `/package.Service/Method`.
        context: The call's context.
        request: The request; None where requests are streamed.
    """

    method: str
    context: _Context
    request: Message | None

    @cached_property
    def request_id(self) -> str:
        """The caller's id for the call, or one that is made for it."""
        return _request_id(self.context)


Guard = Callable[[Call], AbstractAsyncContextManager[None]]


class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stub only
    """Puts guards around the handlers of some services.

    Args:
        guards: The first is outermost.
        covers: Whether a service is guarded, by its full name.
    """

    def __init__(self, guards: Sequence[Guard], covers: Callable[[str], bool]) -> None:
        self._guards = guards
        self._covers = covers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not self._covers(service_of(method)):
            return handler
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        behaviour = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        wrap = self._stream if handler.response_streaming else self._unary
        reader = handler.request_deserializer
        return make(
            wrap(method, behaviour, request_streaming=handler.request_streaming),
            request_deserializer=_or_refused(reader)
            if handler.request_streaming
            else _or_unreadable(reader),
            response_serializer=handler.response_serializer,
        )

    def _unary(self, method: str, behaviour: Any, *, request_streaming: bool) -> Any:
        async def handle(request: Any, context: _Context) -> Any:
            async with self._guarded(method, None if request_streaming else request, context):
                return await behaviour(request, context)

        return handle

    def _stream(self, method: str, behaviour: Any, *, request_streaming: bool) -> Any:
        # Writes rather than yields: a generator that a cancelled call leaves at its yield is
        # closed later and by another task, and would hold its place until then.
        async def handle(request: Any, context: _Context) -> None:
            async with self._guarded(method, None if request_streaming else request, context):
                responses = behaviour(request, context)
                if not hasattr(responses, "__aiter__"):
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        await context.write(response)

        return handle

    @asynccontextmanager
    async def _guarded(
        self, method: str, request: Message | None, context: _Context
    ) -> AsyncIterator[None]:
        call = Call(method, context, request)
        async with AsyncExitStack() as stack:
            for guard in self._guards:
                await stack.enter_async_context(guard(call))
            yield


def service_of(method: str) -> str:
    """Full name of the service of a full method name."""
    return method.rpartition("/")[0].lstrip("/")


class _Unreadable(Message):
    """Stands for a request that could not be read, until a guard says so."""

    __slots__ = ()


_UNREADABLE = _Unreadable()
_NO_MESSAGE = "the request cannot be read as the message that the method takes"


def _or_unreadable(read: Callable[[bytes], Message] | None) -> Callable[[bytes], Message] | None:
    # gRPC answers what a reader raises as its own internal error, outside of every guard.
    if read is None:
        return None

    def read_or_mark(data: bytes) -> Message:
        try:
            return read(data)
        except DecodeError:
            return _UNREADABLE

    return read_or_mark


def _or_refused(read: Callable[[bytes], Message] | None) -> Callable[[bytes], Message] | None:
    # What the reader of a stream raises comes out where the handler waits for the next message.
    if read is None:
        return None

    def read_or_refuse(data: bytes) -> Message:
        try:
            return read(data)
        except DecodeError as error:
            raise RequestUnreadable(_NO_MESSAGE) from error

    return read_or_refuse


def _request_id(context: _Context) -> str:
    # Not `uuid4`: it asks the system for secrets, and the other threads take the turn meanwhile.
    made = f"{random.getrandbits(128):032x}"
    return told(context.invocation_metadata() or (), REQUEST_ID) or made


@asynccontextmanager
async def readable(call: Call) -> AsyncIterator[None]:
    """Refuse a request that is no message: not Protobuf, of another type, or nested too deeply."""
    if call.request is _UNREADABLE:
        raise RequestUnreadable(_NO_MESSAGE)
    yield
