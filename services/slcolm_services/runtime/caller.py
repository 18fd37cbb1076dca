"""Who waits for the present call: until when, and whether still.

A server binds it for each call; work in other threads finds it where it was started in a copy of
the call's context, as `asyncio.to_thread` does. Work that nobody waits for, such as a stage of a
run, has none.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from slcolm_services.errors import Cancelled, DeadlineTooShort


class Caller:
    """Whoever waits for a call. Thread-safe.

    Args:
        seconds: How long the caller waits from now on; infinite for as long as it takes.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._gone = False
        self._on_leave: list[Callable[[], object]] = []

    @property
    def remaining_seconds(self) -> float:
        """What is left; below 0 once it is over."""
        return self._deadline - time.monotonic()

    def leave(self) -> None:
        """The caller has gone: what it waits for is given up."""
        with self._lock:
            self._gone = True
            on_leave, self._on_leave = self._on_leave, []
        for give_up in on_leave:
            give_up()

    def check(self) -> None:
        """Go on only for somebody.

        Raises:
            Cancelled: The caller has gone.
            DeadlineTooShort: It waits no longer.
        """
        if self._gone:
            raise Cancelled("the caller has gone")
        if self.remaining_seconds <= 0:
            raise DeadlineTooShort("the caller's deadline has passed")

    @contextmanager
    def leaving(self, give_up: Callable[[], object]) -> Iterator[None]:
        """Have `give_up` called, on any thread, when the caller leaves while the block runs."""
        with self._lock:
            gone = self._gone
            if not gone:
                self._on_leave.append(give_up)
        if gone:
            give_up()
        try:
            yield
        finally:
            with self._lock:
                if give_up in self._on_leave:
                    self._on_leave.remove(give_up)


NOBODY = Caller()
"""Stands for the caller of work that nobody waits for: it never leaves."""

_caller: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


def caller() -> Caller:
    """Who waits for what is worked on now."""
    return _caller.get()


def bind_caller(found: Caller) -> None:
    """Say who waits for what this context works on from now on."""
    _caller.set(found)
