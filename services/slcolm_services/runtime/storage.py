"""What is wrong with a disk or an object store, in the project's own errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

from slcolm_services.errors import SlcolmError, StorageFull, StorageRefused

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_SQLITE_REFUSED = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_POSTGRESQL_FULL = "53100"


def storage_error(error: BaseException) -> SlcolmError | None:
    """The error of the project's tree that an exception of a system call or a database means.

    Args:
        error: It, or what wraps it.

    Returns:
        `StorageFull` or `StorageRefused`; None where the exception is about something else.
    """
    for cause in _causes(error):
        found = _of(cause)
        if found is not None:
            return found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it wraps."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        # SQLAlchemy keeps the driver's error under this name.
        wrapped = getattr(cause, "orig", None)
        cause = wrapped if isinstance(wrapped, BaseException) else cause.__cause__


def _of(error: BaseException) -> SlcolmError | None:
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in _FULL:
            return StorageFull(f"there is no space left on the disk{where}")
        if error.errno in _REFUSED:
            return StorageRefused(f"the disk refuses to be written{where}: {error.strerror}")
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
        if code == sqlite3.SQLITE_FULL:
            return StorageFull("there is no space left on the disk of a database")
        if code in _SQLITE_REFUSED:
            return StorageRefused("a database file cannot be written")
    if getattr(error, "sqlstate", None) == _POSTGRESQL_FULL:
        return StorageFull("there is no space left on the disk of the database server")
    return None
