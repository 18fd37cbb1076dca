"""Clients that take no answers, or send half a request, hold nobody else up and fill no memory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
from support.health import SERVING, states

from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server, Service

_NAME = coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"].full_name
_TIMEOUT_SECONDS = 60.0
_SLOW = 20
_LARGE = "甲" * 20_000


class Endless(coordinator_pb2_grpc.CoordinatorServiceServicer):
    """Streams large messages for as long as they are taken."""

    def __init__(self) -> None:
        self.sent = 0
        self.at_work = 0

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        del request, context
        self.at_work += 1
        try:
            while True:
                run = coordinator_pb2.Run(spec=coordinator_pb2.RunSpec(display_name=_LARGE))
                yield coordinator_pb2.WatchRunResponse(run=run)
                self.sent += 1
        finally:
            self.at_work -= 1

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        return coordinator_pb2.GetRunResponse(run=coordinator_pb2.Run(id=request.run_id))


def service_of(servicer: Endless) -> Service:
    return Service(
        name=_NAME,
        register=lambda server: coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(
            servicer, server
        ),
        unlimited_methods=frozenset({f"/{_NAME}/WatchRun"}),
    )


async def others_are_answered(server: Server) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
        for number in range(50):
            request = coordinator_pb2.GetRunRequest(run_id=str(number))
            answer = await stub.GetRun(request, timeout=_TIMEOUT_SECONDS)
            assert answer.run.id == str(number)


async def settled(count: Any) -> int:
    """What a count comes to rest at."""
    before = -1
    while before != (now := int(count())):
        before = now
        await asyncio.sleep(0.5)
    return before


def test_clients_that_take_no_answers() -> None:
    """What a client's window does not take is not even made."""

    async def scenario() -> None:
        servicer = Endless()
        config = replace(ServerConfig(), drain_delay_seconds=0.0, grace_seconds=0.0)
        async with Server(service_of(servicer), config) as server:
            await server.load()
            channels = [grpc.aio.insecure_channel(server.address) for _ in range(_SLOW)]
            streams = []
            for channel in channels:
                stub: Any = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
                streams.append(stub.WatchRun(coordinator_pb2.WatchRunRequest()))
            for stream in streams:
                await stream.read()
            await others_are_answered(server)
            at_rest = await settled(lambda: servicer.sent)
            assert at_rest <= _SLOW * 200  # 60 kB each
            await others_are_answered(server)
            assert (servicer.sent, servicer.at_work) == (at_rest, _SLOW)

            for channel in channels:
                await channel.close(None)
            assert await settled(lambda: servicer.at_work) == 0

    asyncio.run(scenario())


def test_clients_that_send_half_a_request() -> None:
    """Connections that say nothing, or stop in the middle of a frame."""

    async def scenario() -> None:
        config = replace(ServerConfig(), drain_delay_seconds=0.0, grace_seconds=0.0)
        async with Server(service_of(Endless()), config) as server:
            await server.load()
            preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
            sockets = []
            for sent in (
                b"",
                preface[:10],
                preface,
                preface + b"\x00\x40\x00\x00\x00\x00\x00\x00\x01",
            ):
                for _ in range(25):
                    half = socket.create_connection(("127.0.0.1", server.port))
                    half.sendall(sent)
                    sockets.append(half)
            await others_are_answered(server)
            assert await states(server.address, "") == [SERVING]
            for half in sockets:
                half.close()
            await others_are_answered(server)

    asyncio.run(scenario())
