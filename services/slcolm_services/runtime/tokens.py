"""Bearer tokens that stand in a file, in the clear or as SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret, load_section
from slcolm_services.runtime.reloading import Reloading
from slcolm_services.runtime.roles import ROLE_NAMES, Caller, highest

_MIN_CHARACTERS = 16
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Token:
    """An entry `[[auth.tokens]]` of the file."""

    name: str
    roles: tuple[str, ...]
    sha256: Secret | None = None
    token: Secret | None = None

    def __post_init__(self) -> None:
        violations = [
            FieldViolation("roles", f"{role!r} is none of {', '.join(ROLE_NAMES)}")
            for role in self.roles
            if role not in ROLE_NAMES
        ]
        if (self.sha256 is None) == (self.token is None):
            violations.append(FieldViolation("token", "give either token or sha256"))
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            violations.append(FieldViolation("sha256", "must be 64 hexadecimal digits, 0-9 a-f"))
        if self.token is not None and len(self.token) < _MIN_CHARACTERS:
            problem = f"must have at least {_MIN_CHARACTERS} characters"
            violations.append(FieldViolation("token", problem))
        if violations:
            raise ConfigInvalid("a token cannot be used", violations=violations)

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256) if self.sha256 is not None else _digest(self.token or "")


@dataclass(frozen=True)
class _TokensFile:
    tokens: tuple[_Token, ...]

    def __post_init__(self) -> None:
        if not self.tokens:
            # Not an error of nobody: it would lock everybody out.
            raise ConfigInvalid("there is no [[auth.tokens]] in it")


class FileTokens:
    """Looks tokens up in a file, which is read again when it has changed.

    Args:
        path: TOML file with `[[auth.tokens]]`: `name`, `roles`, and `sha256` or `token`.

    Raises:
        ConfigInvalid: It cannot be read; `violations` names each entry that is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._known = Reloading("tokens", [path], lambda: _read(path))

    def find(self, token: str) -> Caller | None:
        """Whom a token belongs to; None where it is not known.

        Takes as long for a wrong one as for a right one, wherever that stands.
        """
        given = _digest(token)
        found = None
        for digest, caller in self._known.get():
            if hmac.compare_digest(digest, given):
                found = caller
        return found


def _read(path: Path) -> list[tuple[bytes, Caller]]:
    file = load_section(_TokensFile, "auth", path=path, environ={})
    return [(entry.digest, Caller(entry.name, highest(entry.roles))) for entry in file.tokens]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
