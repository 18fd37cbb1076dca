"""Requests to endpoints are spans of the call that they are made for."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.service import build
from slcolm_services.runtime import tracing
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.telemetry_config import TelemetryConfig
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire

pytest.importorskip("opentelemetry")

KEY = "a-key-of-the-endpoint"


async def test_attempts_are_spans_without_text_prompt_or_key(
    endpoint: Any,
    items: list[GuideItem],
    schema: TaskSchema,
    chat: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first attempt is refused in words that quote the text; the second is answered."""
    from support.collector import collector

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("KEY_OF_THE_TEST", KEY)
    text = items[0].prediction.text
    endpoint.behaviours.append(chat.refuse(f"too busy for {text} and {KEY}", 503))
    config = GuidanceConfig(
        provider="openai",
        model="tiny",
        base_url=endpoint.url,
        api_key_env="KEY_OF_THE_TEST",
        backoff_seconds=0.01,
        max_backoff_seconds=0.02,
    )
    request = guidance_pb2.GuideRequest(
        items=[guidance_pb2.GuideItem(prediction=document_to_wire(items[0].prediction))],
        schema=schema_to_wire(schema),
    )
    with collector() as receiver:
        with tracing.tracing(TelemetryConfig(receiver.url), "guidance"):
            async with Server(build(config), ServerConfig()) as server:
                await server.load()
                async with grpc.aio.insecure_channel(server.address) as channel:
                    stub: Any = guidance_pb2_grpc.GuidanceServiceStub(channel)
                    await stub.Guide(request, timeout=30)

        refused, answered, call = receiver.spans
    assert [span.name for span in receiver.spans] == ["chat tiny", "chat tiny", call.name]
    assert call.name.endswith("GuidanceService/Guide")
    for span in (refused, answered):
        assert span.kind == "CLIENT"
        assert (span.trace_id, span.parent_id) == (call.trace_id, call.span_id)
        error = span.attributes.pop("error.type", "")
        assert error == ("InternalServerError" if span is refused else "")
        assert span.failed == bool(error)
        assert span.attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "tiny",
            "server.address": endpoint.url.split("/")[2],
        }
    # What follows are flags.
    sent = [trace.rpartition("-")[0] for trace in endpoint.traces]
    assert sent == [f"00-{span.trace_id}-{span.span_id}" for span in (refused, answered)]
    for span in receiver.spans:
        assert KEY not in span.raw
        assert text not in span.raw
        assert "甲" not in span.raw
        assert "events" not in span.raw
