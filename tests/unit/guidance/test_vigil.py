"""Who has died is told by looking on, without a clock."""

from __future__ import annotations

from slcolm_services.guidance.vigil import Vigil


def test_who_stays_the_same_for_some_looks_is_dead_and_nobody_sooner() -> None:
    vigil = Vigil(3)
    told = [vigil.look({"moving": float(n), "still": 7.0}) for n in range(5)]
    assert told == [[], [], [], ["still"], ["still"]]


def test_a_change_in_any_direction_is_a_sign_of_life() -> None:
    vigil = Vigil(2)
    for value in (5.0, 5.0, -3600.0, -3600.0, 7200.0):
        assert vigil.look({"a": value}) == []


def test_who_was_away_is_looked_at_anew() -> None:
    vigil = Vigil(2)
    for holders in ({"a": 1.0}, {"a": 1.0}, {}, {"a": 1.0}, {"a": 1.0}):
        assert vigil.look(holders) == []
    assert vigil.look({"a": 1.0}) == ["a"]
