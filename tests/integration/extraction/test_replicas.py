"""Several extraction services behind one name: each holds models of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from slcolm.common.v1 import common_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.coordinator.peers import Peers
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.store import ArtifactStore


@pytest.mark.parametrize("replicas", [2, 3, 4])
async def test_the_coordinator_has_a_model_loaded_wherever_it_asks(
    tmp_path: Path, make_folder: Callable[..., Path], replicas: int
) -> None:
    """Calls take turns: the one that loads and the one that asks do not reach the same replica."""
    store = str(tmp_path / "store")
    revision = ArtifactStore(store).put_folder("models", make_folder())
    documents = [common_pb2.Document(id=str(number), text="AB") for number in range(12)]
    async with AsyncExitStack() as stack:
        addresses = []
        for number in range(replicas):
            config = ExtractionConfig(
                store=store, cache_dir=tmp_path / f"cache-{number}", threads=1
            )
            server = await stack.enter_async_context(Server(build(config), ServerConfig()))
            await server.load()
            addresses.append(server.address)
        peers = Peers(CoordinatorConfig(extraction_address="ipv4:" + ",".join(addresses)))
        stack.callback(peers.close)

        results = await asyncio.to_thread(
            pipeline.extract,
            peers,
            documents,
            revision=revision,
            batch_documents=1,
            on_done=lambda _: None,
        )

    assert [result.id for result in results] == [document.id for document in documents]
    assert {result.WhichOneof("outcome") for result in results} == {"extraction"}
