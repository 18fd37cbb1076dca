"""A whole system on a small part of the sample: real processes, real sockets, a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.annals import Data, small_data

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client
from slcolm_services.embedded import Embedded


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def system(home: Path) -> Iterator[Embedded]:
    with Embedded(home) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def client(system: Embedded) -> Iterator[Client]:
    with Client(system.coordinator) as connected:
        yield connected


@pytest.fixture(scope="session")
def run(client: Client, data: Data) -> coordinator_pb2.Run:
    """A run that has succeeded."""
    created = client.create_run(data.spec(client))
    *_, last = client.watch_run(created.id, timeout_seconds=240)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    return last
