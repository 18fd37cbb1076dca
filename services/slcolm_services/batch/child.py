"""An extraction service as a child of this process, for a model folder that no service has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slcolm_client import connect, wait_until_ready
from slcolm_services.errors import ServiceUnavailable
from slcolm_services.runtime.service import NO_START

_STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 5
_OWN = ("SLCOLM_SERVER_", "SLCOLM_AUTH_")
"""Settings of services that others call; `SLCOLM_EXTRACTION_THREADS` and the like are kept."""


@dataclass(frozen=True)
class Child:
    """A running service.

    Attributes:
        process: Its process.
        address: Where it listens, on loopback.
        log: Its log.
    """

    process: subprocess.Popen[str]
    address: str
    log: Path

    def check(self) -> None:
        """Raise `ServiceUnavailable` when it has ended."""
        if self.process.poll() is not None:
            raise _ended(self.process, self.log)


@contextmanager
def extraction_service(model: Path) -> Iterator[Child]:
    """Serve a model folder until the block ends; the service ends with this process too.

    Raises:
        ServiceUnavailable: It did not start; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="slcolm-batch-") as folder:
        log = Path(folder) / "extraction.log"
        with log.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "slcolm_services", "serve", "--role", "extraction"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=_environment(model, Path(folder)),
                # A terminal's Ctrl-C goes to the parent alone, which then ends the child.
                start_new_session=True,
            )
        try:
            assert process.stdout is not None  # noqa: S101  it was asked for
            line = process.stdout.readline()
            if not line:
                process.wait()
                raise _ended(process, log)
            child = Child(process, json.loads(line)["address"], log)
            with connect(child.address) as channel:
                while not wait_until_ready(channel, timeout_seconds=1.0):
                    child.check()
            yield child
        finally:
            _stop(process)


def _environment(model: Path, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return kept | {
        "SLCOLM_SERVER_PARENT_PID": str(os.getpid()),
        "SLCOLM_EXTRACTION_MODEL": str(model.absolute()),
        "SLCOLM_EXTRACTION_STORE": str(folder / "store"),
        "SLCOLM_EXTRACTION_CACHE_DIR": str(folder / "cache"),
    }


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _ended(process: subprocess.Popen[str], log: Path) -> ServiceUnavailable:
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    try:
        last = json.loads(tail[-1])
        said = last["error"] if last["event"] == NO_START else "\n".join(tail)
    except (IndexError, ValueError, TypeError, KeyError):
        said = "\n".join(tail)
    return ServiceUnavailable(
        f"the extraction service ended with status {process.returncode}: {said}"
    )
