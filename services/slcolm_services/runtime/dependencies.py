"""What a service needs beside itself, and whether it is there: looked at again and again.

A service that says SERVING while its database is gone draws calls that must fail. What it needs
for every call takes its readiness away while it is not there; of the rest only its own name on the
health service tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from slcolm_services.errors import SlcolmError, Unavailable

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Dependency:
    """Something that must be there.

    Attributes:
        name: Its name on the health service.
        check: Returns while it is there, and raises while it is not. It must be cheap, and must not
            wait for the service's own work.
        needed: Whether the service takes no calls without it.
    """

    name: str
    check: Callable[[], Awaitable[None]]
    needed: bool = True


class Lookout:
    """Looks at dependencies.

    Args:
        dependencies: What is looked at.
        tell: Told of each look: the name, and whether it is there.
        patience_seconds: Time in which a check must have returned.
    """

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        tell: Callable[[str, bool], Awaitable[None]],
        *,
        patience_seconds: float,
    ) -> None:
        self._dependencies = dependencies
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._missing: set[str] = set()

    async def keep_looking(self, pause_seconds: float) -> None:
        """Look at all of them, again and again; never returns."""
        while True:
            await asyncio.sleep(pause_seconds)
            await self.look()

    async def look(self) -> None:
        """Look at all of them once."""
        await asyncio.gather(*map(self._look_at, self._dependencies))

    async def _look_at(self, dependency: Dependency) -> None:
        name = dependency.name
        problem = await self._problem(dependency)
        if problem and name not in self._missing:
            self._missing.add(name)
            log = _log.warning if dependency.needed else _log.info
            log("dependency missing", dependency=name, error=problem)
        elif not problem and name in self._missing:
            self._missing.remove(name)
            _log.info("dependency back", dependency=name)
        await self._tell(name, not problem)

    async def _problem(self, dependency: Dependency) -> str:
        try:
            async with asyncio.timeout(self._patience_seconds):
                await dependency.check()
        except TimeoutError:
            return f"no answer within {self._patience_seconds} s"
        except SlcolmError as error:
            return error.message
        except Exception as error:  # noqa: BLE001  whatever it is, the thing cannot be used
            # Its words may hold an address with a password.
            return type(error).__name__
        return ""


class SameFile:
    """Tells whether a file or folder is still the one that was opened.

    What is open can be written to after it was deleted: everything works, and nothing is kept.

    Args:
        path: Its path; it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = _identity(path)

    def check(self) -> None:
        """Go on where it is still there.

        Raises:
            Unavailable: It was deleted or replaced.
        """
        try:
            found = _identity(self._path)
        except OSError as error:
            raise Unavailable(f"{self._path} is gone: {error.strerror}") from error
        if found != self._identity:
            raise Unavailable(f"{self._path} was replaced by another one")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
