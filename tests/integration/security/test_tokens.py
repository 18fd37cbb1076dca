"""Bearer tokens of a file, and what their roles may do."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs
from support.certificates import replace
from support.health import SERVING
from support.serving import SERVICE, answer, details, failure, get, serve, stub_of

from slcolm.retrieval.v1 import retrieval_pb2_grpc
from slcolm_client import Security
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.server import Server

READER, WRITER, NOBODY = "reader-token-0123456789", "writer-token-0123456789", "no-role-0123456789"
UNKNOWN = "unknown-token-0123456789"
FILE = f"""
[[auth.tokens]]
name = "dashboard"
token = "{READER}"
roles = ["read"]

[[auth.tokens]]
name = "pipeline"
sha256 = "{hashlib.sha256(WRITER.encode()).hexdigest()}"
roles = ["write", "read"]

[[auth.tokens]]
name = "newcomer"
token = "{NOBODY}"
roles = []
"""


@pytest.fixture
def auth(tmp_path: Path) -> AuthConfig:
    return AuthConfig(tokens_file=replace(tmp_path / "tokens.toml", FILE.encode()))


def needing(role: Role) -> dict[str, Any]:
    return {"roles": {"GetIndex": role}}


async def reason(server: Server, token: str | None) -> tuple[str, str]:
    """Code and reason with which a call is refused."""
    # A bare channel: those of the SDK do not even send to a server that is starting.
    headers = () if token is None else (("authorization", f"Bearer {token}"),)
    async with stub_of(server, plain=True) as stub:
        error = await failure(stub, metadata=headers)
    return error.code().name, details(error)["ErrorInfo"].reason


@pytest.mark.parametrize(
    ("needed", "allowed"), [(Role.READ, {READER, WRITER}), (Role.WRITE, {WRITER}), (None, set())]
)
def test_a_method_takes_its_role_and_those_above_it(
    auth: AuthConfig, needed: Role | None, allowed: set[str]
) -> None:
    """A method that nobody gave a role needs the highest."""
    hooks = {} if needed is None else needing(needed)

    async def scenario() -> None:
        async with serve(answer, hooks=hooks, auth=auth) as server:
            for token in allowed:
                async with stub_of(server, security=Security(token=token)) as stub:
                    await get(stub)
            for token in {READER, WRITER, NOBODY} - allowed:
                assert await reason(server, token) == ("PERMISSION_DENIED", "PERMISSION_DENIED")

    asyncio.run(scenario())


def test_who_is_not_known_is_told_so_and_learns_no_more(auth: AuthConfig) -> None:
    async def scenario() -> None:
        # Not loaded: who is known hears that it is starting, and nobody else does.
        async with serve(answer, load=False, hooks=needing(Role.READ), auth=auth) as server:
            assert await reason(server, None) == ("UNAUTHENTICATED", "TOKEN_MISSING")
            for token in (UNKNOWN, READER[:-1], READER + "x", WRITER.upper()):
                assert await reason(server, token) == ("UNAUTHENTICATED", "TOKEN_INVALID")
            hashed = hashlib.sha256(WRITER.encode()).hexdigest()
            assert await reason(server, hashed) == ("UNAUTHENTICATED", "TOKEN_INVALID")
            assert await reason(server, READER) == ("UNAVAILABLE", "SERVICE_UNAVAILABLE")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", READER)],
        [("authorization", f"Basic {READER}")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {READER}"), ("authorization", f"Bearer {WRITER}")],
    ],
)
def test_what_is_not_one_bearer_token_is_refused(
    auth: AuthConfig, headers: list[tuple[str, str]]
) -> None:
    async def scenario() -> None:
        async with (
            serve(answer, hooks=needing(Role.READ), auth=auth) as server,
            stub_of(server) as stub,
        ):
            error = await failure(stub, metadata=headers)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert details(error)["ErrorInfo"].reason == "TOKEN_INVALID"

    asyncio.run(scenario())


def test_nobody_is_refused_before_the_request_is_read(auth: AuthConfig) -> None:
    """A message that is too large would be refused as such, had it been read."""

    async def scenario() -> None:
        async with serve(
            answer, hooks=needing(Role.READ), auth=auth, max_message_bytes=1000
        ) as server:
            async with stub_of(server) as stub:
                error = await failure(stub, revision="x" * 100_000)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            async with stub_of(server, security=Security(token=READER)) as stub:
                error = await failure(stub, revision="x" * 100_000)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    asyncio.run(scenario())


def test_refused_calls_take_no_place_and_are_counted(auth: AuthConfig) -> None:
    async def scenario() -> None:
        async with serve(answer, hooks=needing(Role.READ), auth=auth) as server:
            await reason(server, None)
            labels = {"method": f"/{SERVICE}/GetIndex", "code": "UNAUTHENTICATED"}
            registry = server.metrics.registry
            assert registry.get_sample_value("slcolm_calls_total", labels) == 1.0
            assert not registry.get_sample_value("slcolm_calls_refused_total")

    asyncio.run(scenario())


def test_methods_that_do_not_exist_are_not_counted_by_name(auth: AuthConfig) -> None:
    """Anybody could fill the memory with names."""

    async def scenario() -> None:
        async with (
            serve(answer, auth=auth) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/made.up/Method", bytes, bytes)(b"", timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            samples = [s for m in server.metrics.registry.collect() for s in m.samples]
            assert not [s for s in samples if "made.up" in s.labels.get("method", "")]

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_health_is_open_and_reflection_needs_to_read(auth: AuthConfig, version: str) -> None:
    async def services(channel: grpc.aio.Channel, token: str | None) -> list[str]:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for response in ask(iter([request]), timeout=30, metadata=metadata):
            return [service.name for service in response.list_services_response.service]
        return []

    async def scenario() -> None:
        async with (
            serve(answer, auth=auth) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            request = health_pb2.HealthCheckRequest()
            response = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
            assert response.status == SERVING
            assert SERVICE in await services(channel, READER)
            for token, code in ((None, "UNAUTHENTICATED"), (NOBODY, "PERMISSION_DENIED")):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await services(channel, token)
                assert caught.value.code().name == code

    asyncio.run(scenario())


def test_a_changed_file_counts_from_the_next_call_and_a_broken_one_does_not(
    auth: AuthConfig,
) -> None:
    assert auth.tokens_file is not None
    path = auth.tokens_file

    async def scenario() -> None:
        async with (
            serve(answer, hooks=needing(Role.READ), auth=auth) as server,
            stub_of(server, security=Security(token=READER)) as stub,
        ):
            await get(stub)
            with capture_logs() as logs:
                replace(path, FILE.replace('["read"]', '["raed"]').encode())
                await get(stub)
                await get(stub)
            (entry,) = [e for e in logs if e["event"] == "change not taken"]
            assert "raed" in entry["violations"][0]
            replace(path, FILE.replace(READER, UNKNOWN).encode())
            assert await reason(server, READER) == ("UNAUTHENTICATED", "TOKEN_INVALID")
            async with stub_of(server, security=Security(token=UNKNOWN)) as other:
                await get(other)

    asyncio.run(scenario())


def test_tokens_are_in_no_log_line_and_callers_are_by_name(auth: AuthConfig) -> None:
    async def scenario() -> None:
        async with serve(answer, hooks=needing(Role.READ), auth=auth) as server:
            async with stub_of(server, security=Security(token=READER)) as stub:
                await get(stub)
            for token in (UNKNOWN, NOBODY):
                async with stub_of(server, security=Security(token=token)) as stub:
                    error = await failure(stub)
                assert token not in str(error) + repr(error.trailing_metadata())

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        asyncio.run(scenario())
    assert not [entry for entry in logs if any(t in repr(entry) for t in (READER, UNKNOWN, NOBODY))]
    ended = [entry for entry in logs if entry["event"] == "call ended"]
    assert [(entry.get("caller"), entry["code"]) for entry in ended] == [
        ("dashboard", "OK"),
        (None, "UNAUTHENTICATED"),
        ("newcomer", "PERMISSION_DENIED"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "tokens: must be set"),
        ("[auth]\ntokens = []", "no [[auth.tokens]]"),
        ("not toml", "cannot be read"),
        ('[[auth.tokens]]\nname = "a"\nroles = ["read"]', "either token or sha256"),
        ('[[auth.tokens]]\nname = "a"\nroles = ["root"]\ntoken = "S3CRET0123456789"', "'root'"),
        ('[[auth.tokens]]\nname = "a"\nroles = []\ntoken = "S3CRET"', "at least 16"),
        ('[[auth.tokens]]\nname = "a"\nroles = []\nsha256 = "S3CRET"', "hexadecimal"),
        ('[[auth.tokens]]\nname = "a"\nroles = []\ntoken = ["S3CRET"]', "of type Secret"),
        ('[[auth.tokens]]\nroles = []\ntoken = "S3CRET0123456789"', "name: must be set"),
    ],
)
def test_a_broken_file_is_refused_by_the_place_and_not_shown(
    tmp_path: Path, content: str, problem: str
) -> None:
    path = replace(tmp_path / "tokens.toml", content.encode())

    async def scenario() -> None:
        with pytest.raises(ConfigInvalid) as caught:
            async with serve(answer, auth=AuthConfig(tokens_file=path)):
                pass
        shown = f"{caught.value.message} {caught.value.violations}"
        assert problem in shown
        assert "S3CRET" not in shown

    asyncio.run(scenario())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigInvalid, match="cannot be read"):
            async with serve(answer, auth=AuthConfig(tokens_file=tmp_path / "none.toml")):
                pass

    asyncio.run(scenario())


def test_without_tokens_everybody_may_call_as_before() -> None:
    async def scenario() -> None:
        async with serve(answer) as server, grpc.aio.insecure_channel(server.address) as channel:
            await get(retrieval_pb2_grpc.RetrievalServiceStub(channel))

    asyncio.run(scenario())
