"""The one way to start a service: start line, readiness, signals, drain, exit status."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog

from slcolm_services.errors import SlcolmError
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.logs import configure_logging
from slcolm_services.runtime.server import Server, Service
from slcolm_services.runtime.telemetry_config import TelemetryConfig
from slcolm_services.runtime.tracing import tracing

__all__ = ["NO_START", "Service", "run_service"]

NO_START = "service cannot start"
"""The event that a service logs last when it ends for an error; its `error` says which."""

_PARENT_POLL_SECONDS = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


def run_service(
    service: Service,
    config: ServerConfig,
    *,
    role: str,
    auth: AuthConfig | None = None,
    telemetry: TelemetryConfig | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end, then drain; a second signal stops at once.

    Prints one JSON line on stdout when connections are accepted:
    `{"role": "extraction", "address": "127.0.0.1:40123"}`. Readiness follows on the health
    service. Sets up logging for the whole process, and blocks.

    Args:
        service: What is served.
        config: How.
        role: Name for the start line and the log.
        auth: Whose calls are taken; everybody's where none is given.
        telemetry: Where traces go; nowhere where none is given.

    Raises:
        SystemExit: With status 1, when the service cannot start; the log says why.
    """
    configure_logging(level=config.log_level, format=config.log_format)
    try:
        with tracing(telemetry or TelemetryConfig(), role):
            asyncio.run(_serve(service, config, role, auth))
    except SlcolmError as error:
        _log.error(
            NO_START,
            role=role,
            error=error.message,
            reason=error.reason,
            violations=[str(violation) for violation in error.violations],
        )
        sys.exit(1)


async def _serve(
    service: Service, config: ServerConfig, role: str, auth: AuthConfig | None
) -> None:
    causes: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, causes.put_nowait, number.name)
    async with Server(service, config, auth) as server:
        # Not `print`: this line is for programs, and a pipe would hold it back.
        sys.stdout.write(json.dumps({"role": role, "address": server.address}) + "\n")
        sys.stdout.flush()
        _log.info(
            "listening",
            role=role,
            address=server.address,
            health_port=server.health_port,
            metrics_port=server.metrics_port,
        )
        orphaned = asyncio.create_task(_watch_parent(config.parent_pid, causes))
        try:
            cause = await _interruptible(server.load(), causes)
            if cause is None:
                _log.info("ready", role=role)
                _log.info("draining", role=role, cause=await causes.get())
                cause = await _interruptible(server.drain(), causes)
            if cause is not None:
                _log.info("stopping at once", role=role, cause=cause)
        finally:
            orphaned.cancel()
            for number in _SIGNALS:
                # Whoever still waits for a thread to end may now kill the process.
                loop.remove_signal_handler(number)
    _log.info("stopped", role=role)


async def _interruptible(work: Coroutine[Any, Any, None], causes: asyncio.Queue[str]) -> str | None:
    """Run `work` to its end, or cancel it when there is a cause to stop; returns the cause."""
    task = asyncio.create_task(work)
    cause = asyncio.create_task(causes.get())
    await asyncio.wait({task, cause}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        if not cause.cancel():  # it came at the same time: the next step must see it
            causes.put_nowait(cause.result())
        await task
        return None
    task.cancel()
    await asyncio.wait({task})
    return await cause


async def _watch_parent(parent_pid: int | None, causes: asyncio.Queue[str]) -> None:
    if parent_pid is None:
        return
    # An orphan is given to another parent; nothing tells a process of it.
    while os.getppid() == parent_pid:  # noqa: ASYNC110  hence the polling
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    causes.put_nowait("parent has ended")
