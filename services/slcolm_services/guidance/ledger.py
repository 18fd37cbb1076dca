"""The ledger: every paid answer and what was spent on it.

An answer is written down before anything else happens with it, under the digest of everything that
shaped it; the same request is never paid for twice. SQLite by default, any SQLAlchemy URL works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.guidance.usage import Usage

_T = TypeVar("_T")

_METADATA = sa.MetaData()
_ANSWERS = sa.Table(
    "guidance_answers",
    _METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(200), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("finish_reason", sa.String(50), nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
)
_SPENDINGS = sa.Table(
    "guidance_spendings",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String(200), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded answer.

    Attributes:
        text: What the LLM wrote.
        model: Model name as the endpoint reported it.
        finish_reason: Why it stopped, in the endpoint's word; `length` means cut off.
    """

    text: str
    model: str
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Spending:
    """Sum of what was spent, and since when it was counted (None: nothing was)."""

    usage: Usage
    since: datetime | None


class Ledger:
    """The ledger over one database. All access goes through one thread of its own.

    Args:
        url: SQLAlchemy URL; SQLite and PostgreSQL are supported.

    Raises:
        ConfigInvalid: The URL cannot be read or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(url)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            # The URL may hold a password: it is not repeated.
            raise ConfigInvalid(
                "the ledger's database URL cannot be used",
                violations=[FieldViolation("ledger_url", type(error).__name__)],
            ) from error
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def open(self) -> None:
        """Create the tables where they are missing.

        Raises:
            ConfigInvalid: The database cannot be reached.
        """
        try:
            await self._run(_METADATA.create_all)
        except sa.exc.SQLAlchemyError as error:
            raise ConfigInvalid(
                "the ledger's database cannot be opened",
                violations=[FieldViolation("ledger_url", type(error).__name__)],
            ) from error

    async def close(self) -> None:
        """Close the connections. The ledger cannot be used afterwards."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()

    async def find(self, digest: str) -> Answer | None:
        """The answer to the request with this digest, if it was ever given."""
        columns = _ANSWERS.c
        query = sa.select(columns.text, columns.model, columns.finish_reason).where(
            columns.digest == digest
        )
        row = await self._run(lambda connection: connection.execute(query).one_or_none())
        return Answer(row.text, row.model, row.finish_reason) if row else None

    async def record(
        self, digest: str, answer: Answer, usage: Usage, *, provider: str, run_id: str
    ) -> None:
        """Write an answer and what it cost, together or not at all.

        Where another process was faster, its answer stands and this one's cost is booked too.
        """
        now = datetime.now(UTC)
        insert = self._insert_once(
            digest=digest,
            provider=provider,
            model=answer.model,
            text=answer.text,
            finish_reason=answer.finish_reason,
            create_time=now,
        )
        book = sa.insert(_SPENDINGS).values(
            run_id=run_id,
            digest=digest,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            cost=usage.cost,
            create_time=now,
        )

        def write(connection: sa.Connection) -> None:
            connection.execute(insert)
            connection.execute(book)

        await self._run(write)

    async def spending(self, run_id: str = "") -> Spending:
        """What was spent on a run; on everything where `run_id` is empty."""
        columns = _SPENDINGS.c
        query = sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(columns.prompt_tokens), 0),
            sa.func.coalesce(sa.func.sum(columns.completion_tokens), 0),
            sa.func.coalesce(sa.func.sum(columns.cached_tokens), 0),
            sa.func.coalesce(sa.func.sum(columns.cost), 0.0),
            sa.func.min(columns.create_time),
        ).select_from(_SPENDINGS)
        if run_id:
            query = query.where(columns.run_id == run_id)
        row = await self._run(lambda connection: connection.execute(query).one())
        calls, prompt, completion, cached, cost, since = row
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)  # SQLite forgets the zone
        usage = Usage(calls, int(prompt), int(completion), int(cached), float(cost))
        return Spending(usage, since)

    def _insert_once(self, **values: Any) -> sa.Executable:
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql  # noqa: PLC0415  only where it is used

            return postgresql.insert(_ANSWERS).values(**values).on_conflict_do_nothing()
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  likewise

        return sqlite.insert(_ANSWERS).values(**values).on_conflict_do_nothing()

    async def _run(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Do `work` in a transaction, on the ledger's thread."""

        def transaction() -> _T:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)


def _configure_sqlite(connection: DBAPIConnection, record: object) -> None:
    """Let other processes read while one writes, and wait for a writer instead of failing."""
    del record
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
