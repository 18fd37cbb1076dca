"""An extraction service as a process of its own, and callers that keep it busy."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from serving import Served, serve

from slcolm.common.v1 import common_pb2
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_client import connect_aio

_TIMEOUT_SECONDS = 300.0


@contextmanager
def extraction_server(
    model: Path, precision: str, home: Path, *, log: TextIO | None = None, **settings: str
) -> Iterator[Served]:
    """Serve a model folder.

    Args:
        model: The folder.
        precision: In which it runs.
        home: Folder for the service's state.
        log: As for `serve`.
        settings: Variables of the environment.
    """
    own = {
        "SLCOLM_EXTRACTION_MODEL": str(model),
        "SLCOLM_EXTRACTION_STORE": str(home / "store"),
        "SLCOLM_EXTRACTION_CACHE_DIR": str(home / "cache"),
        "SLCOLM_EXTRACTION_PRECISION": precision,
    }
    with serve("extraction", home, log=log, **(own | settings)) as served:
        yield served


def call_concurrently(
    address: str, texts: Sequence[str], *, callers: int, texts_per_call: int
) -> tuple[float, list[float]]:
    """Send all texts, each caller one call after another.

    Returns:
        Texts a second, and the seconds of each call.
    """
    requests = [
        extraction_pb2.ExtractRequest(
            documents=[
                common_pb2.Document(id=str(index), text=text)
                for index, text in enumerate(texts[start : start + texts_per_call])
            ]
        )
        for start in range(0, len(texts), texts_per_call)
    ]
    return asyncio.run(_call_all(address, requests, callers, len(texts)))


def call_at_random(address: str, texts: Sequence[str], *, per_second: float) -> list[float]:
    """Send single sentences at random times that do not wait for answers (a Poisson process).

    Returns:
        Seconds of each, from when it was due.
    """
    draw = random.Random(11)
    due = list(itertools.accumulate(draw.expovariate(per_second) for _ in texts))
    return asyncio.run(_call_when_due(address, texts, due))


async def _call_when_due(address: str, texts: Sequence[str], due: Sequence[float]) -> list[float]:
    async with connect_aio(address) as channel:
        await channel.channel_ready()
        stub = extraction_pb2_grpc.ExtractionServiceStub(channel)
        begin = time.perf_counter()

        async def call(text: str, when: float) -> float:
            await asyncio.sleep(max(0.0, begin + when - time.perf_counter()))
            document = common_pb2.Document(id="0", text=text)
            request = extraction_pb2.ExtractRequest(documents=[document])
            response = await stub.Extract(request, timeout=_TIMEOUT_SECONDS)
            assert response.results[0].HasField("extraction")
            return time.perf_counter() - begin - when

        return await asyncio.gather(*(call(*one) for one in zip(texts, due, strict=True)))


async def _call_all(
    address: str, requests: Sequence[extraction_pb2.ExtractRequest], callers: int, texts: int
) -> tuple[float, list[float]]:
    waiting = iter(requests)
    seconds: list[float] = []

    async def caller(stub: extraction_pb2_grpc.ExtractionServiceStub) -> None:
        for request in waiting:
            start = time.perf_counter()
            response = await stub.Extract(request, timeout=_TIMEOUT_SECONDS)
            seconds.append(time.perf_counter() - start)
            assert all(result.HasField("extraction") for result in response.results)

    async with connect_aio(address) as channel:
        await channel.channel_ready()
        stub = extraction_pb2_grpc.ExtractionServiceStub(channel)
        begin = time.perf_counter()
        await asyncio.gather(*(caller(stub) for _ in range(callers)))
        return texts / (time.perf_counter() - begin), seconds
