"""Who calls, and what each role may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What a caller may do; each role may do what those before it may.

    Attributes:
        READ: Look, and have things computed that cost nothing but time.
        WRITE: Make and change things, and spend money on LLM calls.
        ADMIN: Delete for good. Methods that are given no role need it too.
    """

    READ = 1
    WRITE = 2
    ADMIN = 3


ROLE_NAMES = {role.name.lower(): role for role in Role}
"""Roles as they are written in files and tokens."""


@dataclass(frozen=True)
class Caller:
    """Whom a token belongs to.

    Attributes:
        name: For the log.
        role: The highest of the caller's roles; None where it has none.
    """

    name: str
    role: Role | None


def highest(names: Iterable[str]) -> Role | None:
    """The highest of the roles with these names; others are passed over."""
    return max((ROLE_NAMES[name] for name in names if name in ROLE_NAMES), default=None)
