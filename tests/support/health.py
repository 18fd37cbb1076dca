"""What a server says of itself on the health service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_PATIENCE_SECONDS = 60.0


async def states(address: str, *names: str) -> list[int]:
    """The present state of each name."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answers = [
            await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=_PATIENCE_SECONDS)
            for name in names
        ]
    return [int(answer.status) for answer in answers]


async def becomes(address: str, name: str, wanted: int) -> None:
    """Wait until a name has a state, by watching it."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(_PATIENCE_SECONDS):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=name)):
            if answer.status == wanted:
                return
