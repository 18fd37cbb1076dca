"""A whole system on a small part of the sample: real processes, real sockets, a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.annals import Data, small_data
from support.trained import Trained, trained_once

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client
from slcolm_services.embedded import Embedded


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str, data: Data) -> Trained:
    """A model for runs whose training is not what is tested."""
    return trained_once(tmp_path_factory, worker_id, data)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Path:
    """Of the system; it has the model that `run` asks for."""
    path = tmp_path_factory.mktemp("home")
    trained.give(path, 1)
    return path


@pytest.fixture(scope="session")
def system(home: Path) -> Iterator[Embedded]:
    with Embedded(home) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def client(system: Embedded) -> Iterator[Client]:
    with Client(system.coordinator) as connected:
        yield connected


@pytest.fixture(scope="session")
def run(client: Client, data: Data, home: Path) -> coordinator_pb2.Run:
    """A run that has succeeded, with the model that it was given."""
    given = {path.name for path in (home / "store" / "models").iterdir()}
    created = client.create_run(data.spec(client))
    *_, last = client.watch_run(created.id, timeout_seconds=240)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    assert last.model_revision in given
    return last
