"""Every method of every contract has a role, and the documentation says which."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor import ServiceDescriptor

import slcolm
from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.server import Service

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"
_ROW = re.compile(r"\| `(\w+Service)/(\w+)` \| (\w+) \|")


def contracts() -> Iterator[ServiceDescriptor]:
    """Every service of every generated module."""
    for module in pkgutil.walk_packages(slcolm.__path__, "slcolm."):
        if module.name.endswith("_pb2"):
            services = importlib.import_module(module.name).DESCRIPTOR.services_by_name
            yield from services.values()


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Service]:
    """The services as they are served, by full name."""
    monkeypatch.chdir(tmp_path)
    built = []
    for role in ROLES:
        module = importlib.import_module(f"slcolm_services.{role}.service")
        built.append(module.build(config_type(role)()))
    return {service.name: service for service in built}


def roles(services: dict[str, Service]) -> dict[str, Mapping[str, Role]]:
    """Roles of all methods, by the full name of their service."""
    own = {name: service.roles for name, service in services.items()}
    return own | {name: more for each in services.values() for name, more in each.others.items()}


def test_every_method_of_every_contract_has_a_role(services: dict[str, Service]) -> None:
    declared = {service.full_name: {m.name for m in service.methods} for service in contracts()}
    assert len(declared) >= len(ROLES)
    assert {name: set(by_method) for name, by_method in roles(services).items()} == declared


def test_the_documentation_has_the_same_roles(services: dict[str, Service]) -> None:
    documented = {
        (service, method): role
        for service, method, role in _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    }
    assert documented == {
        (name.rpartition(".")[2], method): role.name.lower()
        for name, by_method in roles(services).items()
        for method, role in by_method.items()
    }
