"""Retries: what is repeated, when, for how long, and how often at most."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_client import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Retries,
    RetryBudget,
    SlcolmClientError,
    Unavailable,
)
from slcolm_client._retrying import Schedule

RETRIES = Retries()


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


@given(timeout=st.floats(0.01, 1000), jitter=st.floats(0.01, 1, exclude_max=True))
def test_an_unreachable_service_is_asked_again_within_patience_and_deadline(
    timeout: float, jitter: float
) -> None:
    clock = Clock()
    schedule = Schedule(timeout, retries=RETRIES, clock=clock, jitter=lambda: jitter)
    pauses = waits(schedule, clock, Unavailable("gone"))
    assert pauses == sorted(pauses)
    assert sum(pauses) <= min(timeout, RETRIES.patience_seconds) + 1e-6
    assert timeout < 0.2 or pauses


@given(asked=st.floats(0, 30), timeout=st.floats(0.01, 300))
def test_who_was_refused_asks_when_it_was_told_to_and_until_the_deadline(
    asked: float, timeout: float
) -> None:
    clock = Clock()
    schedule = Schedule(timeout, retries=RETRIES, clock=clock, jitter=lambda: 0.5)
    error = ResourceExhausted("busy", reason="OVERLOADED", retry_after_seconds=asked)
    pauses = waits(schedule, clock, error)
    assert all(pause > asked for pause in pauses)
    assert sum(pauses) < timeout + 1e-6
    # It gave up for want of time and for nothing else.
    assert sum(pauses) + asked + 2.5 >= timeout - 1e-6


@pytest.mark.parametrize(
    "error",
    [
        Internal("broken"),
        DeadlineExceeded("late"),
        ResourceExhausted("spent", reason="BUDGET_EXHAUSTED"),
        ResourceExhausted("Received message larger than max"),
        ResourceExhausted("busy", reason="OVERLOADED", retry_after_seconds=math.inf),
        Unavailable("never again", retry_after_seconds=math.inf),
    ],
)
def test_other_errors_are_raised_at_once(error: SlcolmClientError) -> None:
    with pytest.raises(type(error)) as caught:
        Schedule(100.0, retries=RETRIES).pause(error)
    assert caught.value is error


def test_what_may_happen_once_only_is_repeated_only_where_it_has_surely_not_begun() -> None:
    schedule = Schedule(100.0, retries=RETRIES, once=True)
    with pytest.raises(Unavailable):
        schedule.pause(Unavailable("Connection reset by peer"))
    assert schedule.pause(Unavailable("starting", retry_after_seconds=1.0)) >= 1.0
    assert schedule.pause(ResourceExhausted("busy", retry_after_seconds=1.0)) >= 1.0


def test_success_in_between_makes_patience_whole_again() -> None:
    clock = Clock()
    schedule = Schedule(1000.0, retries=RETRIES, clock=clock, jitter=lambda: 0.5)
    first = waits(schedule, clock, Unavailable("gone"))
    schedule.restart()
    assert waits(schedule, clock, Unavailable("gone")) == pytest.approx(first)


def test_those_who_failed_together_come_back_spread_over_the_whole_pause() -> None:
    """Full jitter: a pause may be next to nothing."""
    for jitter, expected in ((0.0, 0.0), (0.5, 0.1)):
        schedule = Schedule(10.0, retries=RETRIES, jitter=lambda value=jitter: value)  # type: ignore[misc]
        assert schedule.pause(Unavailable("gone")) == expected
    assert len({Schedule(10.0, retries=RETRIES).pause(Unavailable("gone")) for _ in range(20)}) > 1


@given(st.lists(st.booleans(), max_size=300), st.integers(0, 20), st.floats(0, 0.5))
def test_retries_are_a_share_of_the_calls_once_the_bucket_is_empty(
    outcomes: list[bool], burst: int, share: float
) -> None:
    budget = RetryBudget(Retries(burst=burst, share=share, per_second=0.0))
    retried = 0
    for succeeds in outcomes:
        if succeeds:
            budget.note_success()
        elif budget.reserve(1e9) is not None:
            retried += 1
    assert retried <= burst + share * outcomes.count(True) + 1e-6


def test_an_empty_bucket_lets_a_retry_wait_for_its_token() -> None:
    clock = Clock()
    budget = RetryBudget(Retries(burst=2.0, share=0.0, per_second=0.5), clock=clock)
    assert [budget.reserve(100.0) for _ in range(4)] == [0.0, 0.0, 2.0, 4.0]
    assert budget.reserve(5.9) is None
    assert budget.reserve(6.0) == 6.0
    clock.now += 1000.0
    assert [budget.reserve(100.0) for _ in range(3)] == [0.0, 0.0, 2.0]


def test_a_token_that_was_not_used_is_there_again() -> None:
    budget = RetryBudget(Retries(burst=1.0, share=0.0, per_second=0.0))
    assert budget.reserve(0.0) == 0.0
    assert budget.reserve(100.0) is None
    budget.give_back()
    budget.give_back()
    assert [budget.reserve(100.0), budget.reserve(100.0)] == [0.0, None]


def test_a_retry_waits_for_its_pause_and_for_its_token_but_not_for_both_in_turn() -> None:
    clock = Clock()
    budget = RetryBudget(Retries(burst=0.0, share=0.0, per_second=0.25), clock=clock)
    error = ResourceExhausted("busy", retry_after_seconds=1.0)
    schedule = Schedule(10.0, retries=RETRIES, clock=clock, jitter=lambda: 0.0)
    assert schedule.pause_within(budget, error) == 4.0
    assert schedule.pause_within(budget, error) == 8.0
    with pytest.raises(ResourceExhausted):
        schedule.pause_within(budget, error)


@pytest.mark.parametrize(
    "error", [Unavailable("gone"), ResourceExhausted("busy", retry_after_seconds=0.0)]
)
def test_no_retries_are_none(error: SlcolmClientError) -> None:
    with pytest.raises(type(error)):
        Schedule(100.0, retries=Retries.none()).pause_within(RetryBudget(Retries.none()), error)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["patience_seconds", "burst", "share", "per_second"])
def test_retries_that_cannot_be_are_refused(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(InvalidArgument) as caught:
        Retries(**settings)
    assert [violation.field for violation in caught.value.violations] == [f"retries.{name}"]
