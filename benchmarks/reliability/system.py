"""All services as processes of their own, restarted when they die, and what can be done to them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psutil
import tomli_w

ROLES = ("training", "extraction", "retrieval", "guidance", "evaluation", "coordinator")
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 30.0


def free_port() -> int:
    """A port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class System:
    """Services on fixed ports with one home; what dies is started again, as an orchestrator does.

    Args:
        home: Folder for all state; logs are beside it.
        llm_url: Base URL of the LLM endpoint.
        database_url: Of the run database; SQLite in the home where empty.
    """

    def __init__(self, home: Path, llm_url: str, *, database_url: str = "") -> None:
        self.home = home
        self._database_url = database_url or f"sqlite:///{home / 'runs.sqlite'}"
        self.ports = {role: free_port() for role in ROLES}
        self.restarts = dict.fromkeys(ROLES, 0)
        self.peak_mib = dict.fromkeys(ROLES, 0.0)
        self._settings = self._all_settings(llm_url)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def address(self, role: str) -> str:
        """`host:port` of a service."""
        return f"127.0.0.1:{self.ports[role]}"

    def __enter__(self) -> Self:
        for name in ("store", "qdrant", "training", "logs", "config", "cache"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        for role, settings in self._settings.items():
            path = self.home / "config" / f"{role}.toml"
            path.write_text(tomli_w.dumps(settings), encoding="utf-8")
            self._start(role)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._keeper.join()
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self, role: str) -> None:
        """Kill (-9) a service with whatever it has started."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            os.killpg(self._processes[role].pid, signal.SIGKILL)

    def log_of(self, role: str) -> Path:
        """Where a service's log lines go."""
        return self.home.parent / f"{role}.log"

    def resident_mib(self) -> dict[str, float]:
        """Resident memory of each service with its children."""
        return {role: _resident_mib(process.pid) for role, process in self._processes.items()}

    def _start(self, role: str) -> None:
        config = self.home / "config" / f"{role}.toml"
        with self.log_of(role).open("ab") as log:
            self._processes[role] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "slcolm_services"),
                    *("serve", "--role", role, "--config", str(config)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _keep(self) -> None:
        died: dict[str, float] = {}
        while not self._stopping.wait(0.2):
            for role, process in list(self._processes.items()):
                if process.poll() is None:
                    self.peak_mib[role] = max(self.peak_mib[role], _resident_mib(process.pid))
                elif time.monotonic() - died.setdefault(role, time.monotonic()) > _RESTART_SECONDS:
                    del died[role]
                    with self._lock:
                        self._start(role)
                    self.restarts[role] += 1

    def _all_settings(self, llm_url: str) -> Mapping[str, Mapping[str, Any]]:
        home, peers = self.home, [role for role in ROLES if role != "coordinator"]
        own: dict[str, dict[str, Any]] = {
            "training": {"store": str(home / "store"), "work_dir": str(home / "training")},
            "extraction": {"store": str(home / "store"), "cache_dir": str(home / "cache")},
            "retrieval": {"folder": str(home / "qdrant")},
            "guidance": {
                "ledger_url": f"sqlite:///{home / 'ledger.sqlite'}",
                "provider": "openai",
                "model": "local",
                "base_url": llm_url,
                "api_key_env": "",
                "max_attempts": 3,
                "attempt_timeout_seconds": 10.0,
            },
            "evaluation": {},
            "coordinator": {
                "store": str(home / "store"),
                "database_url": self._database_url,
                **{f"{peer}_address": self.address(peer) for peer in peers},
            },
        }
        return {
            role: {"server": {"port": self.ports[role]}, role: settings}
            for role, settings in own.items()
        }


def _resident_mib(pid: int) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total / 2**20


class Proxy:
    """Passes TCP connections on until they are cut, all at once, with a reset.

    Args:
        target: Port of loopback.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    # Lingering for no time at all turns closing into a reset.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(OSError):
                    end.close()
        return len(pairs)

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.close()


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[bool]:
    """A file system of its own in memory at `folder`; yields whether the system allows that."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
