"""Sets an endpoint that keeps failing aside (a circuit breaker)."""

from __future__ import annotations

_ROUNDS = 3
"""Failures in a row after which an endpoint is set aside."""


class Breaker:
    """Shut for a growing time; after it one call may pass, whose success opens it again.

    Calls that fail together are one failure: of those in flight when it was noticed, the others
    say nothing new.

    Args:
        first_seconds: How long it stays shut the first time; the time doubles with each failure.
        longest_seconds: Longest time.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._shut_seconds = 0.0
        self._failures = 0
        self._failed_at = float("-inf")
        self._opens_at = float("-inf")

    @property
    def opens_at(self) -> float:
        """When a call may pass; in the past where calls pass now."""
        return self._opens_at

    @property
    def healthy(self) -> bool:
        """Whether calls pass, and none has to show first that they are answered again."""
        return not self._shut_seconds

    def allow(self, now: float) -> bool:
        """Whether a call may pass. Where it was shut, this call is the only one for a while."""
        if now < self._opens_at:
            return False
        if self._shut_seconds:
            self._opens_at = now + self._shut_seconds
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0
        self._shut_seconds = 0.0
        self._opens_at = float("-inf")

    def failed(self, started: float, now: float) -> None:
        """A call that began at `started` failed at `now` in a way that may pass."""
        if self._is_news(started, now):
            self._failures += 1
            if self._failures >= _ROUNDS:
                self._shut(now)

    def shut(self, started: float, now: float, seconds: float) -> None:
        """A call was told that none will be answered, for at least so many seconds."""
        if self._is_news(started, now):
            self._failures = _ROUNDS
            self._shut(now)
        self._opens_at = max(self._opens_at, now + seconds)

    def _is_news(self, started: float, now: float) -> bool:
        if started < self._failed_at:
            return False
        self._failed_at = now
        return True

    def _shut(self, now: float) -> None:
        self._shut_seconds = min(max(self._first, 2 * self._shut_seconds), self._longest)
        self._opens_at = now + self._shut_seconds
