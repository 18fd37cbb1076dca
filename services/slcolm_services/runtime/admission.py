"""Admission: a server takes what it can hold, and tells the rest at once when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slcolm_services.errors import Overloaded


class Admission:
    """Counts calls and their cost in flight. For one event loop: it takes no lock.

    Args:
        max_calls: Calls in flight.
        max_cost: Sum of their costs. A dearer call is admitted when nothing else is in flight:
            it could never be otherwise.
        retry_after_seconds: What a refused caller is told to wait.
    """

    def __init__(self, *, max_calls: int, max_cost: int, retry_after_seconds: float) -> None:
        self._max_calls = max_calls
        self._max_cost = max_cost
        self._retry_after_seconds = retry_after_seconds
        self._calls = 0
        self._cost = 0

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return self._calls

    @property
    def cost(self) -> int:
        """Sum of their costs."""
        return self._cost

    @contextmanager
    def admit(self, cost: int) -> Iterator[None]:
        """Hold a place of the given cost while the block runs.

        Raises:
            Overloaded: There is no room; with `retry_after_seconds`.
        """
        if self._calls >= self._max_calls or (self._calls and self._cost + cost > self._max_cost):
            raise Overloaded(
                f"{self._calls} calls of cost {self._cost} are in flight, and there is no room "
                f"for one of cost {cost}",
                metadata={
                    "calls": str(self._calls),
                    "max_calls": str(self._max_calls),
                    "cost": str(cost),
                    "max_cost": str(self._max_cost),
                },
                retry_after_seconds=self._retry_after_seconds,
            )
        self._calls += 1
        self._cost += cost
        try:
            yield
        finally:
            self._calls -= 1
            self._cost -= cost
