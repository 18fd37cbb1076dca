"""What a service brings to the runtime, and the one way to start it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message


async def _nothing() -> None:
    """Hook of a service that has nothing to load or to close."""


def _one(request: Message) -> int:
    """Cost of a request where every request is alike."""
    del request
    return 1


@dataclass(frozen=True)
class Service:
    """A service as the runtime starts, limits and stops it.

    Attributes:
        name: Full gRPC name, for example `slcolm.extraction.v1.ExtractionService`.
        register: Adds the servicers to a server. Called before `start`.
        start: Loads what the service needs; it is ready once this returns. Runs on the event loop:
            work that computes or touches disk goes to a thread.
        stop: Closes what `start` opened, after the last call has ended. Also called when `start`
            failed half-way.
        cost: Admission cost of a request, in the service's own unit (characters, sentences); the
            sum over the calls in flight is what the server limits. Health and reflection are free.
        unlimited_methods: Full method names, `/package.Service/Method`, that get neither the
            default deadline nor the maximum, and no cost: long streams.
    """

    name: str
    register: Callable[[grpc.aio.Server], None]
    start: Callable[[], Awaitable[None]] = _nothing
    stop: Callable[[], Awaitable[None]] = _nothing
    cost: Callable[[Message], int] = _one
    unlimited_methods: frozenset[str] = frozenset()
