"""A program that knows an address alone, as grpcurl and Postman do: it asks by reflection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from support.clients import on_loop
from support.letters import letters, write_model


class Explorer:
    """Calls methods by name, with JSON, over a channel; what it knows it has asked for."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._database = ProtoReflectionDescriptorDatabase(self._channel)
        self._pool = DescriptorPool(self._database)

    def services(self) -> list[str]:
        return sorted(self._database.get_services())

    def call(self, service: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        described: MethodDescriptor = self._pool.FindServiceByName(service).methods_by_name[method]
        request_type = message_factory.GetMessageClass(described.input_type)
        response_type = message_factory.GetMessageClass(described.output_type)
        send = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        response = send(json_format.ParseDict(request, request_type()), timeout=20)
        return json_format.MessageToDict(response, descriptor_pool=self._pool)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@on_loop
async def test_services_are_found_and_called_by_name(model_folder: Path, tmp_path: Path) -> None:
    async with letters(model_folder, tmp_path) as address:
        explorer = Explorer(address)
        services = await asyncio.to_thread(explorer.services)
        request = {"documents": [{"id": "a", "text": "😀A"}, {"id": "b", "text": "A" * 21}]}
        name = "slcolm.extraction.v1.ExtractionService"
        response = await asyncio.to_thread(explorer.call, name, "Extract", request)
        explorer.close()

    assert services == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        name,
    ]
    found, failed = response["results"]
    (entity,) = found["extraction"]["document"]["entities"]
    assert (entity["type"], entity["start"], entity["end"]) == ("PER", 1, 2)
    # The details are messages of a file that reflection must know too, or no JSON can show them.
    (info, *_) = failed["error"]["details"]
    assert (info["@type"], info["reason"]) == (
        "type.googleapis.com/google.rpc.ErrorInfo",
        "TEXT_TOO_LONG",
    )
