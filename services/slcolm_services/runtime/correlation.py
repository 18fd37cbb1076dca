"""What the log lines of a call have in common, told from service to service in its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable

import structlog
from google.protobuf.message import Message

REQUEST_ID = "x-request-id"
"""Metadata key of the id that a caller may give a call, and that comes back with the answer."""

_NAMES = {"x-slcolm-run-id": "run_id", "x-slcolm-stage": "stage"}
"""Metadata key to the name in the log."""

_FORM = re.compile(r"[!-~]{1,128}")

Metadata = Iterable[tuple[str, str | bytes]]


def told(metadata: Metadata, key: str) -> str:
    """The value of a key that may stand in a log line; empty where there is none."""
    for found, value in metadata:
        if found == key and isinstance(value, str) and _FORM.fullmatch(value):
            return value
    return ""


def names_of(metadata: Metadata, request: Message | None) -> dict[str, str]:
    """Run and stage that a call is made for, as its metadata or its request tells."""
    found = {name: told(metadata, key) for key, name in _NAMES.items()}
    run_id = getattr(request, "run_id", "")
    if not found["run_id"] and isinstance(run_id, str) and _FORM.fullmatch(run_id):
        found["run_id"] = run_id
    return {name: value for name, value in found.items() if value}


def to_tell() -> tuple[tuple[str, str], ...]:
    """Metadata for a call that is made for what is worked on now."""
    bound = bound_names()
    return tuple((key, bound[name]) for key, name in _NAMES.items() if name in bound)


def bound_names() -> dict[str, str]:
    """Run and stage that are worked on now."""
    bound = structlog.contextvars.get_contextvars()
    return {name: bound[name] for name in _NAMES.values() if name in bound}


def request_id() -> str | None:
    """Id of the call that is worked on now; None where there is none."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found
