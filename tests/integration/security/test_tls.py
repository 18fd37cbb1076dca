"""TLS and client certificates over real sockets, with the damage that happens to them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from support.certificates import Authority, Pair, replace
from support.health import SERVING
from support.serving import answer, failure, get, serve, stub_of

from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_client import InvalidArgument, Security, call, connect
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.server import Server


@dataclass(frozen=True)
class Files:
    """A server's files, and the authority behind them."""

    folder: Path
    authority: Authority
    pair: Pair
    certificate: Path
    key: Path
    ca: Path

    @property
    def settings(self) -> dict[str, Any]:
        return {"tls_certificate": self.certificate, "tls_key": self.key}

    @property
    def mutual(self) -> dict[str, Any]:
        return {**self.settings, "tls_client_ca": self.ca}

    def client(self, pair: Pair | None = None) -> Security:
        if pair is None:
            return Security(ca=self.ca)
        return Security(ca=self.ca, certificate=pair.certificate, key=pair.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = Authority()
    pair = authority.issue()
    ca = replace(tmp_path / "ca.crt", authority.certificate)
    return Files(tmp_path, authority, pair, *pair.write(tmp_path, "server"), ca)


async def refused(server: Server, security: Security) -> grpc.StatusCode:
    async with stub_of(server, security=security) as stub:
        return (await failure(stub)).code()


async def shown(server: Server, ca: Path) -> bytes:
    """The certificate that a new connection is shown, checked against an authority."""

    def look() -> bytes:
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            found = secure.getpeercert(binary_form=True)
        assert found is not None
        return found

    return await asyncio.to_thread(look)


def test_calls_of_both_stacks_go_through_tls(files: Files) -> None:
    def synchronously(address: str) -> str:
        with connect(address, security=files.client()) as channel:
            stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
            request = retrieval_pb2.GetIndexRequest(index_revision="sync")
            response: retrieval_pb2.GetIndexResponse = call(
                stub.GetIndex, request, timeout_seconds=30
            )
            return response.index.revision

    async def scenario() -> None:
        async with serve(answer, **files.settings) as server:
            async with stub_of(server, security=files.client()) as stub:
                assert (await get(stub, "aio")).index.revision == "aio"
            assert await asyncio.to_thread(synchronously, server.address) == "sync"

    asyncio.run(scenario())


def test_a_client_without_tls_or_of_another_authority_does_not_connect(files: Files) -> None:
    async def scenario() -> None:
        async with serve(answer, **files.settings) as server:
            other = Security(ca=Authority().certificate)
            assert await refused(server, other) is grpc.StatusCode.UNAVAILABLE
            assert await refused(server, Security(tls=True)) is grpc.StatusCode.UNAVAILABLE
            assert await refused(server, Security()) is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())


def test_a_client_needs_a_certificate_of_the_right_authority(files: Files) -> None:
    async def scenario() -> None:
        async with serve(answer, **files.mutual) as server:
            good = files.client(files.authority.issue("client"))
            async with stub_of(server, security=good) as stub:
                assert (await get(stub, "a")).index.revision == "a"
            for bad in (
                None,
                Authority("authority").issue("client"),
                files.authority.issue("client", valid=timedelta(days=-1)),
            ):
                code = await refused(server, files.client(bad))
                assert code is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())


def test_certificates_are_swapped_under_traffic_and_no_call_fails(files: Files) -> None:
    """Key and certificate come one after the other: in between they do not belong together."""

    async def fresh(server: Server) -> None:
        credentials = grpc.ssl_channel_credentials(files.authority.certificate)
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        async with grpc.aio.secure_channel(server.address, credentials, options) as channel:
            await get(retrieval_pb2_grpc.RetrievalServiceStub(channel))

    async def scenario() -> None:
        async with (
            serve(answer, **files.settings) as server,
            stub_of(server, security=files.client()) as lasting,
        ):
            assert await shown(server, files.ca) == files.pair.der
            previous = files.pair
            for _ in range(5):
                pair = files.authority.issue()
                replace(files.key, pair.key)
                await asyncio.gather(fresh(server), get(lasting))
                assert await shown(server, files.ca) == previous.der
                replace(files.certificate, pair.certificate)
                await asyncio.gather(fresh(server), get(lasting))
                assert await shown(server, files.ca) == pair.der
                previous = pair

    asyncio.run(scenario())


def test_an_authority_of_clients_is_swapped_too(files: Files) -> None:
    async def scenario() -> None:
        other = Authority("other")
        client = files.client(other.issue("client"))
        async with serve(answer, **files.mutual) as server:
            assert await refused(server, client) is grpc.StatusCode.UNAVAILABLE
            replace(files.folder / "clients.crt", other.certificate).replace(files.ca)
            trusting = Security(
                ca=files.authority.certificate, certificate=client.certificate, key=client.key
            )
            async with stub_of(server, security=trusting) as stub:
                await get(stub)

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", [b"", b"no certificate", None, "expired"])
def test_a_broken_file_keeps_the_old_certificate_and_is_logged(
    files: Files, damage: bytes | str | None
) -> None:
    async def scenario() -> None:
        async with serve(answer, **files.settings) as server:
            if damage is None:
                files.certificate.unlink()
            elif isinstance(damage, bytes):
                replace(files.certificate, damage)
            else:
                files.authority.issue(valid=timedelta(days=-1)).write(files.folder, "server")
            with capture_logs() as logs:
                for _ in range(3):
                    assert await shown(server, files.ca) == files.pair.der
            entries = [entry for entry in logs if entry["event"] == "change not taken"]
            assert len(entries) == 1, "once, not at every connection"
            assert entries[0]["log_level"] == "error"
            assert "[server] tls_certificate" in entries[0]["violations"][0]
            new = files.authority.issue()
            new.write(files.folder, "server")
            assert await shown(server, files.ca) == new.der

    asyncio.run(scenario())


def _expired(files: Files) -> None:
    files.authority.issue(valid=timedelta(days=-1)).write(files.folder, "server")


@pytest.mark.parametrize(
    ("damage", "setting", "problem"),
    [
        (lambda files: files.certificate.unlink(), "tls_certificate", "cannot be read"),
        (lambda files: files.key.unlink(), "tls_key", "cannot be read"),
        (lambda files: files.ca.unlink(), "tls_client_ca", "cannot be read"),
        (lambda files: files.certificate.write_bytes(b"x"), "tls_certificate", "no certificate"),
        (lambda files: files.key.write_bytes(b"x"), "tls_key", "no private key"),
        (lambda files: files.ca.write_bytes(b"x"), "tls_client_ca", "no certificate"),
        (lambda files: files.key.write_bytes(Authority().issue().key), "tls_key", "not the key of"),
        (_expired, "tls_certificate", "expired"),
    ],
)
def test_a_server_does_not_start_with_a_broken_file(
    files: Files, damage: Callable[[Files], None], setting: str, problem: str
) -> None:
    damage(files)

    async def scenario() -> None:
        with pytest.raises(ConfigInvalid) as caught:
            async with serve(answer, **files.mutual):
                pass
        (violation,) = caught.value.violations
        assert violation.field == f"[server] {setting}"
        assert problem in violation.problem

    asyncio.run(scenario())


def test_the_health_port_answers_in_plain_text_and_has_nothing_else(files: Files) -> None:
    async def scenario() -> None:
        async with serve(answer, load=False, health_port=0, **files.mutual) as server:
            assert server.health_port not in (None, 0, server.port)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
                health = health_pb2_grpc.HealthStub(channel)
                request = health_pb2.HealthCheckRequest()
                before = await health.Check(request, timeout=30)
                assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
                await server.load()
                assert (await health.Check(request, timeout=30)).status == SERVING
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await get(retrieval_pb2_grpc.RetrievalServiceStub(channel))
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                await server.drain()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("security", "field"),
    [
        (Security(ca=Path("/nowhere/ca.crt")), "security.ca"),
        (Security(ca=b"no pem"), "security.ca"),
        (Security(certificate=b"-----BEGIN "), "security.certificate"),
    ],
)
def test_a_client_says_which_of_its_files_is_broken(security: Security, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        connect("localhost:1", security=security)
    assert caught.value.violations[0].field == field
