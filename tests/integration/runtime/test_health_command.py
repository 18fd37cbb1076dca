"""`slcolm health` says what a service says of itself, and its exit status is for programs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.certificates import Authority
from support.serving import answer, serve

from slcolm_services.cli.main import slcolm


async def _health(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, slcolm, ["health", *arguments])


@pytest.mark.parametrize(
    ("load", "name", "status", "state"),
    [
        (True, "", 0, "SERVING"),
        (False, "", 1, "NOT_SERVING"),
        (False, "liveness", 0, "SERVING"),
        (True, "nothing", 1, "UNKNOWN_NAME"),
    ],
)
def test_the_state_is_told(load: bool, name: str, status: int, state: str) -> None:
    async def scenario() -> None:
        async with serve(answer, load=load) as server:
            result = await _health(server.address, "--name", name, "--json")
        told = json.loads(result.stdout)
        assert told == {"address": server.address, "name": name, "state": state}
        assert result.exit_code == status

    asyncio.run(scenario())


def test_a_service_that_is_not_there_is_unavailable() -> None:
    async def scenario() -> None:
        async with serve(answer) as server:
            address = server.address
        result = await _health(address)
        assert (result.stdout, result.exit_code) == ("UNAVAILABLE\n", 1)

    asyncio.run(scenario())


def test_the_health_port_answers_where_the_service_speaks_tls(tmp_path: Path) -> None:
    certificate, key = Authority().issue().write(tmp_path, "server")

    async def scenario() -> None:
        async with serve(answer, tls_certificate=certificate, tls_key=key, health_port=0) as server:
            encrypted = await _health(server.address)
            plain = await _health(f"127.0.0.1:{server.health_port}")
        assert encrypted.exit_code == 1
        assert (plain.stdout, plain.exit_code) == ("SERVING\n", 0)

    asyncio.run(scenario())
