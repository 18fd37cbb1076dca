"""Every service as a process on loopback, with all state in one home folder.

    HOME/store      data sets, models, reports       HOME/runs.sqlite     runs and their stages
    HOME/qdrant     demonstrations                   HOME/ledger.sqlite   LLM answers and spending
    HOME/training   checkpoints                      HOME/logs            a log file per service
    HOME/config     what each service was started with

The same code as in a cluster, with embedded back ends. One process tree works in a home at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import structlog
import tomli_w

from slcolm_client import connect, wait_until_ready
from slcolm_services.errors import ConfigInvalid, FieldViolation, HomeInUse, ServiceUnavailable
from slcolm_services.runtime.service import NO_START

_log = structlog.get_logger(__name__)

PEERS = ("training", "extraction", "retrieval", "guidance", "evaluation")
"""Roles that stand alone; the coordinator is started when their addresses are known."""
_START_SECONDS = 120.0
_STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 8

Settings = Mapping[str, Mapping[str, Any]]
"""Configuration section to key to value."""

_OWN: Mapping[str, frozenset[str]] = {
    "server": frozenset(
        {
            *("host", "port", "metrics_port", "health_port", "parent_pid"),
            *("tls_certificate", "tls_key", "tls_client_ca", "allow_unprotected"),
        }
    ),
    "telemetry": frozenset(),
    "training": frozenset({"store", "work_dir"}),
    "extraction": frozenset({"store", "cache_dir"}),
    "retrieval": frozenset({"folder", "qdrant_url"}),
    "guidance": frozenset({"ledger_url"}),
    "evaluation": frozenset(),
    "coordinator": frozenset(
        {
            *("store", "database_url"),
            *(f"{peer}_address" for peer in PEERS),
            *("peer_tls", "peer_ca", "peer_certificate", "peer_key"),
            *("peer_token", "peer_token_file", "peer_token_over_plaintext"),
        }
    ),
}
"""By section, the settings that say where a service listens, finds others and keeps its state."""
_PROTECTION = re.compile(r"SLCOLM_(AUTH|SERVER_TLS)_.*")
"""Variables that would have the services ask each other for what they do not have."""
_OWN_PROBLEM = (
    "is decided by the home of the services; leave it out, or start each service on its own with "
    "`slcolm serve`"
)


@dataclass
class _Child:
    role: str
    process: subprocess.Popen[str]
    log: Path
    address: str = ""


class Embedded:
    """A process tree of services. Use it as a context manager.

    Args:
        home: Folder for all state; made where there is none.
        settings: Configuration by section, for example `{"guidance": {"provider": "replay"}}`.
            It stands in the home as it is: keys are named by their variables.
        coordinator_port: Port of the coordinator; 0 takes a free one.

    Raises:
        ConfigInvalid: The settings are refused by `refuse_unusable`, or the environment turns on
            TLS or tokens.

    Raises (on entering):
        HomeInUse: Another process tree works in the home.
        ServiceUnavailable: A service did not start; the message holds the end of its log.
    """

    def __init__(
        self, home: Path, *, settings: Settings | None = None, coordinator_port: int = 0
    ) -> None:
        self._home = home.absolute()
        self._settings = settings or {}
        refuse_unusable(self._settings)
        _refuse_protection(os.environ)
        self._coordinator_port = coordinator_port
        self._children: dict[str, _Child] = {}
        self._cleanup = contextlib.ExitStack()

    @property
    def addresses(self) -> dict[str, str]:
        """Role to `host:port`."""
        return {role: child.address for role, child in self._children.items()}

    @property
    def pids(self) -> dict[str, int]:
        """Role to process id."""
        return {role: child.process.pid for role, child in self._children.items()}

    @property
    def coordinator(self) -> str:
        """Address of the coordinator."""
        return self._children["coordinator"].address

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            self._make_home()
            cleanup.enter_context(locked(self._home))
            cleanup.callback(self._stop)
            for role in PEERS:
                self._spawn(role, self._role_settings(role))
            for role in PEERS:
                self._await_address(self._children[role])
            self._spawn("coordinator", self._role_settings("coordinator"))
            self._await_address(self._children["coordinator"])
            self._await_ready()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def check(self) -> None:
        """Raise `ServiceUnavailable` when a service has ended."""
        for child in self._children.values():
            if child.process.poll() is not None:
                raise _ended(child)

    def _make_home(self) -> None:
        for name in ("store", "qdrant", "training", "logs", "config", "cache"):
            (self._home / name).mkdir(parents=True, exist_ok=True)

    def _role_settings(self, role: str) -> dict[str, dict[str, Any]]:
        home = self._home
        own: dict[str, dict[str, Any]] = {
            "training": {"store": str(home / "store"), "work_dir": str(home / "training")},
            "extraction": {"store": str(home / "store"), "cache_dir": str(home / "cache")},
            "retrieval": {"folder": str(home / "qdrant")},
            "guidance": {"ledger_url": ledger_url(home)},
            "evaluation": {},
            "coordinator": {
                "store": str(home / "store"),
                "database_url": run_database_url(home),
                **{f"{peer}_address": child.address for peer, child in self._children.items()},
            },
        }
        port = self._coordinator_port if role == "coordinator" else 0
        return {
            "server": {
                "port": port,
                "parent_pid": os.getpid(),
                **self._settings.get("server", {}),
            },
            "telemetry": dict(self._settings.get("telemetry", {})),
            role: {**own[role], **self._settings.get(role, {})},
        }

    def _spawn(self, role: str, settings: Settings) -> None:
        config = self._home / "config" / f"{role}.toml"
        config.write_text(tomli_w.dumps(settings), encoding="utf-8")
        log = self._home / "logs" / f"{role}.log"
        with log.open("a", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "slcolm_services"),
                    *("serve", "--role", role, "--config", str(config)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                # A terminal's Ctrl-C goes to the parent alone, which then drains the children.
                start_new_session=True,
            )
        self._children[role] = _Child(role, process, log)

    def _await_address(self, child: _Child) -> None:
        lines: queue.Queue[str] = queue.Queue()
        assert child.process.stdout is not None  # noqa: S101  it was asked for
        reader = threading.Thread(
            target=_forward, args=(child.process.stdout, lines), name=child.role, daemon=True
        )
        reader.start()
        try:
            line = lines.get(timeout=_START_SECONDS)
        except queue.Empty:
            raise ServiceUnavailable(
                f"the {child.role} service did not start within {_START_SECONDS:.0f} s; "
                f"its log is {child.log}"
            ) from None
        if not line:
            child.process.wait()
            raise _ended(child)
        child.address = json.loads(line)["address"]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        for child in self._children.values():
            with connect(child.address) as channel:
                while not wait_until_ready(channel, timeout_seconds=1.0):
                    if child.process.poll() is not None:
                        raise _ended(child)
                    if time.monotonic() > deadline:
                        raise ServiceUnavailable(
                            f"the {child.role} service is not ready; its log is {child.log}"
                        )

    def _stop(self) -> None:
        # The coordinator first: it calls the others.
        for role in ("coordinator", *PEERS):
            child = self._children.get(role)
            if child is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children.values():
            try:
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("service killed", role=child.role)
                child.process.kill()
                child.process.wait()
            if child.process.stdout is not None:
                child.process.stdout.close()
        self._children.clear()


def _forward(stream: TextIO, lines: queue.Queue[str]) -> None:
    """Pass the first line on, an empty one when the stream ends without any."""
    lines.put(stream.readline())


def _ended(child: _Child) -> ServiceUnavailable:
    """Why a service has ended: the error that it could not start for, or else its last words."""
    tail = child.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    with contextlib.suppress(IndexError, ValueError, TypeError, KeyError):
        last = json.loads(tail[-1])
        if last["event"] == NO_START:
            return ServiceUnavailable(
                f"the {child.role} service cannot start: {last['error']}",
                metadata={"service": child.role},
            )
    return ServiceUnavailable(
        f"the {child.role} service ended with status {child.process.returncode}; "
        f"the end of {child.log}:\n" + "\n".join(tail),
        metadata={"service": child.role},
    )


def run_database_url(home: Path) -> str:
    """SQLAlchemy URL of the run database of a home."""
    return f"sqlite:///{home.absolute() / 'runs.sqlite'}"


def ledger_url(home: Path) -> str:
    """SQLAlchemy URL of the ledger of a home."""
    return f"sqlite:///{home.absolute() / 'ledger.sqlite'}"


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold a home for this process; the system lets go of it when the process ends.

    Raises:
        HomeInUse: Another process tree works in it.
    """
    with (home / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise HomeInUse(
                f"{home} is in use by process {owner}; "
                "name another --home, or reach the one that runs with --coordinator",
                metadata={"home": str(home), "pid": owner},
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def in_use(home: Path) -> bool:
    """Whether a process tree works in a home. Nothing is written."""
    try:
        with (home / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def refuse_unusable(settings: Mapping[str, Any], *, place: str = "") -> None:
    """Refuse sections that no service has, and settings that are not for the user to make.

    Args:
        settings: Configuration by section.
        place: Where it stands, before the section's name.

    Raises:
        ConfigInvalid: `violations` names each.
    """
    violations = [
        FieldViolation(place + where, problem)
        for section, values in settings.items()
        for where, problem in _unusable(section, values)
    ]
    if violations:
        raise ConfigInvalid("the settings of the services cannot be used", violations=violations)


def _refuse_protection(environ: Mapping[str, str]) -> None:
    violations = [
        FieldViolation(name, "is for services that `slcolm serve` starts; unset it")
        for name in sorted(environ)
        if _PROTECTION.fullmatch(name)
    ]
    if violations:
        raise ConfigInvalid(
            "services of one home are on loopback, without TLS and tokens", violations=violations
        )


def _unusable(section: str, values: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a section: where, and why."""
    if section not in _OWN:
        yield section, f"is no section; known are {', '.join(_OWN)}"
    elif not isinstance(values, Mapping):
        yield section, "must be a table"
    else:
        for key in sorted(_OWN[section] & values.keys()):
            yield f"[{section}] {key}", _OWN_PROBLEM
        if section == "telemetry" and "otlp_headers" in values:
            # What stands in the file would stand in the home, too.
            yield "[telemetry] otlp_headers", "is secret: set SLCOLM_TELEMETRY_OTLP_HEADERS"
