"""Whose token a call carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from slcolm_services.errors import TokenInvalid, TokenMissing
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.jwts import JwtVerifier
from slcolm_services.runtime.roles import Caller
from slcolm_services.runtime.signing_keys import key_source
from slcolm_services.runtime.tokens import FileTokens

AUTHORIZATION = "authorization"
"""Metadata key that carries `Bearer TOKEN`."""

Metadata = Iterable[tuple[str, str | bytes]]
Authenticate = Callable[[Metadata], Awaitable[Caller]]


def authentication(config: AuthConfig) -> Authenticate | None:
    """Who finds out whose token a call carries; None where calls need none.

    Raises:
        ConfigInvalid: A file of the configuration cannot be used.
    """
    if not config.enabled:
        return None
    known = FileTokens(config.tokens_file) if config.tokens_file is not None else None
    jwts = JwtVerifier(config, key_source(config)) if config.jwt_issuer else None

    async def authenticate(metadata: Metadata) -> Caller:
        """Whose token stands in the metadata.

        Raises:
            Unauthenticated: None, or one that is not accepted.
            KeysUnavailable: That cannot be found out now.
        """
        token = _token(metadata)
        caller = known.find(token) if known is not None else None
        if caller is not None:
            return caller
        if jwts is not None:
            return await jwts.verify(token)
        raise TokenInvalid("the token is not known")

    return authenticate


def _token(metadata: Metadata) -> str:
    values = [value for key, value in metadata if key == AUTHORIZATION]
    if not values:
        raise TokenMissing("this service needs a token: authorization: Bearer TOKEN")
    scheme, _, token = str(values[0]).partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise TokenInvalid("the authorization is not one bearer token")
    return token.strip()
