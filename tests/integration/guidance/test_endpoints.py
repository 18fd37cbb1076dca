"""Endpoints that misbehave, over real HTTP: what that does and costs, and who is asked next."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DeadlineTooShort, ProviderUnavailable
from slcolm_services.guidance.config import EndpointSettings, ModelConfig
from slcolm_services.guidance.items import GuideItem, Message, Prompt
from slcolm_services.guidance.providers.base import ChargedInVain, Completion, Request
from slcolm_services.guidance.providers.endpoint import AttemptFailed, Endpoint
from slcolm_services.guidance.providers.openai import OpenAIProvider
from slcolm_services.guidance.usage import Prices

KEY = "sk-very-secret"
PATIENT = 20.0
SLOW_TO_RETURN = {"backoff_seconds": 60.0, "max_backoff_seconds": 600.0}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def second(chat: ModuleType) -> Iterator[Any]:
    """Another endpoint of the same model."""
    with chat.chat_server() as server:
        yield server


@asynccontextmanager
async def model(*urls: str, **settings: Any) -> AsyncIterator[OpenAIProvider]:
    limits = {
        name: settings.pop(name)
        for name in ("max_concurrency", "requests_per_minute", "tokens_per_minute")
        if name in settings
    }
    times = {"backoff_seconds": 0.01, "max_backoff_seconds": 0.05, "attempt_timeout_seconds": 5.0}
    config = ModelConfig(
        name="tiny",
        model="tiny",
        endpoints=tuple(EndpointSettings(url, **limits) for url in urls),
        **(times | settings),
    )
    prices = Prices(10.0, 1.0, 20.0, "EUR")
    provider = OpenAIProvider(
        config, [Endpoint(where, config, KEY, prices) for where in config.endpoints], prices
    )
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()


def request(text: str = "甲子乙。", schema: dict[str, Any] | None = None) -> Request:
    prompt = Prompt((Message("system", "Answer in JSON."), Message("user", text)), 50)
    item = GuideItem(Document("d", text))
    return Request(prompt, item, TaskSchema("t", "zh", (), ()), 0, schema)


async def ask(
    provider: OpenAIProvider, asked: Request | None = None, *, seconds: float = PATIENT
) -> Completion:
    deadline = asyncio.get_running_loop().time() + seconds
    return await provider.complete(asked or request(), deadline=deadline)


TRUNCATED = b'{"id": "c1", "choices": [{"message": {"content": "{'


@pytest.mark.parametrize(
    ("misbehave", "counted", "charged"),
    [
        (lambda chat, _: chat.reply(429, {}), "status_429", 0),
        (lambda chat, _: chat.reply(429, {}, {"Retry-After": "0.01"}), "status_429", 0),
        (lambda chat, _: chat.reply(500, {}), "status_500", 0),
        (lambda chat, _: chat.reply(503, b"<html>"), "status_503", 0),
        (lambda chat, _: chat.reset, "connection", 0),
        (lambda _, server: server.drip, "timeout", 0),
        (lambda chat, _: chat.whitespace(), "too_long", 0),
        (lambda chat, _: chat.whitespace(500), "too_long", 0),
        (lambda chat, _: chat.reply(200, TRUNCATED), "unreadable", 1),
        (lambda chat, _: chat.reply(200, {"detail": "wrong shape"}), "unreadable", 0),
        (lambda chat, _: chat.reply(200, {"choices": []}), "unreadable", 0),
        (lambda chat, _: chat.reply(200, chat.completion(choices=[])), "unreadable", 1),
    ],
)
async def test_a_failure_that_may_pass_is_counted_and_what_it_cost_is_booked(
    endpoint: Any,
    chat: ModuleType,
    misbehave: Callable[[ModuleType, Any], Any],
    counted: str,
    charged: int,
) -> None:
    endpoint.behaviours.append(misbehave(chat, endpoint))
    async with model(endpoint.url, attempt_timeout_seconds=0.5) as provider:
        answer = await ask(provider)
        assert provider.endpoints[0].outcomes == {counted: 1, "answered": 1}
        assert provider.endpoints[0].concurrency.in_flight == 0
    assert answer.answer.text == chat.ANSWER
    assert answer.usage.calls == 1 + charged
    assert len(endpoint.bodies) == 2


async def test_what_was_charged_in_vain_is_told(endpoint: Any, chat: ModuleType) -> None:
    endpoint.behaviours.extend([chat.reply(200, TRUNCATED)] * 2)
    async with model(endpoint.url, max_attempts=2) as provider:
        with pytest.raises(ChargedInVain) as caught:
            await ask(provider)
    assert caught.value.usage.calls == caught.value.usage.estimated_calls == 2
    assert caught.value.usage.cost > 0


async def test_what_was_charged_before_the_deadline_is_told(
    endpoint: Any, chat: ModuleType
) -> None:
    endpoint.behaviours.extend([chat.reply(200, TRUNCATED), endpoint.hold])
    async with model(endpoint.url) as provider:
        with pytest.raises(ChargedInVain):
            await ask(provider, seconds=0.5)
        endpoint.released.set()


async def test_usage_that_is_not_told_is_estimated(endpoint: Any, chat: ModuleType) -> None:
    endpoint.behaviours.append(chat.reply(200, chat.completion(usage=None)))
    async with model(endpoint.url) as provider:
        answer = await ask(provider)
    assert answer.usage.estimated_calls == 1
    assert answer.usage.prompt_tokens == 50
    assert answer.usage.completion_tokens > 10


def takes_only(chat: ModuleType, form: str) -> Callable[[dict[str, Any]], Any]:
    """An endpoint that takes one form of answers."""

    def usual(body: dict[str, Any]) -> Any:
        asked = body.get("response_format", {}).get("type", "plain")
        return chat.reply() if asked == form else chat.refuse(f"response_format {asked}?")

    return usual


@pytest.mark.parametrize(("form", "calls"), [("json_schema", 1), ("json_object", 2), ("plain", 3)])
async def test_the_form_of_answers_is_found_out_once(
    endpoint: Any, chat: ModuleType, form: str, calls: int
) -> None:
    endpoint.usual = takes_only(chat, form)
    asked = request(schema={"type": "object"})
    async with model(endpoint.url, max_attempts=1) as provider:
        assert provider.info.answer_form == ""
        answers = [await ask(provider, asked) for _ in range(3)]
        assert provider.info.answer_form == form
    assert [answer.usage.calls for answer in answers] == [1, 1, 1]
    assert len(endpoint.bodies) == calls + 2


async def test_parameters_are_left_out_once_they_were_refused(
    endpoint: Any, chat: ModuleType
) -> None:
    def usual(body: dict[str, Any]) -> Any:
        if "temperature" in body:
            return chat.refuse(
                "Unsupported value: 'temperature' does not support 0.0 with this model.",
                code="unsupported_value",
                param="temperature",
            )
        if "max_tokens" in body:
            return chat.refuse("Unsupported: 'max_tokens', use 'max_completion_tokens'.")
        return chat.reply()

    endpoint.usual = usual
    async with model(endpoint.url, max_attempts=1) as provider:
        await ask(provider)
        await ask(provider)
    assert len(endpoint.bodies) == 4
    assert endpoint.bodies[-1]["max_completion_tokens"] == 2048


async def test_a_request_that_is_refused_for_itself_fails_alone(
    endpoint: Any, second: Any, chat: ModuleType
) -> None:
    """The next endpoint is not asked, and this one is asked on."""
    endpoint.behaviours.append(chat.refuse("flagged", code="content_filter"))
    async with model(endpoint.url, second.url) as provider:
        with pytest.raises(ProviderUnavailable, match="400, content_filter"):
            await ask(provider)
        await ask(provider)
    assert (len(endpoint.bodies), len(second.bodies)) == (2, 0)


async def test_the_preferred_endpoint_is_asked(endpoint: Any, second: Any) -> None:
    async with model(endpoint.url, second.url) as provider:
        for _ in range(3):
            await ask(provider)
    assert (len(endpoint.bodies), len(second.bodies)) == (3, 0)


@pytest.mark.parametrize(
    "failure",
    [
        lambda chat: chat.reply(401, {}),
        lambda chat: chat.reply(404, {}),
        lambda chat: chat.reply(429, {"error": {"code": "insufficient_quota"}}),
        lambda chat: chat.reply(429, {}, {"Retry-After": "3600"}),
        lambda chat: chat.reply(500, {}),
        lambda chat: chat.reset,
    ],
)
async def test_the_next_endpoint_answers_where_one_fails(
    endpoint: Any, second: Any, chat: ModuleType, failure: Callable[[ModuleType], Any]
) -> None:
    endpoint.behaviours.append(failure(chat))
    async with model(endpoint.url, second.url, **SLOW_TO_RETURN) as provider:
        answer = await ask(provider)
    assert answer.answer.text == chat.ANSWER
    assert (len(endpoint.bodies), len(second.bodies)) == (1, 1)


async def test_an_endpoint_that_keeps_failing_is_set_aside(
    endpoint: Any, second: Any, chat: ModuleType
) -> None:
    endpoint.usual = lambda _: chat.reply(500, {})
    async with model(endpoint.url, second.url, **SLOW_TO_RETURN) as provider:
        for _ in range(10):
            await ask(provider)
    assert (len(endpoint.bodies), len(second.bodies)) == (3, 10)


async def test_an_endpoint_that_recovers_is_asked_again(
    endpoint: Any, second: Any, chat: ModuleType
) -> None:
    endpoint.behaviours.extend([chat.reply(500, {})] * 3)
    async with model(endpoint.url, second.url) as provider:
        while len(endpoint.bodies) < 5:
            await ask(provider)
        assert provider.endpoints[0].outcomes["answered"] == 2


async def test_a_closed_port_is_left_for_the_next_endpoint(endpoint: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        async with model(closed, endpoint.url) as provider:
            for _ in range(5):
                await ask(provider)
    assert len(endpoint.bodies) == 5


async def test_a_wrong_key_does_not_cost_a_call_for_every_item(
    endpoint: Any, chat: ModuleType
) -> None:
    endpoint.usual = lambda _: chat.reply(401, {"error": {"message": KEY, "code": KEY}})
    async with model(endpoint.url, max_concurrency=2, **SLOW_TO_RETURN) as provider:
        outcomes = await asyncio.gather(
            *(ask(provider, request(f"{n}")) for n in range(20)), return_exceptions=True
        )
        with pytest.raises(ProviderUnavailable) as later:
            await ask(provider)
    told = f"{urlsplit(endpoint.url).netloc}: the endpoint answered 401 (attempt 1)"
    assert {str(outcome) for outcome in outcomes} == {told}
    assert str(later.value) == told
    assert later.value.retry_after_seconds is not None
    assert 0 < later.value.retry_after_seconds <= 60
    assert len(endpoint.bodies) <= 2


async def test_what_an_endpoint_kept_failing_with_is_told_while_it_is_set_aside(
    endpoint: Any, chat: ModuleType
) -> None:
    endpoint.usual = lambda _: chat.reply(500, {})
    async with model(endpoint.url, max_attempts=1, **SLOW_TO_RETURN) as provider:
        for _ in range(3):
            with pytest.raises(ProviderUnavailable, match="the endpoint answered 500"):
                await ask(provider)
        with pytest.raises(ProviderUnavailable, match="set aside: the endpoint answered 500"):
            await ask(provider)
    assert len(endpoint.bodies) == 3


async def test_a_longer_wait_than_the_callers_fails_at_once_with_what_was_said(
    endpoint: Any, chat: ModuleType
) -> None:
    endpoint.usual = lambda _: chat.reply(429, {}, {"Retry-After": "3600"})
    async with model(endpoint.url) as provider:
        with pytest.raises(ProviderUnavailable) as caught:
            await ask(provider)
    assert caught.value.retry_after_seconds == pytest.approx(3600)
    assert len(endpoint.bodies) == 1


async def test_a_rate_that_leaves_no_time_is_the_deadline(endpoint: Any) -> None:
    async with model(endpoint.url, tokens_per_minute=60) as provider:
        await ask(provider)
        with pytest.raises(DeadlineTooShort):
            await ask(provider, seconds=0.2)
        assert provider.endpoints[0].concurrency.in_flight == 0
    assert len(endpoint.bodies) == 1


async def test_the_key_is_sent_and_never_told(endpoint: Any, chat: ModuleType) -> None:
    quoted = {"error": {"message": f"bad {KEY}", "code": KEY}}
    endpoint.behaviours.extend([chat.reply(500, quoted), chat.reply(401, quoted)])
    with structlog.testing.capture_logs() as logs:
        async with model(endpoint.url) as provider:
            with pytest.raises(ProviderUnavailable) as caught:
                await ask(provider)
            shown = repr(provider.endpoints) + repr(provider.info)
    assert endpoint.keys == [f"Bearer {KEY}"] * 2
    assert KEY not in f"{logs} {shown} {caught.value} {caught.value.metadata}"
    assert caught.value.__cause__ is None
    assert any(event["event"] == "llm_attempt_failed" for event in logs)
    assert "甲子乙" not in str(logs)


async def test_answers_of_any_endpoint_are_the_models() -> None:
    async with (
        model("http://a/v1") as alone,
        model("http://a/v1", "http://b/v1") as with_another,
        model("http://b/v1") as elsewhere,
        model("http://a/v1", seed=3) as seeded,
    ):
        digests = [one.info.digest for one in (alone, with_another, elsewhere, seeded)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


async def test_nothing_is_lost_and_nothing_is_paid_twice(endpoint: Any, chat: ModuleType) -> None:
    """Of 150 requests, every third attempt fails in some way; each is answered once."""
    draw = random.Random(7)
    failures = [chat.reply(429, {}), chat.reply(500, {}), chat.reset, None, None, None, None]
    answered: list[str] = []

    def usual(body: dict[str, Any]) -> Any:
        failure = draw.choice(failures)
        if failure is not None:
            return failure
        answered.append(body["messages"][1]["content"])
        return chat.reply()

    endpoint.usual = usual
    async with model(endpoint.url, max_concurrency=16, max_attempts=30) as provider:
        outcomes = await asyncio.gather(*(ask(provider, request(f"{n}")) for n in range(150)))
    assert sum(outcome.usage.calls for outcome in outcomes) == 150
    assert sorted(answered) == sorted(f"{n}" for n in range(150))


async def test_callers_that_leave_give_their_place_back(endpoint: Any) -> None:
    endpoint.behaviours.append(endpoint.hold)
    async with model(endpoint.url, max_concurrency=1) as provider:
        holding = asyncio.create_task(ask(provider))
        await asyncio.to_thread(endpoint.arrived.acquire)
        waiting = [asyncio.create_task(ask(provider)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in (waiting[0], holding):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        endpoint.released.set()
        await asyncio.gather(*waiting[1:])
        assert provider.endpoints[0].concurrency.in_flight == 0
    assert len(endpoint.bodies) == 3


async def test_calls_that_were_not_made_use_no_rate(endpoint: Any, chat: ModuleType) -> None:
    """A hundred calls are turned away at a wrong key; none of their tokens is waited for."""
    endpoint.usual = lambda _: chat.reply(401, {})
    limits = {"max_concurrency": 100, "tokens_per_minute": 60}
    async with model(endpoint.url, **limits, **SLOW_TO_RETURN) as provider:
        with pytest.raises(ProviderUnavailable):
            await ask(provider)
        where = provider.endpoints[0]
        for _ in range(100):
            with pytest.raises(AttemptFailed):
                await where.ask(request())
    assert len(endpoint.bodies) == 1
