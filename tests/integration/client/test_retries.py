"""What is tried again and what is not, counted where it arrives: at a real server."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import grpc
import pytest
from support.clients import Coordinator, Extractor, Stack, busy, dropped, on_loop, served, until
from support.proxy import proxied

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.extraction.v1 import extraction_pb2_grpc
from slcolm_client import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Retries,
    RetryBudget,
    Unavailable,
    call,
    connect,
)
from slcolm_services import errors

NOT_BY_TIME = Retries(burst=5, share=0.0, per_second=0.0)


@on_loop
async def test_a_service_that_fails_for_a_while_is_asked_until_it_works(stack: Stack) -> None:
    gone = errors.ServiceUnavailable("its own database is away")
    extractor = Extractor(failures=[gone, busy(), dropped(), busy()])
    async with served(extractor) as server, stack.extraction(server.address) as client:
        (result,) = await client.extract(["a"])
    assert result.error is None
    assert len(extractor.arrived) == 5
    assert len(set(extractor.request_ids)) == 1


@pytest.mark.parametrize("failure", [lambda: errors.ServiceUnavailable("sick"), busy])
@on_loop
async def test_a_service_that_always_fails_gets_no_more_than_the_budget(
    stack: Stack, failure: Any
) -> None:
    extractor = Extractor(failure_of={"a": failure})
    async with (
        served(extractor) as server,
        stack.extraction(server.address, retries=NOT_BY_TIME) as client,
    ):
        outcomes = await asyncio.gather(
            *(client.extract(["a"]) for _ in range(20)), return_exceptions=True
        )
    assert {type(outcome) for outcome in outcomes} <= {Unavailable, ResourceExhausted}
    assert len(extractor.arrived) == 20 + NOT_BY_TIME.burst


@on_loop
async def test_once_the_bucket_is_empty_retries_are_a_share_of_what_works(stack: Stack) -> None:
    extractor = Extractor(failure_of={"sick": busy})
    retries = Retries(burst=1, share=0.25, per_second=0.0)
    async with (
        served(extractor) as server,
        stack.extraction(server.address, retries=retries) as client,
    ):

        async def attempts_of_a_sick_call() -> int:
            before = len(extractor.arrived)
            with pytest.raises(ResourceExhausted):
                await client.extract(["sick"])
            return len(extractor.arrived) - before

        assert await attempts_of_a_sick_call() == 2
        assert await attempts_of_a_sick_call() == 1
        for _ in range(4):
            await client.extract(["good"])
        assert await attempts_of_a_sick_call() == 2
        assert await attempts_of_a_sick_call() == 1


@on_loop
async def test_no_retry_comes_before_the_time_that_the_service_asked_for(stack: Stack) -> None:
    """Here that is after the deadline: the answer is given at once, and nothing more is sent."""
    extractor = Extractor(failures=[busy(60.0)])
    async with (
        served(extractor) as server,
        stack.extraction(server.address, timeout_seconds=30.0) as client,
    ):
        with pytest.raises(ResourceExhausted) as caught:
            await client.extract(["a"])
    assert caught.value.retry_after_seconds == 60.0
    assert caught.value.reason == "OVERLOADED"
    assert len(extractor.arrived) == 1


class Pushing(extraction_pb2_grpc.ExtractionServiceServicer):
    """Knows gRPC's pushback only, as other servers and proxies may."""

    def __init__(self, *pushbacks: str) -> None:
        self.pushbacks = list(pushbacks)
        self.calls = 0

    async def Extract(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls += 1
        trailer = (("grpc-retry-pushback-ms", self.pushbacks.pop(0)),)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", trailer)


@pytest.mark.parametrize("never", ["-1", "soon"])
@on_loop
async def test_a_pushback_without_details_is_obeyed(stack: Stack, never: str) -> None:
    servicer = Pushing("10", "0", never)
    server = grpc.aio.server()
    extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with stack.extraction(f"127.0.0.1:{port}") as client:
            with pytest.raises(ResourceExhausted) as caught:
                await client.extract(["a"])
    finally:
        await server.stop(0)
    assert servicer.calls == 3
    assert caught.value.retry_after_seconds == math.inf


@pytest.mark.parametrize("method", ["cancel_run", "resume_run"])
@on_loop
async def test_what_may_happen_once_only_is_not_sent_again_when_its_answer_is_lost(
    stack: Stack, method: str
) -> None:
    coordinator = Coordinator()
    async with (
        served(coordinator) as server,
        proxied(server.address) as proxy,
        stack.coordinator(proxy.address) as client,
    ):

        async def cut() -> None:
            assert proxy.cut() == 1
            await asyncio.Event().wait()

        coordinator.before_answer = cut
        with pytest.raises(Unavailable) as caught:
            await getattr(client, method)("r")
        assert caught.value.request_id
        assert len(coordinator.calls) == 1
        # A refusal says that nothing has been done.
        coordinator.before_answer = None
        coordinator.failures = [busy(), dropped()]
        run = await getattr(client, method)("r")
    assert run.id == "r"
    assert len(coordinator.calls) == 4


@on_loop
async def test_what_may_happen_once_only_waits_for_a_service_that_is_away(stack: Stack) -> None:
    coordinator = Coordinator()
    async with served(coordinator) as server:
        port = server.port
    async with stack.coordinator(f"127.0.0.1:{port}") as client:
        cancelling = asyncio.ensure_future(client.cancel_run("r"))
        await asyncio.sleep(0.5)  # it has met a port where nobody is
        assert not cancelling.done()
        async with served(coordinator, port):
            assert (await cancelling).id == "r"
    assert coordinator.calls == ["CancelRun"]


@on_loop
async def test_a_lost_answer_to_a_read_is_asked_for_again(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor) as server,
        proxied(server.address) as proxy,
        stack.extraction(proxy.address) as client,
    ):
        asking = asyncio.ensure_future(client.extract(["a"]))
        await until(lambda: extractor.running == 1)
        assert proxy.cut() == 1
        assert extractor.gate is not None
        extractor.gate.set()
        (result,) = await asking
    assert result.error is None
    assert extractor.arrived == [("0",), ("0",)]


@on_loop
async def test_connections_that_break_again_and_again_cost_retries_and_no_results(
    stack: Stack,
) -> None:
    extractor = Extractor()
    async with (
        served(extractor) as server,
        proxied(server.address) as proxy,
        stack.extraction(proxy.address) as client,
    ):
        cuts = 0
        for number in range(60):
            if number % 10 == 5:
                cuts += proxy.cut()
            (result,) = await client.extract([str(number)])
            assert result.text == str(number)
    assert cuts >= 5
    assert 60 <= len(extractor.arrived) <= 60 + cuts


@on_loop
async def test_a_deadline_is_one_error_wherever_it_was_noticed(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with served(extractor, max_deadline_seconds=1.0) as server:
        async with stack.extraction(server.address, timeout_seconds=0.3) as client:
            with pytest.raises(DeadlineExceeded) as here:
                await client.extract(["a"])
        async with stack.extraction(server.address, timeout_seconds=60.0) as client:
            with pytest.raises(DeadlineExceeded) as there:
                await client.extract(["a"])
    assert (here.value.reason, there.value.reason) == ("", "DEADLINE_TOO_SHORT")
    assert [here.value.request_id, there.value.request_id] == extractor.request_ids
    assert len(extractor.arrived) == 2  # the work may have been done: it is not asked for again


@on_loop
async def test_other_failures_are_told_at_once_with_the_id_of_the_call(stack: Stack) -> None:
    for failure, expected in (
        (errors.SlcolmError("broken"), Internal),
        (errors.Cancelled("given up inside"), Cancelled),
    ):
        extractor = Extractor(failures=[failure])
        async with served(extractor) as server, stack.extraction(server.address) as client:
            with pytest.raises(expected) as caught:
                await client.extract(["a"])
        assert [caught.value.request_id] == extractor.request_ids


@on_loop
async def test_a_deadline_spans_all_attempts_on_a_service_that_is_not_there(stack: Stack) -> None:
    async with served(Extractor()) as server:
        address = server.address
    for settings in ({"timeout_seconds": 0.5}, {"retries": Retries(patience_seconds=0.5)}):
        async with stack.extraction(address, **settings) as client:
            with pytest.raises(Unavailable) as caught:
                await client.extract(["a"])
        assert caught.value.reason == ""
        assert caught.value.request_id


@on_loop
async def test_waiting_for_a_service_costs_no_tokens(stack: Stack) -> None:
    """More callers than tokens, none of whom reaches anything: the bucket is full as before."""
    extractor = Extractor()
    async with served(extractor) as server:
        port = server.port
    retries = Retries(patience_seconds=0.5, burst=3, share=0.0, per_second=0.0)
    async with stack.extraction(f"127.0.0.1:{port}", retries=retries) as client:
        outcomes = await asyncio.gather(
            *(client.extract(["a"]) for _ in range(10)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        extractor.failure_of = {"a": busy}
        async with served(extractor, port):
            outcome: object = None
            while not isinstance(outcome, ResourceExhausted):  # until it is connected again
                (outcome,) = await asyncio.gather(client.extract(["a"]), return_exceptions=True)
    # One more where the last call met the connection at once, and not by a retry.
    assert retries.burst <= len(extractor.arrived) <= retries.burst + 1


@on_loop
async def test_any_service_is_called_within_a_budget_that_calls_may_share() -> None:
    coordinator = Coordinator(failures=[busy() for _ in range(100)])
    async with served(coordinator) as server:

        def run() -> None:
            budget = RetryBudget(NOT_BY_TIME)
            with connect(server.address) as channel:
                list_runs = channel.unary_unary(
                    "/slcolm.coordinator.v1.CoordinatorService/ListRuns",
                    coordinator_pb2.ListRunsRequest.SerializeToString,
                    coordinator_pb2.ListRunsResponse.FromString,
                )
                for _ in range(3):
                    with pytest.raises(ResourceExhausted) as caught:
                        call(
                            list_runs,
                            coordinator_pb2.ListRunsRequest(),
                            timeout_seconds=30.0,
                            request_id="mine",
                            budget=budget,
                        )
                    assert caught.value.request_id == "mine"

        await asyncio.to_thread(run)
    assert len(coordinator.calls) == 3 + NOT_BY_TIME.burst
