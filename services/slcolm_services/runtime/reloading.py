"""Files that may change while a service runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from slcolm_services.errors import ConfigInvalid

ValueT = TypeVar("ValueT")

_log = structlog.get_logger(__name__)


class Reloading(Generic[ValueT]):
    """What files say, read again when one of them has changed. Thread-safe.

    A change that cannot be used is logged once, and what was good before stays in force.

    Args:
        what: What they hold, for the log.
        paths: The files. A look at them is a `stat` of each: cheap enough for every call.
        read: Reads them, and raises `ConfigInvalid` where they cannot be used.

    Raises:
        ConfigInvalid: They cannot be used from the start.
    """

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], ValueT]) -> None:
        self._what = what
        self._paths = paths
        self._read = read
        self._lock = threading.Lock()
        self._seen = self._look()
        self._value = read()

    def get(self) -> ValueT:
        """What is in force."""
        with self._lock:
            # Looked at before they are read: a change in between is seen the next time.
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._reload()
            return self._value

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_mark(path) for path in self._paths)

    def _reload(self) -> None:
        try:
            self._value = self._read()
        except ConfigInvalid as error:
            problems = [str(violation) for violation in error.violations]
            _log.error("change not taken", what=self._what, violations=problems)
        else:
            _log.info("change taken", what=self._what)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What tells a version of a file from others; None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
