"""Full and forbidden disks are told from other failures, however they are wrapped."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import sqlalchemy as sa

from slcolm_services.errors import SlcolmError, StorageFull, StorageRefused
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.storage import storage_error


def _failure(url: str, *statements: str) -> sa.exc.SQLAlchemyError:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
    except sa.exc.SQLAlchemyError as error:
        return error
    finally:
        engine.dispose()
    raise AssertionError("the database took it")


def test_a_database_that_may_not_grow_is_full(tmp_path: Path) -> None:
    error = _failure(
        f"sqlite:///{tmp_path / 'a.sqlite'}",
        "PRAGMA max_page_count = 2",
        "CREATE TABLE t (x)",
        "INSERT INTO t VALUES (zeroblob(1000000))",
    )
    assert isinstance(storage_error(error), StorageFull)


def test_a_database_that_may_only_be_read_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    sa.create_engine(f"sqlite:///{path}").connect().close()
    error = _failure(f"sqlite:///file:{path}?mode=ro&uri=true", "CREATE TABLE t (x)")
    assert isinstance(storage_error(error), StorageRefused)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, StorageRefused),
        (errno.EACCES, StorageRefused),
        (errno.ECONNRESET, type(None)),
    ],
)
def test_system_calls_are_understood(number: int, expected: type[SlcolmError]) -> None:
    assert type(storage_error(OSError(number, "words", "/a/file"))) is expected


def test_what_wraps_a_full_disk_is_one_too_and_is_told_to_callers() -> None:
    error = RuntimeError("could not save")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/a/file")
    assert "no space left" in status_of(error).message
    assert storage_error(RuntimeError("no space left")) is None
