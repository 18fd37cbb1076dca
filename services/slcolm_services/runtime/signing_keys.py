"""The public keys of whoever issues JWTs: in a file, or fetched and kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import jwt
import structlog

from slcolm_services.errors import ConfigInvalid, FieldViolation, KeysUnavailable
from slcolm_services.runtime.auth_config import AuthConfig, is_safe_url
from slcolm_services.runtime.reloading import Reloading

_FETCH_SECONDS = 5.0
_DISCOVERY = "/.well-known/openid-configuration"

_log = structlog.get_logger(__name__)

Keys = Mapping[str, jwt.PyJWK]
"""Key id to key."""


class KeySource(Protocol):
    """Where keys come from."""

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of an id; None where the issuer has none.

        Raises:
            KeysUnavailable: That cannot be found out now.
        """


def key_source(config: AuthConfig) -> KeySource:
    """The source that a configuration names. Of a URL nothing is fetched yet.

    Raises:
        ConfigInvalid: A file cannot be used.
    """
    if config.jwt_keys and "://" not in config.jwt_keys:
        return _KeysOfFile(Path(config.jwt_keys).expanduser())
    return _KeysOfUrl(config)


class _KeysOfFile:
    def __init__(self, path: Path) -> None:
        self._keys = Reloading("keys of JWTs", [path], lambda: _read(path))

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        return self._keys.get().get(key_id)


def _read(path: Path) -> Keys:
    try:
        return _keys(json.loads(path.read_bytes()))
    except (OSError, ValueError, jwt.PyJWTError) as error:
        problem = f"{path} holds no keys (JWKS) that can be used: {error}"
        raise ConfigInvalid(
            problem, violations=[FieldViolation("[auth] jwt_keys", problem)]
        ) from error


class _KeysOfUrl:
    """Fetches keys when they are old or one is asked for that is not among them.

    At most once in `jwt_keys_min_age_seconds`, so that made-up tokens cannot make it fetch at
    every call; what was fetched stays in force where fetching fails. All callers share a fetch, and
    one that goes away does not end it. For one event loop.
    """

    def __init__(self, config: AuthConfig) -> None:
        self._config = config
        self._keys: Keys = {}
        self._asked_at = -float("inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        known = self._keys.get(key_id)
        if known is not None and not self._is_older_than_max():
            return known
        starts = self._fetching is None and self._may_ask()
        if starts:
            self._fetching = asyncio.create_task(self._fetch())
        # Who has a key, if an old one, need not wait with the one that is fetching.
        if self._fetching is not None and (starts or known is None):
            await asyncio.shield(self._fetching)
        found = self._keys.get(key_id)
        if found is None and self._failed:
            raise KeysUnavailable(
                "the keys that tokens are signed with cannot be fetched",
                retry_after_seconds=self._config.jwt_keys_min_age_seconds,
            )
        return found

    def _is_older_than_max(self) -> bool:
        return time.monotonic() - self._asked_at >= self._config.jwt_keys_max_age_seconds

    def _may_ask(self) -> bool:
        return time.monotonic() - self._asked_at >= self._config.jwt_keys_min_age_seconds

    async def _fetch(self) -> None:
        try:
            self._keys = await asyncio.to_thread(self._fetched)
            self._failed = False
        except (OSError, ValueError, jwt.PyJWTError) as error:
            self._failed = True
            _log.warning("keys of JWTs not fetched", error=str(error))
        finally:
            self._asked_at = time.monotonic()
            self._fetching = None

    def _fetched(self) -> Keys:
        url = self._config.jwt_keys or _discovered(self._config.jwt_issuer)
        return _keys(_json(url))


def _discovered(issuer: str) -> str:
    """URL of the keys, as OpenID Connect discovery has it. Raises ValueError or a PyJWT error."""
    document = _json(issuer.rstrip("/") + _DISCOVERY)
    if document.get("issuer") != issuer:
        raise ValueError(f"the discovery document of {issuer} is about another issuer")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not is_safe_url(url):
        raise ValueError(f"the discovery document of {issuer} names no https URL of keys")
    return url


def _json(url: str) -> dict[str, Any]:
    # It takes http and https alone, follows no redirect, and refuses what is no object.
    client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_FETCH_SECONDS)
    found: dict[str, Any] = client.fetch_data()
    return found


def _keys(document: Any) -> Keys:
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  it is the file that is wrong
    keys = jwt.PyJWKSet.from_dict(document).keys
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use in ("sig", None)}
