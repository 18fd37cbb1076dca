"""What the synchronous clients share: the connection, its limits, and calls that are retried."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
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
    connect,
    is_answer,
)
from slcolm_client._errors import (
    SlcolmClientError,
    abandoned,
    busy,
    closed,
    error_from_rpc,
    is_of_transport,
)
from slcolm_client._in_order import in_order
from slcolm_client._retrying import Retries, RetryBudget, Schedule
from slcolm_client._security import PLAINTEXT, Security
from slcolm_client._stopping import Places, Stop

ResultT = TypeVar("ResultT")

MAX_CALLS_IN_FLIGHT = 32


class Connected:
    """A stub on a channel, with the deadline, the retries and the places of calls on it.

    Args:
        address: As for `connect`.
        timeout_seconds: Deadline of each call, its retries and its waiting for a place included.
        security: TLS, and the token that every call carries.
        retries: How often failed calls are tried again.
        max_calls_in_flight: Calls at once; more wait. `watch_run` takes no place.
        max_message_bytes: Largest message in either direction.

    Raises:
        InvalidArgument: An argument cannot be used.
        FailedPrecondition: A token would go to another machine in plain text.
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
        check_timeout(timeout_seconds)
        check_limit("max_calls_in_flight", max_calls_in_flight)
        self._channel = connect(address, security=security, max_message_bytes=max_message_bytes)
        self._open_stub = self._stub_class(self._channel)
        self._timeout_seconds = timeout_seconds
        self._retries = retries or Retries()
        self._budget = RetryBudget(self._retries)
        self._max_calls_in_flight = max_calls_in_flight
        self._places = Places(max_calls_in_flight)
        self._stop = Stop()

    @property
    def _stub(self) -> Any:
        if self._stop.stopped:
            raise closed()
        return self._open_stub

    def close(self) -> None:
        """Close the connection; calls in flight end with `CLIENT_CLOSED`."""
        self._stop.stop()
        self._channel.close()

    def _call(self, method: str, request: Message, *, once: bool = False) -> Any:
        # The stub is asked for at each attempt: the client may be closed between two.
        return self._retried(
            lambda **options: getattr(self._stub, method)(request, **options), once=once
        )

    def _retried(
        self,
        attempt: Callable[..., ResultT],
        *,
        once: bool = False,
        stop: Stop | None = None,
    ) -> ResultT:
        """Run an attempt, given `timeout` and `metadata`, until it succeeds or may not be repeated.

        Args:
            attempt: It raises `grpc.RpcError` where it fails.
            once: Its effect may come about once only.
            stop: Ends its waits, beside the end of the client.

        Raises:
            SlcolmClientError: The last attempt's error.
        """
        stop = stop or self._stop
        schedule = Schedule(self._timeout_seconds, retries=self._retries, once=once)
        request_id = new_request_id()
        if once:
            # Nothing is known of a call that found no connection: it begins with one.
            self._is_connected_within(schedule.connecting_seconds, stop)
        while True:
            try:
                with self._place(schedule, request_id, stop):
                    result = attempt(
                        timeout=schedule.remaining_seconds, metadata=metadata_of(request_id)
                    )
            except grpc.RpcError as error:
                failure = error_from_rpc(error, request_id=request_id)
            else:
                self._budget.note_success()
                return result
            # Outside the handler: the error's context would be the gRPC error's long text.
            self._wait_to_retry(schedule, failure, stop)

    def _wait_to_retry(
        self, schedule: Schedule, failure: SlcolmClientError, stop: Stop | None = None
    ) -> None:
        """Wait until another attempt may be made: for its time, its token and a connection.

        Raises:
            SlcolmClientError: `failure`, when none may be.
        """
        stop = stop or self._stop
        stop.wait(schedule.pause_within(self._budget, failure))
        if is_of_transport(failure) and not self._is_connected_within(
            schedule.connecting_seconds, stop
        ):
            self._budget.give_back()
            if not stop.stopped:
                raise failure

    def _is_connected_within(self, seconds: float, stop: Stop) -> bool:
        """Wait for a server that takes calls. The channel looks for one at its own pace."""
        # Not by watching the channel's state: gRPC does that in a thread that breaks with a
        # traceback where the channel is closed meanwhile.
        if stop.stopped:
            return False
        probe = self._channel.unary_unary(PROBE, bytes, bytes)
        call = probe.future(b"", timeout=seconds, wait_for_ready=True)
        with stop.calling(call.cancel):
            try:
                call.result()
            except grpc.FutureCancelledError:
                return False
            except grpc.RpcError as error:
                return is_answer(error)
        return True

    @contextmanager
    def _place(self, schedule: Schedule, request_id: str, stop: Stop) -> Iterator[None]:
        """A place among the calls in flight.

        Raises:
            DeadlineExceeded: None came free in time, with the reason `CLIENT_BUSY`.
        """
        if not self._places.take(schedule.remaining_seconds, stop):
            self._check_open(stop)
            raise busy(self._max_calls_in_flight, request_id)
        try:
            yield
        finally:
            self._places.give_back()

    def _check_open(self, stop: Stop) -> None:
        if self._stop.stopped:
            raise closed()
        if stop.stopped:
            raise abandoned()

    def _answers(
        self, items: Iterable[Item], asking: Asking[ResultT], batcher: Batcher, *, ahead: int
    ) -> Generator[ResultT, None, None]:
        """Results of items in their order, with at most `ahead` batches that are not given out.

        Closing the generator cancels the calls in flight.
        """
        stop = Stop()

        def ask(request: Message) -> Any:
            return self._retried(lambda **options: attempt(request, **options), stop=stop)

        def attempt(request: Message, **options: Any) -> Any:
            call = getattr(self._stub, asking.method).future(request, **options)
            with stop.calling(call.cancel):
                try:
                    return call.result()
                except grpc.FutureCancelledError:
                    self._check_open(stop)
                    raise

        def answer(batch: list[Item]) -> list[ResultT]:
            work = Work(batch, asking, batcher)
            while (request := work.next_request()) is not None:
                try:
                    response = ask(request)
                except SlcolmClientError as error:
                    work.fail(error)
                else:
                    work.answer(response)
            return work.results

        with self._stop.calling(stop.stop):
            yield from in_order(batcher.batches(items), answer, ahead=ahead, stop=stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
