"""An endpoint over real HTTP.

What may pass is retried, within the caller's deadline; all else fails one item with a reason, and
what was paid for is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import (
    BudgetExhausted,
    ConfigInvalid,
    DeadlineTooShort,
    ProviderUnavailable,
)
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import GuideItem, PromptOptions
from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.service import build_guidance

KEY = "sk-very-secret"
PATIENT = 20.0
FATHER = Triple("甲", "乙", "父")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")


@asynccontextmanager
async def guidance(endpoint: Any, **settings: Any) -> AsyncIterator[Guidance]:
    work = build_guidance(
        GuidanceConfig(
            **{
                "provider": "openai",
                "model": "tiny",
                "base_url": endpoint.url,
                "api_key_env": "TEST_LLM_KEY",
                "backoff_seconds": 0.01,
                "max_backoff_seconds": 0.02,
                "prompt_price": 10.0,
                "cached_price": 1.0,
                "completion_price": 20.0,
                "currency": "EUR",
            }
            | settings
        )
    )
    await work.open()
    try:
        yield work
    finally:
        endpoint.released.set()
        await work.close()


async def test_an_answer_is_read_and_booked(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    async with guidance(endpoint) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT, run_id="r1")
        assert isinstance(outcome, Guided)
        assert outcome.parsed.triples == (FATHER,)
        assert [item.kind.value for item in outcome.revisions] == ["dropped", "added"]
        assert outcome.model == "tiny-2026"
        assert (outcome.usage.calls, outcome.usage.cached_tokens) == (1, 400)
        assert outcome.usage.cost == pytest.approx((600 * 10 + 400 * 1 + 100 * 20) / 1e6)
        spending = await work.spending("r1")
        assert spending.usage == outcome.usage
        assert spending.since is not None
        assert (await work.spending("r2")).usage.calls == 0
    body = endpoint.bodies[0]
    assert body["model"] == "tiny"
    assert body["response_format"]["type"] == "json_schema"
    assert body["max_tokens"] == 2048
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert endpoint.keys == [f"Bearer {KEY}"]


async def test_what_would_be_sent_says_whether_it_is_paid_for_already(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    """Another sample is another request; the prompt shown is the prompt sent."""
    async with guidance(endpoint) as work:
        how = PromptOptions()
        before = await work.render(items, schema, "", how)
        assert not any(shown.answered for shown in before)
        await work.guide(items[:1], schema, timeout_seconds=PATIENT)
        after = await work.render(items, schema, "", how)
        assert [shown.answered for shown in after] == [True, False]
        assert [shown.digest for shown in after] == [shown.digest for shown in before]
        (other,) = await work.render(items[:1], schema, "", how, sample=1)
        assert not other.answered
        assert other.digest != after[0].digest
    sent = endpoint.bodies[0]["messages"]
    assert [message["content"] for message in sent] == [
        message.content for message in after[0].prompt.messages
    ]


@pytest.mark.parametrize(
    "failure",
    [
        lambda chat: chat.reply(429, {"error": {"message": "slow down"}}),
        lambda chat: chat.reply(429, {}, {"Retry-After": "0.01"}),
        lambda chat: chat.reply(429, {}, {"retry-after-ms": "10"}),
        lambda chat: chat.reply(429, {}, {"Retry-After": formatdate(0, usegmt=True)}),
        lambda chat: chat.reply(500, {"error": {"message": "oops"}}),
        lambda chat: chat.reply(503, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
        lambda chat: chat.reset,
        lambda chat: chat.reply(200, b'{"id": "c1", "choices": [{"mess'),
        lambda chat: chat.reply(200, b"<html></html>", {"Content-Type": "text/html"}),
        lambda chat: chat.reply(200, {"detail": "wrong shape"}),
        lambda chat: chat.reply(200, {"choices": []}),
        lambda chat: chat.reply(200, {"choices": [None]}),
        lambda chat: chat.reply(200, [1, 2]),
    ],
)
async def test_what_may_pass_is_retried(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem], failure: Any
) -> None:
    endpoint.behaviours.extend([failure(chat), failure(chat)])
    async with guidance(endpoint) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, Guided)
    assert outcome.parsed.triples == (FATHER,)
    assert len(endpoint.bodies) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_is_not_repeated_and_tells_no_key(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem], status: int
) -> None:
    error = {"error": {"message": f"bad key {KEY}", "code": "invalid_api_key"}}
    endpoint.behaviours.append(chat.reply(status, error))
    async with guidance(endpoint) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, ProviderUnavailable)
    assert str(status) in outcome.message
    assert KEY not in outcome.message + str(outcome.metadata)
    assert len(endpoint.bodies) == 1


async def test_gives_up_after_the_attempts_it_has(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem]
) -> None:
    endpoint.behaviours.extend([chat.reply(500, {})] * 10)
    async with guidance(endpoint, max_attempts=3) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, ProviderUnavailable)
    assert outcome.metadata["attempts"] == "3"
    assert len(endpoint.bodies) == 3


async def test_does_not_wait_longer_than_its_caller(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem]
) -> None:
    """An endpoint that asks for an hour gets none; the caller learns when to come back."""
    endpoint.behaviours.append(chat.reply(429, {}, {"Retry-After": "3600"}))
    async with guidance(endpoint) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, ProviderUnavailable)
    assert outcome.retry_after_seconds == pytest.approx(3600)


async def test_a_slow_drip_does_not_outlive_the_deadline(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    """Bytes that keep coming reset no clock: the slow item fails, the other one is answered."""
    endpoint.behaviours.append(endpoint.drip)
    async with guidance(endpoint, max_concurrency=1) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=0.5)
        assert isinstance(outcome, DeadlineTooShort)
        (other,) = await work.guide(items[1:], schema, timeout_seconds=PATIENT)
        assert isinstance(other, Guided)


async def test_a_stuck_attempt_is_given_up_for_another(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    endpoint.behaviours.append(endpoint.drip)
    async with guidance(endpoint, attempt_timeout_seconds=0.3) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, Guided)
    assert len(endpoint.bodies) == 2


async def test_a_refusal_in_words_is_unusable_and_no_error(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem]
) -> None:
    refusal = chat.completion(None, message={"refusal": "I cannot help with that."})
    endpoint.behaviours.append(chat.reply(200, refusal))
    async with guidance(endpoint) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, Guided)
    assert not outcome.parsed.usable
    assert outcome.revisions == ()
    assert "cannot help" in outcome.parsed.explanation


async def test_an_answer_that_was_cut_off_is_reported(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem]
) -> None:
    cut = chat.completion('{"关系":{"父":[["甲","乙"],["乙', finish_reason="length", usage=None)
    endpoint.behaviours.append(chat.reply(200, cut))
    async with guidance(endpoint) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, Guided)
    assert outcome.parsed.triples == (FATHER,)
    assert outcome.parsed.repairs["cut_off"] == 1
    assert (outcome.usage.calls, outcome.usage.estimated_calls) == (1, 1)
    assert outcome.usage.prompt_tokens > 0


async def test_one_item_fails_alone_and_order_is_kept(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem]
) -> None:
    endpoint.behaviours.append(chat.reply(400, {}))
    async with guidance(endpoint, max_concurrency=1) as work:
        outcomes = await work.guide(items, schema, timeout_seconds=PATIENT)
    failed = [isinstance(outcome, ProviderUnavailable) for outcome in outcomes]
    assert sorted(failed) == [False, True]
    first_asked = endpoint.bodies[0]["messages"][1]["content"]
    assert items[failed.index(True)].prediction.text in first_asked


async def test_the_same_request_is_paid_for_once_even_after_a_restart(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    async with guidance(endpoint, ledger_url=url) as work:
        (first,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    async with guidance(endpoint, ledger_url=url) as work:
        (second,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
        assert (await work.spending()).usage.calls == 1
    assert isinstance(first, Guided)
    assert isinstance(second, Guided)
    assert second.parsed == first.parsed
    assert second.usage.calls == 0
    assert len(endpoint.bodies) == 1


async def test_other_parameters_are_another_request(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    for temperature in (0.0, 0.5):
        async with guidance(endpoint, ledger_url=url, temperature=temperature) as work:
            await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert len(endpoint.bodies) == 2


async def test_equal_requests_in_flight_are_sent_once(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    """A second caller joins the call in flight, and waits no longer than it can."""
    endpoint.behaviours.append(endpoint.hold)
    async with guidance(endpoint) as work:
        waiting = asyncio.create_task(work.guide(items[:1], schema, timeout_seconds=PATIENT))
        await asyncio.to_thread(endpoint.arrived.acquire)
        (hurried,) = await work.guide(items[:1], schema, timeout_seconds=0.1)
        assert isinstance(hurried, DeadlineTooShort)
        joined = asyncio.create_task(work.guide(items[:1], schema, timeout_seconds=PATIENT))
        await asyncio.sleep(0)
        endpoint.released.set()
        outcomes = [*(await waiting), *(await joined)]
    assert all(isinstance(outcome, Guided) for outcome in outcomes)
    assert [outcome.usage.calls for outcome in outcomes if isinstance(outcome, Guided)] == [1, 0]
    assert len(endpoint.bodies) == 1


async def test_an_answer_is_kept_although_its_caller_has_gone(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    endpoint.behaviours.append(endpoint.hold)
    async with guidance(endpoint, ledger_url=url) as work:
        call = asyncio.create_task(work.guide(items[:1], schema, timeout_seconds=PATIENT))
        await asyncio.to_thread(endpoint.arrived.acquire)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    async with guidance(endpoint, ledger_url=url) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, Guided)
    assert outcome.usage.calls == 0
    assert len(endpoint.bodies) == 1


async def test_the_budget_is_kept_before_sending(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    async with guidance(endpoint, max_cost=1e-6) as work:
        (outcome,) = await work.guide(items[:1], schema, timeout_seconds=PATIENT)
    assert isinstance(outcome, BudgetExhausted)
    assert endpoint.bodies == []


async def test_calls_in_flight_are_bounded(
    endpoint: Any, chat: ModuleType, schema: TaskSchema, items: list[GuideItem]
) -> None:
    running, peak = 0, 0

    def count(handler: Any) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        time.sleep(0.02)  # long enough for others to come in, if they could
        running -= 1
        chat.reply()(handler)

    endpoint.behaviours.extend([count] * 2)
    async with guidance(endpoint, max_concurrency=1) as work:
        await work.guide(items, schema, timeout_seconds=PATIENT)
    assert len(endpoint.bodies) == 2
    assert peak == 1


def test_a_missing_key_is_an_error_of_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_LLM_KEY")
    with pytest.raises(ConfigInvalid, match="TEST_LLM_KEY"):
        build_guidance(GuidanceConfig(provider="openai", model="m", api_key_env="TEST_LLM_KEY"))


async def test_a_batch_takes_its_items_as_their_turn_comes(
    endpoint: Any, schema: TaskSchema, items: list[GuideItem]
) -> None:
    """Of many items few are worked on at once: the others make no claim on the budget yet."""
    many = [
        replace(
            items[0],
            prediction=replace(items[0].prediction, id=f"{n}", text=f"甲子乙，丙为某官{n}。"),
        )
        for n in range(20)
    ]
    endpoint.behaviours.append(endpoint.hold)
    async with guidance(endpoint, max_concurrency=1, max_calls=4) as work:
        waiting = asyncio.create_task(work.guide(many[:3], schema, timeout_seconds=PATIENT))
        await asyncio.to_thread(endpoint.arrived.acquire)
        late = await work.guide(many[3:], schema, timeout_seconds=0.3)
        assert all(isinstance(outcome, DeadlineTooShort) for outcome in late)
        endpoint.released.set()
        assert all(isinstance(outcome, Guided) for outcome in await waiting)
    assert len(endpoint.bodies) == 3
