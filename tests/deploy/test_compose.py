"""The compose file starts what there is, as it wants to be started."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from support.images import DOCKER, DOCKERFILE, USER

from slcolm_services.cli.main import slcolm
from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.runtime.config import ServerConfig, load_section

_CLOSING_SECONDS = 10
_HTTP = ("descriptors", "http")
"""What is started only where it is asked for."""
_GIVEN = {"POSTGRES_PASSWORD": "secret", "QDRANT_API_KEY": "secret"}


def _value(found: re.Match[str]) -> str:
    name, _, default = found[1].partition(":")
    return _GIVEN.get(name, default.removeprefix("-"))


def _compose() -> Mapping[str, Any]:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(_GIVEN)
    compose: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{([^}]+)\}", _value, text))
    return compose


SERVICES: Mapping[str, Any] = _compose()["services"]


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _environment(role: str) -> dict[str, str]:
    (health_port,) = re.findall(r"SLCOLM_SERVER_HEALTH_PORT=(\d+)", DOCKERFILE)
    return {"SLCOLM_SERVER_HEALTH_PORT": health_port, **SERVICES[role]["environment"]}


def test_every_service_is_there_with_what_keeps_its_state() -> None:
    assert set(SERVICES) == {*ROLES, "postgres", "qdrant", *_HTTP}
    assert {name for name, item in SERVICES.items() if "profiles" in item} == set(_HTTP)


def test_the_command_takes_the_variables(role: str) -> None:
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("SLCOLM_")}

    result = CliRunner().invoke(
        slcolm, ["serve", "--role", role, "--print-config"], env=clean | _environment(role)
    )

    assert result.exit_code == 0, result.exception
    assert "host='0.0.0.0'" in result.output
    assert "secret" not in result.output


def test_variables_are_settings_of_the_service_that_has_them(role: str) -> None:
    sections = {
        name.split("_")[1].lower() for name in _environment(role) if name.startswith("SLCOLM_")
    }

    assert sections <= {"server", role}


def test_every_service_runs_without_rights(role: str) -> None:
    service = SERVICES[role]

    assert service["user"] == f"{USER}:{USER}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["build"]["target"] == role


def test_the_coordinator_finds_every_service() -> None:
    config = load_section(
        CoordinatorConfig, "coordinator", path=None, environ=_environment("coordinator")
    )

    for peer in set(ROLES) - {"coordinator"}:
        port = _environment(peer)["SLCOLM_SERVER_PORT"]
        assert getattr(config, f"{peer}_address") == f"dns:///{peer}:{port}"


def test_those_with_a_store_share_a_volume(role: str) -> None:
    """Each at the same path, since runs keep nothing but digests, and settings the folder."""
    has_store = "store" in {item.name for item in dataclasses.fields(config_type(role))}
    shared = "store:/var/lib/slcolm/store" in SERVICES[role].get("volumes", [])

    assert shared == has_store
    if has_store:
        place = _environment(role)[f"SLCOLM_{role.upper()}_STORE"]
        assert place == "/var/lib/slcolm/store"
        assert place in DOCKERFILE  # the user's own before a volume covers it


def test_the_coordinator_alone_is_reached_and_guidance_reaches_endpoints() -> None:
    usual = {name: item for name, item in SERVICES.items() if name not in _HTTP}
    published = {name: item["ports"] for name, item in usual.items() if "ports" in item}
    outside = {name for name, item in usual.items() if "outside" in item["networks"]}
    port = _environment("coordinator")["SLCOLM_SERVER_PORT"]

    assert published == {"coordinator": [f"127.0.0.1:{port}:{port}"]}
    assert outside == {"coordinator", "guidance"}
    assert _compose()["networks"]["inside"] == {"internal": True}


def test_a_container_has_the_time_that_its_end_takes(role: str) -> None:
    server = load_section(ServerConfig, "server", path=None, environ=_environment(role))
    given = float(SERVICES[role]["stop_grace_period"].removesuffix("s"))

    assert given >= server.drain_delay_seconds + server.grace_seconds + _CLOSING_SECONDS


def test_http_finds_every_service_by_its_name_in_a_cluster() -> None:
    front, descriptors = SERVICES["http"], SERVICES["descriptors"]
    text = (DOCKER.parent / "http" / "envoy.yaml").read_text(encoding="utf-8")
    ports = {role: _environment(role)["SLCOLM_SERVER_PORT"] for role in ROLES}

    assert set(front["links"]) == {f"{role}:slcolm-{role}" for role in ROLES}
    for role, port in ports.items():
        assert f'address: "slcolm-{role}", port_value: {port}' in text
    assert front["ports"] == ["127.0.0.1:50080:50080"]
    assert "port_value: 50080" in text
    assert "../http/envoy.yaml:/etc/envoy/envoy.yaml:ro" in front["volumes"]
    # One volume, at two places: where the one may write, and where the configuration looks.
    folder = descriptors["command"][-1].removesuffix("/slcolm.pb")
    assert descriptors["volumes"] == [f"descriptors:{folder}"]
    assert "descriptors:/descriptors:ro" in front["volumes"]
    assert 'proto_descriptor: "/descriptors/slcolm.pb"' in text


@pytest.mark.parametrize("name", _HTTP)
def test_http_runs_without_rights(name: str) -> None:
    service = SERVICES[name]

    assert service["user"] == f"{USER}:{USER}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
