"""Limits on requests and tokens per minute."""

from __future__ import annotations

import asyncio
import contextlib

_SECONDS = 60
_ROUNDING = 1e-6


class RateLimit:
    """A token bucket that holds a second's worth: a steady flow, no burst at each full minute.

    First come, first served. What is dearer than the bucket goes when the bucket is full, and
    those behind it wait until the debt is paid; so any amount passes, and over time no more than
    the rate.

    Args:
        per_minute: Units in a minute; greater than 0.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_second = per_minute / _SECONDS
        self._capacity = max(1.0, self._per_second)
        self._level = self._capacity
        self._filled = float("-inf")
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def take(self, amount: float) -> None:
        """Wait until `amount` may be used, and use it. Who stops waiting has used nothing."""
        async with self._turn:
            needed = min(amount, self._capacity)
            while (missing := needed - self._fill()) > _ROUNDING:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(missing / self._per_second):
                        await self._changed.wait()
            self._level -= amount

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used; a negative amount takes more without waiting."""
        self._level = min(self._capacity, self._fill() + amount)
        self._changed.set()

    def _fill(self) -> float:
        now = asyncio.get_running_loop().time()
        gained = max(0.0, now - self._filled) * self._per_second
        self._level = min(self._capacity, self._level + gained)
        self._filled = now
        return self._level
