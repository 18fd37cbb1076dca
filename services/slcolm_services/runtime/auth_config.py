"""Configuration of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.loopback import is_loopback


@dataclass(frozen=True)
class AuthConfig:
    """Which bearer tokens are accepted. Where nothing is set, calls need none.

    Attributes:
        tokens_file: TOML file with `[[auth.tokens]]`; read again when it has changed.
        jwt_issuer: Who issues JWTs, as their `iss` has it. Empty: JWTs are not accepted.
        jwt_audience: What their `aud` must name.
        jwt_keys: The issuer's public keys (JWKS): an https URL, or a file, which is read again
            when it has changed. Empty: the URL is found by OpenID Connect discovery.
        jwt_leeway_seconds: How far the clocks may be apart.
        jwt_roles_claim: Claim with the roles, a list or words with spaces between; dots lead into
            objects, as in `realm_access.roles`.
        jwt_role_prefix: What stands before `read`, `write` and `admin` in it.
        jwt_keys_max_age_seconds: Age at which keys of a URL are fetched again.
        jwt_keys_min_age_seconds: Age before which they are not, whatever tokens come.
    """

    tokens_file: Path | None = None
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_keys: str = ""
    jwt_leeway_seconds: float = 30.0
    jwt_roles_claim: str = "roles"
    jwt_role_prefix: str = "slcolm:"
    jwt_keys_max_age_seconds: float = 300.0
    jwt_keys_min_age_seconds: float = 10.0

    def __post_init__(self) -> None:
        violations = [*self._jwt_violations()]
        violations += [
            FieldViolation(name, f"must not be negative, got {getattr(self, name)}")
            for name in (
                "jwt_leeway_seconds",
                "jwt_keys_max_age_seconds",
                "jwt_keys_min_age_seconds",
            )
            if getattr(self, name) < 0
        ]
        if violations:
            raise ConfigInvalid("the settings of tokens cannot be used", violations=violations)

    @property
    def enabled(self) -> bool:
        """Whether calls need a token."""
        return self.tokens_file is not None or bool(self.jwt_issuer)

    def _jwt_violations(self) -> Iterator[FieldViolation]:
        if not self.jwt_issuer:
            if self.jwt_audience or self.jwt_keys:
                yield FieldViolation("jwt_issuer", "must be set where JWTs are to be accepted")
            return
        if not self.jwt_audience:
            problem = "must be set: else tokens for any other program of the issuer would do"
            yield FieldViolation("jwt_audience", problem)
        if not self.jwt_roles_claim:
            yield FieldViolation("jwt_roles_claim", "must name a claim")
        if not self.jwt_keys and not is_safe_url(self.jwt_issuer):
            problem = f"must be an https URL where there is no jwt_keys, got {self.jwt_issuer!r}"
            yield FieldViolation("jwt_issuer", problem)
        if "://" in self.jwt_keys and not is_safe_url(self.jwt_keys):
            problem = f"must be a file or an https URL, got {self.jwt_keys!r}"
            yield FieldViolation("jwt_keys", problem)


def is_safe_url(url: str) -> bool:
    """Whether nobody in between can change what is fetched: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )
