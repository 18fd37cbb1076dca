"""Which coordinators are alive: each holds a lock for as long as its process lives.

Runs of a coordinator that died are gone with by another one, and nothing else may be: a run must
not be worked on twice. A lock says so without clocks: the system lets go of it when a process
ends, however it ends, and not before. On PostgreSQL it is an advisory lock of a session, on SQLite
a lock of a byte of a file beside the database. Nothing lets go of a lock earlier: while a process
drains, its stages are still at work. Hence a pooler between a coordinator and PostgreSQL
must keep sessions (not transactions), and SQLite's folder must be on one machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa


class Presence(Protocol):
    """Locks by the names of coordinators."""

    def hold(self) -> None:
        """Hold the own lock from now on, again where it was lost. Cheap where it is held.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database is away.
            OSError: The file cannot be opened.
        """

    def of_dead(self, name: str) -> AbstractContextManager[bool]:
        """Whether nobody holds the lock of `name`, which stays so until the context ends."""


def presence(database_url: str, name: str) -> Presence:
    """The presence of the coordinator `name` beside a run database (SQLAlchemy URL)."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return FilePresence(Path(url.database or "").with_suffix(".coordinators"), name)
    return SessionPresence(url.set(drivername="postgresql+psycopg"), name)


class FilePresence:
    """Locks of single bytes of a file, which may lie beyond its end.

    Args:
        path: The file; made where there is none.
        name: Of this coordinator. Locks are of the process: it asks for its own name only once.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._file: int | None = None

    def hold(self) -> None:
        """See `Presence`."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _number(self._name))

    @contextmanager
    def of_dead(self, name: str) -> Iterator[bool]:
        """See `Presence`."""
        if self._file is None or name == self._name:
            yield False
            return
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _number(name))
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _number(name))


class SessionPresence:
    """Advisory locks of a session of PostgreSQL.

    Args:
        url: Of the database.
        name: Of this coordinator.
    """

    def __init__(self, url: sa.URL, name: str) -> None:
        self._engine = sa.create_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool, connect_args=_KEEPALIVE
        )
        self._name = name
        self._session: sa.Connection | None = None

    def hold(self) -> None:
        """See `Presence`."""
        if self._session is not None:
            try:
                self._session.execute(sa.text("SELECT 1"))
            except sa.exc.SQLAlchemyError:
                self._drop()
        if self._session is None:
            session = self._engine.connect()
            # The server may not have noticed yet that the session before this one is gone.
            session.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _number(self._name)})
            self._session = session

    @contextmanager
    def of_dead(self, name: str) -> Iterator[bool]:
        """See `Presence`."""
        if self._session is None or name == self._name:
            yield False
            return
        key = {"key": _number(name)}
        free = bool(self._session.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), key))
        try:
            yield free
        finally:
            if free:
                self._session.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)

    def _drop(self) -> None:
        if self._session is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._session.invalidate()
                self._session.close()
            self._session = None


_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A session across a broken network is noticed after half a minute."""


def _number(name: str) -> int:
    """A number for a name: a place in a file, and a key of a lock."""
    digest = hashlib.sha256(f"slcolm coordinator {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2
