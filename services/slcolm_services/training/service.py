"""Puts the training service together."""

from __future__ import annotations

import asyncio
from functools import partial

from slcolm.training.v1 import training_pb2, training_pb2_grpc
from slcolm_services.runtime.dependencies import Dependency
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.service import Service
from slcolm_services.runtime.store import ArtifactStore
from slcolm_services.training.config import TrainingConfig
from slcolm_services.training.measures import TrainingMeasures
from slcolm_services.training.retention import discard_abandoned
from slcolm_services.training.runner import JobRunner
from slcolm_services.training.servicer import TrainingServicer

_NAME = training_pb2.DESCRIPTOR.services_by_name["TrainingService"].full_name


def build(config: TrainingConfig) -> Service:
    """The training service as the runtime starts it; it loads nothing, and clears up."""
    measures = TrainingMeasures()
    store = ArtifactStore(config.store)
    runner = JobRunner(config, store, measures)
    servicer = TrainingServicer(config, runner)

    async def start() -> None:
        await asyncio.to_thread(discard_abandoned, config.work_dir, days=config.job_retention_days)

    return Service(
        name=_NAME,
        register=lambda server: training_pb2_grpc.add_TrainingServiceServicer_to_server(
            servicer, server
        ),
        start=start,
        stop=runner.close,
        # A training takes as long as it takes; one at a time is the runner's own limit.
        unlimited_methods=frozenset({f"/{_NAME}/Train"}),
        collectors=measures.collectors,
        dependencies=[Dependency("store", partial(asyncio.to_thread, store.check))],
        roles={"Train": Role.WRITE},
    )
