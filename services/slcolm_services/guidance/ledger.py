"""The ledger: every paid answer, what was spent on it, and who is asking for what.

An answer is written down before anything else happens with it, under the digest of everything that
shaped it. A request is claimed before it is sent: a claim keeps others, in this process and in all
that use the same database, from paying for the same answer, and sets aside what the call may cost
at worst. Claims of a process that has died lapse with its lease (Gray and Cheriton, Leases, SOSP
1989), which every process renews for all its claims at once; whether it still does, the others see
(`Vigil`).

A paid answer that cannot be written, because the disk is full or the database away, is kept in
memory and written with the first renewal that succeeds.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from slcolm_services.errors import ConfigInvalid, FieldViolation, Unavailable
from slcolm_services.guidance.booking import find, grant, remove_claims, settle, usage_of, utc
from slcolm_services.guidance.database import Database
from slcolm_services.guidance.entries import Answer, Claim, ClaimOutcome, Settlement, Spending
from slcolm_services.guidance.tables import CLAIMS, HOLDERS, TOTALS, bring_up_to_date
from slcolm_services.guidance.usage import RunBudget, Usage
from slcolm_services.guidance.vigil import Vigil

_ResultT = TypeVar("_ResultT")

_LEASE_SECONDS = 20.0
_RENEWALS_PER_LEASE = 4
_PATIENCE_SECONDS = 30.0


class Ledger:
    """The ledger over one database, which several processes may share.

    Args:
        url: SQLAlchemy URL; SQLite and PostgreSQL are supported.
        limits: What may be spent on everything in the ledger.
        lease_seconds: Time after which the claims of a process that has died lapse.

    Raises:
        ConfigInvalid: The URL cannot be used or its driver is not installed.
    """

    def __init__(
        self, url: str, limits: RunBudget | None = None, *, lease_seconds: float = _LEASE_SECONDS
    ) -> None:
        self._limits = limits or RunBudget()
        self._lease_seconds = lease_seconds
        self.holder = secrets.token_hex(16)
        """This process's name among the holders of claims."""
        self._abandoned: set[str] = set()
        self._unwritten: dict[str, Settlement] = {}
        self._vigil = Vigil(_RENEWALS_PER_LEASE)
        self._database = Database(
            url,
            self._renew,
            tick_seconds=lease_seconds / _RENEWALS_PER_LEASE,
            patience_seconds=_PATIENCE_SECONDS,
        )

    async def open(self) -> None:
        """Create the tables where they are missing, and bring earlier ones up to date.

        Raises:
            ConfigInvalid: The database cannot be reached, or a later version has written it.
        """
        try:
            await self._database.open(self._enter)
        except sa.exc.SQLAlchemyError as error:
            # The driver's own words: the whole text would name a URL with its password.
            reason = str(getattr(error, "orig", None) or type(error).__name__)
            raise ConfigInvalid(
                f"the ledger's database cannot be opened: {reason}",
                violations=[FieldViolation("ledger_url", reason)],
            ) from error

    async def close(self) -> None:
        """Give up all claims and close the connections. The ledger cannot be used afterwards."""
        await self._database.close(self._leave)

    def check(self) -> None:
        """Go on where answers can be written down.

        Raises:
            Unavailable: The database cannot be reached or written to, or its file is gone.
        """
        self._database.check()

    async def transact(self, work: Callable[[sa.Connection], _ResultT]) -> _ResultT:
        """Do `work` in a transaction.

        Raises:
            Unavailable: The database cannot be reached.
        """
        return await self._database.run(_each, work)

    async def find(self, digest: str) -> Answer | None:
        """The answer to the request with this digest, if it was ever given."""
        return await self._database.run(find, digest)

    async def answered(self, digests: Sequence[str]) -> frozenset[str]:
        """Those of the digests whose requests are answered."""
        answers = await self.transact(lambda connection: find(connection, digests))
        return frozenset(d for d, answer in zip(digests, answers, strict=True) if answer)

    async def claim(self, claim: Claim) -> ClaimOutcome:
        """Ask for the right to send a request, unless it is answered."""
        self._abandoned.discard(claim.digest)
        for paid in self._unwritten.values():
            if paid.digest == claim.digest and paid.answer is not None:
                return paid.answer
        return await self._database.run(self._claim, claim)

    def grant_to_batch(
        self, connection: sa.Connection, batch_id: str, claims: Sequence[Claim]
    ) -> list[ClaimOutcome]:
        """Grant claims that a batch is to hold, in a transaction of the caller's."""
        return grant(connection, claims, self._limits, batch_id, in_batch=True)

    def is_alive(self, connection: sa.Connection, holder: str) -> bool:
        """Whether a process is not known to have died, in a transaction of the caller's."""
        query = sa.select(HOLDERS.c.expire_time).where(HOLDERS.c.id == holder)
        return connection.scalar(query) is not None

    async def release(self, digest: str) -> None:
        """Give a claim up: the call failed and cost nothing."""
        with self._seen_to_later(digest):
            await self._database.run(self._release, digest)

    async def settle(self, settlement: Settlement) -> bool:
        """Write an answer and what it cost, together or not at all, and end the claim on it.

        Where another process was faster, its answer stands and this one's cost is booked too.

        Returns:
            Whether it was not booked before.

        Raises:
            Unavailable: The database cannot be reached or written: a later renewal writes it, as
                long as this process lives.
        """
        try:
            return await self._database.run(settle, settlement)
        except Unavailable:
            self._unwritten[settlement.call_id] = settlement
            raise

    async def settle_all(self, settlements: Sequence[Settlement]) -> None:
        """Write many answers, all or none."""
        await self.transact(lambda connection: settle(connection, settlements))

    async def spending(self, run_id: str = "") -> Spending:
        """What was spent on a run; on everything where `run_id` is empty."""
        query = sa.select(TOTALS).where(TOTALS.c.run_id == run_id)
        row = await self.transact(lambda connection: connection.execute(query).one_or_none())
        return Spending(usage_of(row), utc(row.since)) if row else Spending(Usage(), None)

    def _claim(self, connection: sa.Connection, claims: Sequence[Claim]) -> list[ClaimOutcome]:
        return grant(connection, claims, self._limits, self.holder)

    def _release(self, connection: sa.Connection, digests: Sequence[str]) -> list[None]:
        remove_claims(connection, digests, self.holder)
        return [None] * len(digests)

    @contextmanager
    def _seen_to_later(self, digest: str) -> Iterator[None]:
        """Have a claim that could not be ended be ended by a later renewal."""
        try:
            yield
        except Unavailable:
            self._abandoned.add(digest)
            raise

    def _enter(self, connection: sa.Connection) -> None:
        bring_up_to_date(connection)
        self._renew(connection)

    def _renew(self, connection: sa.Connection) -> None:
        """Prolong the lease, and clear away what was left behind."""
        lease = {"expire_time": self._database.now(connection) + self._lease_seconds}
        mine = HOLDERS.c.id == self.holder
        if not connection.execute(sa.update(HOLDERS).where(mine).values(**lease)).rowcount:
            connection.execute(sa.insert(HOLDERS).values(id=self.holder, **lease))
        processes = sa.select(HOLDERS.c.id, HOLDERS.c.expire_time).where(
            HOLDERS.c.expire_time.is_not(None)
        )
        dead = self._vigil.look({row.id: row.expire_time for row in connection.execute(processes)})
        connection.execute(sa.delete(HOLDERS).where(HOLDERS.c.id.in_(dead)))
        connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.holder.not_in(sa.select(HOLDERS.c.id))))
        self._write_late(connection)
        remove_claims(connection, list(self._abandoned), self.holder)

    def _write_late(self, connection: sa.Connection) -> None:
        """Write what could not be written. It is let go of when it is seen to have been."""
        late = list(self._unwritten.values())
        for settlement, is_new in zip(late, settle(connection, late), strict=True):
            if not is_new:
                self._unwritten.pop(settlement.call_id)

    def _leave(self, connection: sa.Connection) -> None:
        self._write_late(connection)
        connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.holder == self.holder))
        connection.execute(sa.delete(HOLDERS).where(HOLDERS.c.id == self.holder))


def _each(
    connection: sa.Connection, works: Sequence[Callable[[sa.Connection], _ResultT]]
) -> list[_ResultT]:
    return [work(connection) for work in works]
