"""Server reflection, under both of its names."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
REFLECTION = frozenset({reflection.SERVICE_NAME, REFLECTION_V1})
"""Full names of the service that tells contracts."""


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Have a server tell the contracts of services, by their full names, and its own.

    `grpc.reflection.v1` is `v1alpha` message by message, and grpcio knows the older name alone,
    which some tools ask for and others no longer do. The newer one is served and not listed: no
    descriptor of that name is there, so a tool that describes all that is listed would fail.
    """
    names = (*services, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]  # in __all__
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(REFLECTION_V1, methods),))
