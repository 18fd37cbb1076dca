"""JWTs of an issuer on loopback, with every way in which one can be wrong."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs
from support.certificates import replace
from support.issuer import AUDIENCE, Issuer
from support.serving import answer, details, failure, get, serve, stub_of

from slcolm_client import Security
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.server import Server

READ = {"roles": {"GetIndex": Role.READ}}
WRITE = {"roles": {"GetIndex": Role.WRITE}}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer().serving() as found:
        yield found


def auth_of(issuer: Issuer, **settings: Any) -> AuthConfig:
    defaults = {"jwt_keys": f"{issuer.url}/keys", "jwt_keys_min_age_seconds": 0.0}
    return AuthConfig(jwt_issuer=issuer.url, jwt_audience=AUDIENCE, **{**defaults, **settings})


async def accepted(server: Server, token: str) -> None:
    async with stub_of(server, security=Security(token=token)) as stub:
        await get(stub)


async def refused(server: Server, token: str) -> tuple[str, str, str]:
    """Code, reason and message."""
    async with stub_of(server, security=Security(token=token)) as stub:
        error = await failure(stub)
    assert token not in str(error)
    return error.code().name, details(error)["ErrorInfo"].reason, error.details() or ""


def minutes_ago(count: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=count)


def test_a_good_token_is_let_in_by_its_roles(issuer: Issuer) -> None:
    async def scenario() -> None:
        async with serve(answer, hooks=WRITE, auth=auth_of(issuer)) as server:
            await accepted(server, issuer.token(roles=["other", "slcolm:write"]))
            await accepted(server, issuer.token(roles="openid slcolm:admin", aud=["x", AUDIENCE]))
            for roles in (["slcolm:read"], ["write"], "write", [], {"slcolm:write": 1}, None, 7):
                code, reason, _ = await refused(server, issuer.token(roles=roles))
                assert (code, reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")

    asyncio.run(scenario())


def test_roles_may_stand_inside_objects_and_without_prefix(issuer: Issuer) -> None:
    auth = auth_of(issuer, jwt_roles_claim="realm_access.roles", jwt_role_prefix="")

    async def scenario() -> None:
        async with serve(answer, hooks=READ, auth=auth) as server:
            await accepted(server, issuer.token(realm_access={"roles": ["read"]}))
            assert (await refused(server, issuer.token()))[0] == "PERMISSION_DENIED"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("claims", "reason", "why"),
    [
        ({"exp": minutes_ago(10)}, "TOKEN_EXPIRED", "expired"),
        ({"aud": "another"}, "TOKEN_INVALID", "audience"),
        ({"aud": None}, "TOKEN_INVALID", "claims"),
        ({"iss": "https://other.example"}, "TOKEN_INVALID", "issuer"),
        ({"exp": None}, "TOKEN_INVALID", "claims"),
        ({"sub": None}, "TOKEN_INVALID", "claims"),
        ({"nbf": minutes_ago(-600)}, "TOKEN_INVALID", "not valid yet"),
        ({"key": "b"}, "TOKEN_INVALID", "not signed with a key"),
    ],
)
def test_a_wrong_token_is_refused_with_the_reason(
    issuer: Issuer, claims: dict[str, Any], reason: str, why: str
) -> None:
    async def scenario() -> None:
        async with serve(answer, hooks=READ, auth=auth_of(issuer)) as server:
            found = await refused(server, issuer.token(**claims))
        assert found[:2] == ("UNAUTHENTICATED", reason)
        assert why in found[2]

    asyncio.run(scenario())


def test_clocks_may_be_a_little_apart(issuer: Issuer) -> None:
    async def scenario() -> None:
        auth = auth_of(issuer, jwt_leeway_seconds=900.0)
        async with serve(answer, hooks=READ, auth=auth) as server:
            await accepted(server, issuer.token(exp=minutes_ago(10)))

    asyncio.run(scenario())


def test_forged_tokens_are_refused(issuer: Issuer) -> None:
    """Another's signature, none at all, and the public key taken for a shared secret."""
    good = issuer.token()
    header, payload, signature = good.split(".")

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def part(value: dict[str, Any]) -> str:
        return encoded(json.dumps(value).encode())

    claims = jwt.decode(good, options={"verify_signature": False})
    # By hand: the library makes no such token.
    shared = f"{part({'alg': 'HS256', 'kid': 'a'})}.{payload}"
    mac = hmac.digest(issuer.public_pem, shared.encode(), "sha256")
    forged = [
        f"{shared}.{encoded(mac)}",
        f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{header}.{part({**claims, 'roles': ['slcolm:admin']})}.{signature}",
        f"{part({'alg': 'none', 'kid': 'a'})}.{payload}.",
        issuer.token(key="b").replace(issuer.token(key="b").split(".")[0], header),
        "a.b.c",
        "no-jwt-at-all",
    ]

    async def scenario() -> None:
        async with serve(answer, hooks=READ, auth=auth_of(issuer)) as server:
            await accepted(server, good)
            for token in forged:
                assert (await refused(server, token))[:2] == ("UNAUTHENTICATED", "TOKEN_INVALID")

    asyncio.run(scenario())


def test_rotated_keys_are_fetched_and_old_ones_forgotten(issuer: Issuer) -> None:
    async def scenario() -> None:
        async with serve(
            answer, hooks=READ, auth=auth_of(issuer, jwt_keys_max_age_seconds=0.0)
        ) as server:
            await accepted(server, issuer.token(key="a"))
            issuer.published = ["a", "b"]
            await accepted(server, issuer.token(key="b"))
            await accepted(server, issuer.token(key="a"))
            issuer.published = ["b"]
            assert (await refused(server, issuer.token(key="a")))[1] == "TOKEN_INVALID"
            await accepted(server, issuer.token(key="b"))

    asyncio.run(scenario())


def test_made_up_keys_do_not_make_it_fetch_at_every_call(issuer: Issuer) -> None:
    async def scenario() -> None:
        auth = auth_of(issuer, jwt_keys_min_age_seconds=3600.0)
        async with serve(answer, hooks=READ, auth=auth) as server:
            await accepted(server, issuer.token())
            for _ in range(5):
                await refused(server, issuer.token(key="b"))
        assert issuer.requests == ["/keys"]

    asyncio.run(scenario())


def test_an_issuer_that_is_down_is_unavailable_and_known_keys_go_on(issuer: Issuer) -> None:
    async def scenario() -> None:
        auth = auth_of(issuer, jwt_keys_max_age_seconds=0.0)
        async with serve(answer, hooks=READ, auth=auth) as server:
            issuer.broken = True
            found = await refused(server, issuer.token())
            assert found[:2] == ("UNAVAILABLE", "KEYS_UNAVAILABLE")
            issuer.broken = False
            await accepted(server, issuer.token())
            issuer.broken = True
            with capture_logs() as logs:
                await accepted(server, issuer.token())
            assert "keys of JWTs not fetched" in [entry["event"] for entry in logs]

    asyncio.run(scenario())


def test_a_caller_that_leaves_does_not_stop_a_fetch_for_others(issuer: Issuer) -> None:
    async def scenario() -> None:
        auth = auth_of(issuer, jwt_keys_min_age_seconds=3600.0)
        async with serve(answer, hooks=READ, auth=auth) as server:
            issuer.hold.clear()
            async with stub_of(server, security=Security(token=issuer.token())) as stub:
                leaving = get(stub)
                staying = get(stub)
                await asyncio.to_thread(issuer.asked.wait, 30)
                leaving.cancel()
                issuer.hold.set()
                await staying
        assert issuer.requests == ["/keys"]

    asyncio.run(scenario())


def test_keys_are_found_by_discovery(issuer: Issuer) -> None:
    async def scenario() -> None:
        async with serve(answer, hooks=READ, auth=auth_of(issuer, jwt_keys="")) as server:
            await accepted(server, issuer.token())
        assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]

    asyncio.run(scenario())


def test_keys_of_a_file_are_rotated_with_it(issuer: Issuer, tmp_path: Path) -> None:
    path = replace(tmp_path / "keys.json", json.dumps(issuer.keys).encode())

    async def scenario() -> None:
        async with serve(answer, hooks=READ, auth=auth_of(issuer, jwt_keys=str(path))) as server:
            await accepted(server, issuer.token(key="a"))
            issuer.published = ["b"]
            replace(path, json.dumps(issuer.keys).encode())
            await accepted(server, issuer.token(key="b"))
            assert (await refused(server, issuer.token(key="a")))[1] == "TOKEN_INVALID"
            replace(path, b"{}")
            await accepted(server, issuer.token(key="b"))
        assert not issuer.requests

    asyncio.run(scenario())


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"keys": []}'])
def test_a_broken_file_of_keys_is_refused_at_the_start(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    auth = AuthConfig(jwt_issuer="https://a.example", jwt_audience="x", jwt_keys=str(path))

    async def scenario() -> None:
        with pytest.raises(ConfigInvalid) as caught:
            async with serve(answer, auth=auth):
                pass
        assert caught.value.violations[0].field == "[auth] jwt_keys"

    asyncio.run(scenario())


def test_tokens_of_a_file_and_jwts_go_together(issuer: Issuer, tmp_path: Path) -> None:
    token = "0123456789abcdef"
    content = f'[[auth.tokens]]\nname = "a"\nroles = ["read"]\ntoken = "{token}"'
    path = replace(tmp_path / "tokens.toml", content.encode())

    async def scenario() -> None:
        auth = auth_of(issuer, tokens_file=path)
        async with serve(answer, hooks=READ, auth=auth) as server:
            await accepted(server, token)
            await accepted(server, issuer.token())

    asyncio.run(scenario())
