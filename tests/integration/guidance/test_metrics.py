"""What the metrics tell of calls to an endpoint, of the ledger and of budgets."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from support.metrics import Scraped

from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


async def test_requests_answers_tokens_money_and_refusals_are_counted(
    endpoint: Any, items: list[GuideItem], schema: TaskSchema, chat: Any
) -> None:
    """One text is throttled, then bought, then found in the ledger; the other is not afforded."""
    config = GuidanceConfig(
        provider="openai",
        model="tiny",
        base_url=endpoint.url,
        api_key_env="",
        backoff_seconds=0.01,
        max_backoff_seconds=0.02,
        prompt_price=10.0,
        completion_price=20.0,
        currency="EUR",
    )
    first, second = (
        guidance_pb2.GuideRequest(
            items=[guidance_pb2.GuideItem(prediction=document_to_wire(item.prediction))],
            schema=schema_to_wire(schema),
            run_id="r",
            budget=guidance_pb2.Budget(max_calls=1),
        )
        for item in items
    )
    endpoint.behaviours.append(chat.reply(429))
    server_config = ServerConfig(metrics_port=0)
    async with Server(build(config), server_config) as server:
        await server.load()
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = guidance_pb2_grpc.GuidanceServiceStub(channel)
            for request in (first, first, second):
                await stub.Guide(request, timeout=30)
        assert server.metrics_port is not None
        page = Scraped(server.metrics_port)

    host = endpoint.url.split("/")[2]
    where = {"model": "tiny", "endpoint": host}
    requests = "slcolm_guidance_llm_requests_total"
    assert page.value(requests, **where, outcome="status_429") == 1
    assert page.value(requests, **where, outcome="answered") == 1
    assert page.value("slcolm_guidance_llm_request_seconds_count", **where) == 2
    provider = {"provider": "openai"}
    assert page.value("slcolm_guidance_llm_retries_total", **provider) == 1
    answers = "slcolm_guidance_answers_total"
    assert page.value(answers, **provider, source="bought") == 1
    assert page.value(answers, **provider, source="ledger") == 1
    tokens = "slcolm_guidance_tokens_total"
    assert page.value(tokens, **provider, kind="prompt") == 1000
    assert page.value(tokens, **provider, kind="cached") == 400
    assert page.value(tokens, **provider, kind="completion") == 100
    spent = page.value("slcolm_guidance_cost_total", **provider, currency="EUR")
    assert spent == pytest.approx(0.008)  # cached tokens are free here
    outcomes = "slcolm_guidance_items_total"
    assert page.value(outcomes, **provider, outcome="OK") == 2
    assert page.value(outcomes, **provider, outcome="BUDGET_EXHAUSTED") == 1
    refusals = "slcolm_guidance_budget_refusals_total"
    assert page.value(refusals, budget="run", limit="calls") == 1
