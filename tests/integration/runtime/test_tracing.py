"""Spans of a process, as a real collector gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from support.serving import Serving, answer, failure, get, stub_of

from slcolm_services.errors import NotFound
from slcolm_services.runtime import tracing
from slcolm_services.runtime.telemetry_config import TelemetryConfig

pytest.importorskip("opentelemetry")

TRACE, CALLER = "a" * 32, "c" * 16


@pytest.fixture
def collector() -> Iterator[Any]:
    from support import collector as receiver

    with receiver.collector() as running:
        yield running


def called(serving: Serving, *metadata: tuple[str, str], handler: Any = answer) -> Any:
    """Call a server once; the error where it fails."""

    async def scenario() -> Any:
        async with serving(handler) as server, stub_of(server) as stub:
            if handler is not answer:
                return await failure(stub, metadata=metadata)
            return await get(stub, metadata=metadata)

    return asyncio.run(scenario())


def test_a_call_continues_the_trace_of_its_caller(serving: Serving, collector: Any) -> None:
    with tracing.tracing(TelemetryConfig(collector.url), "retrieval"):
        called(serving, ("traceparent", f"00-{TRACE}-{CALLER}-01"), ("x-request-id", "mine"))

    (span,) = collector.spans
    assert (span.service, span.kind) == ("slcolm-retrieval", "SERVER")
    assert (span.trace_id, span.parent_id) == (TRACE, CALLER)
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "slcolm.retrieval.v1.RetrievalService/GetIndex",
        "rpc.response.status_code": "OK",
        "slcolm.request_id": "mine",
    }


@pytest.mark.parametrize(
    ("error", "code", "failed"),
    [(RuntimeError("甲为太守"), "INTERNAL", True), (NotFound("甲为太守"), "NOT_FOUND", False)],
)
def test_a_call_that_fails_has_its_code_and_no_word_of_its_error(
    serving: Serving, collector: Any, error: Exception, code: str, failed: bool
) -> None:
    async def fail(request: Any, context: Any) -> Any:
        raise error

    with tracing.tracing(TelemetryConfig(collector.url), "retrieval"):
        assert called(serving, handler=fail).code().name == code

    (span,) = collector.spans
    assert span.attributes["rpc.response.status_code"] == code
    assert span.failed == failed
    assert "甲" not in span.raw
    assert "events" not in span.raw


@pytest.mark.parametrize(
    ("metadata", "spans"),
    [
        ((), 0),
        ((("traceparent", f"00-{TRACE}-{CALLER}-01"),), 1),
        ((("traceparent", "no trace"),), 0),
    ],
)
def test_a_share_of_the_traces_that_begin_here_is_kept_and_callers_decide_on_theirs(
    serving: Serving, collector: Any, metadata: Any, spans: int
) -> None:
    with tracing.tracing(TelemetryConfig(collector.url, sample_share=0.0), "retrieval"):
        called(serving, *metadata)

    assert len(collector.spans) == spans


def test_nothing_is_traced_without_a_collector(serving: Serving) -> None:
    with tracing.tracing(TelemetryConfig(), "retrieval"), tracing.span("a") as span:
        assert span.headers == {}
        assert tracing.traceparent() == ""
        assert "trace_id" not in structlog.contextvars.get_contextvars()


def test_a_collector_that_is_down_costs_no_call(serving: Serving) -> None:
    config = TelemetryConfig("http://127.0.0.1:1")
    with tracing.tracing(config, "retrieval"):
        assert called(serving).index.revision == "a"
