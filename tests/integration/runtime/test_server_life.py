"""What every server promises of its life: readiness, balancing, draining, reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from support.health import NOT_SERVING, SERVING, states
from support.serving import (
    SERVICE,
    Serving,
    answer,
    details,
    failure,
    get,
    stub_of,
)

from slcolm_services.runtime.server import Server


def test_calls_are_balanced_over_servers_and_leave_one_that_does_not_serve(
    serving: Serving,
) -> None:
    """The default of gRPC sends every call to the first server, whatever its health."""
    counts = [0, 0]

    def counting(index: int) -> Any:
        async def handler(request: Any, context: Any) -> Any:
            counts[index] += 1
            return await answer(request, context)

        return handler

    async def scenario() -> None:
        async with (
            serving(counting(0)) as first,
            serving(counting(1), load=False) as second,
            stub_of(first, second) as stub,
        ):
            for _ in range(10):
                await get(stub, wait_for_ready=True)
            assert counts == [10, 0]
            await second.load()
            while counts[1] == 0:
                await get(stub)
            counts[:] = [0, 0]
            for _ in range(20):
                await get(stub)
            assert counts == [10, 10]

    asyncio.run(scenario())


def test_draining_under_steady_load_loses_no_call(serving: Serving) -> None:
    async def scenario() -> None:
        async with (
            serving(answer) as stays,
            serving(answer, drain_delay_seconds=0.5) as leaves,
            stub_of(stays, leaves) as stub,
        ):
            await get(stub, wait_for_ready=True)
            done = asyncio.Event()

            async def load() -> int:
                count = 0
                while not done.is_set():
                    await get(stub)
                    count += 1
                return count

            workers = [asyncio.create_task(load()) for _ in range(8)]
            await leaves.drain()
            done.set()
            assert sum(await asyncio.gather(*workers)) > 100

    asyncio.run(scenario())


def test_a_call_in_flight_ends_well_in_a_drain(serving: Serving) -> None:
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def handler(request: Any, context: Any) -> Any:
        arrived.set()
        await leave.wait()
        return await answer(request, context)

    async def scenario() -> None:
        async with serving(handler) as server, stub_of(server) as stub:
            call = asyncio.ensure_future(get(stub))
            await arrived.wait()
            drain = asyncio.create_task(server.drain())
            async for health in watch(server):
                if health == NOT_SERVING:
                    leave.set()
            assert (await call).index.revision == "a"
            await drain

    asyncio.run(scenario())


async def watch(server: Server, service: str = "") -> AsyncIterator[int]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for response in stub.Watch(health_pb2.HealthCheckRequest(service=service)):
            yield response.status


def test_readiness_follows_loading_and_liveness_does_not(serving: Serving) -> None:
    async def scenario() -> None:
        async with serving(answer, load=False) as server:
            assert await states(server.address, "", SERVICE) == [NOT_SERVING] * 2
            assert await states(server.address, "liveness") == [SERVING]
            async with stub_of(server, plain=True) as stub:
                error = await failure(stub)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert details(error)["ErrorInfo"].reason == "SERVICE_UNAVAILABLE"
            await server.load()
            assert await states(server.address, "", SERVICE) == [SERVING] * 2
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await states(server.address, "unknown")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    asyncio.run(scenario())


def test_a_watcher_is_told_of_a_drain_after_another_has_left(serving: Serving) -> None:
    """The health servicer of grpcio-health-checking forgets the others when one leaves."""

    async def scenario() -> None:
        async with serving(answer) as server:
            seen: asyncio.Queue[int] = asyncio.Queue()

            async def follow() -> None:
                async for status in watch(server):
                    seen.put_nowait(status)

            stays = asyncio.create_task(follow())
            assert await seen.get() == SERVING
            leaver = asyncio.create_task(follow())
            assert await seen.get() == SERVING
            leaver.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaver
            drain = asyncio.create_task(server.drain())
            assert await seen.get() == NOT_SERVING
            # The watch is ended by the server: a drain need not wait out its grace.
            await asyncio.gather(stays, drain)

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_the_contract(serving: Serving, version: str) -> None:
    async def scenario() -> None:
        async with (
            serving(answer) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            ask = channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            requests = [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
            ]
            listed, described = [each async for each in ask(iter(requests))]
        names = {service.name for service in listed.list_services_response.service}
        file, *_ = described.file_descriptor_response.file_descriptor_proto
        assert names == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        assert descriptor_pb2.FileDescriptorProto.FromString(file).package == "slcolm.retrieval.v1"

    asyncio.run(scenario())
