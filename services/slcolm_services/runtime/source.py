"""Which code did it: digests of source, so that changed code redoes work."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_SUFFIXES = (".py", ".jinja")


@cache
def source_digest(*rooms: str) -> str:
    """SHA-256 in hexadecimal of the source and templates of some packages below the services.

    Args:
        *rooms: Names such as `training` and `model`.
    """
    digest = hashlib.sha256()
    for room in sorted(rooms):
        _add(files("slcolm_services") / room, digest)
    return digest.hexdigest()


def _add(folder: Traversable, digest: hashlib._Hash) -> None:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir() and entry.name != "__pycache__":
            _add(entry, digest)
        elif entry.name.endswith(_SUFFIXES):
            digest.update(entry.name.encode())
            digest.update(hashlib.sha256(entry.read_bytes()).digest())
