"""Models come, change and go while calls are running; none of them is dropped."""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import numpy_helper
from support.health import NOT_SERVING, SERVING, states

from slcolm.common.v1 import common_pb2
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.registry import Registry
from slcolm_services.extraction.service import build
from slcolm_services.model.folder import read_manifest, write_manifest
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.store import ArtifactStore

FolderMaker = Callable[..., Path]
_TIMEOUT_SECONDS = 20.0
_SWITCHES = 12
_CALLERS = 6


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def config(tmp_path: Path) -> ExtractionConfig:
    return ExtractionConfig(
        store=str(tmp_path / "store"), cache_dir=tmp_path / "cache", threads=2, max_loaded_models=1
    )


def request_of(text: str) -> extraction_pb2.ExtractRequest:
    return extraction_pb2.ExtractRequest(documents=[common_pb2.Document(id="a", text=text)])


async def test_revisions_are_switched_and_rolled_back_without_a_dropped_call(
    config: ExtractionConfig, store: ArtifactStore, make_folder: FolderMaker
) -> None:
    """One model only is kept, so that every switch loads one and lets another go under load."""
    good = [store.put_folder("models", make_folder(f1=f1)) for f1 in (0.31, 0.32)]
    broken = store.put_folder("models", make_folder(f1=0.33))
    (Path(config.store) / "models" / broken / "spans.onnx").write_bytes(b"damaged")
    answered: list[str] = []
    current = good[0]
    stop = asyncio.Event()

    async with Server(build(config), ServerConfig()) as server:
        await server.load()
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = extraction_pb2_grpc.ExtractionServiceStub(channel)

            async def load(revision: str) -> None:
                await stub.LoadModel(
                    extraction_pb2.LoadModelRequest(revision=revision), timeout=_TIMEOUT_SECONDS
                )

            async def caller() -> None:
                while not stop.is_set():
                    before = current
                    response = await stub.Extract(request_of("A,x"), timeout=_TIMEOUT_SECONDS)
                    (result,) = response.results
                    assert len(result.extraction.document.relations) == 1
                    # No switch happened meanwhile, or this is one of the two that were switched.
                    assert response.model_revision in ({before, current} | pending)
                    answered.append(response.model_revision)

            pending: set[str] = set()
            await load(current)
            callers = [asyncio.create_task(caller()) for _ in range(_CALLERS)]
            for number in range(_SWITCHES):
                following = good[(number + 1) % 2]
                pending.add(following)
                await load(following)
                current = following
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await load(broken)
                assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
                pending.clear()
                answer = await stub.Extract(request_of("A"), timeout=_TIMEOUT_SECONDS)
                assert answer.model_revision == current
            stop.set()
            # A call that failed raises here.
            await asyncio.gather(*callers)
    assert set(answered) == set(good)


async def test_a_service_is_not_ready_before_its_model_has_run(
    config: ExtractionConfig, model_folder: Path
) -> None:
    service = build(replace(config, model=model_folder))
    async with (
        Server(service, ServerConfig()) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        stub: Any = extraction_pb2_grpc.ExtractionServiceStub(channel)
        check = health_pb2.HealthCheckRequest(service=service.name)
        before = await health.Check(check, timeout=_TIMEOUT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Extract(request_of("A"), timeout=_TIMEOUT_SECONDS)
        await server.load()
        after = await health.Check(check, timeout=_TIMEOUT_SECONDS)
        answer = await stub.Extract(request_of("A"), timeout=_TIMEOUT_SECONDS)
    assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert after.status == health_pb2.HealthCheckResponse.SERVING
    assert answer.results[0].extraction.document.entities


def heavier(folder: Path, rows: int) -> Path:
    """The same model with `rows` more rows of its embedding, which no token uses."""
    path = folder / "spans.onnx"
    graph = onnx.load(path)
    (table,) = [one for one in graph.graph.initializer if one.name == "embedding"]
    used = numpy_helper.to_array(table)
    more = np.random.default_rng(rows).random((rows, used.shape[1]), dtype=np.float32)
    table.CopyFrom(numpy_helper.from_array(np.concatenate([used, more]), "embedding"))
    onnx.save(graph, path)
    write_manifest(folder, replace(read_manifest(folder, verify=False), files={}))
    return folder


def test_the_memory_of_models_that_are_let_go_is_free_again(
    config: ExtractionConfig, store: ArtifactStore, make_folder: FolderMaker
) -> None:
    """Seven models of 24 MB each, of which one is kept.

    While a model is loaded there are two, and its file: so much may stay with the allocator.
    """
    revisions = [
        store.put_folder("models", heavier(make_folder(), 2_000_000 + number))
        for number in range(7)
    ]
    registry = Registry(store, config)
    registry.load(revisions[0])
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    for revision in revisions[1:]:
        registry.load(revision)
    gc.collect()
    grown = process.memory_info().rss - before
    assert registry.find_loaded(revisions[0]) is None
    assert grown < 3 * 24_000_000


async def test_a_process_that_is_started_anew_serves_the_last_model(
    config: ExtractionConfig, store: ArtifactStore, make_folder: FolderMaker
) -> None:
    first, last = (store.put_folder("models", make_folder(f1=f1)) for f1 in (0.31, 0.32))

    async def life(*revisions: str) -> tuple[int, str]:
        async with (
            Server(build(config), ServerConfig()) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            await server.load()
            stub: Any = extraction_pb2_grpc.ExtractionServiceStub(channel)
            (model,) = await states(server.address, "model")
            for revision in revisions:
                await stub.LoadModel(
                    extraction_pb2.LoadModelRequest(revision=revision), timeout=_TIMEOUT_SECONDS
                )
            try:
                answer = await stub.Extract(request_of("A"), timeout=_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                return model, error.code().name
            return model, str(answer.model_revision)

    # It takes calls without a model, or no model would ever reach it.
    assert await life() == (NOT_SERVING, "NOT_FOUND")
    assert await life(first, last) == (NOT_SERVING, last)
    assert await life() == (SERVING, last)
    shutil.rmtree(Path(config.store) / "models" / last)
    assert await life() == (NOT_SERVING, "NOT_FOUND")
