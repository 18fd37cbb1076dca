"""Logging: structlog on stderr, one format for our events and those of libraries.

Whoever works on a call or a run binds `request_id`, `run_id` or `stage` with
`structlog.contextvars.bind_contextvars`; every event below carries them. Document text and keys
are never logged at info or above.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from slcolm_services.corpus.printable import printable, printable_json, printable_line

_PARENT = "SLCOLM_PARENT_LOG"
"""Variable that tells a child process how its parent logs, and for which call it works."""

_settings: dict[str, str] = {}


def configure_logging(*, level: str, format: str) -> None:  # noqa: A002  the setting's own name
    """Set logging up for this process. Replaces the handlers of the root logger.

    Args:
        level: Least level of our events. Libraries log from `warning` on, or from `level` where
            that is higher.
        format: `json` or `console`.
    """
    _settings.update(level=level, format=format)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # No frames with their variables: these hold texts and keys.
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(_as_json)
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(() if format == "json" else (_as_lines,)),
                renderer,
            ],
        )
    )
    numeric = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(numeric, logging.WARNING))
    logging.getLogger("slcolm_services").setLevel(numeric)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _as_json(event: object, default: Callable[[Any], Any]) -> str:
    return printable_json(json.dumps(event, default=default, ensure_ascii=False))


def _as_lines(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Take from what is not ours the power to write lines, or to do more than that."""
    del logger, method
    return {
        name: (printable if name == "exception" else printable_line)(value)
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def child_environment() -> dict[str, str]:
    """Environment for a child process that works for the call at hand, and logs as this one."""
    bound = structlog.contextvars.get_contextvars()
    return {**os.environ, _PARENT: json.dumps({"settings": _settings, "bound": bound})}


def log_as_parent(environ: Mapping[str, str]) -> None:
    """Set logging up in a child process; its lines are lines of the parent's call.

    Args:
        environ: What `child_environment` of the parent has made. Nothing is done where it has
            not, or where the parent's logging is not set up.
    """
    parent = json.loads(environ.get(_PARENT, "{}"))
    if parent.get("settings"):
        configure_logging(**parent["settings"])
        logging.captureWarnings(capture=True)
        structlog.contextvars.bind_contextvars(**parent["bound"])
