"""The ledger keeps what was paid for, and the budget what may still be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slcolm_services.errors import BudgetExhausted, ConfigInvalid
from slcolm_services.guidance.budget import Budget
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.ledger import Answer, Ledger
from slcolm_services.guidance.usage import Prices, Usage

DIGEST = "a" * 64


def using(url: str, work: Callable[[Ledger], Awaitable[None]]) -> None:
    async def run() -> None:
        ledger = Ledger(url)
        try:
            await ledger.open()
            await work(ledger)
        finally:
            await ledger.close()

    asyncio.run(run())


@pytest.mark.parametrize("place", ["memory", "file"])
def test_gives_back_what_was_recorded(tmp_path: Path, place: str) -> None:
    async def work(ledger: Ledger) -> None:
        assert await ledger.find(DIGEST) is None
        answer = Answer("答\n", "m1", "length")
        await ledger.record(DIGEST, answer, Usage(1, 10, 2, 5, 0.5), provider="p", run_id="r")
        assert await ledger.find(DIGEST) == answer
        assert (await ledger.spending("r")).usage == Usage(1, 10, 2, 5, 0.5)
        assert (await ledger.spending("other")).usage == Usage()
        assert (await ledger.spending("other")).since is None

    using("sqlite://" if place == "memory" else f"sqlite:///{tmp_path / 'l.sqlite'}", work)


def test_the_first_answer_stands_and_every_call_is_booked() -> None:
    async def work(ledger: Ledger) -> None:
        for text in ("first", "second"):
            usage = Usage(1, 10, 2, 0, 0.5)
            await ledger.record(DIGEST, Answer(text, "m"), usage, provider="p", run_id=text)
        found = await ledger.find(DIGEST)
        assert found is not None
        assert found.text == "first"
        spending = await ledger.spending()
        assert spending.usage == Usage(2, 20, 4, 0, 1.0)
        assert spending.since is not None
        assert spending.since.tzinfo is not None

    using("sqlite://", work)


@pytest.mark.parametrize("url", ["no url", "nosuch://host/db"])
def test_a_wrong_url_is_an_error_of_configuration(url: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Ledger(url)
    assert caught.value.violations[0].field == "ledger_url"


def test_a_database_that_cannot_be_opened_tells_no_path(tmp_path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        del ledger

    with pytest.raises(ConfigInvalid) as caught:
        using(f"sqlite:///{tmp_path / 'missing' / 'l.sqlite'}", work)
    assert "missing" not in str(caught.value)


def test_calls_in_flight_count_at_their_worst() -> None:
    budget = Budget(limit=1.0, spent=0.4)
    with budget.hold(0.5), pytest.raises(BudgetExhausted), budget.hold(0.2):
        pass
    with budget.hold(0.6):
        pass
    with Budget(limit=0.0, spent=9.0).hold(99.0):
        pass


def test_cached_tokens_have_their_own_price() -> None:
    prices = Prices(2.0, 0.5, 8.0, "EUR")
    assert prices.cost(prompt=1_000_000, completion=500_000, cached=400_000) == pytest.approx(5.4)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"provider": "gpt"}, "provider"),
        ({"provider": "replay"}, "recordings"),
        ({"provider": "openai"}, "model"),
        ({"context_tokens": 100, "max_answer_tokens": 100}, "context_tokens"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"prompt_price": -1.0}, "prompt_price"),
        ({"answer_form": "xml"}, "answer_form"),
        ({"min_probability": 2.0}, "min_probability"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        GuidanceConfig(**settings)  # type: ignore[arg-type]  # wrong on purpose
    assert [violation.field for violation in caught.value.violations] == [field]
