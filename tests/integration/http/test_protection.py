"""Tokens and certificates, through the real Envoy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from support.certificates import Authority, Pair, replace
from support.clients import EXTRACTION, Extractor, on_loop, service
from support.envoy import Fronted, eventually, fronted, secrets

from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.server import Server, Service

READER = "reader-token-0123456789"
TOKENS = f'[[auth.tokens]]\nname = "dashboard"\ntoken = "{READER}"\nroles = ["read"]\n'
REQUEST = {"documents": [{"id": "a", "text": "A"}]}


def _needing(role: Role) -> Service:
    plain = service(Extractor())
    return Service(name=EXTRACTION, register=plain.register, roles={"Extract": role})


@pytest.mark.parametrize(
    ("header", "role", "status", "reason"),
    [
        ({}, Role.READ, 401, "TOKEN_MISSING"),
        ({"authorization": "Bearer another-token-0123456789"}, Role.READ, 401, "TOKEN_INVALID"),
        ({"authorization": f"Bearer {READER}"}, Role.WRITE, 403, "PERMISSION_DENIED"),
        ({"authorization": f"Bearer {READER}"}, Role.READ, 200, ""),
    ],
)
@on_loop
async def test_tokens_are_judged_by_the_service(
    header: dict[str, str], role: Role, status: int, reason: str, tmp_path: Path
) -> None:
    auth = AuthConfig(tokens_file=replace(tmp_path / "tokens.toml", TOKENS.encode()))
    async with Server(_needing(role), ServerConfig(), auth) as server:
        await server.load()
        async with fronted(tmp_path, {"extraction": server.address}) as front:
            answer = await front.call("extraction", "Extract", REQUEST, **header)
            log = await asyncio.to_thread(front.log.read_text)

    assert answer.status == status
    assert READER not in log
    if reason:
        assert answer.detail("ErrorInfo")["reason"] == reason


class Files:
    """What the Secret slcolm-tls holds, and the authority behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tls"
        self.folder.mkdir()
        self.authority = Authority()
        self.renew()
        (self.folder / "ca.crt").write_bytes(self.authority.certificate)

    def renew(self) -> Pair:
        pair = self.authority.issue()
        pair.write(self.folder, "tls")
        return pair

    def client(self, *, known: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        if known:
            context.load_cert_chain(self.folder / "tls.crt", self.folder / "tls.key")
        return context

    @property
    def server(self) -> ServerConfig:
        return ServerConfig(
            tls_certificate=self.folder / "tls.crt",
            tls_key=self.folder / "tls.key",
            tls_client_ca=self.folder / "ca.crt",
        )


@asynccontextmanager
async def protected(
    folder: Path, files: Files, extractor: Extractor, *, host: str = "localhost"
) -> AsyncIterator[Fronted]:
    """Envoy and an extraction service, each with a certificate; `host` is where Envoy calls it."""
    async with Server(service(extractor), files.server) as server:
        await server.load()
        async with fronted(
            folder,
            {"extraction": f"{host}:{server.port}"},
            secrets=secrets(folder, files.folder),
            verify=files.client(known=True),
        ) as front:
            yield front


@on_loop
async def test_with_certificates_both_sides_need_one(tmp_path: Path) -> None:
    files = Files(tmp_path)
    async with protected(tmp_path, files, Extractor()) as front:
        answer = await front.call("extraction", "Extract", REQUEST)
        with pytest.raises(httpx2.TransportError):
            await _stranger(front, files.client(known=False))
        with pytest.raises(httpx2.TransportError):
            await _stranger(front, Files(_folder(tmp_path)).client(known=True))

    assert answer.status == 200, answer.text
    assert answer.json["results"][0]["extraction"]["document"]["text"] == "A"


def _folder(folder: Path) -> Path:
    other = folder / "other"
    other.mkdir()
    return other


async def _stranger(front: Fronted, context: ssl.SSLContext) -> None:
    async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
        await client.get(f"{front.url}/healthz")


@on_loop
async def test_a_service_that_is_another_is_not_called(tmp_path: Path) -> None:
    """Its certificate is of the authority, and names something else."""
    files = Files(tmp_path)
    extractor = Extractor()
    # The certificate names 127.0.0.1, and this is it too.
    async with protected(tmp_path, files, extractor, host="127.0.0.2") as front:
        answer = await front.call("extraction", "Extract", REQUEST)

    assert (answer.status, answer.json["code"]) == (503, 14)
    assert extractor.arrived == []


@on_loop
async def test_certificates_that_are_renewed_are_read_again(tmp_path: Path) -> None:
    files = Files(tmp_path)
    async with protected(tmp_path, files, Extractor()) as front:
        before = await _shown(front, files)
        renewed = await asyncio.to_thread(files.renew)
        await eventually(_shows, front, files, renewed.der)
        answer = await front.call("extraction", "Extract", REQUEST)

    assert before != renewed.der
    assert answer.status == 200


async def _shows(front: Fronted, files: Files, certificate: bytes) -> bool:
    return await _shown(front, files) == certificate


async def _shown(front: Fronted, files: Files) -> bytes:
    """The certificate that a new connection is shown."""
    where = urlsplit(front.url)
    _, writer = await asyncio.open_connection(
        "127.0.0.1", where.port, ssl=files.client(known=True), server_hostname="localhost"
    )
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found
