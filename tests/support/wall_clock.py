"""A wall clock that jumps while processes run: libfaketime, with its offset in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PLACES = ("/usr/lib", "/usr/local/lib", "/usr/lib64")


class NoFakeTime(Exception):
    """libfaketime is not installed here."""


class WallClock:
    """The clock of processes that are started with its environment.

    Time since a moment is not touched: only what day it is jumps, as when somebody sets the clock.

    Args:
        path: File that the processes read the offset from.

    Raises:
        NoFakeTime: There is no libfaketime.
    """

    def __init__(self, path: Path) -> None:
        found = [
            library
            for place in _PLACES
            for library in sorted(Path(place).glob("**/faketime/libfaketimeMT.so.1"))
        ]
        if not found:
            raise NoFakeTime("libfaketime is not installed")
        self._library, self._path = found[0], path
        self.jump(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process has to be started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock to that many seconds off the true time."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{seconds:+d}", encoding="utf-8")
        new.replace(self._path)
