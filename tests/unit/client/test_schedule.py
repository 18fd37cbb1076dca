"""Retries: what is repeated, when, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_client import (
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    SlcolmClientError,
    Unavailable,
)
from slcolm_client._call import UNAVAILABLE_PATIENCE_SECONDS, Schedule


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(schedule: Schedule, clock: Clock, error: SlcolmClientError) -> list[float]:
    """Pauses until the schedule gives up, each waited for."""
    found: list[float] = []
    while True:
        try:
            found.append(schedule.pause(error))
        except type(error):
            return found
        clock.now += found[-1]


@given(timeout=st.floats(0.01, 1000), jitter=st.floats(0, 1, exclude_max=True))
def test_an_unreachable_service_is_asked_again_within_patience_and_deadline(
    timeout: float, jitter: float
) -> None:
    clock = Clock()
    schedule = Schedule(timeout, clock=clock, jitter=lambda: jitter)
    pauses = waits(schedule, clock, Unavailable("gone"))
    assert pauses == sorted(pauses)
    assert sum(pauses) <= min(timeout, UNAVAILABLE_PATIENCE_SECONDS) + 1e-6
    assert timeout < 0.2 or pauses


@given(asked=st.floats(0, 30), timeout=st.floats(0.01, 300))
def test_an_overloaded_service_is_asked_when_it_said_and_until_the_deadline(
    asked: float, timeout: float
) -> None:
    clock = Clock()
    schedule = Schedule(timeout, clock=clock)
    error = ResourceExhausted("busy", reason="OVERLOADED", retry_after_seconds=asked)
    pauses = waits(schedule, clock, error)
    assert all(pause >= asked for pause in pauses)
    assert sum(pauses) < timeout + 1e-6
    # It gave up for want of time and for nothing else.
    assert sum(pauses) + 1.2 * max(asked, 2.0) >= timeout - 1e-6


@pytest.mark.parametrize(
    "error",
    [
        Internal("broken"),
        DeadlineExceeded("late"),
        ResourceExhausted("spent", reason="BUDGET_EXHAUSTED"),
        ResourceExhausted("Received message larger than max"),
    ],
)
def test_other_errors_are_raised_at_once(error: SlcolmClientError) -> None:
    with pytest.raises(type(error)) as caught:
        Schedule(100.0).pause(error)
    assert caught.value is error


def test_success_in_between_makes_patience_whole_again() -> None:
    clock = Clock()
    schedule = Schedule(1000.0, clock=clock, jitter=lambda: 0.0)
    first = waits(schedule, clock, Unavailable("gone"))
    schedule.restart()
    assert waits(schedule, clock, Unavailable("gone")) == pytest.approx(first)


def test_two_callers_do_not_come_back_together() -> None:
    pauses = {Schedule(10.0).pause(Unavailable("gone")) for _ in range(20)}
    assert len(pauses) > 1
