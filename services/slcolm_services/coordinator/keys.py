"""Names for work: a stage's key is the digest of everything that shapes its result."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from google.protobuf.message import Message

_CODE_SUFFIXES = (".py", ".jinja", ".j2", ".txt")


def stage_key(stage: str, **inputs: object) -> str:
    """Key of a stage with these inputs, as 64 hex digits.

    Args:
        stage: Name of the stage.
        **inputs: What shapes the result: digests, revisions, numbers, protobuf messages. The
            version of the code is added.
    """
    described = {name: _describe(value) for name, value in inputs.items()}
    content = {"stage": stage, "code": code_version(), "inputs": described}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def _describe(value: object) -> object:
    if isinstance(value, Message):
        return hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()
    return value


@cache
def code_version() -> str:
    """Digest of the source and templates of the services, so that changed code redoes work."""
    digest = hashlib.sha256()
    _add(files("slcolm_services"), digest)
    return digest.hexdigest()


def _add(folder: Traversable, digest: hashlib._Hash) -> None:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            if entry.name not in ("__pycache__", "samples", "cli"):
                _add(entry, digest)
        elif entry.name.endswith(_CODE_SUFFIXES):
            digest.update(entry.name.encode())
            digest.update(hashlib.sha256(entry.read_bytes()).digest())
