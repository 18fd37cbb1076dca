"""How many calls an endpoint takes at once, found out by asking.

Additive increase, multiplicative decrease, per answer: a served call raises the limit by 1/limit
(TCP's congestion avoidance, RFC 5681 section 3.1, so by one for each round of calls), a refused
one lowers it by a half (DCTCP, RFC 8257 section 3.3: a round that is refused as a whole halves the
limit, one in which few calls are refused lowers it little). Limits of concurrency in place of
windows: Netflix's concurrency-limits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_STEP_DOWN = 0.5


class ConcurrencyLimit:
    """Slots for calls, given out first come, first served.

    The limit starts at its maximum: whoever set it expects the endpoint to take as many, and calls
    that are refused cost nothing but their repetition.

    Args:
        minimum: Least limit, at least 1.
        maximum: Greatest limit.
    """

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._limit = float(maximum)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Slots that are taken."""
        return self._in_flight

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it. Who stops waiting leaves the queue."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    def served(self) -> None:
        """A call was answered. Call it with the slot still held: unused limits do not rise."""
        if self._in_flight >= self.limit:
            self._limit = min(self._maximum, self._limit + 1 / self._limit)
            self._admit()

    def refused(self) -> None:
        """A call was refused for load, or no answer came in time."""
        self._limit = max(self._minimum, self._limit - _STEP_DOWN)

    async def _acquire(self) -> None:
        # Whenever a slot is free, nobody waits: `_admit` runs at every change.
        if self._in_flight < self.limit:
            self._in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in and cancelled at once
                self._release()
            raise

    def _release(self) -> None:
        self._in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
