"""A whole system that shows its metrics, with one run and one prediction done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.annals import small_data
from support.observed import PREDICTION, Observed

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_client import Client, call, connect
from slcolm_services.embedded import Embedded


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    home, data = tmp_path_factory.mktemp("home"), small_data(tmp_path_factory.mktemp("data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLCOLM_SERVER_METRICS_PORT", "0")
        with Embedded(home) as system, Client(system.coordinator) as client:
            created = client.create_run(data.spec(client))
            *_, run = client.watch_run(created.id, timeout_seconds=280)
            assert run.state == coordinator_pb2.RUN_STATE_SUCCEEDED, run.error.message
            documents = [
                common_pb2.Document(id=document.id, text=document.text)
                for document in data.documents["test"][:3]
            ]
            request = coordinator_pb2.PredictRequest(run_id=run.id, documents=documents)
            with connect(system.coordinator) as channel:
                stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
                call(stub.Predict, request, timeout_seconds=60, request_id=PREDICTION)
            yield Observed(home, data, run, len(documents))
