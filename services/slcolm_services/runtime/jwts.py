"""JSON Web Tokens of an OpenID Connect issuer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from slcolm_services.errors import TokenExpired, TokenInvalid
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.roles import Caller, highest
from slcolm_services.runtime.signing_keys import KeySource

_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Signatures with a private key. With a shared secret, a public key would do as one."""

_NAME_CHARACTERS = 128
_REQUIRED = ("exp", "iss", "aud", "sub")


class JwtVerifier:
    """Checks the signature, issuer, audience and times of JWTs, and reads their roles.

    Args:
        config: With an issuer.
        keys: The issuer's keys.
    """

    def __init__(self, config: AuthConfig, keys: KeySource) -> None:
        self._config = config
        self._keys = keys

    async def verify(self, token: str) -> Caller:
        """Whom a token belongs to.

        Raises:
            TokenInvalid: It is none that is accepted here; the message says why.
            TokenExpired: It was, until it expired.
            KeysUnavailable: The issuer's keys cannot be fetched.
        """
        # The library's errors are not chained: they may quote the token.
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            raise TokenInvalid("the token is no JWT that can be read") from None
        key = await self._keys.find(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise TokenInvalid("the token is not signed with a key of the issuer")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                issuer=self._config.jwt_issuer,
                audience=self._config.jwt_audience,
                leeway=self._config.jwt_leeway_seconds,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired("the token has expired") from None
        except jwt.PyJWTError as error:
            raise TokenInvalid(f"the token is not accepted: {_why(error)}") from None
        return Caller(str(claims["sub"])[:_NAME_CHARACTERS], highest(self._roles(claims)))

    def _roles(self, claims: Mapping[str, Any]) -> list[str]:
        """Names of the roles in the claims, without their prefix; those without it are others'."""
        value: Any = claims
        for part in self._config.jwt_roles_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        names = value.split() if isinstance(value, str) else value
        prefix = self._config.jwt_role_prefix
        return [
            name.removeprefix(prefix)
            for name in (names if isinstance(names, list) else ())
            if isinstance(name, str) and name.startswith(prefix)
        ]


_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.InvalidAudienceError, "it is for another audience"),
    (jwt.InvalidIssuerError, "it is of another issuer"),
    (jwt.MissingRequiredClaimError, f"it needs the claims {', '.join(_REQUIRED)}"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAlgorithmError, "its algorithm is not allowed"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
)


def _why(error: jwt.PyJWTError) -> str:
    return next((words for kind, words in _REASONS if isinstance(error, kind)), "it is malformed")
