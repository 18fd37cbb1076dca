"""Limits of an endpoint, over a simulated clock: concurrency, rates, and being set aside."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import run_simulated

from slcolm_services.guidance.providers.breaker import Breaker
from slcolm_services.guidance.providers.concurrency import ConcurrencyLimit
from slcolm_services.guidance.providers.rate import RateLimit


class Crowded:
    """An endpoint that refuses what is more than it takes at once."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.running = 0
        self.answered = 0
        self.refused = 0

    async def call(self, limit: ConcurrencyLimit) -> bool:
        async with limit.slot():
            if self.running >= self.takes:
                self.refused += 1
                limit.refused()
                return False
            self.running += 1
            await asyncio.sleep(1)
            self.running -= 1
            self.answered += 1
            limit.served()
            return True

    async def work(self, limit: ConcurrencyLimit, until: float) -> None:
        clock = asyncio.get_running_loop().time
        while clock() < until:
            if not await self.call(limit):
                await asyncio.sleep(1)

    async def crowd(self, limit: ConcurrencyLimit, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self.work(limit, until) for _ in range(2 * self.takes + 64)))


def test_concurrency_finds_what_the_endpoint_takes() -> None:
    async def main() -> None:
        limit = ConcurrencyLimit(1, 64)
        endpoint = Crowded(8)
        await endpoint.crowd(limit, 60)
        assert 8 <= limit.limit <= 14
        endpoint.answered = endpoint.refused = 0
        await endpoint.crowd(limit, 100)
        assert endpoint.answered >= 0.97 * 8 * 100
        assert endpoint.refused <= 0.5 * endpoint.answered

    run_simulated(main())


def test_concurrency_rises_again_when_the_endpoint_takes_more() -> None:
    async def main() -> None:
        limit = ConcurrencyLimit(1, 64)
        endpoint = Crowded(2)
        await endpoint.crowd(limit, 100)
        assert limit.limit < 10
        endpoint.takes = 1000
        await endpoint.crowd(limit, 80)
        assert limit.limit == 64

    run_simulated(main())


def test_concurrency_stays_between_its_bounds() -> None:
    async def main() -> None:
        limit = ConcurrencyLimit(3, 8)
        for _ in range(100):
            limit.refused()
        assert limit.limit == 3
        await Crowded(100).crowd(limit, 100)
        assert limit.limit == 8

    run_simulated(main())


def test_an_unused_limit_does_not_rise() -> None:
    async def main() -> None:
        limit = ConcurrencyLimit(1, 64)
        for _ in range(126):
            limit.refused()
        assert limit.limit == 1
        async with limit.slot():
            limit.served()
        assert limit.limit == 2
        for _ in range(100):
            async with limit.slot():
                limit.served()
        assert limit.limit == 2

    run_simulated(main())


@given(st.integers(1, 4), st.lists(st.sampled_from(["enter", "leave", "cancel", "refuse"])))
def test_slots_are_first_come_first_served_and_never_lost(size: int, steps: list[str]) -> None:
    async def main() -> None:
        limit = ConcurrencyLimit(1, size)
        entered: list[int] = []
        leaving = [asyncio.Event() for _ in steps]

        async def caller(number: int) -> None:
            async with limit.slot():
                entered.append(number)
                await leaving[number].wait()

        tasks: list[asyncio.Task[None]] = []
        cancelled: set[int] = set()
        for step in steps:
            if step == "enter":
                tasks.append(asyncio.create_task(caller(len(tasks))))
            elif step == "refuse":
                limit.refused()
            elif step == "leave" and entered:
                leaving[entered[-1]].set()
            elif step == "cancel" and tasks:
                tasks[-1].cancel()
                cancelled.add(len(tasks) - 1)
            await asyncio.sleep(0)
            assert limit.in_flight <= size
        for event in leaving:
            event.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert entered == sorted(entered)
        assert set(entered) | cancelled == set(range(len(tasks)))
        assert limit.in_flight == 0

    run_simulated(main())


@given(st.integers(1, 600), st.lists(st.floats(0, 50), min_size=1, max_size=30))
def test_no_more_than_the_rate_is_used(per_minute: int, amounts: list[float]) -> None:
    async def main() -> None:
        rate = RateLimit(per_minute)
        used: list[tuple[float, float]] = []
        clock = asyncio.get_running_loop().time

        async def use(amount: float) -> None:
            await rate.take(amount)
            used.append((clock(), amount))

        await asyncio.gather(*map(use, amounts))
        assert [amount for _, amount in used] == amounts
        per_second = per_minute / 60
        burst = max(1.0, per_second)
        spent = 0.0
        for time, amount in used:
            assert spent <= burst + time * per_second + 1e-3
            spent += amount
        latest = max(0.0, sum(amounts) / per_second)
        assert clock() <= latest + 1e-3

    run_simulated(main())


def test_what_is_given_back_lets_the_next_one_go_at_once() -> None:
    async def main() -> None:
        rate = RateLimit(600)  # 10 a second
        clock = asyncio.get_running_loop().time
        await rate.take(1000)
        waiting = asyncio.create_task(rate.take(10))
        await asyncio.sleep(1)
        rate.give_back(980)
        await waiting
        assert clock() == pytest.approx(2.0, abs=0.01)

    run_simulated(main())


def test_who_stops_waiting_for_a_rate_has_used_nothing() -> None:
    async def main() -> None:
        rate = RateLimit(60)
        await rate.take(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await rate.take(1000)
        await rate.take(1)
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.01)

    run_simulated(main())


def failing_rounds(breaker: Breaker, rounds: int, start: float = 0.0) -> None:
    for turn in range(rounds):
        breaker.failed(start + turn, start + turn + 0.5)


def test_an_endpoint_is_set_aside_after_failures_in_a_row_for_a_growing_time() -> None:
    breaker = Breaker(1, 3)
    failing_rounds(breaker, 2)
    assert breaker.allow(1.5)
    breaker.failed(2, 2.5)
    assert not breaker.allow(3.4)
    assert breaker.opens_at == 3.5
    passed = [breaker.allow(3.5), breaker.allow(3.6)]
    assert passed == [True, False], "one call finds out, the others wait for it"
    breaker.failed(3.5, 4)
    assert breaker.opens_at == 6
    assert breaker.allow(6)
    breaker.failed(6, 7)
    assert breaker.opens_at == 10, "the longest time"
    assert breaker.allow(10)
    breaker.succeeded()
    passed = [breaker.allow(10), breaker.allow(10)]
    assert passed == [True, True]
    failing_rounds(breaker, 3, start=11)
    assert breaker.opens_at == 14.5, "the first time again"


def test_calls_that_fail_together_are_one_failure() -> None:
    breaker = Breaker(1, 60)
    for call in range(50):
        breaker.failed(0, 1 + call / 100)
    assert breaker.allow(2)


def test_a_success_between_failures_keeps_an_endpoint() -> None:
    breaker = Breaker(1, 60)
    for turn in range(20):
        breaker.failed(turn, turn + 0.5)
        if turn % 2:
            breaker.succeeded()
    assert breaker.allow(20)


def test_an_endpoint_is_set_aside_for_as_long_as_it_asks() -> None:
    breaker = Breaker(1, 60)
    breaker.shut(0, 1, 120)
    assert breaker.opens_at == 121


def test_refusals_that_come_together_are_one() -> None:
    breaker = Breaker(10, 600)
    for call in range(20):
        breaker.shut(0, 1 + call / 10, 0)
    assert breaker.opens_at == 11
