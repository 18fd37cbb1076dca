"""The SDK and the coordinator as callers: TLS, certificates and tokens on every kind of call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, replace
from support.serving import answer, serve

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm_client import (
    AsyncClient,
    Client,
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    Security,
    TokenFile,
    Unauthenticated,
    connect,
    connect_aio,
)
from slcolm_client._security import is_local
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.coordinator.peers import Peers
from slcolm_services.errors import ConfigInvalid, RemoteError, ServiceUnavailable
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import Secret, ServerConfig
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.server import Server, Service

TOKEN, READER = "0123456789abcdef-write", "0123456789abcdef-read"
NAME = coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"].full_name
SCHEMA = common_pb2.TaskSchema(name="t")


class Coordinator(coordinator_pb2_grpc.CoordinatorServiceServicer):
    """One method of each kind."""

    async def UploadDataset(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        data = b"".join([message.chunk async for message in request_iterator])
        return coordinator_pb2.UploadDatasetResponse(digest="d", document_count=len(data))

    async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802
        return coordinator_pb2.ListRunsResponse(runs=[coordinator_pb2.Run(id="r")])

    async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        state = coordinator_pb2.RUN_STATE_SUCCEEDED
        yield coordinator_pb2.WatchRunResponse(run=coordinator_pb2.Run(id="r", state=state))

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        results = [{"id": document.id} for document in request.documents]
        return coordinator_pb2.PredictResponse(results=results)

    async def DownloadArtifact(self, request: Any, context: Any) -> Any:  # noqa: N802
        for _ in range(3):
            yield coordinator_pb2.DownloadArtifactResponse(chunk=b"abc")


@pytest.fixture
def auth(tmp_path: Path) -> AuthConfig:
    content = "".join(
        f'[[auth.tokens]]\nname = "{role}"\nroles = ["{role}"]\ntoken = "{token}"\n'
        for role, token in (("write", TOKEN), ("read", READER))
    )
    return AuthConfig(tokens_file=replace(tmp_path / "tokens.toml", content.encode()))


@asynccontextmanager
async def coordinator(auth: AuthConfig, **settings: Any) -> AsyncIterator[Server]:
    service = Service(
        name=NAME,
        register=lambda server: coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(
            Coordinator(), server
        ),
        roles={
            "UploadDataset": Role.WRITE,
            "ListRuns": Role.READ,
            "WatchRun": Role.READ,
            "DownloadArtifact": Role.READ,
            "Predict": Role.READ,
        },
    )
    config = ServerConfig(drain_delay_seconds=0.0, grace_seconds=0.0, **settings)
    async with Server(service, config, auth) as server:
        await server.load()
        yield server


@pytest.fixture(params=["plain text on loopback", "TLS", "client certificate"])
def secured(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Security]]:
    """Settings of a server, and what its clients need besides a token."""
    if request.param == "plain text on loopback":
        yield {}, Security()
        return
    authority = Authority()
    certificate, key = authority.issue().write(tmp_path, "server")
    settings = {"tls_certificate": certificate, "tls_key": key}
    ca = replace(tmp_path / "ca.crt", authority.certificate)
    if request.param == "TLS":
        yield settings, Security(ca=ca)
        return
    own, own_key = authority.issue("client").write(tmp_path, "client")
    yield {**settings, "tls_client_ca": ca}, Security(ca=ca, certificate=own, key=own_key)


def with_token(security: Security, token: Any) -> Security:
    return Security(ca=security.ca, certificate=security.certificate, key=security.key, token=token)


def test_every_kind_of_call_carries_the_token(
    auth: AuthConfig, secured: tuple[dict[str, Any], Security]
) -> None:
    settings, base = secured
    security = with_token(base, TOKEN)

    def synchronously(address: str) -> None:
        with Client(address, security=security) as client:
            assert client.upload_dataset("a", b"12345", SCHEMA).document_count == 5
            assert [run.id for run in client.list_runs()] == ["r"]
            assert [run.id for run in client.watch_run("r")] == ["r"]
            assert client.download("r", "f") == b"abcabcabc"
            assert [p.id for p in client.predict_stream(["x", "y"], run_id="r")] == ["0", "1"]

    async def scenario() -> None:
        async with coordinator(auth, **settings) as server:
            async with AsyncClient(server.address, security=security) as client:
                uploaded = await client.upload_dataset("a", b"12345", SCHEMA)
                assert uploaded.document_count == 5
                assert [run.id async for run in client.list_runs()] == ["r"]
                assert [run.id async for run in client.watch_run("r")] == ["r"]
                assert await client.download("r", "f") == b"abcabcabc"
                predictions = client.predict_stream(["x", "y"], run_id="r")
                assert [p.id async for p in predictions] == ["0", "1"]
            await asyncio.to_thread(synchronously, server.address)

    asyncio.run(scenario())


def test_refusals_are_errors_of_their_own_and_are_not_retried(auth: AuthConfig) -> None:
    def synchronously(address: str) -> None:
        with Client(address) as client, pytest.raises(Unauthenticated) as missing:
            list(client.list_runs())
        assert missing.value.reason == "TOKEN_MISSING"
        assert missing.value.request_id
        with (
            Client(address, security=Security(token=READER)) as client,
            pytest.raises(PermissionDenied) as denied,
        ):
            client.upload_dataset("a", b"12345", SCHEMA)
        assert denied.value.metadata == {"method": f"/{NAME}/UploadDataset", "role": "write"}

    async def scenario() -> None:
        async with coordinator(auth) as server:
            await asyncio.to_thread(synchronously, server.address)
            async with AsyncClient(server.address) as client:
                with pytest.raises(Unauthenticated):
                    await client.download("r", "f")

    asyncio.run(scenario())


def test_a_token_may_change_from_call_to_call(auth: AuthConfig, tmp_path: Path) -> None:
    path = tmp_path / "token"
    security = Security(token=TokenFile(path))

    def synchronously(address: str) -> None:
        path.write_text("wrong-token-0123456789\n")
        with Client(address, security=security) as client:
            with pytest.raises(Unauthenticated):
                list(client.list_runs())
            path.write_text(f"{TOKEN}\n")
            list(client.list_runs())

    async def scenario() -> None:
        async with coordinator(auth) as server:
            await asyncio.to_thread(synchronously, server.address)
            async with AsyncClient(server.address, security=security) as client:
                assert [run.id async for run in client.list_runs()] == ["r"]
                path.unlink()
                with pytest.raises(FailedPrecondition, match="TOKEN_UNUSABLE"):
                    [run async for run in client.list_runs()]

    asyncio.run(scenario())


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "字", None, 7])
def test_a_token_that_is_none_is_not_sent_and_not_shown(token: Any) -> None:
    with (
        Client("127.0.0.1:1", security=Security(token=lambda: token)) as client,
        pytest.raises(FailedPrecondition) as caught,
    ):
        list(client.list_runs())
    assert caught.value.reason == "TOKEN_UNUSABLE"
    with (
        Client("127.0.0.1:1", security=Security(token=lambda: token)) as client,
        pytest.raises(FailedPrecondition, match="TOKEN_UNUSABLE"),
    ):
        next(client.predict_stream(["x"], run_id="r"))
    assert not isinstance(token, str) or not token or token not in str(caught.value)


def test_repr_shows_no_secret() -> None:
    shown = repr(Security(token=TOKEN, certificate=b"-----BEGIN ", key=b"-----BEGIN KEY"))
    assert TOKEN not in shown
    assert "KEY" not in shown
    config = CoordinatorConfig(peer_token=Secret(TOKEN))
    assert TOKEN not in repr(config)


@pytest.mark.parametrize("address", ["slcolm:50050", "10.0.0.7:50050", "dns:///a.example:1"])
def test_a_token_does_not_leave_this_machine_in_plain_text(address: str) -> None:
    security = Security(token=TOKEN)
    with pytest.raises(FailedPrecondition) as caught:
        connect(address, security=security)
    assert caught.value.reason == "TOKEN_OVER_PLAINTEXT"
    assert TOKEN not in str(caught.value)

    async def scenario() -> None:
        with pytest.raises(FailedPrecondition):
            connect_aio(address, security=security)

    asyncio.run(scenario())
    connect(address, security=Security(token=TOKEN, token_over_plaintext=True)).close()
    connect(address, security=Security(token=TOKEN, tls=True)).close()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("localhost", True),
        ("[::1]:1", True),
        ("::1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:2", False),
        ("ipv6:[::1]:1", True),
        ("ipv6:[::1]:1,[2001:db8::1]:1", False),
        ("dns:///localhost:1", True),
        ("dns:localhost:1", True),
        ("dns://8.8.8.8/localhost:1", False),
        ("unix:/tmp/socket", True),
        ("localhost.example:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost:1@example.com:2", False),
        ("xds:///localhost:1", False),
        ("10.0.0.1:1", False),
        ("0.0.0.0:1", False),
    ],
)
def test_what_is_surely_on_this_machine(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_a_message_that_is_too_large_says_so(auth: AuthConfig) -> None:
    def synchronously(address: str) -> None:
        with (
            Client(address, security=Security(token=TOKEN)) as client,
            pytest.raises(ResourceExhausted) as caught,
        ):
            client.upload_dataset("a", b"1" * 100_000, SCHEMA)
        assert caught.value.reason == "MESSAGE_TOO_LARGE"
        assert caught.value.metadata["limit"] == "1000"

    async def scenario() -> None:
        async with coordinator(auth, max_message_bytes=1000) as server:
            await asyncio.to_thread(synchronously, server.address)

    asyncio.run(scenario())


def test_the_coordinator_calls_the_others_with_what_it_is_configured_with(
    auth: AuthConfig, secured: tuple[dict[str, Any], Security], tmp_path: Path
) -> None:
    settings, base = secured
    token_file = replace(tmp_path / "peer-token", f"{READER}\n".encode())

    def ask(address: str, **options: Any) -> str:
        config = CoordinatorConfig(
            retrieval_address=address,
            peer_ca=base.ca if isinstance(base.ca, Path) else None,
            peer_certificate=base.certificate if isinstance(base.certificate, Path) else None,
            peer_key=base.key if isinstance(base.key, Path) else None,
            **options,
        )
        peers = Peers(config)
        request = retrieval_pb2.GetIndexRequest(index_revision="a")
        try:
            response: retrieval_pb2.GetIndexResponse = peers.invoke(
                "retrieval", peers.retrieval.GetIndex, request
            )
        finally:
            peers.close()
        return response.index.revision

    async def scenario() -> None:
        hooks = {"roles": {"GetIndex": Role.READ}}
        async with serve(answer, hooks=hooks, auth=auth, **settings) as server:
            for options in ({"peer_token": Secret(READER)}, {"peer_token_file": token_file}):
                assert await asyncio.to_thread(ask, server.address, **options) == "a"
            with pytest.raises(RemoteError) as caught:
                await asyncio.to_thread(ask, server.address)
            assert caught.value.code == "UNAUTHENTICATED"
            assert caught.value.reason == "TOKEN_MISSING"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"peer_ca": Path("/nowhere.crt")}, "security.ca"),
        (
            {"peer_token": Secret(TOKEN), "retrieval_address": "retrieval:50052"},
            "retrieval:50052 in plain text",
        ),
    ],
)
def test_a_coordinator_that_cannot_call_says_so_at_the_start(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Peers(CoordinatorConfig(**settings))
    assert problem in caught.value.message
    assert not isinstance(caught.value, ServiceUnavailable)


def test_a_coordinator_has_one_token() -> None:
    with pytest.raises(ConfigInvalid):
        CoordinatorConfig(peer_token=Secret(TOKEN), peer_token_file=Path("a"))
