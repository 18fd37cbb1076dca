"""Ending what threads wait for, and how many of them call at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """Ends the waits and calls of those who share it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: dict[object, Callable[[], object]] = {}
        self.stopped = False

    def stop(self) -> None:
        """End them all, for good."""
        with self._lock:
            self.stopped = True
            actions = list(self._actions.values())
        for action in actions:
            action()

    @contextmanager
    def calling(self, action: Callable[[], object]) -> Iterator[None]:
        """Have `action` called when it stops while the block runs, or has stopped before."""
        key = object()
        with self._lock:
            self._actions[key] = action
            stopped = self.stopped
        try:
            if stopped:
                action()
            yield
        finally:
            with self._lock:
                del self._actions[key]

    def wait(self, seconds: float) -> None:
        """Wait for a time, or until it stops."""
        event = threading.Event()
        with self.calling(event.set):
            event.wait(min(seconds, threading.TIMEOUT_MAX))


class Places:
    """Places for calls in flight. Thread-safe.

    Args:
        number: How many there are.
    """

    def __init__(self, number: int) -> None:
        self._condition = threading.Condition()
        self._free = number

    def take(self, seconds: float, stop: Stop) -> bool:
        """Wait for a place and take it; whoever has taken one gives it back.

        Returns:
            Whether there was one, before the time was over and before `stop` stopped.
        """
        with stop.calling(self._wake), self._condition:
            self._condition.wait_for(
                lambda: self._free > 0 or stop.stopped, min(seconds, threading.TIMEOUT_MAX)
            )
            if stop.stopped or self._free < 1:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Leave a place."""
        with self._condition:
            self._free += 1
            self._condition.notify_all()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()
