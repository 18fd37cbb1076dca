"""Spans of a process, as a real collector gets them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from support.serving import Serving, answer, failure, get, stub_of

from slcolm_services.errors import ConfigInvalid, NotFound
from slcolm_services.runtime import tracing
from slcolm_services.runtime.config import Secret
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


def test_services_start_without_the_package_and_say_so_when_it_is_needed() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.telemetry_config import TelemetryConfig
from slcolm_services.runtime.tracing import tracing
import slcolm_services.runtime.service
with tracing(TelemetryConfig(), "a"):
    pass
try:
    with tracing(TelemetryConfig("http://localhost:4317"), "a"):
        pass
except ConfigInvalid as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert "slcolm[telemetry]" in done.stdout


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"otlp_endpoint": "localhost:4317"}, "otlp_endpoint"),
        ({"otlp_endpoint": "http://localhost"}, "otlp_endpoint"),
        ({"otlp_endpoint": "http://localhost:4318/v1/traces"}, "otlp_endpoint"),
        ({"otlp_headers": Secret("authorization: Bearer x")}, "otlp_headers"),
        (
            {"otlp_endpoint": "http://collector:4317", "otlp_headers": Secret("key=x")},
            "otlp_headers",
        ),
        ({"sample_share": 1.5}, "sample_share"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        TelemetryConfig(**settings)

    assert [violation.field for violation in caught.value.violations] == [field]


def test_headers_are_read_and_never_shown() -> None:
    config = TelemetryConfig(
        "https://collector:4317", Secret("authorization=Bearer a b=, x-scope=one")
    )

    assert config.headers == (("authorization", "Bearer a b="), ("x-scope", "one"))
    assert "Bearer" not in repr(config)
