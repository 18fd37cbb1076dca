"""Admission: a server takes what it can hold, and tells the rest at once when to come back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slcolm_services.errors import FieldViolation, Overloaded, RequestTooLarge

SHORTEST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 60.0

_MEMORY_SECONDS = 30.0
"""Time constant of the pace: what ended longer ago counts for little."""


class Pace:
    """How much ends in a second, while there is anything to do.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._calls = 0.0
        self._cost = 0.0
        self._since = 0.0

    def begin(self) -> None:
        """There is something to do, and there was nothing before."""
        self._since = self._clock()

    def end(self, cost: int) -> None:
        """A call of this cost has ended, however it did."""
        now = self._clock()
        passed, self._since = now - self._since, now
        fade = math.exp(-passed / _MEMORY_SECONDS)
        self._seconds = self._seconds * fade + passed
        self._calls = self._calls * fade + 1
        self._cost = self._cost * fade + cost

    def seconds_for(self, *, calls: int, cost: int) -> float | None:
        """Seconds until so many calls and so much cost will have ended; None: nothing ended yet."""
        if not self._calls:
            return None
        per_call = self._seconds / self._calls
        per_cost = self._seconds / self._cost if self._cost else 0.0
        return max(calls * per_call, cost * per_cost)


class Admission:
    """Counts calls and their cost in flight. For one event loop: it takes no lock.

    Calls of cost 0 ask and steer, and compute nothing. They have as many places of their own, so
    that those that compute never shut them out.

    Args:
        max_calls: Calls in flight.
        max_cost: Sum of their costs.
        retry_after_seconds: What a refused caller is told to wait while no call has ended yet, from
            which it could be known.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_calls: int,
        max_cost: int,
        retry_after_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_calls = max_calls
        self._max_cost = max_cost
        self._retry_after_seconds = retry_after_seconds
        self._pace = Pace(clock)
        self._calls = 0
        self._free_calls = 0
        self._cost = 0

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return self._calls + self._free_calls

    @property
    def cost(self) -> int:
        """Sum of their costs."""
        return self._cost

    def check(self, cost: int) -> None:
        """Refuse what can never fit.

        Raises:
            RequestTooLarge: It costs more than there is room for in all.
        """
        if cost > self._max_cost:
            problem = f"costs {cost}, and {self._max_cost} is all that is taken at once"
            raise RequestTooLarge(
                f"the request {problem}: send its items in several calls",
                violations=[FieldViolation("request", problem)],
                metadata={"cost": str(cost), "max_cost": str(self._max_cost)},
            )

    @contextmanager
    def admit(self, cost: int) -> Iterator[None]:
        """Hold a place of the given cost while the block runs.

        Raises:
            Overloaded: There is no room; `retry_after_seconds` is when there will be, at the pace
                of late.
        """
        if cost == 0:
            with self._admit_free():
                yield
            return
        calls_over = max(0, self._calls + 1 - self._max_calls)
        cost_over = max(0, self._cost + cost - self._max_cost)
        if calls_over or cost_over:
            raise self._refusal(cost, self._pace.seconds_for(calls=calls_over, cost=cost_over))
        if not self._calls:
            self._pace.begin()
        self._calls += 1
        self._cost += cost
        try:
            yield
        finally:
            self._calls -= 1
            self._cost -= cost
            self._pace.end(cost)

    @contextmanager
    def _admit_free(self) -> Iterator[None]:
        if self._free_calls >= self._max_calls:
            raise self._refusal(0, None)
        self._free_calls += 1
        try:
            yield
        finally:
            self._free_calls -= 1

    def _refusal(self, cost: int, seconds: float | None) -> Overloaded:
        return Overloaded(
            f"{self.calls} calls of cost {self._cost} are in flight, and there is no room for "
            f"one of cost {cost}",
            metadata={
                "calls": str(self.calls),
                "max_calls": str(self._max_calls),
                "cost": str(cost),
                "max_cost": str(self._max_cost),
            },
            retry_after_seconds=bounded(seconds or self._retry_after_seconds),
        )


def bounded(seconds: float) -> float:
    """A time to wait before another try, that is neither no time nor for ever."""
    return min(max(seconds, SHORTEST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)
