"""Any number of texts: in order, as they come, none lost, none twice, and each with its error."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from support.clients import (
    Coordinator,
    Extractor,
    Stack,
    busy,
    on_loop,
    served,
    until,
)
from support.killable import spawn

from slcolm_client import FailedPrecondition, InvalidArgument, NotFound, Retries, Unauthenticated
from slcolm_services import errors


def numbered(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


async def collected(stream: Any) -> list[Any]:
    return [result async for result in stream]


@on_loop
async def test_results_of_many_texts_come_in_their_order(stack: Stack) -> None:
    extractor = Extractor(bad_texts=["text 7"])
    async with served(extractor) as server, stack.extraction(server.address) as client:
        results = await collected(client.extract_stream(numbered(70), batch_size=8))
        named = await collected(client.extract_stream((f"n{i}", "x") for i in range(5)))
    assert [(result.id, result.text) for result in results] == [
        (str(number), text) for number, text in enumerate(numbered(70))
    ]
    assert [number for number, result in enumerate(results) if result.error] == [7]
    assert [result.id for result in named] == ["n0", "n1", "n2", "n3", "n4"]
    assert sorted(map(len, extractor.arrived)) == [5, 6] + [8] * 8


@on_loop
async def test_predictions_stream_too(stack: Stack) -> None:
    async with served(Coordinator()) as server, stack.coordinator(server.address) as client:
        stream = client.predict_stream({"a": "x", "b": "y"}, run_id="r", batch_size=1)
        assert [(p.id, p.explanation) for p in await collected(stream)] == [("a", "x"), ("b", "y")]


@on_loop
async def test_texts_are_read_and_sent_only_as_results_are_taken(stack: Stack) -> None:
    extractor = Extractor()
    read = 0

    def source() -> Iterator[str]:
        nonlocal read
        for text in numbered(1000):
            read += 1
            yield text

    async with served(extractor) as server, stack.extraction(server.address) as client:
        stream = client.extract_stream(source(), batch_size=5, batches_in_flight=3)
        assert read == 0
        for taken in range(1, 31):
            await anext(stream)
            # Those that were given out, and three batches.
            assert read <= taken + 3 * 5
        assert len(extractor.arrived) * 5 <= read
        await stream.aclose()
        assert read <= 30 + 3 * 5


@on_loop
async def test_no_more_batches_are_in_flight_than_allowed(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with served(extractor) as server, stack.extraction(server.address) as client:
        stream = client.extract_stream(numbered(100), batch_size=5, batches_in_flight=3)
        taking = asyncio.ensure_future(collected(stream))
        await until(lambda: extractor.running == 3)
        assert extractor.gate is not None
        extractor.gate.set()
        assert len(await taking) == 100
    assert extractor.most_running == 3


@on_loop
async def test_a_failed_call_costs_its_own_texts_and_says_why(stack: Stack) -> None:
    extractor = Extractor(
        failure_of={
            "text 5": lambda: errors.SlcolmError("broken"),
            "text 9": lambda: busy(1000.0),
        }
    )
    async with served(extractor) as server, stack.extraction(server.address) as client:
        results = await collected(client.extract_stream(numbered(16), batch_size=4))
    assert [result.text for result in results] == numbered(16)
    assert [result.error and result.error.reason for result in results] == (
        [None] * 4 + ["INTERNAL"] * 4 + ["OVERLOADED"] * 4 + [None] * 4
    )
    assert results[5].error.request_id in extractor.request_ids
    assert results[9].error.retry_after_seconds == 1000.0
    assert results[9].entities == ()
    assert len(extractor.arrived) == 4


@on_loop
async def test_refusals_that_pass_are_not_seen(stack: Stack) -> None:
    extractor = Extractor(failures=[busy() for _ in range(10)])
    async with served(extractor) as server, stack.extraction(server.address) as client:
        results = await collected(client.extract_stream(numbered(40), batch_size=4))
    assert [(result.text, result.error) for result in results] == [
        (text, None) for text in numbered(40)
    ]
    assert len(extractor.arrived) == 20


@on_loop
async def test_a_text_that_cannot_be_sent_costs_itself(stack: Stack) -> None:
    extractor = Extractor()
    async with served(extractor) as server, stack.extraction(server.address) as client:
        results = await collected(client.extract_stream(["a", "\ud800", "b"]))
        with pytest.raises(InvalidArgument):
            await client.extract(["a", "\ud800", "b"])
        with pytest.raises(InvalidArgument):
            client.extract_stream("abc")
        with pytest.raises(InvalidArgument, match="batches_in_flight"):
            client.extract_stream(["a"], batches_in_flight=0)
    assert [type(result.error) for result in results] == [type(None), InvalidArgument, type(None)]
    assert extractor.arrived == [("0", "2")]


@on_loop
async def test_what_would_fail_every_call_ends_the_stream_after_what_came_before(
    stack: Stack,
) -> None:
    for failure, expected in (
        (errors.RunNotReady("not yet"), FailedPrecondition),
        (errors.ModelNotFound("no such model"), NotFound),
        (errors.TokenExpired("log in again"), Unauthenticated),
    ):
        extractor = Extractor(failure_of={"text 10": lambda failure=failure: failure})  # type: ignore[misc]
        async with served(extractor) as server, stack.extraction(server.address) as client:
            stream = client.extract_stream(numbered(1000), batch_size=4, batches_in_flight=2)
            for number in range(8):
                assert (await anext(stream)).id == str(number)
            with pytest.raises(expected):
                await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        assert len(extractor.arrived) <= 4


@on_loop
async def test_a_service_that_takes_less_at_once_gets_less(stack: Stack) -> None:
    extractor = Extractor(limit=3)
    async with served(extractor) as server, stack.extraction(server.address) as client:
        results = await collected(client.extract_stream(numbered(20), batch_size=8))
        whole = await client.extract(numbered(7))
    assert [(result.text, result.error) for result in results] == [
        (text, None) for text in numbered(20)
    ]
    assert [result.text for result in whole] == numbered(7)


@on_loop
async def test_messages_that_are_too_large_for_one_side_are_made_smaller(stack: Stack) -> None:
    texts = [chr(ord("a") + number) * 3000 for number in range(10)]
    for settings, limits in (
        ({"max_message_bytes": 10_000}, {}),
        ({}, {"max_message_bytes": 10_000}),
    ):
        extractor = Extractor()
        async with (
            served(extractor, **settings) as server,
            stack.extraction(server.address, **limits) as client,
        ):
            results = await collected(client.extract_stream([*texts, "x" * 20_000]))
        assert [result.text for result in results[:-1]] == texts
        assert {result.error for result in results[:-1]} == {None}
        assert results[-1].error.reason == "MESSAGE_TOO_LARGE"


@on_loop
async def test_closing_a_stream_ends_its_calls_at_the_service(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event(), passing="text 0")
    async with served(extractor) as server, stack.extraction(server.address) as client:
        stream = client.extract_stream(numbered(1000), batch_size=2, batches_in_flight=3)
        assert (await anext(stream)).id == "0"
        await until(lambda: extractor.running == 2)
        await stream.aclose()
        await until(lambda: extractor.cancelled == 2)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        # What it held is free for others.
        (result,) = await client.extract(["text 0"])
    assert result.error is None
    assert extractor.running == 0
    assert len(extractor.arrived) == 4


@pytest.mark.parametrize("what", ["a place", "a connection", "the time that it was told"])
@on_loop
async def test_closing_a_stream_ends_what_its_calls_wait_for(stack: Stack, what: str) -> None:
    """Each would wait for far longer than a test may take."""
    extractor = Extractor(gate=asyncio.Event(), passing="text 0")
    if what == "the time that it was told":
        extractor = Extractor(failure_of={"text 1": lambda: busy(1500.0)})
    settings = {
        "timeout_seconds": 3000.0,
        "retries": Retries(patience_seconds=2000.0),
        "max_calls_in_flight": 1 if what == "a place" else 8,
    }
    async with AsyncExitStack() as ending:
        server = await ending.enter_async_context(served(extractor, max_deadline_seconds=5000.0))
        async with stack.extraction(server.address, **settings) as client:
            stream = client.extract_stream(numbered(100), batch_size=1)
            assert (await anext(stream)).id == "0"
            await until(lambda: len(extractor.arrived) > 1)
            if what == "a connection":
                await ending.aclose()
            await stream.aclose()
            if what != "a connection":
                assert (await client.extract(["text 0"]))[0].error is None
    assert extractor.running == 0


@on_loop
async def test_a_client_that_is_closed_ends_its_streams(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with served(extractor) as server:
        client = stack.extraction(server.address)
        taking = asyncio.ensure_future(collected(client.extract_stream(numbered(100))))
        await until(lambda: extractor.running > 0)
        await client.close()
        with pytest.raises(FailedPrecondition) as caught:
            await taking
        await until(lambda: extractor.running == 0)
    assert caught.value.reason == "CLIENT_CLOSED"


@on_loop
async def test_a_cancelled_task_ends_the_calls_of_its_stream() -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor) as server,
        Stack("asyncio").extraction(server.address) as client,
    ):
        stream = client.extract_stream(numbered(100), batch_size=1, batches_in_flight=4)
        taking = asyncio.ensure_future(collected(stream))
        await until(lambda: extractor.running == 4)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await until(lambda: extractor.cancelled == 4)


@on_loop
async def test_texts_may_be_iterated_asynchronously() -> None:
    async def source() -> AsyncIterator[tuple[str, str]]:
        for number in range(10):
            await asyncio.sleep(0)
            yield f"n{number}", str(number)

    async with (
        served(Extractor()) as server,
        Stack("asyncio").extraction(server.address) as client,
    ):
        results = await collected(client.extract_stream(source(), batch_size=3))
    assert [(result.id, result.text) for result in results] == [
        (f"n{number}", str(number)) for number in range(10)
    ]


@on_loop
async def test_a_service_that_is_killed_in_the_middle_and_comes_back_costs_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    texts = numbered(200)
    seen: list[tuple[str, str, Any]] = []
    with spawn(tmp_path) as first:
        async with stack.extraction(first.address) as client:
            stream = client.extract_stream(texts, batch_size=2)
            async for result in stream:
                seen.append((result.id, result.text, result.error))
                if len(seen) == 31:
                    first.process.send_signal(signal.SIGKILL)
                    first.process.wait()
                    break
            with spawn(tmp_path, port=first.port) as second:
                seen += [(r.id, r.text, r.error) async for r in stream]
                assert second.process.poll() is None
    assert seen == [(str(number), text, None) for number, text in enumerate(texts)]
    assert first.process.returncode == -signal.SIGKILL
    assert isinstance(second.process, subprocess.Popen)
