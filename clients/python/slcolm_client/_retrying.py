"""When a failed call is tried again: one schedule for each call, one budget for each client."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from slcolm_client._errors import (
    ResourceExhausted,
    SlcolmClientError,
    Unavailable,
    invalid_argument,
)

_FIRST_CEILING_SECONDS = 0.2
_LAST_CEILING_SECONDS = 5.0
_MOST_DOUBLINGS = 10


@dataclass(frozen=True)
class Retries:
    """How often a client tries failed calls again.

    Every retry takes a token out of the client's bucket, which starts full. Where it is empty, a
    retry waits for the next token, and the call fails where that would be too late.

    Attributes:
        patience_seconds: How long a service that cannot be reached, or is starting, is tried
            again. One that is overloaded is tried until the call's deadline.
        burst: Tokens that the bucket holds.
        share: Tokens that a successful call puts back: 0.1 for one retry in ten calls.
        per_second: Tokens that time puts back.
    """

    patience_seconds: float = 20.0
    burst: float = 50.0
    share: float = 0.1
    per_second: float = 1.0

    def __post_init__(self) -> None:
        for name in ("patience_seconds", "burst", "share", "per_second"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise invalid_argument(f"retries.{name}", f"must not be negative, got {value}")

    @classmethod
    def none(cls) -> Retries:
        """Every call is tried once. What gRPC sends again by itself has not reached a service."""
        return cls(patience_seconds=0.0, burst=0.0, share=0.0, per_second=0.0)


class RetryBudget:
    """The tokens of a client. Thread-safe.

    Args:
        retries: Its size, and what fills it.
        clock: Monotonic seconds.
    """

    def __init__(self, retries: Retries, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._retries = retries
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = retries.burst
        self._filled_at = clock()

    def note_success(self) -> None:
        """Put back what a successful call does."""
        with self._lock:
            self._fill(self._retries.share)

    def give_back(self) -> None:
        """Put back the token of a retry that did not come about."""
        with self._lock:
            self._fill(1.0)

    def reserve(self, within_seconds: float) -> float | None:
        """Take a token for a retry.

        Returns:
            Seconds to wait before it may be used; None, and nothing is taken, where that would be
            longer than `within_seconds`.
        """
        with self._lock:
            self._fill(0.0)
            missing = 1.0 - self._tokens
            if missing <= 0:
                seconds = 0.0
            elif self._retries.per_second > 0:
                seconds = missing / self._retries.per_second
            else:
                return None
            if seconds > within_seconds:
                return None
            self._tokens -= 1.0
            return seconds

    def _fill(self, tokens: float) -> None:
        now = self._clock()
        tokens += (now - self._filled_at) * self._retries.per_second
        self._filled_at = now
        self._tokens = min(self._retries.burst, self._tokens + tokens)


class Schedule:
    """When to try a call again, and how long it may take: one for each call.

    Args:
        timeout_seconds: Deadline over all attempts and the waits between them.
        retries: Its patience.
        once: The call may have its effect once only. It is tried again only where the service
            said, by a time to come back at, that it had not begun.
        clock: Monotonic seconds.
        jitter: Random numbers in [0, 1).
    """

    def __init__(
        self,
        timeout_seconds: float,
        *,
        retries: Retries,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._patience_seconds = retries.patience_seconds
        self._once = once
        self._clock = clock
        self._jitter = jitter
        self._deadline = clock() + timeout_seconds
        self.restart()

    def restart(self) -> None:
        """Begin again with short pauses, after something has come through."""
        self._last_success = self._clock()
        self._attempts = 0

    @property
    def remaining_seconds(self) -> float:
        """Time left; never less than 0."""
        return max(0.0, self._deadline - self._clock())

    @property
    def connecting_seconds(self) -> float:
        """Time left for a service to be reached; never less than 0."""
        patience = self._last_success + self._patience_seconds - self._clock()
        return max(0.0, min(patience, self.remaining_seconds))

    def pause(self, failure: SlcolmClientError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            SlcolmClientError: `failure` itself, when another attempt is not safe or makes no
                sense, or no time is left for it.
        """
        asked = failure.retry_after_seconds
        dropped = isinstance(failure, Unavailable) and not (self._once and asked is None)
        refused = isinstance(failure, ResourceExhausted) and asked is not None
        if not (dropped or refused):
            raise failure
        # Full jitter: those who failed together do not come back together.
        doublings = min(self._attempts, _MOST_DOUBLINGS)
        ceiling = min(_FIRST_CEILING_SECONDS * (1 << doublings), _LAST_CEILING_SECONDS)
        seconds = (asked or 0.0) + ceiling * self._jitter()
        if seconds >= self._seconds_left_after(failure):
            raise failure
        self._attempts += 1
        return seconds

    def pause_within(self, budget: RetryBudget, failure: SlcolmClientError) -> float:
        """Seconds to wait before the next attempt, for which a token of `budget` is taken.

        Raises:
            SlcolmClientError: As `pause` does, and where no token comes in time.
        """
        seconds = self.pause(failure)
        token_seconds = budget.reserve(self._seconds_left_after(failure))
        if token_seconds is None:
            raise failure
        return max(seconds, token_seconds)

    def _seconds_left_after(self, failure: SlcolmClientError) -> float:
        if isinstance(failure, Unavailable):
            return self.connecting_seconds
        return self.remaining_seconds
