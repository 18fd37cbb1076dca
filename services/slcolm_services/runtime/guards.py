"""What surrounds every call: request id, errors, metrics, readiness, deadline, admission.

`Access` goes between `Measured` and `Ready`: a caller that is not known learns nothing and takes no
place.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message

from slcolm_services.errors import (
    DeadlineTooShort,
    Overloaded,
    ServiceUnavailable,
    SlcolmError,
)
from slcolm_services.runtime.access import caller_name
from slcolm_services.runtime.admission import Admission, bounded
from slcolm_services.runtime.caller import Caller, bind_caller, caller
from slcolm_services.runtime.calling import STATUS_CODE, attributes_of
from slcolm_services.runtime.correlation import REQUEST_ID, names_of
from slcolm_services.runtime.interceptors import Call
from slcolm_services.runtime.metrics import Metrics
from slcolm_services.runtime.status import code_of, fitted, status_of, trailers_of
from slcolm_services.runtime.tracing import SERVER, span

_log = structlog.get_logger(__name__)
_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Codes that are a server's failure; others tell of the caller's."""


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
