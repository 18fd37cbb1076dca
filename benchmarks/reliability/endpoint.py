"""An LLM endpoint in a process of its own that answers, dawdles, refuses or hangs up as told."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from completions import NO_CHANGE, complete, read_body, respond

_LATENCY_SECONDS = 0.05
_SLOW_SECONDS = 15.0

MOODS = ("well", "slow", "refusing", "hanging up", "babbling")
"""Well; answering after 15 s; 500 and 429; resets; answers that are no JSON."""


class _Endpoint:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._mood = "well"
        self._draw = random.Random(5)
        self._requests = 0
        self._answered: Counter[str] = Counter()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self._pipe.send(server.sockets[0].getsockname()[1])
        while told := await asyncio.to_thread(self._pipe.recv):
            if told == "figures":
                self._pipe.send(self._figures())
            elif told == "forget":
                self._requests = 0
                self._answered.clear()
            else:
                self._mood = told

    def _figures(self) -> dict[str, int]:
        return {
            "requests": self._requests,
            "prompts_answered": len(self._answered),
            "answers": sum(self._answered.values()),
            "answered_again": sum(count - 1 for count in self._answered.values()),
        }

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._answer(await read_body(reader), reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _answer(
        self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._requests += 1
        mood = self._mood
        await asyncio.sleep(_SLOW_SECONDS if mood == "slow" else _LATENCY_SECONDS)
        if mood == "hanging up":
            writer.transport.abort()
        elif mood == "refusing":
            status = self._draw.choice(["500 Internal Server Error", "429 Too Many Requests"])
            respond(writer, status, {"error": {"message": "not now"}})
        else:
            complete(writer, "I would rather not say." if mood == "babbling" else NO_CHANGE)
            await writer.drain()
            # A client that has hung up meanwhile never gets its answer.
            if mood != "babbling" and not reader.at_eof():
                self._answered[hashlib.sha256(body).hexdigest()] += 1


def _serve(pipe: Connection) -> None:
    asyncio.run(_Endpoint(pipe).serve())


class Endpoint:
    """The endpoint as the soak sees it.

    Attributes:
        url: Base URL.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url = f"http://127.0.0.1:{pipe.recv()}/v1"

    def be(self, mood: str) -> None:
        """From now on behave like this, one of `MOODS`."""
        self._pipe.send(mood)

    def forget(self) -> None:
        """Count from nothing again."""
        self._pipe.send("forget")

    def figures(self) -> dict[str, int]:
        """What it has been asked and has answered."""
        self._pipe.send("figures")
        counts: dict[str, int] = self._pipe.recv()
        return counts


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Run an endpoint."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Endpoint(ours)
    finally:
        ours.send("")
        process.join()
