"""The engine `local` against a service in this process that fails as it is told to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from support.clients import Extractor, dropped, on_loop, served

from slcolm.extraction.v1 import extraction_pb2
from slcolm_client import NotFound
from slcolm_services.batch.answers import Answer
from slcolm_services.batch.local import LocalEngine
from slcolm_services.batch.rows import Row, RowError, wrong
from slcolm_services.errors import ModelNotFound, ServiceUnavailable, SlcolmError


@dataclass
class Described(Extractor):
    """Has a model, too."""

    async def GetModel(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = extraction_pb2.Model(revision="m", precision="fp32")
        return extraction_pb2.GetModelResponse(model=model)


def rows_of(texts: list[str | None]) -> list[Row]:
    """Rows of one id, wrong where there is no text."""
    return [
        wrong("f", number, "is wrong") if text is None else Row("f", number, "same", text)
        for number, text in enumerate(texts, 1)
    ]


async def asked(
    service: Extractor, texts: list[str | None], *, patience: float = 20.0, **settings: Any
) -> list[Answer]:
    def ask(engine: LocalEngine) -> list[Answer]:
        return list(engine.answers(iter(rows_of(texts))))

    answers: list[Answer] = await with_engine(service, ask, patience=patience, **settings)
    return answers


async def with_engine(
    service: Extractor, do: Callable[[LocalEngine], Any], *, patience: float = 20.0, **settings: Any
) -> Any:
    settings = {"batch_size": 3, "in_flight": 2} | settings

    def ask(address: str) -> Any:
        with closing(LocalEngine(address, patience_seconds=patience, **settings)) as engine:
            return do(engine)

    async with served(service) as server:
        return await asyncio.to_thread(ask, server.address)


def outcome(answer: Answer) -> str:
    found = answer.found
    return found.reason if isinstance(found, RowError) else found.text


@on_loop
async def test_every_row_has_its_answer_in_order() -> None:
    texts = [None if n % 7 in {0, 1, 2, 3} else f"text {n}" for n in range(40)]
    answers = await asked(Described(), texts)
    assert [answer.row.number for answer in answers] == list(range(1, 41))
    assert [outcome(answer) for answer in answers] == [text or "DATA_INVALID" for text in texts]


@on_loop
async def test_a_call_that_fails_for_one_row_costs_no_other() -> None:
    service = Described(failure_of={"poison": lambda: SlcolmError("a defect")})
    answers = await asked(service, ["a", "poison", "b", "c"])
    assert [outcome(answer) for answer in answers] == ["a", "INTERNAL", "b", "c"]


@on_loop
async def test_a_row_that_the_service_cannot_take_now_is_asked_about_again() -> None:
    service = Described(bad_texts=["later"])

    def ask(engine: LocalEngine) -> list[str]:
        found = []
        with closing(engine.answers(iter(rows_of(["a", "later", "b"])))) as answers:
            for answer in answers:
                found.append(outcome(answer))
                service.bad_texts = ()
        return found

    assert await with_engine(service, ask) == ["a", "later", "b"]
    assert service.arrived[-1] == ("0",)


@on_loop
async def test_patience_has_an_end_and_then_no_row_is_written_off() -> None:
    seen: list[str] = []

    def ask(engine: LocalEngine) -> None:
        for answer in engine.answers(iter(rows_of(["a", "b", "never", "c"]))):
            seen.append(outcome(answer))

    with pytest.raises(ServiceUnavailable, match=r"has taken no calls for 0\.2 s"):
        await with_engine(Described(bad_texts=["never"]), ask, patience=0.2)
    assert seen == ["a", "b"]


@on_loop
async def test_waiting_ends_where_the_service_will_not_come_back() -> None:
    def gone() -> None:
        raise ServiceUnavailable("it has ended")

    with pytest.raises(ServiceUnavailable, match="it has ended"):
        await asked(Described(bad_texts=["a"]), ["a"], check=gone)


@on_loop
async def test_a_text_that_takes_too_long_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slcolm_services.batch.local._TIMEOUT_SECONDS", 0.3)
    service = Described(gate=asyncio.Event(), passing="quick")
    answers = await asked(service, ["quick", "slow"], batch_size=1)
    assert [outcome(answer) for answer in answers] == ["quick", "DEADLINE_EXCEEDED"]
    assert len(service.arrived) == 3


@on_loop
async def test_a_text_that_fits_no_message_costs_itself() -> None:
    answers = await asked(Described(), ["a", "x" * (65 * 1024 * 1024), "b"])
    assert [outcome(answer) for answer in answers] == ["a", "MESSAGE_TOO_LARGE", "b"]


@on_loop
async def test_a_model_that_is_another_one_now_stops_the_work() -> None:
    service = Described(failure_of={"d": lambda: ModelNotFound("there is no model m")})
    with pytest.raises(NotFound):
        await asked(service, ["a", "b", "c", "d"])


@on_loop
async def test_a_call_that_was_dropped_is_made_again_by_the_sdk() -> None:
    answers = await asked(Described(failures=[dropped(), dropped()]), ["a", "b"])
    assert [outcome(answer) for answer in answers] == ["a", "b"]


@on_loop
@pytest.mark.parametrize("text", ["a", None], ids=["good", "wrong"])
async def test_rows_are_read_as_answers_are_taken(text: str | None) -> None:
    read = 0

    def endless() -> Iterator[Row]:
        nonlocal read
        while True:
            read += 1
            yield rows_of([text])[0]

    def ask(engine: LocalEngine) -> list[int]:
        ahead = []
        with closing(engine.answers(endless())) as answers:
            for taken, _ in enumerate(itertools.islice(answers, 50), 1):
                ahead.append(read - taken)
        return ahead

    # Two batches of three on their way, one being taken, one being cut.
    assert max(await with_engine(Described(), ask)) <= 4 * 3
