"""Puts the coordinator together."""

from __future__ import annotations

import asyncio
from functools import partial

from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.coordinator.context import Tools
from slcolm_services.coordinator.datasets import Datasets
from slcolm_services.coordinator.engine import Engine
from slcolm_services.coordinator.peers import Peers
from slcolm_services.coordinator.records import Records
from slcolm_services.coordinator.servicer import CoordinatorServicer
from slcolm_services.runtime.dependencies import Dependency
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service
from slcolm_services.runtime.store import ArtifactStore

_NAME = coordinator_pb2.DESCRIPTOR.services_by_name["CoordinatorService"].full_name


def build(config: CoordinatorConfig) -> Service:
    """The coordinator as the runtime starts it. Nothing is opened before `start`."""
    store = ArtifactStore(config.store)
    tools = Tools(config, Peers(config), Datasets(store), Records(store), store)
    engine = Engine(tools)
    servicer = CoordinatorServicer(tools, engine)

    async def start() -> None:
        await asyncio.to_thread(engine.launch)

    async def stop() -> None:
        await asyncio.to_thread(engine.close)
        tools.peers.close()

    return Service(
        name=_NAME,
        register=lambda server: coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server(
            servicer, server
        ),
        start=start,
        stop=stop,
        collectors=engine.measures.collectors,
        dependencies=[
            Dependency("database", engine.check),
            Dependency("store", partial(asyncio.to_thread, store.check)),
            # Runs wait for services that come back.
            *(
                Dependency(name, partial(asyncio.to_thread, tools.peers.check, name), needed=False)
                for name in tools.peers.names
            ),
        ],
        unlimited_methods=frozenset({f"/{_NAME}/WatchRun"}),
        roles={
            "GetRun": Role.READ,
            "ListRuns": Role.READ,
            "WatchRun": Role.READ,
            "DownloadArtifact": Role.READ,
            "UploadDataset": Role.WRITE,
            "CreateRun": Role.WRITE,
            "CancelRun": Role.WRITE,
            "ResumeRun": Role.WRITE,
            "Predict": Role.WRITE,
            "DeleteRun": Role.ADMIN,
        },
    )
