"""Puts the extraction service together."""

from __future__ import annotations

import asyncio

from google.protobuf.message import Message

from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.measures import ExtractionMeasures
from slcolm_services.extraction.registry import Registry
from slcolm_services.extraction.resources import Resources
from slcolm_services.extraction.scheduler import Scheduler
from slcolm_services.extraction.servicer import ExtractionServicer, characters_of
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service
from slcolm_services.runtime.store import ArtifactStore

_NAME = extraction_pb2.DESCRIPTOR.services_by_name["ExtractionService"].full_name


def build(config: ExtractionConfig) -> Service:
    """The extraction service as the runtime starts it.

    It is ready once the configured model is loaded, or at once where none is configured: models
    then come by `LoadModel`.
    """
    measures = ExtractionMeasures()
    registry = Registry(ArtifactStore(config.store), config)
    resources = Resources.of(config)
    scheduler = Scheduler(
        workers=resources.slots, batch_tokens=resources.batch_tokens, measures=measures
    )
    servicer = ExtractionServicer(config, registry, scheduler, measures)

    async def start() -> None:
        scheduler.start()
        if config.model is not None:
            await asyncio.to_thread(registry.load_folder, config.model)

    async def stop() -> None:
        await asyncio.to_thread(scheduler.close)

    return Service(
        name=_NAME,
        register=lambda server: extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(
            servicer, server
        ),
        start=start,
        stop=stop,
        cost=_cost,
        wait_seconds=servicer.wait_seconds,
        collectors=measures.collectors,
        roles={
            "Extract": Role.READ,
            "GetModel": Role.READ,
            "ListModels": Role.READ,
            "LoadModel": Role.WRITE,
        },
    )


def _cost(request: Message) -> int:
    """Characters to read, at least 1; nothing for calls that read none."""
    if not isinstance(request, extraction_pb2.ExtractRequest):
        return 0
    return max(1, characters_of(request))
