"""Admission takes what fits, and always something."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.errors import Overloaded
from slcolm_services.runtime.admission import Admission


def test_calls_are_limited_and_places_come_back_after_errors() -> None:
    admission = Admission(max_calls=1, max_cost=100, retry_after_seconds=2.0)
    with admission.admit(1), pytest.raises(Overloaded) as caught, admission.admit(1):
        pytest.fail("there was no room")
    assert caught.value.retry_after_seconds == 2.0
    for error in (RuntimeError("inside"), KeyboardInterrupt()):
        with pytest.raises(type(error)), admission.admit(1):
            raise error
    assert (admission.calls, admission.cost) == (0, 0)


def test_a_call_dearer_than_the_limit_runs_alone() -> None:
    admission = Admission(max_calls=10, max_cost=5, retry_after_seconds=1.0)
    with admission.admit(50), pytest.raises(Overloaded), admission.admit(1):
        pytest.fail("there was no room")
    with admission.admit(1), pytest.raises(Overloaded), admission.admit(50):
        pytest.fail("there was no room")


@given(
    costs=st.lists(st.integers(0, 40), max_size=30),
    max_calls=st.integers(1, 8),
    max_cost=st.integers(1, 60),
)
def test_limits_hold_for_any_sequence_of_calls(
    costs: list[int], max_calls: int, max_cost: int
) -> None:
    admission = Admission(max_calls=max_calls, max_cost=max_cost, retry_after_seconds=1.0)
    held: list[int] = []
    with ExitStack() as places:
        for cost in costs:
            fits = not held or (len(held) < max_calls and sum(held) + cost <= max_cost)
            try:
                places.enter_context(admission.admit(cost))
            except Overloaded:
                assert not fits
            else:
                assert fits
                held.append(cost)
            assert (admission.calls, admission.cost) == (len(held), sum(held))
    assert (admission.calls, admission.cost) == (0, 0)
