"""Batches in the ledger's database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from slcolm_services.errors import BatchNotFound, BudgetExhausted
from slcolm_services.guidance.booking import parts, settle, storable, utc
from slcolm_services.guidance.entries import Asked, Claim, Claimed, Settlement, Wait
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.providers.batch import BatchResult, BatchState
from slcolm_services.guidance.tables import BATCHES, CLAIMS, HOLDERS


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the ledger knows it.

    Attributes:
        id: Our name for it.
        provider: Who answers.
        run_id: Run that it is booked on; may be empty.
        state: How it stands.
        submitter: Process that hands it over; empty: it does so no longer.
        file_id: The provider's name for the requests; empty: they are not there yet.
        remote_id: The provider's name for the batch; empty: as far as known there is none yet.
        sent: Requests in it.
        answered: Answers in the ledger.
        failed: Requests without an answer.
        create_time: When it was submitted.
        end_time: When it was known to have ended; None: it has not.
        problem: Why it failed; empty otherwise.
    """

    id: str
    provider: str
    run_id: str
    state: BatchState
    submitter: str
    file_id: str
    remote_id: str
    sent: int
    answered: int
    failed: int
    create_time: datetime
    end_time: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What became of the wish to submit a batch.

    Attributes:
        digests: Requests that are now claimed for it; the others are answered, or being asked.
        pending_in: A batch that asks some of the others, if there is one.
    """

    digests: frozenset[str]
    pending_in: str


class BatchStore:
    """Rows of batches, and the claims that they hold.

    Args:
        ledger: The ledger; open.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def begin(
        self, batch_id: str, provider: str, run_id: str, claims: Sequence[Claim]
    ) -> Begun:
        """Write a batch down and claim its requests, before the provider hears of it.

        Where there is nothing to claim, nothing is written.

        Raises:
            BudgetExhausted: They do not all fit into a budget, at worst case.
        """

        def work(connection: sa.Connection) -> Begun:
            outcomes = self._ledger.grant_to_batch(connection, batch_id, claims)
            for outcome in outcomes:
                if isinstance(outcome, BudgetExhausted):
                    raise outcome
                if isinstance(outcome, Wait) and outcome.exhausted is not None:
                    raise outcome.exhausted
            claimed = frozenset(
                claim.digest
                for claim, outcome in zip(claims, outcomes, strict=True)
                if isinstance(outcome, Claimed)
            )
            pending = [each.batch_id for each in outcomes if isinstance(each, Wait)]
            if claimed:
                connection.execute(sa.insert(HOLDERS).values(id=batch_id, expire_time=None))
                connection.execute(
                    sa.insert(BATCHES).values(
                        id=batch_id,
                        provider=provider,
                        run_id=run_id,
                        state=BatchState.RUNNING.value,
                        submitter=self._ledger.holder,
                        file_id="",
                        remote_id="",
                        sent=len(claimed),
                        answered=0,
                        failed=0,
                        create_time=datetime.now(UTC),
                        problem="",
                    )
                )
            return Begun(claimed, next(filter(None, pending), ""))

        return await self._ledger.transact(work)

    async def note(self, batch_id: str, **values: str) -> None:
        """Write down what is known of a batch: `file_id`, `remote_id`, `submitter`."""
        statement = sa.update(BATCHES).where(BATCHES.c.id == batch_id).values(**values)
        await self._ledger.transact(lambda connection: connection.execute(statement))

    async def drop(self, batch_id: str) -> None:
        """Forget a batch that never came to be, and give its claims up."""

        def work(connection: sa.Connection) -> None:
            _let_go(connection, batch_id)
            connection.execute(sa.delete(BATCHES).where(BATCHES.c.id == batch_id))

        await self._ledger.transact(work)

    async def get(self, batch_id: str) -> Batch:
        """A batch.

        Raises:
            BatchNotFound: There is none of that name.
        """
        query = sa.select(BATCHES).where(BATCHES.c.id == batch_id)
        row = await self._ledger.transact(lambda connection: connection.execute(query).first())
        if row is None:
            raise BatchNotFound(f"there is no batch {batch_id!r}", metadata={"batch_id": batch_id})
        return _batch(row)

    async def list(self) -> list[Batch]:
        """Every batch, newest first."""
        query = sa.select(BATCHES).order_by(BATCHES.c.create_time.desc(), BATCHES.c.id)
        rows = await self._ledger.transact(lambda connection: connection.execute(query).all())
        return [_batch(row) for row in rows]

    async def is_being_submitted(self, batch: Batch) -> bool:
        """Whether another process, a living one, is handing the batch over."""
        if batch.submitter == self._ledger.holder:
            return False
        return await self._ledger.transact(
            lambda connection: self._ledger.is_alive(connection, batch.submitter)
        )

    async def worst_tokens(self, batch_id: str) -> Mapping[str, int]:
        """Requests of a batch that are not settled, with the tokens that they take at worst."""
        query = sa.select(CLAIMS.c.digest, CLAIMS.c.tokens).where(CLAIMS.c.holder == batch_id)
        rows = await self._ledger.transact(lambda connection: connection.execute(query).all())
        return {row.digest: int(row.tokens) for row in rows}

    async def collect(self, batch: Batch, results: Iterable[BatchResult]) -> Sequence[Settlement]:
        """Write what came of some requests, and return it; what is settled stays as it is."""
        by_digest = {result.digest: result for result in results}

        def work(connection: sa.Connection) -> Sequence[Settlement]:
            settlements = []
            open_claims = list(_claims(connection, batch.id, list(by_digest)))
            for claim in open_claims:
                result = by_digest[claim.digest]
                settlements.append(
                    Settlement(
                        digest=claim.digest,
                        answer=result.completion.answer if result.completion else None,
                        usage=result.usage,
                        provider=batch.provider,
                        run_id=batch.run_id,
                        asked=Asked(claim.item_id, claim.item_text, claim.sample),
                        call_id=f"{batch.id}:{claim.digest}",
                    )
                )
            settle(connection, settlements)
            answered = sum(each.answer is not None for each in settlements)
            connection.execute(
                sa.update(BATCHES)
                .where(BATCHES.c.id == batch.id)
                .values(
                    answered=BATCHES.c.answered + answered,
                    failed=BATCHES.c.failed + len(settlements) - answered,
                )
            )
            return settlements

        return await self._ledger.transact(work)

    async def end(self, batch_id: str, state: BatchState, problem: str = "") -> None:
        """End a batch; requests that nothing came of have failed. Once ended it stays so."""

        def work(connection: sa.Connection) -> None:
            connection.execute(
                sa.update(BATCHES)
                .where(BATCHES.c.id == batch_id, BATCHES.c.state == BatchState.RUNNING.value)
                .values(
                    state=state.value,
                    failed=BATCHES.c.sent - BATCHES.c.answered,
                    end_time=datetime.now(UTC),
                    problem=storable(problem),
                )
            )
            _let_go(connection, batch_id)

        await self._ledger.transact(work)


def _claims(
    connection: sa.Connection, batch_id: str, digests: Sequence[str]
) -> Iterable[sa.Row[Any]]:
    for part in parts(digests):
        yield from connection.execute(
            sa.select(CLAIMS).where(CLAIMS.c.digest.in_(part), CLAIMS.c.holder == batch_id)
        ).all()


def _let_go(connection: sa.Connection, batch_id: str) -> None:
    connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.holder == batch_id))
    connection.execute(sa.delete(HOLDERS).where(HOLDERS.c.id == batch_id))


def _batch(row: sa.Row[Any]) -> Batch:
    values = {column.name: getattr(row, column.name) for column in BATCHES.c}
    values["state"] = BatchState(row.state)
    values["create_time"] = utc(row.create_time)
    values["end_time"] = utc(row.end_time) if row.end_time else None
    return Batch(**values)
