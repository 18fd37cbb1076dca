"""Logging: structlog on stderr, one format for our events and those of libraries.

Whoever works on a call or a run binds `request_id`, `run_id` or `stage` with
`structlog.contextvars.bind_contextvars`; every event below carries them. Document text and keys
are never logged at info or above.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(*, level: str, format: str) -> None:  # noqa: A002  the setting's own name
    """Set logging up for this process. Replaces the handlers of the root logger.

    Args:
        level: Least level of our events. Libraries log from `warning` on, or from `level` where
            that is higher.
        format: `json` or `console`.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # No frames with their variables: these hold texts and keys.
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
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
