"""What a process knows of the attempts that it works on, and of those that a database lost."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from slcolm_services.coordinator import at_work
from slcolm_services.coordinator.at_work import AtWork
from slcolm_services.errors import StorageFull, Unavailable


def refused(code: int) -> OperationalError:
    error = sqlite3.OperationalError("refused")
    error.sqlite_errorcode = code
    return OperationalError("INSERT", {}, error)


def looks(work: AtWork, *pending: str, times: int) -> list[list[str]]:
    return [work.lost(set(pending)) for _ in range(times)]


def test_what_is_worked_on_is_not_lost() -> None:
    work = AtWork()
    with work.working("a.1"):
        assert looks(work, "a.1", times=9) == [[]] * 9
    assert work.failing() is None


def test_what_is_nowhere_for_a_moment_is_not_lost() -> None:
    work = AtWork()
    assert looks(work, "a.1", times=4) == [[]] * 4
    with work.working("a.1"):
        assert work.lost({"a.1"}) == []
    assert looks(work, "a.1", times=4) == [[]] * 4


def test_what_nobody_works_on_is_lost_until_somebody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = AtWork()
    assert looks(work, "a.1", times=6)[4:] == [["a.1"]] * 2
    assert isinstance(work.failing(), Unavailable)
    assert work.trouble("a.1") is None  # not for long yet
    monkeypatch.setattr(at_work, "_PATIENCE_SECONDS", -1.0)
    assert isinstance(work.trouble("a.1"), Unavailable)
    assert work.trouble("b.1") is None
    with work.working("a.1"):
        assert work.trouble("a.1") is None
        assert work.lost({"a.1"}) == []
    assert work.failing() is None


def test_the_first_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "_PATIENCE_SECONDS", -1.0)
    work = AtWork()
    with pytest.raises(OperationalError), work.working("a.1"):
        raise refused(sqlite3.SQLITE_FULL)
    looks(work, "a.1", times=9)
    assert isinstance(work.trouble("a.1"), StorageFull)


def test_what_another_process_has_taken_over_is_no_trouble() -> None:
    work = AtWork()
    looks(work, "a.1", times=9)
    assert work.failing() is not None
    work.lost(set())
    assert work.failing() is None


def test_other_failures_are_the_runs_own() -> None:
    work = AtWork()
    with pytest.raises(ValueError, match="bug"), work.working("a.1"):
        raise ValueError("bug")
    assert work.failing() is None
