"""Budgets of runs and of the service over a real endpoint: kept before sending, at worst case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import BudgetExhausted, ProviderUnavailable
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.service import build_guidance
from slcolm_services.guidance.usage import RunBudget

PATIENT = 20.0


@asynccontextmanager
async def guidance(endpoint: Any, **settings: Any) -> AsyncIterator[Guidance]:
    usual: dict[str, Any] = {
        "provider": "openai",
        "model": "tiny",
        "base_url": endpoint.url,
        "api_key_env": "",
        "backoff_seconds": 0.01,
        "max_backoff_seconds": 0.02,
        "prompt_price": 10.0,
        "completion_price": 20.0,
    }
    work = build_guidance(GuidanceConfig(**usual | settings))
    await work.open()
    try:
        yield work
    finally:
        endpoint.released.set()
        await work.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def many(items: list[GuideItem]) -> list[GuideItem]:
    """Ten texts."""
    document = items[0].prediction
    return [
        GuideItem(replace(document, id=f"t{n}", text=document.text[:-1] + f"{n}。"))
        for n in range(10)
    ]


async def claims(work: Guidance) -> int:
    query = sa.text("SELECT count(*) FROM guidance_claims")
    return int(await work._ledger.transact(lambda connection: connection.scalar(query)) or 0)


async def test_calls_wait_for_what_is_set_aside_and_stop_at_what_is_spent(
    endpoint: Any, many: list[GuideItem], schema: TaskSchema
) -> None:
    """Ten calls at once, each far dearer at worst than in truth: as many as fit are answered."""
    budget = RunBudget(max_cost=0.1)  # one call: 0.06 at worst (2,048 tokens), 0.012 in truth
    async with guidance(endpoint) as work:
        outcomes = await work.guide(
            many, schema, timeout_seconds=PATIENT, run_id="r", budget=budget
        )
        answered = [each for each in outcomes if isinstance(each, Guided)]
        refused = [each for each in outcomes if isinstance(each, BudgetExhausted)]
        spent = (await work.spending("r")).usage
        assert len(answered) == len(endpoint.bodies) == spent.calls
        assert len(answered) + len(refused) == 10
        assert 3 <= len(answered) <= 8
        assert spent.cost <= 0.1
        assert refused[0].metadata["subject"] == "run:r"
        assert await claims(work) == 0
        again = await work.guide(many, schema, timeout_seconds=PATIENT, run_id="r", budget=budget)
        assert [type(each) for each in again] == [type(each) for each in outcomes]
        assert len(endpoint.bodies) == spent.calls


async def test_a_caller_with_money_is_not_refused_with_one_without(
    endpoint: Any, many: list[GuideItem], schema: TaskSchema
) -> None:
    """Two runs ask the same at once: the one whose budget is spent does not decide for both."""
    async with guidance(endpoint) as work:
        (poor,), (rich,) = await asyncio.gather(
            *(
                work.guide(many[:1], schema, timeout_seconds=PATIENT, run_id=run_id, budget=budget)
                for run_id, budget in (("poor", RunBudget(max_tokens=1)), ("rich", None))
            )
        )
    assert isinstance(rich, Guided)
    # Where the other was answered before this one came to ask, the answer is there for nothing.
    assert isinstance(poor, BudgetExhausted) or (
        isinstance(poor, Guided) and poor.usage.calls == 0 and len(endpoint.bodies) == 1
    )


@pytest.mark.parametrize("setting", [{"max_calls": 1}, {"max_tokens": 4000}, {"max_cost": 0.07}])
async def test_the_services_own_limits_hold_for_all_runs(
    endpoint: Any, many: list[GuideItem], schema: TaskSchema, setting: dict[str, Any]
) -> None:
    async with guidance(endpoint, **setting) as work:
        for run_id in ("a", "b", "c"):
            outcomes = await work.guide(many, schema, timeout_seconds=PATIENT, run_id=run_id)
            assert any(isinstance(each, BudgetExhausted) for each in outcomes)
        spent = (await work.spending()).usage
        assert spent.calls == len(endpoint.bodies) >= 1
        assert spent.tokens <= setting.get("max_tokens", spent.tokens)
        assert spent.cost <= setting.get("max_cost", spent.cost)
        (known,) = [
            each
            for each in await work.guide(many, schema, timeout_seconds=PATIENT)
            if isinstance(each, Guided)
        ][:1]
        assert known.usage.calls == 0


async def test_what_was_charged_in_vain_counts(
    endpoint: Any, chat: Any, many: list[GuideItem], schema: TaskSchema
) -> None:
    """An answer that breaks off was paid for, and nobody may spend that money again."""
    endpoint.behaviours.append(chat.reply(200, b'{"id": "c1", "choices": [{"mess'))
    async with guidance(endpoint, max_attempts=1, max_calls=1) as work:
        (outcome,) = await work.guide(many[:1], schema, timeout_seconds=PATIENT, run_id="r")
        assert isinstance(outcome, ProviderUnavailable)
        spent = (await work.spending("r")).usage
        assert (spent.calls, spent.estimated_calls) == (1, 1)
        (refused,) = await work.guide(many[:1], schema, timeout_seconds=PATIENT)
        assert isinstance(refused, BudgetExhausted)
        assert await claims(work) == 0
