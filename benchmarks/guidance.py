"""How close guidance comes to what an endpoint can answer, and what failures cost.

    python benchmarks/guidance.py [--sentences 2000] [--in-flight 64] [--latency 1.0] [--out FILE]

A local endpoint in a process of its own takes a second for each answer. All sentences are guided in
one batch, through prompts, ledger (SQLite file), HTTP, parsing and grounding, at most 64 calls in
flight. The limit is sentences / in flight x latency. The peer is the plain openai client under a
semaphore, which sends the same prompts and keeps nothing. A further run has one request in ten
refused with 429 and one in fifty lost with its connection; the endpoint counts what it answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import openai
import psutil
from completions import NO_CHANGE, complete, read_body, respond

import slcolm_services
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem, PromptOptions
from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.prompt import Window, build_guide
from slcolm_services.guidance.service import build_guidance
from slcolm_services.runtime.config import Secret

_SAMPLES = Path(slcolm_services.__file__).parent / "samples" / "annals"
_DEMONSTRATIONS = 5
_PATIENCE_SECONDS = 900.0
_REFUSED, _LOST = 0.1, 0.02


@dataclass(frozen=True)
class Faults:
    """Shares of requests that are not answered."""

    refused: float = 0.0
    lost: float = 0.0


class Endpoint:
    """Chat completions over HTTP/1.1, each after the same time; counts answers by message."""

    def __init__(self, latency: float, faults: Faults) -> None:
        self._latency = latency
        self._faults = faults
        self._draw = random.Random(5)
        self.answered: Counter[str] = Counter()
        self.refused = 0
        self.lost = 0
        self.in_flight = 0
        self.peak = 0

    async def serve(self, stats: Connection) -> None:
        """Serve until the other end asks for the figures."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        stats.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(stats.recv)
        counts = self.answered.values()
        stats.send(
            {
                "answered": sum(counts),
                "sentences": len(counts),
                "answered_twice": sum(count > 1 for count in counts),
                "refused": self.refused,
                "connections_lost": self.lost,
                "peak_in_flight": self.peak,
            }
        )

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                body = json.loads(await read_body(reader))
                self.in_flight += 1
                self.peak = max(self.peak, self.in_flight)
                try:
                    await self._answer(body, writer)
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        fate = self._draw.random()
        if fate < self._faults.refused:
            self.refused += 1
            respond(writer, "429 Too Many Requests", {"error": {"message": "slow down"}})
            return
        await asyncio.sleep(self._latency)
        if fate < self._faults.refused + self._faults.lost:
            self.lost += 1
            writer.transport.abort()
            return
        complete(writer, NO_CHANGE)
        self.answered[body["messages"][-1]["content"]] += 1


def _serve(stats: Connection, latency: float, faults: Faults) -> None:
    asyncio.run(Endpoint(latency, faults).serve(stats))


@contextmanager
def endpoint(latency: float, faults: Faults) -> Iterator[tuple[str, dict[str, int]]]:
    """Run an endpoint; yields its URL and its figures, which are there afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, latency, faults), daemon=True)
    process.start()
    figures: dict[str, int] = {}
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1", figures
        ours.send(None)
        figures |= ours.recv()
    finally:
        process.terminate()
        process.join()


def made_up(sentences: int) -> tuple[TaskSchema, list[GuideItem]]:
    """Distinct sentences of the sample data set, with demonstrations and candidates."""
    schema = read_schema(_SAMPLES / "task.yaml")
    train = read_documents(_SAMPLES / "train.jsonl", schema)
    draw = random.Random(3)
    types = [relation.name for relation in schema.relation_types]

    def item(number: int) -> GuideItem:
        source = train[number % len(train)]
        document = Document(
            str(number), f"{source.text} {number}", source.entities, source.relations
        )
        shown = draw.sample(train, _DEMONSTRATIONS)
        return GuideItem(
            document,
            tuple(Demonstration(gold, gold) for gold in shown),
            tuple(Candidate(type_, 1.0) for type_ in draw.sample(types, 5)),
        )

    return schema, [item(number) for number in range(sentences)]


def _rss_mib() -> float:
    return round(float(psutil.Process().memory_info().rss) / 2**20, 1)


async def guided(
    url: str, schema: TaskSchema, items: Sequence[GuideItem], in_flight: int
) -> dict[str, Any]:
    """Guide all sentences; what came out, how long it took and how memory went."""
    with tempfile.TemporaryDirectory() as folder:
        work = build_guidance(
            GuidanceConfig(
                provider="openai",
                model="local",
                base_url=url,
                api_key_env="",
                max_concurrency=in_flight,
                max_attempts=20,
                ledger_url=Secret(f"sqlite:///{folder}/ledger.sqlite"),
            )
        )
        await work.open()
        memory: dict[str, float] = {}
        watching = asyncio.create_task(_watch(work, len(items), memory))
        cpu, started = time.process_time(), time.perf_counter()
        outcomes = await work.guide(items, schema, timeout_seconds=_PATIENCE_SECONDS)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        memory["at_the_end"] = _rss_mib()
        await watching
        spending = await work.spending()
        await work.close()
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "answers": sum(isinstance(outcome, Guided) for outcome in outcomes),
        "calls_booked": spending.usage.calls,
        "rss_mib": memory,
    }


async def _watch(work: Guidance, sentences: int, memory: dict[str, float]) -> None:
    """Note the memory when a quarter of the answers is booked."""
    memory["at_the_start"] = _rss_mib()
    while (await work.spending()).usage.calls < sentences / 4:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.5)
    memory["at_a_quarter"] = _rss_mib()


async def plain_client(url: str, bodies: Sequence[dict[str, Any]], in_flight: int) -> float:
    """The peer: seconds of the openai client under a semaphore."""
    slots = asyncio.Semaphore(in_flight)
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def ask(body: dict[str, Any]) -> None:
            async with slots:
                await client.chat.completions.create(**body)

        started = time.perf_counter()
        await asyncio.gather(*map(ask, bodies))
        return round(time.perf_counter() - started, 2)


def bodies_of(schema: TaskSchema, items: Sequence[GuideItem]) -> list[dict[str, Any]]:
    """The requests as the peer sends them."""
    window = Window(32_000, 2_048)
    prompts = [build_guide(item, schema, PromptOptions(), window) for item in items]
    return [
        {
            "model": "local",
            "messages": [
                {"role": message.role, "content": message.content} for message in prompt.messages
            ],
            "max_tokens": window.answer_tokens,
        }
        for prompt in prompts
    ]


def main() -> None:
    """Measure, print and write the figures."""
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds")
    parser.add_argument("--out", type=Path, default=root / "benchmarks" / "out" / "guidance.json")
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = "*"

    schema, items = made_up(arguments.sentences)
    ideal = arguments.sentences / arguments.in_flight * arguments.latency
    runs: dict[str, Any] = {}
    for name, faults in (("clean", Faults()), ("faults", Faults(_REFUSED, _LOST))):
        with endpoint(arguments.latency, faults) as (url, figures):
            runs[name] = asyncio.run(guided(url, schema, items, arguments.in_flight))
        runs[name] |= {
            "over_ideal": round(runs[name]["seconds"] / ideal, 3),
            "endpoint": figures,
        }
    bodies = bodies_of(schema, items)
    with endpoint(arguments.latency, Faults()) as (url, _):
        peer = asyncio.run(plain_client(url, bodies, arguments.in_flight))
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.platform()}",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("slcolm", "openai", "sqlalchemy")},
        },
        "sentences": arguments.sentences,
        "in_flight": arguments.in_flight,
        "latency_seconds": arguments.latency,
        "ideal_seconds": ideal,
        **runs,
        "plain_client": {"seconds": peer, "over_ideal": round(peer / ideal, 3)},
    }
    print(json.dumps(report, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
