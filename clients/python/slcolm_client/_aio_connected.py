"""What the asyncio clients share; as in `_connected`, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import grpc
from google.protobuf.message import Message

from slcolm_client._bulk import Asking, Batcher, Item, Work
from slcolm_client._call import metadata_of, new_request_id
from slcolm_client._channel import (
    MAX_MESSAGE_BYTES,
    PROBE,
    check_limit,
    check_timeout,
    connect_aio,
    is_answer,
)
from slcolm_client._connected import MAX_CALLS_IN_FLIGHT
from slcolm_client._errors import (
    SlcolmClientError,
    busy,
    closed,
    error_from_rpc,
    is_of_transport,
    misused,
)
from slcolm_client._in_order import in_order_aio
from slcolm_client._retrying import Retries, RetryBudget, Schedule
from slcolm_client._security import PLAINTEXT, Security

ResultT = TypeVar("ResultT")


@asynccontextmanager
async def stream_aio(
    method: Callable[..., Any], request: Message, **options: Any
) -> AsyncIterator[Any]:
    """A streaming call, which is cancelled at the end of the block."""
    messages = method(request, **options)
    try:
        yield messages
    finally:
        messages.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class AioConnected:
    """A stub on a channel of the running event loop; otherwise as `Connected`.

    Raises:
        InvalidArgument: An argument cannot be used.
        FailedPrecondition: A token would go to another machine in plain text, or no event loop
            runs.
    """

    _stub_class: ClassVar[type[Any]]

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 60.0,
        security: Security = PLAINTEXT,
        retries: Retries | None = None,
        max_calls_in_flight: int = MAX_CALLS_IN_FLIGHT,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._loop = _running_loop()
        if self._loop is None:
            raise misused(
                "WRONG_EVENT_LOOP",
                f"{type(self).__name__} must be made inside a coroutine, on the event loop that "
                "will use it",
            )
        check_timeout(timeout_seconds)
        check_limit("max_calls_in_flight", max_calls_in_flight)
        self._channel = connect_aio(address, security=security, max_message_bytes=max_message_bytes)
        self._open_stub = self._stub_class(self._channel)
        self._timeout_seconds = timeout_seconds
        self._retries = retries or Retries()
        self._budget = RetryBudget(self._retries)
        self._max_calls_in_flight = max_calls_in_flight
        self._places = asyncio.Semaphore(max_calls_in_flight)
        self._closed = asyncio.Event()

    @property
    def _stub(self) -> Any:
        self._check_loop()
        if self._closed.is_set():
            raise closed()
        return self._open_stub

    def _check_loop(self) -> None:
        if _running_loop() is not self._loop:
            raise misused(
                "WRONG_EVENT_LOOP",
                f"this {type(self).__name__} belongs to another event loop: make one on each",
            )

    async def close(self) -> None:
        """Close the connection; calls in flight end with `CLIENT_CLOSED`."""
        self._check_loop()
        self._closed.set()
        await self._channel.close(None)

    async def _call(self, method: str, request: Message, *, once: bool = False) -> Any:
        # The stub is asked for at each attempt: the client may be closed between two.
        return await self._retried(
            lambda **options: getattr(self._stub, method)(request, **options), once=once
        )

    async def _retried(
        self, attempt: Callable[..., Awaitable[ResultT]], *, once: bool = False
    ) -> ResultT:
        """As `Connected._retried`."""
        self._check_loop()
        schedule = Schedule(self._timeout_seconds, retries=self._retries, once=once)
        request_id = new_request_id()
        if once:
            # Nothing is known of a call that found no connection: it begins with one.
            await self._is_connected_within(schedule.connecting_seconds)
        while True:
            try:
                async with self._place(schedule, request_id):
                    with self._in_flight():
                        result = await attempt(
                            timeout=schedule.remaining_seconds, metadata=metadata_of(request_id)
                        )
            except grpc.RpcError as error:
                failure = error_from_rpc(error, request_id=request_id)
            else:
                self._budget.note_success()
                return result
            # Outside the handler: the error's context would be the gRPC error's long text.
            await self._wait_to_retry(schedule, failure)

    async def _wait_to_retry(self, schedule: Schedule, failure: SlcolmClientError) -> None:
        """As `Connected._wait_to_retry`."""
        seconds = schedule.pause_within(self._budget, failure)
        await self._until_closed(seconds)
        if is_of_transport(failure) and not await self._is_connected_within(
            schedule.connecting_seconds
        ):
            self._budget.give_back()
            if not self._closed.is_set():
                raise failure

    async def _until_closed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _is_connected_within(self, seconds: float) -> bool:
        """As `Connected._is_connected_within`."""
        if self._closed.is_set():
            return False
        probe = self._channel.unary_unary(PROBE, bytes, bytes)
        try:
            with self._in_flight():
                await probe(b"", timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            return is_answer(error)
        return True

    @asynccontextmanager
    async def _place(self, schedule: Schedule, request_id: str) -> AsyncIterator[None]:
        """As `Connected._place`."""
        try:
            async with asyncio.timeout(schedule.remaining_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise busy(self._max_calls_in_flight, request_id) from None
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        """Tell the end of the client, which cancels its calls, from that of the calling task."""
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed.is_set() and (task is None or not task.cancelling()):
                raise closed() from None
            raise

    def _answers(
        self, items: AsyncIterator[Item], asking: Asking[ResultT], batcher: Batcher, *, ahead: int
    ) -> AsyncGenerator[ResultT, None]:
        """As `Connected._answers`."""

        async def answer(batch: list[Item]) -> list[ResultT]:
            work = Work(batch, asking, batcher)
            while (request := work.next_request()) is not None:
                try:
                    response = await self._call(asking.method, request)
                except SlcolmClientError as error:
                    work.fail(error)
                else:
                    work.answer(response)
            return work.results

        return in_order_aio(batcher.batches_aio(items), answer, ahead=ahead)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
