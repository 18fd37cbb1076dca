"""Which attempts this process works on, and which of them it has lost.

What a database refuses to take, for want of space for example, ends a workflow without a trace in
that database: it says that this process works on it, for ever, and nobody does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from slcolm_services.errors import SlcolmError, Unavailable
from slcolm_services.runtime.storage import storage_error

_LOOKS = 5
"""Looks at which an attempt must be missing: between its states it is nowhere for a moment."""
_PATIENCE_SECONDS = 20.0
"""Time for which an attempt may be lost before those who watch it are told."""


class AtWork:
    """Attempts at work in this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: set[str] = set()
        self._missed: dict[str, int] = {}
        self._troubles: dict[str, tuple[float, SlcolmError]] = {}

    @contextmanager
    def working(self, attempt_id: str) -> Iterator[None]:
        """The attempt is worked on inside; that the database fails there is remembered."""
        with self._lock:
            self._active.add(attempt_id)
            self._troubles.pop(attempt_id, None)
        try:
            yield
        except SQLAlchemyError as error:
            self._note(attempt_id, storage_error(error))
            raise
        finally:
            with self._lock:
                self._active.discard(attempt_id)

    def lost(self, pending: set[str]) -> list[str]:
        """Attempts that are not worked on, look after look, although the database says so.

        Args:
            pending: Those that this process works on, as the database has it.
        """
        with self._lock:
            missing = pending - self._active
            # What has ended, or is another process's by now, is no trouble of this one.
            self._troubles = {
                name: self._troubles[name] for name in self._troubles if name in pending
            }
            self._missed = {name: self._missed.get(name, 0) + 1 for name in missing}
            found = [name for name, looks in self._missed.items() if looks >= _LOOKS]
        for name in found:
            self._note(name, None)
        return found

    def trouble(self, attempt_id: str) -> SlcolmError | None:
        """Why an attempt has been lost for long; None where it was not."""
        with self._lock:
            since, error = self._troubles.get(attempt_id, (float("inf"), None))
        return error if time.monotonic() - since > _PATIENCE_SECONDS else None

    def failing(self) -> SlcolmError | None:
        """What the database last refused to take; None where nothing is lost."""
        with self._lock:
            errors = [error for _, error in self._troubles.values()]
        return errors[-1] if errors else None

    def _note(self, attempt_id: str, error: SlcolmError | None) -> None:
        found = error or Unavailable("the run database does not take what was done")
        with self._lock:
            self._troubles.setdefault(attempt_id, (time.monotonic(), found))
