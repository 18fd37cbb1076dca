"""`slcolm serve` and commands that call a protected service, as processes and as users do."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.certificates import Authority, replace

from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from slcolm_client import Security, Unauthenticated, call, connect, wait_until_ready
from slcolm_services.cli.main import slcolm
from slcolm_services.embedded import Embedded
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.server import Server, Service

TOKEN = "0123456789abcdef-secret"
NAME = coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"].full_name


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    entry = f'[[auth.tokens]]\nname = "a"\nroles = ["read"]\ntoken = "{TOKEN}"\n'
    return replace(tmp_path / "tokens.toml", entry.encode())


def serve(config: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "slcolm_services"),
            *("serve", "--role", "evaluation", "--config", str(config)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SLCOLM_SERVER_DRAIN_DELAY_SECONDS": "0", **environment},
    )


def test_a_service_that_would_let_others_in_does_not_start(tmp_path: Path) -> None:
    config = replace(tmp_path / "slcolm.toml", b'[server]\nhost = "0.0.0.0"\n')
    with serve(config) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert not out
    error = json.loads(err.splitlines()[-1])["error"]
    assert "0.0.0.0 can be reached from other machines" in error
    assert "[server] allow_unprotected = true" in error


def test_a_service_takes_tls_and_tokens_from_file_and_environment(
    tmp_path: Path, tokens: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue().write(tmp_path, "server")
    config = replace(
        tmp_path / "slcolm.toml",
        f'[server]\nhost = "0.0.0.0"\ntls_certificate = "{certificate}"\n'
        f'[auth]\ntokens_file = "{tokens}"\n'.encode(),
    )
    with serve(config, SLCOLM_SERVER_TLS_KEY=str(key)) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["address"].rpartition(":")[2]
        request = evaluation_pb2.MergeRequest()
        security = Security(ca=authority.certificate, token=TOKEN)
        with connect(f"127.0.0.1:{port}", security=security) as channel:
            assert wait_until_ready(channel, timeout_seconds=60)
            stub = evaluation_pb2_grpc.EvaluationServiceStub(channel)
            with pytest.raises(Exception, match="INVALID_INPUT"):
                call(stub.Merge, request, timeout_seconds=60)
        open_security = Security(ca=authority.certificate)
        with connect(f"127.0.0.1:{port}", security=open_security) as channel:
            stub = evaluation_pb2_grpc.EvaluationServiceStub(channel)
            with pytest.raises(Unauthenticated):
                call(stub.Merge, request, timeout_seconds=60)
        process.terminate()
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert TOKEN not in err


def test_the_configuration_in_force_shows_no_secret(tmp_path: Path, tokens: Path) -> None:
    environment = {
        "SLCOLM_AUTH_TOKENS_FILE": str(tokens),
        "SLCOLM_COORDINATOR_PEER_TOKEN": TOKEN,
    }
    command = ["serve", "--role", "coordinator", "--print-config"]
    result = CliRunner().invoke(slcolm, command, env=environment)
    assert result.exit_code == 0, result.output
    assert str(tokens) in result.output
    assert TOKEN not in result.output


class _Runs(coordinator_pb2_grpc.CoordinatorServiceServicer):
    async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802
        spec = coordinator_pb2.RunSpec(display_name="a")
        run = coordinator_pb2.Run(id="3f2a9c01b7de", spec=spec)
        return coordinator_pb2.ListRunsResponse(runs=[run])


def test_commands_reach_a_protected_coordinator_by_the_environment(
    tmp_path: Path, tokens: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue().write(tmp_path, "server")
    ca = replace(tmp_path / "ca.crt", authority.certificate)
    service = Service(
        name=NAME,
        register=lambda server: coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(
            _Runs(), server
        ),
        roles={"ListRuns": Role.READ},
    )
    config = ServerConfig(tls_certificate=certificate, tls_key=key, drain_delay_seconds=0.0)

    def listed(address: str, **environment: str) -> Any:
        command = ["runs", "list", "--json", "--coordinator", address]
        return CliRunner().invoke(slcolm, command, env=environment)

    async def scenario() -> None:
        async with Server(service, config, AuthConfig(tokens_file=tokens)) as server:
            await server.load()
            environment = {"SLCOLM_CLIENT_CA": str(ca), "SLCOLM_CLIENT_TOKEN": TOKEN}
            found = await asyncio.to_thread(listed, server.address, **environment)
            assert "3f2a9c01b7de" in found.output
            without = await asyncio.to_thread(listed, server.address, SLCOLM_CLIENT_CA=str(ca))
            assert isinstance(without.exception, Unauthenticated)

    asyncio.run(scenario())


def test_one_token_is_enough() -> None:
    environment = {"SLCOLM_CLIENT_TOKEN": TOKEN, "SLCOLM_CLIENT_TOKEN_FILE": "a"}
    command = ["runs", "list", "--coordinator", "127.0.0.1:1"]
    result = CliRunner().invoke(slcolm, command, env=environment)
    assert isinstance(result.exception, ConfigInvalid)
    assert TOKEN not in str(result.exception.violations)


@pytest.mark.parametrize(
    "settings",
    [
        {"server": {"tls_certificate": "a", "tls_key": "b"}},
        {"server": {"allow_unprotected": True}},
        {"auth": {"tokens_file": "a"}},
        {"coordinator": {"peer_tls": True}},
    ],
)
def test_services_of_a_home_stay_as_they_are(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(ConfigInvalid):
        Embedded(tmp_path, settings=settings)


def test_services_of_a_home_are_not_protected_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would wait for each other until the start is given up."""
    monkeypatch.setenv("SLCOLM_AUTH_TOKENS_FILE", "a")
    monkeypatch.setenv("SLCOLM_SERVER_TLS_KEY", "b")
    with pytest.raises(ConfigInvalid) as caught:
        Embedded(tmp_path)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["SLCOLM_AUTH_TOKENS_FILE", "SLCOLM_SERVER_TLS_KEY"]
