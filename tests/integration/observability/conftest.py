"""A whole system that shows its metrics and traces, with one run and one prediction done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest
from support.annals import small_data
from support.observed import (
    CALLER_SPAN,
    COLLECTOR_KEY,
    PREDICTION,
    PREDICTION_TRACE,
    RUN_TRACE,
    Observed,
)

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_client import Client, connect
from slcolm_services.embedded import Embedded


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    home, data = tmp_path_factory.mktemp("home"), small_data(tmp_path_factory.mktemp("data"))
    collector: Any = None
    with ExitStack() as stack:
        # For these services alone: tests between those that share them start others.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLCOLM_SERVER_METRICS_PORT", "0")
            if find_spec("opentelemetry"):
                from support import collector as receiver

                collector = stack.enter_context(receiver.collector())
                patch.setenv("SLCOLM_TELEMETRY_OTLP_ENDPOINT", collector.url)
                patch.setenv("SLCOLM_TELEMETRY_OTLP_HEADERS", f"x-key={COLLECTOR_KEY}")
                patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
            system = stack.enter_context(Embedded(home))
        client = stack.enter_context(Client(system.coordinator))
        stub: Any = coordinator_pb2_grpc.CoordinatorServiceStub(
            stack.enter_context(connect(system.coordinator))
        )
        created = stub.CreateRun(
            coordinator_pb2.CreateRunRequest(spec=data.spec(client)),
            timeout=60,
            metadata=[_traceparent(RUN_TRACE)],
        )
        *_, run = client.watch_run(created.run.id, timeout_seconds=280)
        assert run.state == coordinator_pb2.RUN_STATE_SUCCEEDED, run.error.message
        documents = [
            common_pb2.Document(id=document.id, text=document.text)
            for document in data.documents["test"][:3]
        ]
        stub.Predict(
            coordinator_pb2.PredictRequest(run_id=run.id, documents=documents),
            timeout=60,
            metadata=[_traceparent(PREDICTION_TRACE), ("x-request-id", PREDICTION)],
        )
        yield Observed(home, data, run, len(documents), collector)


def _traceparent(trace_id: str) -> tuple[str, str]:
    return "traceparent", f"00-{trace_id}-{CALLER_SPAN}-01"
