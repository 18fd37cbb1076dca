"""Real servers answer every request, whatever is in it, and blame callers for what is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from fuzz.messages import messages
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.serving import trailers

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.inference.v2 import open_inference_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm.training.v1 import training_pb2
from slcolm_services.coordinator import service as coordinator
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.evaluation import service as evaluation
from slcolm_services.evaluation.config import EvaluationConfig
from slcolm_services.extraction import service as extraction
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.guidance import service as guidance
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.retrieval import service as retrieval
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.runtime.config import Secret, ServerConfig
from slcolm_services.runtime.server import Server, Service
from slcolm_services.training import service as training
from slcolm_services.training.config import TrainingConfig

NOT_THE_CALLERS_FAULT = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
TIMEOUT_SECONDS = 120.0
EXAMPLES = 60


def _extraction(folder: Path) -> Service:
    return extraction.build(
        ExtractionConfig(store=str(folder / "store"), cache_dir=folder / "cache", threads=1)
    )


SERVICES: dict[ServiceDescriptor, Callable[[Path], Service]] = {
    evaluation_pb2.DESCRIPTOR.services_by_name["EvaluationService"]: lambda _: evaluation.build(
        EvaluationConfig(max_bootstrap_samples=20)
    ),
    guidance_pb2.DESCRIPTOR.services_by_name["GuidanceService"]: lambda _: guidance.build(
        GuidanceConfig(ledger_url=Secret("sqlite://"))
    ),
    retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"]: lambda folder: retrieval.build(
        RetrievalConfig(folder=folder / "qdrant")
    ),
    extraction_pb2.DESCRIPTOR.services_by_name["ExtractionService"]: _extraction,
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]: _extraction,
    training_pb2.DESCRIPTOR.services_by_name["TrainingService"]: lambda folder: training.build(
        TrainingConfig(store=str(folder / "store"), work_dir=folder / "training")
    ),
    coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"]: lambda folder: (
        coordinator.build(
            CoordinatorConfig(
                store=str(folder / "store"),
                database_url=Secret(f"sqlite:///{folder / 'runs.sqlite'}"),
            )
        )
    ),
}


async def answered(channel: Any, method: MethodDescriptor, content: bytes) -> grpc.StatusCode:
    """The code of a call with these bytes as its request; responses are read to their end."""
    name = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            call = channel.stream_unary(name)(iter([content]), timeout=TIMEOUT_SECONDS)
            await call
        elif method.server_streaming:
            async for _ in channel.unary_stream(name)(content, timeout=TIMEOUT_SECONDS):
                pass
        else:
            await channel.unary_unary(name)(content, timeout=TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        assert code not in NOT_THE_CALLERS_FAULT, (name, code, error.details())  # noqa: PT017
        # All errors have their details: none was too large for the trailing metadata.
        assert "grpc-status-details-bin" in trailers(error), (name, code)  # noqa: PT017
        return code
    return grpc.StatusCode.OK


def with_names_known(method: MethodDescriptor) -> st.SearchStrategy[bytes]:
    """Requests; in half of them the schema is one that can be worked with."""
    schema = common_pb2.TaskSchema(
        name="t",
        language="en",
        entity_types=[common_pb2.EntityType(name="P")],
        relation_types=[common_pb2.RelationType(name="r"), common_pb2.RelationType(name="a")],
    )

    def put(message: Any, *, known: bool) -> bytes:
        if known and "schema" in message.DESCRIPTOR.fields_by_name:
            message.schema.CopyFrom(schema)
        content: bytes = message.SerializeToString()
        return content

    return st.builds(
        lambda message, known: put(message, known=known),
        messages(method.input_type),
        st.booleans(),
    )


def _call(runner: asyncio.Runner, channel: Any, method: MethodDescriptor, content: bytes) -> None:
    runner.run(answered(channel, method, content))


def _check(method: MethodDescriptor, call: Callable[[bytes], object]) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.one_of(with_names_known(method), st.binary(max_size=60)))
    def holds(content: bytes) -> None:
        call(content)

    holds()


# The engine's threads draw random numbers while hypothesis makes requests.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("service", list(SERVICES), ids=lambda service: service.name)
def test_every_method_answers_any_request(service: ServiceDescriptor, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:

        async def start() -> tuple[Server, Any]:
            server = Server(
                SERVICES[service](tmp_path), ServerConfig(drain_delay_seconds=0, grace_seconds=5)
            )
            await server.__aenter__()
            await server.load()
            return server, grpc.aio.insecure_channel(server.address)

        server, channel = runner.run(start())
        try:
            for method in service.methods:
                _check(method, partial(_call, runner, channel, method))
        finally:
            runner.run(channel.close())
            runner.run(server.__aexit__(None, None, None))


def test_an_error_as_long_as_a_message_still_arrives(tmp_path: Path) -> None:
    """A caller's own words come back shortened: trailing metadata has room for 8 KiB."""

    async def scenario() -> None:
        async with Server(
            retrieval.build(RetrievalConfig(folder=tmp_path)), ServerConfig()
        ) as server:
            await server.load()
            async with grpc.aio.insecure_channel(server.address) as channel:
                service = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"]
                methods = {method.name: method for method in service.methods}
                long = retrieval_pb2.GetIndexRequest(index_revision="名" * 1_000_000)
                code = await answered(channel, methods["GetIndex"], long.SerializeToString())
                assert code is grpc.StatusCode.NOT_FOUND
                many = retrieval_pb2.IndexDemonstrationsRequest(
                    index_revision="a",
                    model_revision="m",
                    schema=common_pb2.TaskSchema(
                        relation_types=[common_pb2.RelationType(name="r")]
                    ),
                    sentences=[
                        retrieval_pb2.IndexedSentence(
                            role=retrieval_pb2.SENTENCE_ROLE_TRAINING,
                            gold=common_pb2.Document(
                                id="a", text="ab", entities=[common_pb2.Entity(start=7)] * 200_000
                            ),
                        )
                    ],
                )
                code = await answered(
                    channel, methods["IndexDemonstrations"], many.SerializeToString()
                )
                assert code is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())
