"""The ledger's database: one transaction at a time, shared by everyone who waits for it.

Work that comes in while a transaction is written to disk goes into the next one together (group
commit: DeWitt et al., Implementation Techniques for Main Memory Database Systems, SIGMOD 1984,
section 5.2), so that many small writes cost one flush; nobody hears of his work before it is
committed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine.interfaces import DBAPIConnection

from slcolm_services.errors import ConfigInvalid, FieldViolation, Unavailable
from slcolm_services.runtime.database import sqlite_file
from slcolm_services.runtime.dependencies import SameFile

_log = structlog.get_logger(__name__)

_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")

Handler = Callable[[sa.Connection, Sequence[_ItemT]], Sequence[_ResultT]]
"""Does one kind of work for all items that wait for it, in a transaction; a result per item."""

_LOCK_KEY = 0x534C_434F_4C4D
"""Number of the PostgreSQL advisory lock by which replicas take turns."""

_MAX_GROUP = 1000
_SLOW_WRITE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Job:
    handler: Handler[Any, Any]
    item: Any
    future: Future[Any] = field(default_factory=Future)


class Database:
    """A database on a thread of its own.

    Transactions of all processes take turns, so that what one has read stays true until it has
    written. A database that is away is waited for.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL.
        tick: Done in a transaction of its own every `tick_seconds`, whatever the event loop does.
        tick_seconds: Time between two ticks.
        patience_seconds: How long a database that cannot be reached is waited for.

    Raises:
        ConfigInvalid: The URL cannot be used or its driver is not installed.
    """

    def __init__(
        self,
        url: str,
        tick: Callable[[sa.Connection], object],
        *,
        tick_seconds: float,
        patience_seconds: float,
    ) -> None:
        self._engine = _engine(url)
        self._is_postgresql = self._engine.dialect.name == "postgresql"
        self._tick = tick
        self._tick_seconds = tick_seconds
        self._patience_seconds = patience_seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._last = tick
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._written_at = 0.0
        self._failure = ""
        self._file: SameFile | None = None

    def check(self) -> None:
        """Go on where the latest transaction succeeded, and that not long ago.

        The upkeep writes every `tick_seconds`: a database that takes no more writes, for want of
        space or otherwise, is noticed without anybody's asking.

        Raises:
            Unavailable: The database cannot be reached or written to, or its file is gone.
        """
        if self._file is not None:
            self._file.check()
        if self._failure:
            raise Unavailable(f"the ledger's database cannot be written to: {self._failure}")
        silent = time.monotonic() - self._written_at
        if silent > 2 * self._tick_seconds + _SLOW_WRITE_SECONDS:
            raise Unavailable("the ledger's database has not answered for long")

    async def open(self, work: Callable[[sa.Connection], object]) -> None:
        """Begin with a first transaction, which waits for nothing.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: It failed.
        """
        opened: Future[None] = Future()
        # Who is told to stop meanwhile gives up waiting; the thread has its say all the same.
        opened.set_running_or_notify_cancel()
        self._thread = threading.Thread(
            target=self._live, args=(work, opened), name="ledger", daemon=True
        )
        self._thread.start()
        await asyncio.wrap_future(opened)
        file = sqlite_file(self._engine.url)
        self._file = SameFile(file) if file is not None else None

    async def run(self, handler: Handler[_ItemT, _ResultT], item: _ItemT) -> _ResultT:
        """Have an item worked on, together with others that wait for the same handler.

        Returns:
            The item's result, once it is committed.

        Raises:
            Unavailable: The database cannot be reached, or the database is closed.
        """
        job = _Job(handler, item)
        if self._closing.is_set():
            raise Unavailable("the ledger is closed")
        self._jobs.put(job)
        result: _ResultT = await asyncio.wrap_future(job.future)
        return result

    async def close(self, work: Callable[[sa.Connection], object]) -> None:
        """Finish what was handed in, try a last transaction, and close the connections."""
        self._last = work
        self._closing.set()
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def now(self, connection: sa.Connection) -> float:
        """Seconds since 1970 by a clock that all users of the database share."""
        if self._is_postgresql:
            return float(connection.scalar(_SERVER_TIME) or 0.0)
        return time.time()

    def _live(self, work: Callable[[sa.Connection], object], opened: Future[None]) -> None:
        try:
            self._transact(lambda connection: [work(connection)])
        except Exception as error:  # noqa: BLE001  whoever opens it hears of it
            self._closing.set()
            opened.set_exception(error)
        else:
            opened.set_result(None)
            self._work()
            self._try(self._last)
        finally:
            self._engine.dispose()

    def _work(self) -> None:
        next_tick = time.monotonic() + self._tick_seconds
        while True:
            group, ended = self._next_group(next_tick)
            if group:
                self._commit(group)
            if ended:
                break
            if time.monotonic() >= next_tick:
                self._try(self._tick)
                next_tick = time.monotonic() + self._tick_seconds

    def _next_group(self, until: float) -> tuple[list[_Job], bool]:
        """Everything that waits, and whether that is all there will be."""
        group: list[_Job] = []
        try:
            job = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            while job is not None:
                if job.future.set_running_or_notify_cancel():
                    group.append(job)
                if len(group) == _MAX_GROUP:
                    break
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, False
        return group, job is None

    def _try(self, work: Callable[[sa.Connection], object]) -> None:
        try:
            self._transact(lambda connection: [work(connection)])
        except sa.exc.SQLAlchemyError as error:  # leases make up for it
            _log.warning("ledger_upkeep_failed", error=type(error).__name__)

    def _commit(self, group: list[_Job]) -> None:
        try:
            results = self._patiently(lambda connection: _handle(connection, group))
        except Exception as error:  # noqa: BLE001  everyone hears of it
            if len(group) > 1 and not isinstance(error, Unavailable):
                for job in group:  # whose fault it was is found out one by one
                    self._commit([job])
                return
            for job in group:
                job.future.set_exception(error)
        else:
            for job, result in zip(group, results, strict=True):
                job.future.set_result(result)

    def _patiently(self, work: Callable[[sa.Connection], list[Any]]) -> list[Any]:
        """Do `work` in a transaction, again while the database is away."""
        pause = _FIRST_PAUSE_SECONDS
        give_up = time.monotonic() + self._patience_seconds
        while True:
            try:
                return self._transact(work)
            except sa.exc.OperationalError as error:
                if self._closing.is_set() or time.monotonic() + pause > give_up:
                    # The words of drivers may hold the host and the user.
                    raise Unavailable("the ledger's database cannot be reached") from error
                _log.warning("ledger_unreachable", error=type(error.orig).__name__)
            self._closing.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _transact(self, work: Callable[[sa.Connection], list[Any]]) -> list[Any]:
        try:
            with self._engine.begin() as connection:
                if self._is_postgresql:
                    connection.execute(_TAKE_TURNS)
                results = work(connection)
        except sa.exc.OperationalError as error:
            self._failure = type(error.orig).__name__
            raise
        self._failure = ""
        self._written_at = time.monotonic()
        return results


_SERVER_TIME = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
_TAKE_TURNS = sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY))


def _handle(connection: sa.Connection, group: list[_Job]) -> list[Any]:
    """Results in the order of the group; the items of one handler are worked on together."""
    results: dict[int, Any] = {}
    by_handler: dict[Handler[Any, Any], list[_Job]] = {}
    for job in group:
        by_handler.setdefault(job.handler, []).append(job)
    for handler, jobs in by_handler.items():
        found = handler(connection, [job.item for job in jobs])
        results |= {id(job): result for job, result in zip(jobs, found, strict=True)}
    return [results[id(job)] for job in group]


def _engine(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        # The URL may hold a password: it is not repeated.
        raise _unusable(type(error).__name__) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name != "postgresql":
        raise _unusable("must be the URL of an SQLite or PostgreSQL database")
    return engine


def _unusable(problem: str) -> ConfigInvalid:
    return ConfigInvalid(
        "the ledger's database URL cannot be used",
        violations=[FieldViolation("ledger_url", problem)],
    )


def _configure_sqlite(connection: DBAPIConnection, record: object) -> None:
    """Let others read while one writes, and wait for a writer instead of failing."""
    del record
    # The driver's own transactions begin at the first write, which is too late for what was read.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
