"""A ledger that cannot be opened or reached says so; tests/contract has what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from slcolm_services.errors import ConfigInvalid, Unavailable
from slcolm_services.guidance.budget import Account
from slcolm_services.guidance.database import Database
from slcolm_services.guidance.entries import Answer, Claim, Settlement
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.tables import CLAIMS
from slcolm_services.guidance.usage import Prices, RunBudget, Usage


@pytest.mark.parametrize("url", ["no url", "nosuch://host/db", "mysql+pymysql://host/db"])
def test_a_wrong_url_is_an_error_of_configuration(url: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Ledger(url)
    assert caught.value.violations[0].field == "ledger_url"


def test_a_database_that_cannot_be_opened_tells_no_path(tmp_path: Path) -> None:
    async def work() -> None:
        ledger = Ledger(f"sqlite:///{tmp_path / 'missing' / 'l.sqlite'}")
        try:
            await ledger.open()
        finally:
            await ledger.close()

    with pytest.raises(ConfigInvalid) as caught:
        asyncio.run(work())
    assert "missing" not in str(caught.value)
    assert "unable to open database file" in caught.value.message


def test_a_file_that_is_no_ledger_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "l.sqlite").write_bytes(b"no database" * 100)
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.sqlite'}")

    async def work() -> None:
        try:
            await ledger.open()
        finally:
            await ledger.close()

    with pytest.raises(ConfigInvalid, match="file is not a database"):
        asyncio.run(work())


class _Away:
    """Makes a database's transactions fail a number of times, as a lost connection does."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        transact = database._transact

        def fail_first(work: Callable[[sa.Connection], list[Any]]) -> list[Any]:
            if self.left:
                self.left -= 1
                raise sa.exc.OperationalError("", {}, ConnectionError("lost"))
            return transact(work)

        monkeypatch.setattr(database, "_transact", fail_first)


def test_a_database_that_comes_back_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        ledger = Ledger("sqlite://")
        await ledger.open()
        _Away(ledger._database, monkeypatch, times=2)
        await ledger.settle(Settlement("d", Answer("a", "m"), Usage(1), "p"))
        assert await ledger.find("d") == Answer("a", "m")
        await ledger.close()

    asyncio.run(work())


def test_a_database_that_stays_away_is_an_error_and_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slcolm_services.guidance.ledger._PATIENCE_SECONDS", 0.0)

    async def work() -> None:
        ledger = Ledger("sqlite://")
        await ledger.open()
        away = _Away(ledger._database, monkeypatch, times=1000)
        with pytest.raises(Unavailable):
            await ledger.find("d")
        away.left = 0
        assert await ledger.find("d") is None
        await ledger.close()
        with pytest.raises(Unavailable):
            await ledger.find("d")

    asyncio.run(work())


def test_a_claim_that_could_not_be_ended_is_ended_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its worst case would stay set aside for as long as the process lives."""
    monkeypatch.setattr("slcolm_services.guidance.ledger._PATIENCE_SECONDS", 0.0)

    async def work() -> None:
        ledger = Ledger("sqlite://", lease_seconds=2.0)
        await ledger.open()
        for digest in ("paid", "failed"):
            await ledger.claim(Claim(digest, Usage(1, 10)))
        away = _Away(ledger._database, monkeypatch, times=1000)
        with pytest.raises(Unavailable):
            await ledger.settle(Settlement("paid", Answer("a", "m"), Usage(1), "p"))
        with pytest.raises(Unavailable):
            await ledger.release("failed")
        away.left = 0
        query = sa.select(sa.func.count()).select_from(CLAIMS)
        while await ledger.transact(  # noqa: ASYNC110  another thread ends it
            lambda connection: connection.scalar(query)
        ):
            await asyncio.sleep(0.02)
        await ledger.close()

    asyncio.run(work())


def test_one_bad_piece_of_work_does_not_spoil_the_others() -> None:
    async def work() -> None:
        ledger = Ledger("sqlite://")
        await ledger.open()
        bad = Settlement("b", Answer("a", "m"), Usage(1, cost=float("nan")), "p")
        settlements = [Settlement(f"d{n}", Answer("a", "m"), Usage(1), "p") for n in range(5)]
        outcomes = await asyncio.gather(
            *map(ledger.settle, [*settlements, bad]), return_exceptions=True
        )
        assert outcomes[:5] == [True] * 5
        assert isinstance(outcomes[5], sa.exc.IntegrityError)
        assert (await ledger.spending()).usage == Usage(5)
        await ledger.close()

    asyncio.run(work())


def test_what_may_free_itself_is_told_from_what_is_gone() -> None:
    budget, worst = RunBudget(max_cost=1.0), Usage(1, cost=0.2)
    account = Account(spent=Usage(4, cost=0.4), in_flight=Usage(2, cost=0.5))
    error, passing = account.shortage(budget, worst, "r")
    assert error is not None
    assert passing
    account = Account(spent=Usage(4, cost=0.4), in_batches=Usage(2, cost=0.5))
    error, passing = account.shortage(budget, worst, "r")
    assert error is not None
    assert not passing
    assert error.metadata == {
        "subject": "run:r",
        "limit_name": "max_cost",
        "limit": "1",
        "spent": "0.4",
        "set_aside": "0.5",
        "worst_case": "0.2",
    }
    assert account.shortage(RunBudget(max_cost=1.1), worst, "r") == (None, True)


def test_cached_tokens_have_their_own_price() -> None:
    prices = Prices(2.0, 0.5, 8.0, "EUR")
    assert prices.cost(prompt=1_000_000, completion=500_000, cached=400_000) == pytest.approx(5.4)
