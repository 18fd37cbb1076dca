"""Calls on a real server, as tests of the runtime make them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_client import Security, connect_aio
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server, Service

Handler = Callable[[retrieval_pb2.GetIndexRequest, Any], Awaitable[retrieval_pb2.GetIndexResponse]]
Serving = Callable[..., AbstractAsyncContextManager[Server]]

SERVICE = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"].full_name


async def answer(request: Any, context: Any) -> retrieval_pb2.GetIndexResponse:
    del context
    return retrieval_pb2.GetIndexResponse(
        index=retrieval_pb2.Index(revision=request.index_revision)
    )


class _Servicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def GetIndex(self, request: Any, context: Any) -> Any:  # noqa: N802  the contract's name
        return await self._handler(request, context)


def service_of(handler: Handler, **hooks: Any) -> Service:
    servicer = _Servicer(handler)
    return Service(
        name=SERVICE,
        register=lambda server: retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(
            servicer, server
        ),
        **hooks,
    )


@asynccontextmanager
async def serve(
    handler: Handler,
    *,
    hooks: dict[str, Any] | None = None,
    load: bool = True,
    auth: AuthConfig | None = None,
    **settings: Any,
) -> AsyncIterator[Server]:
    """Serve a handler of `GetIndex`; keyword arguments are settings, `hooks` those of `Service`."""
    config = replace(ServerConfig(drain_delay_seconds=0.2, grace_seconds=5.0), **settings)
    async with Server(service_of(handler, **(hooks or {})), config, auth) as server:
        if load:
            await server.load()
        yield server


@asynccontextmanager
async def stub_of(
    *servers: Server, plain: bool = False, security: Security | None = None
) -> AsyncIterator[Any]:
    """Stub on a channel of the SDK, or on a bare one with gRPC's defaults."""
    target = "ipv4:" + ",".join(server.address for server in servers)
    channel = (
        grpc.aio.insecure_channel(target)
        if plain
        else connect_aio(target, security=security or Security())
    )
    async with channel:
        yield retrieval_pb2_grpc.RetrievalServiceStub(channel)


def get(stub: Any, revision: str = "a", *, timeout: float | None = 20.0, **options: Any) -> Any:
    request = retrieval_pb2.GetIndexRequest(index_revision=revision)
    return stub.GetIndex(request, timeout=timeout, **options)


def trailers(error: Any) -> dict[str, Any]:
    return dict(error.trailing_metadata())


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """Details of an error by name of their message."""
    raw = trailers(error)["grpc-status-details-bin"]
    found = {}
    for detail in status_pb2.Status.FromString(raw).details:
        name = detail.TypeName().rpartition(".")[2]
        message = getattr(error_details_pb2, name)()
        detail.Unpack(message)
        found[name] = message
    return found


async def failure(stub: Any, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(stub, **options)
    return caught.value
