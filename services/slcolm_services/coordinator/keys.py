"""Names for work: a stage's key is the digest of everything that shapes its result."""

from __future__ import annotations

import hashlib
import json

from google.protobuf.message import Message

from slcolm_services.runtime.source import source_digest

_ROOMS = (
    "coordinator",
    "corpus",
    "evaluation",
    "extraction",
    "guidance",
    "model",
    "retrieval",
    "scoring",
    "training",
)
"""Rooms whose code shapes results; the runtime and the commands only carry them."""


def stage_key(stage: str, **inputs: object) -> str:
    """Key of a stage with these inputs, as 64 hex digits.

    Args:
        stage: Name of the stage.
        **inputs: What shapes the result: digests, revisions, numbers, protobuf messages. The
            version of the code is added.
    """
    described = {name: _describe(value) for name, value in inputs.items()}
    content = {"stage": stage, "code": source_digest(*_ROOMS), "inputs": described}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def _describe(value: object) -> object:
    if isinstance(value, Message):
        return hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()
    return value
