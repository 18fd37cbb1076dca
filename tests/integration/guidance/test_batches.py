"""Batches over real HTTP: nothing is lost, nothing is paid for twice, whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.batch_server import BatchServer, Outcome, answered, batch_server, expired, refused

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import (
    AnswerPending,
    BatchNotFound,
    BatchTooLarge,
    BatchUnsupported,
    BudgetExhausted,
    ProviderUnavailable,
)
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.providers.batch import BatchState
from slcolm_services.guidance.service import build_guidance
from slcolm_services.guidance.usage import RunBudget

PATIENT = 20.0
CREATE = "POST /v1/batches"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    with batch_server() as running:
        yield running


@pytest.fixture
def many(items: list[GuideItem]) -> list[GuideItem]:
    """Five texts."""
    document = items[0].prediction
    return [
        GuideItem(replace(document, id=f"t{n}", text=document.text[:-1] + f"{n}。"))
        for n in range(5)
    ]


@asynccontextmanager
async def guidance(server: BatchServer, **settings: Any) -> AsyncIterator[Guidance]:
    usual: dict[str, Any] = {
        "provider": "openai",
        "model": "tiny",
        "base_url": server.url,
        "api_key_env": "",
        "batches": True,
        "backoff_seconds": 0.01,
        "max_attempts": 1,
        "prompt_price": 10.0,
        "completion_price": 20.0,
    }
    work = build_guidance(GuidanceConfig(**usual | settings))
    await work.open()
    try:
        yield work
    finally:
        await work.close()


async def guide(work: Guidance, items: list[GuideItem], schema: TaskSchema) -> list[Any]:
    return await work.guide(items, schema, timeout_seconds=PATIENT)


async def submit(work: Guidance, items: list[GuideItem], schema: TaskSchema, **wishes: Any) -> Any:
    return await work.submit_batch(items, schema, timeout_seconds=PATIENT, **wishes)


async def set_aside(work: Guidance) -> int:
    query = sa.text("SELECT count(*) FROM guidance_claims")
    return int(await work._ledger.transact(lambda connection: connection.scalar(query)) or 0)


async def test_a_batch_is_answered_at_its_price_and_guide_finds_the_answers(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    """The first text is asked at once, so that a wrong request is found out now, not tomorrow."""
    async with guidance(server) as work:
        batch = await submit(work, many, schema, run_id="r")
        assert (batch.state, batch.sent, batch.answered) == (BatchState.RUNNING, 4, 0)
        assert len(server.chats) == 1
        requests = server.requests()
        assert len({line["custom_id"] for line in requests}) == 4
        assert {line["url"] for line in requests} == {"/v1/chat/completions"}
        assert all(line["body"]["model"] == "tiny" for line in requests)
        assert [line["body"]["messages"][0] for line in requests] == [
            server.chats[0]["messages"][0]
        ] * 4
        assert (await work.batches.get(batch.id)).state is BatchState.RUNNING
        pending = await guide(work, many[1:2], schema)
        assert isinstance(pending[0], AnswerPending)
        assert pending[0].metadata == {"batch_id": batch.id}
        server.end()
        batch = await work.batches.get(batch.id)
        assert (batch.state, batch.answered, batch.failed) == (BatchState.SUCCEEDED, 4, 0)
        assert batch.end_time is not None
        outcomes = await guide(work, many, schema)
        assert all(isinstance(each, Guided) and each.usage.calls == 0 for each in outcomes)
        spent = (await work.spending("r")).usage
        price = (1000 * 10 + 100 * 20) / 1e6
        assert spent.calls == 5
        assert spent.cost == pytest.approx(price + 4 * price / 2)
        assert await set_aside(work) == 0
        assert await submit(work, many, schema) is None
    assert len(server.chats) == 1
    assert len(server.batches) == 1


async def test_what_failed_in_a_batch_can_be_asked_again(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        batch = await submit(work, many, schema)
        first, second, third, _ = [line["custom_id"] for line in server.requests()]
        outcomes: dict[str, Outcome] = {
            first: refused,
            second: expired,
            third: lambda custom_id: None,
        }
        server.end("expired", lambda name: outcomes.get(name, answered)(name))
        batch = await work.batches.get(batch.id)
        assert (batch.state, batch.answered, batch.failed) == (BatchState.FAILED, 1, 3)
        assert "expired" in batch.problem
        assert (await work.spending()).usage.calls == 2
        again = await guide(work, many, schema)
        assert [each.usage.calls for each in again] == [0, 1, 1, 1, 0]


async def test_results_of_others_and_broken_lines_are_passed_over(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        batch = await submit(work, many, schema)
        server.end()
        name = server.batches[0]["output_file_id"]
        server.files[name] += server.files[name] + b'no json\n{"custom_id": "x"}\n[]\n\n'
        batch = await work.batches.get(batch.id)
        assert (batch.state, batch.answered, batch.failed) == (BatchState.SUCCEEDED, 4, 0)
        assert (await work.spending()).usage.calls == 5


async def test_a_batch_that_the_provider_refuses_says_why_and_sets_nothing_aside(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        batch = await submit(work, many, schema)
        errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "x"}]}
        server.batches[0] |= {"status": "failed", "errors": errors}
        batch = await work.batches.get(batch.id)
        assert batch.state is BatchState.FAILED
        assert "token_limit_exceeded" in batch.problem
        assert batch.failed == 4
        assert await set_aside(work) == 0


async def test_a_cancelled_batch_keeps_what_was_answered(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        batch = await submit(work, many, schema)
        batch = await work.batches.cancel(batch.id)
        assert batch.state is BatchState.RUNNING
        assert server.batches[0]["status"] == "cancelling"
        first = server.requests()[0]["custom_id"]
        server.end("cancelled", lambda name: answered(name) if name == first else None)
        batch = await work.batches.get(batch.id)
        assert (batch.state, batch.answered, batch.failed) == (BatchState.CANCELLED, 1, 3)
        assert await work.batches.cancel(batch.id) == batch


async def test_the_same_batch_twice_is_one_batch(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    """Whoever lost the first answer asks again, and hears of the batch that there is."""
    async with guidance(server) as work:
        batch = await submit(work, many, schema)
        assert await submit(work, many, schema) == batch
    assert len(server.batches) == 1


async def test_a_batch_that_does_not_fit_its_budget_is_not_sent(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        with pytest.raises(BudgetExhausted):
            await submit(work, many, schema, run_id="r", budget=RunBudget(max_calls=4))
        assert server.batches == []
        assert await work.batches.list() == []
        assert await set_aside(work) == 0
        wish: dict[str, Any] = {"run_id": "r", "budget": RunBudget(max_calls=5)}
        assert (await submit(work, many, schema, **wish)).sent == 4
        other = replace(many[0].prediction, id="u", text="乙子甲。", entities=(), relations=())
        with pytest.raises(BudgetExhausted):
            await submit(work, [GuideItem(other)], schema, **wish)


@pytest.mark.parametrize("path", ["POST /v1/files", CREATE])
async def test_a_batch_that_cannot_be_handed_over_leaves_nothing(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema, path: str
) -> None:
    server.failures[path] = [400]
    async with guidance(server) as work:
        with pytest.raises(ProviderUnavailable, match="400"):
            await submit(work, many, schema)
        assert await work.batches.list() == []
        assert await set_aside(work) == 0
        assert (await submit(work, many, schema)).sent == 4


async def test_a_batch_whose_confirmation_was_lost_is_found(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        server.failures[CREATE] = ["lost"]
        batch = await submit(work, many, schema)
        assert batch.state is BatchState.RUNNING
        assert len(server.batches) == 1
        for n in range(4):  # newer ones of somebody else
            server.batches.append(server.batches[0] | {"id": f"b{n}", "input_file_id": "x"})
        server.end()
        batch = await work.batches.get(batch.id)
        assert (batch.state, batch.answered) == (BatchState.SUCCEEDED, 4)


async def test_a_batch_that_never_came_to_be_is_given_up(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server) as work:
        server.failures[CREATE] = [500]
        batch = await submit(work, many, schema)
        assert (await work.batches.get(batch.id)).state is BatchState.RUNNING, "it may come yet"
        work.batches._unconfirmed_seconds = 0.0
        batch = await work.batches.get(batch.id)
        assert batch.state is BatchState.FAILED
        assert await set_aside(work) == 0


async def test_another_process_goes_on_with_a_batch(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    async with guidance(server, ledger_url=url) as work:
        batch = await submit(work, many, schema)
    server.end()
    async with guidance(server, ledger_url=url) as one, guidance(server, ledger_url=url) as two:
        found = [await one.batches.get(batch.id), await two.batches.get(batch.id)]
        assert [each.state for each in found] == [BatchState.SUCCEEDED] * 2
        assert (await one.spending()).usage.calls == 5
        assert [each.id for each in await two.batches.list()] == [batch.id]


async def test_who_takes_no_batches_says_so(
    server: BatchServer, many: list[GuideItem], schema: TaskSchema
) -> None:
    async with guidance(server, batches=None) as work:
        with pytest.raises(BatchUnsupported):
            await submit(work, many, schema)
        with pytest.raises(BatchUnsupported):
            await submit(work, many, schema, provider="offline")
        with pytest.raises(BatchNotFound):
            await work.batches.get("none")
    server.failures["POST /v1/files"] = [404]
    async with guidance(server) as work:
        with pytest.raises(BatchUnsupported):
            await submit(work, many, schema)
        assert await set_aside(work) == 0


async def test_a_batch_that_is_too_large_is_not_sent(
    server: BatchServer,
    many: list[GuideItem],
    schema: TaskSchema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_MAX_REQUESTS", "_MAX_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"slcolm_services.guidance.providers.openai_batch.{name}", 3)
            async with guidance(server) as work:
                with pytest.raises(BatchTooLarge):
                    await submit(work, many, schema)
                assert await set_aside(work) == 0
    assert server.files == {}
