"""An extraction service as a child of this process, for a model folder that no service has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from slcolm_client import connect, wait_until_ready
from slcolm_services.errors import ServiceUnavailable
from slcolm_services.runtime.service import NO_START

_STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 5
_OWN = ("SLCOLM_SERVER_", "SLCOLM_AUTH_")
"""Settings of services that others call; `SLCOLM_EXTRACTION_THREADS` and the like are kept."""
_MOST_RESTARTS = 5
_CALM_SECONDS = 3600.0
"""After so long a life, restarts are counted anew. A text that ends the service each time it is
read does so sooner: no call runs longer than a quarter of an hour."""

_log = structlog.get_logger()


class Child:
    """A running service, started again at the same address when it has ended by itself.

    Args:
        model: The model folder.
        folder: Where it keeps its state and its logs.

    Attributes:
        address: Where it listens, on loopback.
    """

    def __init__(self, model: Path, folder: Path) -> None:
        self._model = model
        self._folder = folder
        self._starts = self._restarts = 0
        self.address = ""

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it takes calls.

        Raises:
            ServiceUnavailable: It did not start; the message says why.
        """
        self._log = self._folder / f"extraction-{self._starts}.log"
        self._starts += 1
        with self._log.open("w", encoding="utf-8") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "slcolm_services", "serve", "--role", "extraction"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=self._environment(),
                # A terminal's Ctrl-C goes to the parent alone, which then ends the child.
                start_new_session=True,
            )
        try:
            self._await_calls()
        except BaseException:
            self.stop()
            raise
        self._started = time.monotonic()

    def check(self) -> None:
        """Start it again when it has ended: killed for its memory, for one.

        Raises:
            ServiceUnavailable: It has ended too often, or does not start.
        """
        if self._process.poll() is None:
            return
        if time.monotonic() - self._started >= _CALM_SECONDS:
            self._restarts = 0
        reason = self._ended()
        self.stop()
        if self._restarts == _MOST_RESTARTS:
            raise ServiceUnavailable(f"{reason.message}; it was started {self._restarts + 1} times")
        self._restarts += 1
        _log.warning(
            "extraction service started again", reason=reason.message, attempt=self._restarts
        )
        self.start()

    def stop(self) -> None:
        """End it; nothing where it has ended."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _await_calls(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise self._ended()
        self.address = json.loads(line)["address"]
        with connect(self.address) as channel:
            while not wait_until_ready(channel, timeout_seconds=1.0):
                if self._process.poll() is not None:
                    raise self._ended()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        # Whoever calls it knows its address already.
        port = {"SLCOLM_SERVER_PORT": self.address.rpartition(":")[2]} if self.address else {}
        return (
            kept
            | port
            | {
                "SLCOLM_SERVER_PARENT_PID": str(os.getpid()),
                "SLCOLM_EXTRACTION_MODEL": str(self._model.absolute()),
                "SLCOLM_EXTRACTION_STORE": str(self._folder / "store"),
                "SLCOLM_EXTRACTION_CACHE_DIR": str(self._folder / "cache"),
            }
        )

    def _ended(self) -> ServiceUnavailable:
        log = self._log.read_text(encoding="utf-8", errors="replace")
        tail = log.splitlines()[-_LOG_TAIL_LINES:]
        try:
            last = json.loads(tail[-1])
            said = last["error"] if last["event"] == NO_START else "\n".join(tail)
        except (IndexError, ValueError, TypeError, KeyError):
            said = "\n".join(tail)
        return ServiceUnavailable(
            f"the extraction service ended with status {self._process.returncode}: {said}"
        )


@contextmanager
def extraction_service(model: Path) -> Iterator[Child]:
    """Serve a model folder until the block ends; the service ends with this process too.

    Raises:
        ServiceUnavailable: It did not start; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="slcolm-batch-") as folder:
        child = Child(model, Path(folder))
        child.start()
        try:
            yield child
        finally:
            child.stop()
