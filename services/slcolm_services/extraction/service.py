"""Puts the extraction service together."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
from google.protobuf.message import Message

from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm.inference.v2 import open_inference_pb2, open_inference_pb2_grpc
from slcolm_services.extraction import open_inference
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.measures import ExtractionMeasures
from slcolm_services.extraction.registry import Registry
from slcolm_services.extraction.resources import Resources
from slcolm_services.extraction.scheduler import Scheduler
from slcolm_services.extraction.servicer import ExtractionServicer, characters_of
from slcolm_services.runtime.dependencies import Dependency
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service
from slcolm_services.runtime.store import ArtifactStore

_NAME = extraction_pb2.DESCRIPTOR.services_by_name["ExtractionService"].full_name
_OPEN_INFERENCE_METHODS = open_inference_pb2.DESCRIPTOR.services_by_name[
    "GRPCInferenceService"
].methods_by_name.keys()


def build(config: ExtractionConfig) -> Service:
    """The extraction service as the runtime starts it.

    It is ready once the configured model is loaded. Where none is configured models come by
    `LoadModel`, and a process begins with the one that the process before it ended with.
    """
    measures = ExtractionMeasures()
    store = ArtifactStore(config.store)
    registry = Registry(store, config)
    resources = Resources.of(config)
    scheduler = Scheduler(
        workers=resources.slots, batch_tokens=resources.batch_tokens, measures=measures
    )
    servicer = ExtractionServicer(config, registry, scheduler, measures)
    by_protocol = open_inference.OpenInferenceServicer(servicer, registry)

    def register(server: grpc.aio.Server) -> None:
        extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(servicer, server)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(by_protocol, server)

    async def start() -> None:
        scheduler.start()
        if config.model is not None:
            await asyncio.to_thread(registry.load_folder, config.model)
        else:
            await asyncio.to_thread(registry.restore)

    async def check_model() -> None:
        registry.get()

    async def stop() -> None:
        await asyncio.to_thread(scheduler.close)

    return Service(
        name=_NAME,
        register=register,
        start=start,
        stop=stop,
        cost=_cost,
        wait_seconds=servicer.wait_seconds,
        collectors=measures.collectors,
        dependencies=[
            # Without a model the service must still be reached, by `LoadModel`.
            Dependency("model", check_model, needed=False),
            Dependency("store", partial(asyncio.to_thread, store.check), needed=False),
        ],
        roles={
            "Extract": Role.READ,
            "GetModel": Role.READ,
            "ListModels": Role.READ,
            "LoadModel": Role.WRITE,
        },
        others={open_inference.SERVICE: dict.fromkeys(_OPEN_INFERENCE_METHODS, Role.READ)},
    )


def _cost(request: Message) -> int:
    """Characters to read, at least 1; nothing for calls that read none."""
    if isinstance(request, open_inference_pb2.ModelInferRequest):
        return max(1, open_inference.cost_of(request))
    if not isinstance(request, extraction_pb2.ExtractRequest):
        return 0
    return max(1, characters_of(request))
