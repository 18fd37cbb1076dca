"""The ledger keeps its promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slcolm_services.errors import BudgetExhausted, ConfigInvalid
from slcolm_services.guidance.database import Database
from slcolm_services.guidance.entries import Answer, Asked, Claim, Claimed, Settlement, Wait
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.tables import CLAIMS, HOLDERS
from slcolm_services.guidance.usage import RunBudget, Usage

ANSWER = Answer("答\n", "m1", "length")


@asynccontextmanager
async def opened(
    url: str, limits: RunBudget | None = None, **settings: float
) -> AsyncIterator[Ledger]:
    ledger = Ledger(url, limits, **settings)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


def digest(number: int) -> str:
    return f"{number:064x}"


def settlement(number: int, usage: Usage, text: str = "a", run_id: str = "") -> Settlement:
    return Settlement(digest(number), Answer(text, "m"), usage, "p", run_id)


async def claims_left(ledger: Ledger) -> int:
    query = sa.select(sa.func.count()).select_from(CLAIMS)
    count = await ledger.transact(lambda connection: connection.scalar(query))
    assert count is not None
    return count


async def expire_time(ledger: Ledger) -> float | None:
    query = sa.select(HOLDERS.c.expire_time).where(HOLDERS.c.id == ledger.holder)
    return await ledger.transact(lambda connection: connection.scalar(query))


def test_an_answer_is_kept_with_all_that_is_known_of_it(ledger_url: str) -> None:
    usage = Usage(1, 10, 2, 5, 0.5, 1)

    async def write() -> None:
        async with opened(ledger_url) as ledger:
            assert await ledger.find(digest(1)) is None
            await ledger.settle(
                Settlement(digest(1), ANSWER, usage, "p", "r", Asked("s1", "甲\x00\ud800", 2))
            )

    async def read() -> None:
        async with opened(ledger_url) as ledger:
            assert await ledger.find(digest(1)) == ANSWER
            assert await ledger.answered([digest(0), digest(1)]) == {digest(1)}
            assert (await ledger.spending("r")).usage == usage
            spending = await ledger.spending()
            assert spending.usage == usage
            assert spending.since is not None
            assert abs(datetime.now(UTC) - spending.since).total_seconds() < 3600
            assert (await ledger.spending("other")).since is None

    asyncio.run(write())
    asyncio.run(read())


def test_the_first_answer_stands_and_every_call_is_booked_once(ledger_url: str) -> None:
    async def work() -> None:
        async with opened(ledger_url) as ledger:
            first = settlement(1, Usage(1, 10, 2, 0, 0.5), "first")
            second = settlement(1, Usage(1, 10, 2, 0, 0.5), "second")
            outcomes = await asyncio.gather(*map(ledger.settle, (first, second, first)))
            assert outcomes == [True, True, False]
            found = await ledger.find(digest(1))
            assert found is not None
            assert found.text == "first"
            assert (await ledger.spending()).usage == Usage(2, 20, 4, 0, 1.0)

    asyncio.run(work())


def test_what_was_charged_without_an_answer_is_booked(ledger_url: str) -> None:
    async def work() -> None:
        async with opened(ledger_url) as ledger:
            await ledger.claim(Claim(digest(1), Usage(1, 10)))
            await ledger.settle(Settlement(digest(1), None, Usage(1, 10), "p"))
            assert await ledger.find(digest(1)) is None
            assert (await ledger.spending()).usage.calls == 1
            assert await claims_left(ledger) == 0

    asyncio.run(work())


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters()), model=st.text(max_size=300))
def test_any_answer_can_be_written(ledger_url: str, text: str, model: str) -> None:
    """What databases cannot keep is replaced, character by character: an answer is paid for."""

    async def work() -> None:
        async with opened(ledger_url) as ledger:
            number = hash((text, model)) % 2**60
            await ledger.settle(
                Settlement(
                    digest(number), Answer(text, model, model), Usage(1), "p", "", Asked(text, text)
                )
            )
            found = await ledger.find(digest(number))
            assert found is not None
            assert len(found.text) == len(text)

    asyncio.run(work())


def test_a_lost_connection_loses_nothing(ledger_url: str) -> None:
    """The server ends every connection; what was being done is done again, and booked once."""
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite has no connections to lose")
    engine = sa.create_engine(ledger_url)
    others = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def work() -> None:
        async with opened(ledger_url) as ledger:
            for number in range(3):
                assert await ledger.claim(Claim(digest(number), Usage(1, 10))) == Claimed()
                with engine.connect() as connection:
                    assert connection.execute(others).all()
                await ledger.settle(settlement(number, Usage(1, 10)))
            assert (await ledger.spending()).usage == Usage(3, 30)
            assert await claims_left(ledger) == 0

    asyncio.run(work())
    engine.dispose()


def test_two_replicas_never_hold_the_same_claim(ledger_url: str) -> None:
    async def work() -> None:
        async with opened(ledger_url) as one, opened(ledger_url) as other:
            claim = Claim(digest(1), Usage(1, 10))
            assert await one.claim(claim) == Claimed()
            assert await other.claim(claim) == Wait()
            await one.release(digest(1))
            assert await other.claim(claim) == Claimed()
            assert await one.claim(claim) == Wait()
            await other.settle(settlement(1, Usage(1, 9)))
            assert await one.claim(claim) == Answer("a", "m")
            assert await claims_left(one) == 0

    asyncio.run(work())


def test_claims_of_who_has_left_lapse(ledger_url: str) -> None:
    """A process that died says nothing: its claims end with its lease, those of others do not."""

    async def work() -> None:
        dead = Ledger(ledger_url, lease_seconds=0.4)
        await dead.open()
        assert await dead.claim(Claim(digest(1), Usage(1, 10))) == Claimed()
        dead._database._tick_seconds = 3600.0  # what death does to renewals
        async with opened(ledger_url, RunBudget(max_calls=1), lease_seconds=0.4) as ledger:
            outcome = await ledger.claim(Claim(digest(1), Usage(1, 10)))
            while isinstance(outcome, Wait):
                await asyncio.sleep(0.02)
                outcome = await ledger.claim(Claim(digest(1), Usage(1, 10)))
            assert outcome == Claimed()
            assert isinstance(await ledger.claim(Claim(digest(2), Usage(1, 10))), Wait)
        await dead.close()

    asyncio.run(work())


def test_a_living_process_keeps_its_claims(ledger_url: str) -> None:
    async def work() -> None:
        async with opened(ledger_url, lease_seconds=2.0) as one, opened(ledger_url) as other:
            await one.claim(Claim(digest(1), Usage(1, 10)))
            expiry = await expire_time(one)
            while await expire_time(one) == expiry:  # noqa: ASYNC110  another thread renews it
                await asyncio.sleep(0.02)
            assert await other.claim(Claim(digest(1), Usage(1, 10))) == Wait()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        (RunBudget(max_calls=2), None),
        (RunBudget(max_tokens=25), None),
        (RunBudget(max_cost=0.25), None),
        (None, RunBudget(max_calls=2)),
        (None, RunBudget(max_tokens=25)),
        (None, RunBudget(max_cost=0.25)),
    ],
)
def test_every_limit_is_kept_before_sending(
    ledger_url: str, limits: RunBudget | None, budget: RunBudget | None
) -> None:
    worst = Usage(1, 8, 2, 0, 0.1)

    async def work() -> None:
        async with opened(ledger_url, limits) as one, opened(ledger_url, limits) as other:

            async def ask(ledger: Ledger, number: int) -> object:
                return await ledger.claim(Claim(digest(number), worst, "r", budget or RunBudget()))

            assert await ask(one, 1) == Claimed()
            assert await ask(other, 2) == Claimed()
            crowded = await ask(one, 3)
            assert isinstance(crowded, Wait), "what is set aside may not be needed"
            assert crowded.exhausted is not None
            for ledger, number in ((one, 1), (other, 2)):
                await ledger.settle(settlement(number, worst, run_id="r"))
            refused = await ask(one, 3)
            assert isinstance(refused, BudgetExhausted)
            assert refused.metadata["subject"] == ("service" if limits else "run:r")
            assert await ask(one, 2) == Answer("a", "m"), "what is in the ledger costs nothing"

    asyncio.run(work())


def test_a_budget_of_one_run_is_no_other_runs_affair(ledger_url: str) -> None:
    async def work() -> None:
        async with opened(ledger_url) as ledger:
            await ledger.settle(settlement(1, Usage(5), run_id="r1"))
            budget = RunBudget(max_calls=5)
            spent = await ledger.claim(Claim(digest(2), Usage(1), "r1", budget))
            assert isinstance(spent, BudgetExhausted)
            assert await ledger.claim(Claim(digest(2), Usage(1), "r2", budget)) == Claimed()

    asyncio.run(work())


calls = st.lists(
    st.tuples(
        st.integers(0, 20),  # which request
        st.integers(1, 50),  # tokens at worst
        st.floats(0.0, 1.0),  # what part of them it takes
        st.sampled_from(["settle", "fail", "die"]),
        st.sampled_from(["", "r1", "r2"]),
    ),
    max_size=40,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=calls, limit=st.integers(1, 300))
def test_no_order_of_calls_exceeds_a_limit(
    tmp_path_factory: pytest.TempPathFactory,
    calls: Iterable[tuple[int, int, float, str, str]],
    limit: int,
) -> None:
    """Calls on two replicas, of random cost and end: limits hold, and nothing stays reserved."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'l.sqlite'}"

    async def work() -> None:
        limits = RunBudget(max_tokens=limit)
        budget = RunBudget(max_tokens=limit // 2 or 1)
        async with opened(url, limits) as one, opened(url, limits) as other:

            async def call(ledger: Ledger, each: tuple[int, int, float, str, str]) -> None:
                number, worst, part, end, run_id = each
                claim = Claim(
                    digest(number), Usage(1, worst), run_id, budget if run_id else RunBudget()
                )
                if await ledger.claim(claim) != Claimed():
                    return
                await asyncio.sleep(0)
                if end == "settle":
                    usage = Usage(1, int(worst * part))
                    await ledger.settle(settlement(number, usage, run_id=run_id))
                else:
                    await ledger.release(digest(number))
                assert (await ledger.spending()).usage.tokens <= limit

            # One process never asks the same twice at once: the exchange sees to that.
            for turn in range(0, 40, 10):
                chosen = {each[0]: each for each in list(calls)[turn : turn + 10]}
                await asyncio.gather(
                    *(call(ledger, each) for each in chosen.values() for ledger in (one, other))
                )
            for run_id in ("r1", "r2"):
                assert (await one.spending(run_id)).usage.tokens <= (limit // 2 or 1)
            assert await claims_left(one) == 0

    asyncio.run(work())


_FIRST_FORM = sa.MetaData()
_FIRST_ANSWERS = sa.Table(
    "guidance_answers",
    _FIRST_FORM,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("finish_reason", sa.String(50), nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
)
_FIRST_SPENDINGS = sa.Table(
    "guidance_spendings",
    _FIRST_FORM,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String(200), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
)


def write_first_form(url: str) -> None:
    """A ledger as the first form had it: one answer, paid for twice."""
    time = datetime(2026, 1, 1, 10, tzinfo=UTC)
    answer = ("openai", "m", "old", "stop", time)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        _FIRST_FORM.create_all(connection)
        connection.execute(sa.insert(_FIRST_ANSWERS).values((digest(1), *answer)))
        for run_id, *spent in (("r", 10, 2, 5, 0.5), ("", 1, 1, 0, 0.25)):
            names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost")
            row = dict(zip(names, spent, strict=True))
            connection.execute(
                sa.insert(_FIRST_SPENDINGS).values(
                    run_id=run_id, digest=digest(1), create_time=time, **row
                )
            )
    engine.dispose()


def test_a_ledger_of_the_first_form_keeps_its_answers(ledger_url: str) -> None:
    write_first_form(ledger_url)

    async def work() -> None:
        async with opened(ledger_url) as one, opened(ledger_url) as ledger:
            assert await one.find(digest(1)) == Answer("old", "m")
            spending = await ledger.spending()
            assert spending.usage == Usage(2, 11, 3, 5, 0.75)
            assert spending.since is not None
            assert spending.since == datetime(2026, 1, 1, 10, tzinfo=UTC)
            assert (await ledger.spending("r")).usage == Usage(1, 10, 2, 5, 0.5)
            await ledger.settle(settlement(2, Usage(1, 1), run_id="r"))
            assert (await ledger.spending("r")).usage == Usage(2, 11, 2, 5, 0.5)

    asyncio.run(work())


def test_a_ledger_of_a_later_form_is_left_alone(ledger_url: str) -> None:
    async def write() -> None:
        async with opened(ledger_url) as ledger:
            await ledger.transact(
                lambda connection: connection.execute(
                    sa.text("UPDATE guidance_ledger_form SET version = 99")
                )
            )

    async def read() -> None:
        async with opened(ledger_url):
            pass

    asyncio.run(write())
    with pytest.raises(ConfigInvalid, match="form 99"):
        asyncio.run(read())


def test_an_opening_that_is_given_up_ends_without_a_word(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a service is told to stop while it starts."""
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    begun, go_on = threading.Event(), threading.Event()

    def work(connection: sa.Connection) -> None:
        del connection
        begun.set()
        go_on.wait()

    async def scenario() -> None:
        database = Database(ledger_url, lambda _: None, tick_seconds=60.0, patience_seconds=60.0)
        opening = asyncio.create_task(database.open(work))
        await asyncio.to_thread(begun.wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
        await database.close(lambda _: None)

    asyncio.run(scenario())
    assert failed == []
