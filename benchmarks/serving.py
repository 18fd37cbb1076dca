"""A service as a process of its own, for benchmarks that call it or watch it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import psutil

from slcolm_client import connect, wait_until_ready

_TIMEOUT_SECONDS = 300.0


class Served(NamedTuple):
    """A service that takes calls.

    Attributes:
        address: Where.
        process: Its process.
        start_seconds: From its start until it was ready.
    """

    address: str
    process: psutil.Process
    start_seconds: float

    def cpu_seconds(self) -> float:
        """Processor time until now."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serve(role: str, home: Path, *, log: TextIO | None = None, **settings: str) -> Iterator[Served]:
    """Serve a role on loopback with nothing but defaults.

    Args:
        role: Which service.
        home: Folder for its state, where it starts.
        log: Where its log goes; None: to a file in its home.
        settings: Variables of the environment.
    """
    home.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with (home / f"{role}.log").open("a", encoding="utf-8") as own:
        process = subprocess.Popen(
            [sys.executable, "-m", "slcolm_services", "serve", "--role", role],
            cwd=home,
            env=os.environ
            | {"SLCOLM_SERVER_PARENT_PID": str(os.getpid()), "SLCOLM_SERVER_LOG_LEVEL": "warning"}
            | settings,
            stdout=subprocess.PIPE,
            stderr=log or own,
            text=True,
        )
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        with connect(address) as channel:
            assert wait_until_ready(channel, timeout_seconds=_TIMEOUT_SECONDS)
        yield Served(address, psutil.Process(process.pid), time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
