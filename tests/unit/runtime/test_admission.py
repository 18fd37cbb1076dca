"""Admission takes what fits, tells the rest when to come back, and leaves room for control."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.errors import Overloaded, RequestTooLarge
from slcolm_services.runtime.admission import LONGEST_RETRY_SECONDS, Admission


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_calls_are_limited_and_places_come_back_after_errors() -> None:
    admission = Admission(max_calls=1, max_cost=100, retry_after_seconds=2.0)
    with admission.admit(1), pytest.raises(Overloaded) as caught, admission.admit(1):
        pytest.fail("there was no room")
    assert caught.value.retry_after_seconds == 2.0
    for error in (RuntimeError("inside"), KeyboardInterrupt()):
        with pytest.raises(type(error)), admission.admit(1):
            raise error
    assert (admission.calls, admission.cost) == (0, 0)


def test_what_is_dearer_than_the_limit_can_never_fit() -> None:
    admission = Admission(max_calls=10, max_cost=5, retry_after_seconds=1.0)
    admission.check(5)
    with pytest.raises(RequestTooLarge) as caught:
        admission.check(6)
    assert caught.value.metadata == {"cost": "6", "max_cost": "5"}
    assert caught.value.retry_after_seconds is None


def test_calls_that_only_ask_are_not_shut_out_by_those_that_compute() -> None:
    admission = Admission(max_calls=2, max_cost=5, retry_after_seconds=1.0)
    with admission.admit(3), admission.admit(2):
        with pytest.raises(Overloaded), admission.admit(1):
            pytest.fail("there was no room")
        with admission.admit(0), admission.admit(0):
            assert admission.calls == 4
            with pytest.raises(Overloaded), admission.admit(0):
                pytest.fail("they have a bound of their own")
    with admission.admit(0), admission.admit(0), admission.admit(5):
        assert admission.cost == 5


def run(admission: Admission, clock: Clock, cost: int, seconds: float) -> None:
    with admission.admit(cost):
        clock.now += seconds


def delay(admission: Admission, cost: int) -> float:
    with pytest.raises(Overloaded) as caught, admission.admit(cost):
        pytest.fail("there was no room")
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


def test_the_delay_follows_from_what_must_end_first_and_the_pace_of_late() -> None:
    clock = Clock()
    admission = Admission(max_calls=10, max_cost=100, retry_after_seconds=7.0, clock=clock)
    with admission.admit(100):
        assert delay(admission, 10) == 7.0  # nothing has ended yet
        clock.now += 2.0
    for _ in range(20):
        run(admission, clock, 50, 1.0)  # 50 a second
        clock.now += 1000.0  # an idle time is no slowness
    with admission.admit(100):
        assert delay(admission, 10) == pytest.approx(0.2)
        assert delay(admission, 100) == pytest.approx(2.0)
    for _ in range(100):
        run(admission, clock, 50, 10.0)  # a tenth of it: the past is forgotten
    with admission.admit(60), admission.admit(40):
        assert delay(admission, 10) == pytest.approx(2.0, rel=0.1)


def test_the_delay_of_a_call_too_many_is_the_time_of_one() -> None:
    clock = Clock()
    admission = Admission(max_calls=2, max_cost=1000, retry_after_seconds=7.0, clock=clock)
    for _ in range(5):
        run(admission, clock, 1, 0.5)
    with admission.admit(1), admission.admit(1):
        assert delay(admission, 1) == pytest.approx(0.5)


def test_no_delay_is_for_ever() -> None:
    clock = Clock()
    admission = Admission(max_calls=9, max_cost=100, retry_after_seconds=1.0, clock=clock)
    run(admission, clock, 1, 5000.0)
    with admission.admit(100):
        assert delay(admission, 100) == LONGEST_RETRY_SECONDS


@given(
    costs=st.lists(st.integers(1, 40), max_size=30),
    max_calls=st.integers(1, 8),
    max_cost=st.integers(40, 120),
)
def test_limits_hold_for_any_sequence_of_calls(
    costs: list[int], max_calls: int, max_cost: int
) -> None:
    admission = Admission(max_calls=max_calls, max_cost=max_cost, retry_after_seconds=1.0)
    held: list[int] = []
    with ExitStack() as places:
        for cost in costs:
            fits = len(held) < max_calls and sum(held) + cost <= max_cost
            try:
                places.enter_context(admission.admit(cost))
            except Overloaded:
                assert not fits
            else:
                assert fits
                held.append(cost)
            assert (admission.calls, admission.cost) == (len(held), sum(held))
    assert (admission.calls, admission.cost) == (0, 0)
