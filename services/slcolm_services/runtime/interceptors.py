"""What surrounds every call: request id, errors, metrics, readiness, deadline, admission.

Each concern is a guard, an async context manager around the handler; an interceptor applies
them, the first outermost. `Access` goes between `Measured` and `Ready`: a caller that is not known
learns nothing and takes no place.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from slcolm_services.errors import (
    DeadlineTooShort,
    Overloaded,
    RequestUnreadable,
    ServiceUnavailable,
    SlcolmError,
)
from slcolm_services.runtime.access import caller_name
from slcolm_services.runtime.admission import Admission, bounded
from slcolm_services.runtime.caller import Caller, bind_caller, caller
from slcolm_services.runtime.calling import STATUS_CODE, attributes_of
from slcolm_services.runtime.correlation import REQUEST_ID, names_of, told
from slcolm_services.runtime.metrics import Metrics
from slcolm_services.runtime.status import code_of, fitted, status_of, trailers_of
from slcolm_services.runtime.tracing import SERVER, span

_log = structlog.get_logger(__name__)
_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Codes that are a server's failure; others tell of the caller's."""
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
async def identified(call: Call) -> AsyncIterator[None]:
    """Bind request id, run and stage to the log; send the id back in the trailing metadata."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(
        request_id=call.request_id,
        method=call.method,
        **names_of(call.context.invocation_metadata() or (), call.request),
    )
    if caller := caller_name.get(""):
        structlog.contextvars.bind_contextvars(caller=caller)
    call.context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
    yield


@asynccontextmanager
async def errors_to_status(call: Call) -> AsyncIterator[None]:
    """Turn whatever a handler raises into a status with details; log what we did not foresee."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except asyncio.CancelledError as error:
        if _is_cancelled_from_outside():
            raise
        # gRPC would send nothing at all, and the caller would wait for its deadline.
        _log.exception("handler cancelled itself")
        await _abort(call, SlcolmError("an inner task was cancelled"), error)
    except SlcolmError as error:
        _log.info("call refused", reason=error.reason)
        await _abort(call, error, error)
    except Exception as error:  # noqa: BLE001  the last line of defence
        _log.exception("call failed")
        await _abort(call, error, error)


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _abort(call: Call, error: BaseException, cause: BaseException) -> None:
    status = fitted(status_of(error))
    trailers = (*trailers_of(status), (REQUEST_ID, call.request_id))
    try:
        await call.context.abort(code_of(status), status.message, trailers)
    except grpc.aio.AbortError as abort:
        raise abort from cause


@asynccontextmanager
async def traced(call: Call) -> AsyncIterator[None]:
    """Make the call a span of the trace that its caller names; nothing where tracing is off."""
    with span(
        call.method.lstrip("/"),
        kind=SERVER,
        attributes={**attributes_of(call.method), "slcolm.request_id": call.request_id},
        parent=call.context.invocation_metadata() or (),
    ) as made:
        code = "OK"
        try:
            yield
        except grpc.aio.AbortError:
            code = _name(call.context.code())
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            # The run's name may have become known meanwhile.
            made.note({**attributes_of(call.method), STATUS_CODE: code})
            if code in _FAULTS:
                made.fail(code)


class Measured:
    """Counts calls by code, and takes their time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        """Guard a call."""
        start = time.perf_counter()
        code = "OK"
        try:
            yield
        except grpc.aio.AbortError:
            code = _name(call.context.code())
            raise
        except BaseException as error:
            code = code_of(status_of(error)).name
            raise
        finally:
            seconds = time.perf_counter() - start
            self._metrics.calls.labels(call.method, code).inc()
            self._metrics.seconds.labels(call.method).observe(seconds)
            _log.info("call ended", code=code, seconds=round(seconds, 4))


def _name(code: Any) -> str:
    return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"


@asynccontextmanager
async def readable(call: Call) -> AsyncIterator[None]:
    """Refuse a request that is no message: not Protobuf, of another type, or nested too deeply."""
    if call.request is _UNREADABLE:
        raise RequestUnreadable(_NO_MESSAGE)
    yield


class Ready:
    """Refuses calls while the service loads."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        """Guard a call."""
        del call
        if not self._is_ready():
            raise ServiceUnavailable("the service is starting", retry_after_seconds=1.0)
        yield


class Deadline:
    """Ends calls that ask for no deadline, or for too long a one, and tells of the caller's leave.

    The handler's task is cancelled; work that it gave to a thread hears of it by `caller`. A call
    whose caller has stopped waiting already costs nothing.

    Args:
        default_seconds: Deadline where the caller set none.
        max_seconds: Longest deadline there is.
        unlimited_methods: Full names of methods that may run for ever.
    """

    def __init__(
        self, *, default_seconds: float, max_seconds: float, unlimited_methods: frozenset[str]
    ) -> None:
        self._default_seconds = default_seconds
        self._max_seconds = max_seconds
        self._unlimited_methods = unlimited_methods

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        """Guard a call."""
        remaining = call.context.time_remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlineTooShort("the caller's deadline had passed when its turn came")
        limit = None if call.method in self._unlimited_methods else self._limit(remaining)
        waiting = Caller(min(remaining or math.inf, limit or math.inf))
        bind_caller(waiting)
        try:
            async with asyncio.timeout(limit) as timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            waiting.leave()
            raise DeadlineTooShort(
                f"the call did not end within the {limit} s that this service allows",
                metadata={"seconds": str(limit)},
            ) from None
        except asyncio.CancelledError:
            waiting.leave()
            raise

    def _limit(self, remaining: float | None) -> float | None:
        """What to add to the caller's deadline, which gRPC itself keeps; None for nothing."""
        if remaining is None:
            return self._default_seconds
        return self._max_seconds if remaining > self._max_seconds else None


class Admitted:
    """Takes what fits into the admission's limits and what will be done in time; refuses the rest.

    Args:
        admission: The limits.
        cost: Cost of a request.
        wait_seconds: How long a call of a cost would be held up by those that are there.
        free_methods: Full names of methods that take no place: long streams.
        metrics: Where load and refusals are counted.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        cost: Callable[[Message], int],
        wait_seconds: Callable[[int], float],
        free_methods: frozenset[str],
        metrics: Metrics,
    ) -> None:
        self._admission = admission
        self._cost = cost
        self._wait_seconds = wait_seconds
        self._free_methods = free_methods
        self._metrics = metrics
        metrics.calls_in_flight.set_function(lambda: admission.calls)
        metrics.cost_in_flight.set_function(lambda: admission.cost)

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        """Guard a call."""
        if call.method in self._free_methods:
            yield
            return
        cost = 0 if call.request is None else self._cost(call.request)
        self._admission.check(cost)
        try:
            if cost:
                _refuse_late(self._wait_seconds(cost), caller().remaining_seconds)
            with self._admission.admit(cost):
                yield
        except Overloaded:
            # Ours, or the handler's own limit: to the caller both are a refusal.
            self._metrics.refused.inc()
            raise


def _refuse_late(wait_seconds: float, remaining_seconds: float) -> None:
    """Refuse a call now rather than fail it when its deadline comes.

    Raises:
        Overloaded: Others would hold it up for more than half of its time. The other half is for
            its own work, and for what goes slower than it went before.
    """
    late = wait_seconds - remaining_seconds / 2
    if late > 0:
        raise Overloaded(
            f"the work before this call takes {wait_seconds:.2f} s, of the {remaining_seconds:.2f} "
            "s that its caller waits",
            metadata={"wait_seconds": f"{wait_seconds:.3f}"},
            retry_after_seconds=bounded(late),
        )
