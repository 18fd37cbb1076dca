"""A real server around a servicer whose answers a test chooses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server, Service

NAME = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"].full_name

Handler = Callable[[retrieval_pb2.GetIndexRequest, Any], Awaitable[retrieval_pb2.GetIndexResponse]]
Serving = Callable[..., AbstractAsyncContextManager[Server]]


class _Servicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def GetIndex(self, request: Any, context: Any) -> Any:  # noqa: N802  the contract's name
        return await self._handler(request, context)


def service_of(handler: Handler, **hooks: Any) -> Service:
    servicer = _Servicer(handler)
    return Service(
        name=NAME,
        register=lambda server: retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(
            servicer, server
        ),
        **hooks,
    )


@pytest.fixture
def serving() -> Serving:
    """Serve a handler of `GetIndex`; keyword arguments are settings, `hooks` those of `Service`."""

    @asynccontextmanager
    async def serve(
        handler: Handler, *, hooks: dict[str, Any] | None = None, load: bool = True, **settings: Any
    ) -> AsyncIterator[Server]:
        config = replace(ServerConfig(drain_delay_seconds=0.2, grace_seconds=5.0), **settings)
        async with Server(service_of(handler, **(hooks or {})), config) as server:
            if load:
                await server.load()
            yield server

    return serve
