"""How much a client asks for at once, of whom, and over which connections."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from typing import Any

import pytest
from support.clients import (
    Coordinator,
    Extractor,
    Stack,
    busy,
    on_loop,
    served,
    service,
    timeout_of,
    until,
)
from support.proxy import proxied

from slcolm_client import DeadlineExceeded, FailedPrecondition, InvalidArgument, Retries, Security
from slcolm_client._channel import _options
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server


@on_loop
async def test_no_more_calls_are_in_flight_than_allowed(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor) as server,
        stack.extraction(server.address, max_calls_in_flight=3) as client,
    ):
        calls = [asyncio.ensure_future(client.extract([str(i)])) for i in range(12)]
        await until(lambda: extractor.running == 3)
        assert extractor.gate is not None
        extractor.gate.set()
        results = await asyncio.gather(*calls)
    assert [result.text for (result,) in results] == [str(i) for i in range(12)]
    assert extractor.most_running == 3
    assert len(extractor.arrived) == 12


@on_loop
async def test_a_call_that_finds_no_place_until_its_deadline_says_so(stack: Stack) -> None:
    extractor = Extractor(gate=asyncio.Event())
    async with (
        served(extractor) as server,
        stack.extraction(server.address, max_calls_in_flight=1) as client,
    ):
        first = asyncio.ensure_future(client.extract(["a"]))
        await until(lambda: extractor.running == 1)
        with timeout_of(client, 0.2), pytest.raises(DeadlineExceeded) as caught:
            await client.extract(["b"])
        assert (caught.value.reason, caught.value.domain) == ("CLIENT_BUSY", "slcolm_client")
        assert caught.value.request_id
        assert extractor.gate is not None
        extractor.gate.set()
        (result,) = await first
        assert (await client.extract(["c"]))[0].text == "c"
    assert result.text == "a"
    assert extractor.arrived == [("0",), ("0",)]


@on_loop
async def test_calls_that_wait_for_a_place_end_with_the_client(stack: Stack) -> None:
    coordinator = Coordinator()
    async with served(coordinator) as server:
        client = stack.coordinator(server.address, max_calls_in_flight=1)
        calls = [asyncio.ensure_future(client.get_run("never")) for _ in range(3)]
        await until(lambda: coordinator.calls == ["GetRun"])
        await client.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [FailedPrecondition] * 3
    assert {getattr(outcome, "reason", "") for outcome in outcomes} == {"CLIENT_CLOSED"}
    assert coordinator.calls == ["GetRun"]


@on_loop
async def test_calls_that_wait_for_a_retry_end_with_the_client(stack: Stack) -> None:
    """One waits for a server that is not there, one for the time that it was told."""
    async with served(Extractor()) as server:
        nowhere = server.address
    async with served(Extractor(failures=[busy(50.0)])) as server:
        clients = [stack.extraction(address) for address in (nowhere, server.address)]
        calls = [asyncio.ensure_future(client.extract(["a"])) for client in clients]
        await asyncio.sleep(0.5)
        for client in clients:
            await client.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["CLIENT_CLOSED"] * 2


@on_loop
async def test_watching_takes_no_place(stack: Stack) -> None:
    async with (
        served(Coordinator()) as server,
        stack.coordinator(server.address, max_calls_in_flight=1) as client,
    ):
        watches = [client.watch_run("never") for _ in range(3)]
        for watch in watches:
            assert (await anext(watch)).id == "r"
        assert [run.id async for run in client.list_runs()] == ["0", "1", "2", "3", "4"]
        for watch in watches:
            await watch.aclose()


@on_loop
async def test_every_address_of_a_list_gets_calls_and_one_that_dies_costs_none(
    stack: Stack,
) -> None:
    first, second = Extractor(), Extractor()
    async with AsyncExitStack() as dying, served(second) as other:
        one = await dying.enter_async_context(served(first))
        async with stack.extraction(f"ipv4:{one.address},{other.address}") as client:
            while not (first.arrived and second.arrived):
                await client.extract(["a"])
            before = (len(first.arrived), len(second.arrived))
            await asyncio.gather(*(client.extract(["a"]) for _ in range(40)))
            assert (len(first.arrived) - before[0], len(second.arrived) - before[1]) == (20, 20)
            await dying.aclose()
            for _ in range(20):
                (result,) = await client.extract(["a"])
                assert result.error is None
    assert len(second.arrived) >= before[1] + 40


@on_loop
async def test_connections_that_the_server_renews_cost_nothing(stack: Stack) -> None:
    """A server says GOAWAY to connections of a certain age; no call is lost or sent twice."""
    extractor = Extractor()
    async with (
        served(extractor, max_connection_age_seconds=0.3) as server,
        proxied(server.address) as proxy,
        stack.extraction(proxy.address, retries=Retries.none()) as client,
    ):
        made = 0
        while proxy.accepted < 4:
            (result,) = await client.extract([str(made)])
            assert result.text == str(made)
            made += 1
    assert len(extractor.arrived) == made


def test_clients_ping_no_more_often_than_servers_allow() -> None:
    ours: dict[str, Any] = dict(_options(1, Security()))
    theirs: dict[str, Any] = dict(Server(service(Extractor()), ServerConfig())._options())
    least = theirs["grpc.http2.min_recv_ping_interval_without_data_ms"]
    assert ours["grpc.keepalive_time_ms"] >= 2 * least
    assert theirs["grpc.keepalive_permit_without_calls"] == 1
    # A client whose call waits in silence goes on pinging, and is not counted as a nuisance.
    assert ours["grpc.http2.max_pings_without_data"] == 0
    assert theirs["grpc.http2.max_ping_strikes"] == 0
    assert ours["grpc.max_receive_message_length"] == 1


@pytest.mark.parametrize("name", ["max_calls_in_flight", "max_message_bytes"])
@on_loop
async def test_limits_that_let_nothing_through_are_refused(stack: Stack, name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    for make in (stack.coordinator, stack.extraction):
        with pytest.raises(InvalidArgument) as caught:
            make("127.0.0.1:1", **settings)
        assert [violation.field for violation in caught.value.violations] == [name]


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
@on_loop
async def test_a_deadline_that_is_none_is_refused(stack: Stack, seconds: float) -> None:
    for make in (stack.coordinator, stack.extraction):
        with pytest.raises(InvalidArgument) as caught:
            make("127.0.0.1:1", timeout_seconds=seconds)
        assert [violation.field for violation in caught.value.violations] == ["timeout_seconds"]
