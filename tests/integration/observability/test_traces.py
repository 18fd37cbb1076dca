"""Spans over real processes and a real collector: one trace for a run, and for a prediction."""

from __future__ import annotations

from typing import Any

import pytest
from support.observed import (
    CALLER_SPAN,
    COLLECTOR_KEY,
    PREDICTION,
    PREDICTION_TRACE,
    RUN_TRACE,
    Observed,
)

from slcolm_services.coordinator.stages import STAGE_NAMES
from slcolm_services.embedded import PEERS

pytest.importorskip("opentelemetry")

ATTRIBUTES = {
    *("rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type"),
    *("slcolm.request_id", "slcolm.run_id", "slcolm.stage"),
}


@pytest.fixture
def run_spans(observed: Observed) -> list[Any]:
    """The spans of the run's trace."""
    stages = {f"stage {name}" for name in STAGE_NAMES}
    observed.collector.wait(
        lambda spans: (
            {span.name for span in spans if span.trace_id == RUN_TRACE} >= stages
            and _settled([span for span in spans if span.trace_id == RUN_TRACE])
        )
    )
    found: list[Any] = observed.collector.of_trace(RUN_TRACE)
    return found


def _settled(spans: list[Any]) -> bool:
    """Whether every call that was made is there from both sides."""
    asked = {span.span_id for span in spans if span.kind == "CLIENT"}
    return asked <= {span.parent_id for span in spans if span.kind == "SERVER"}


def test_a_run_is_one_trace_over_all_services(observed: Observed, run_spans: list[Any]) -> None:
    assert {span.service for span in run_spans} == {
        f"slcolm-{role}" for role in (*PEERS, "coordinator")
    }
    assert [span.name for span in run_spans if span.name.startswith("stage ")] == [
        f"stage {name}" for name in STAGE_NAMES
    ]


def test_spans_hang_together_from_the_caller_to_the_last_service(run_spans: list[Any]) -> None:
    by_id = {span.span_id: span for span in run_spans}
    (root,) = (span for span in run_spans if span.parent_id == CALLER_SPAN)

    assert root.name.endswith("CoordinatorService/CreateRun")
    for span in run_spans:
        if span is not root:
            parent = by_id[span.parent_id]
            if span.name.startswith("stage "):
                assert parent is root
            elif span.kind == "CLIENT":
                assert parent.service == "slcolm-coordinator"
                assert parent.name.startswith("stage ") or parent is root
            else:
                assert (span.kind, parent.kind, parent.name) == ("SERVER", "CLIENT", span.name)


def test_spans_of_calls_tell_method_code_request_run_and_stage(
    observed: Observed, run_spans: list[Any]
) -> None:
    guided = [
        span
        for span in run_spans
        if span.kind == "SERVER" and span.name.endswith("GuidanceService/Guide")
    ]

    assert guided
    for span in guided:
        assert span.attributes.pop("slcolm.request_id")
        assert span.attributes == {
            "rpc.system.name": "grpc",
            "rpc.method": "slcolm.guidance.v1.GuidanceService/Guide",
            "rpc.response.status_code": "OK",
            "slcolm.run_id": observed.run.id,
            "slcolm.stage": "guide",
        }
        assert not span.failed


def test_a_prediction_is_one_trace(observed: Observed) -> None:
    services = {"coordinator", "extraction", "retrieval", "guidance", "evaluation"}
    observed.collector.wait(
        lambda spans: (
            {span.service for span in spans if span.trace_id == PREDICTION_TRACE}
            >= {f"slcolm-{role}" for role in services}
        )
    )

    for span in observed.collector.of_trace(PREDICTION_TRACE):
        if span.kind == "SERVER":
            assert span.attributes["slcolm.request_id"] == PREDICTION


def test_no_span_has_a_text_or_a_key(observed: Observed, run_spans: list[Any]) -> None:
    spans = observed.collector.wait(bool)
    texts = [document.text for part in observed.data.documents.values() for document in part]

    assert set().union(*(span.attributes for span in spans)) <= ATTRIBUTES
    for span in spans:
        assert "events" not in span.raw
        assert COLLECTOR_KEY not in span.raw
        assert not [text for text in texts if text in span.raw]


@pytest.mark.parametrize("role", [*PEERS, "coordinator"])
def test_lines_of_the_log_have_the_trace(observed: Observed, role: str) -> None:
    ended = [line for line in observed.log(role) if line["event"] in ("call ended", "stage done")]

    assert ended
    assert all(len(line["trace_id"]) == 32 for line in ended)
    assert any(line["trace_id"] == RUN_TRACE for line in ended)


@pytest.mark.parametrize("role", [*PEERS, "coordinator"])
def test_the_collectors_headers_are_sent_and_told_nobody(observed: Observed, role: str) -> None:
    observed.collector.wait(bool)

    assert all(headers["x-key"] == COLLECTOR_KEY for headers in observed.collector.headers)
    for part in ("logs", "config"):
        for file in (observed.home / part).iterdir():
            assert COLLECTOR_KEY not in file.read_text(encoding="utf-8")
