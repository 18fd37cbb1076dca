"""What the extraction service gives when more is asked of it than it can do.

    python benchmarks/overload.py [--seconds 20] [--deadline 2] [--texts-per-call 16] [--apart]

The service runs in a process of its own with a model of the built-in encoder's size (4 x 256,
random weights). Before and after each step its peak is measured: a few callers, each one call after
another, as many as give the most. Then calls come at random times that do not wait for answers (a
Poisson process), at a multiple of that peak, each with a deadline. Goodput is what was answered
within it, in texts a second; its share is of the two peaks around it, so that a change of the
machine's load meets both.

Callers and service share the processors, and callers that ask ten times as much take more of them:
so the table has what the service did in a second of processor time too, beside what callers and
service took. With `--apart` the callers have the last processor and the service the others, as on
two machines. Requests are serialised before; callers make each call once and do not retry. Memory
is resident memory of the service, every 0.2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import torch
from extraction import machine, sentences
from serving import Served
from spert.models import make_model
from spert.server import extraction_server

from slcolm.common.v1 import common_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm_services.runtime.cpu import available_cpus

_METHOD = "/slcolm.extraction.v1.ExtractionService/Extract"
_OFFERED = (0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
_CALLERS = 8
_PATIENCE = 20.0
"""Multiple of the deadline within which every call must have ended: none may hang."""


@dataclass
class Step:
    """What came of the calls of a step.

    Attributes:
        codes: Calls by status.
        seconds: Of each call that was answered, from when it was due.
        late_seconds: By which each call was sent later than it was due.
        retry_seconds: What refused callers were told to wait.
        wall: Seconds that calls were sent.
        service_cpu: Seconds of processor time of the service meanwhile.
        callers_cpu: The same of the callers.
        peak_rss: Most bytes of memory of the service.
    """

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    late_seconds: list[float] = field(default_factory=list)
    retry_seconds: list[float] = field(default_factory=list)
    wall: float = 0.0
    service_cpu: float = 0.0
    callers_cpu: float = 0.0
    peak_rss: int = 0

    @property
    def rate(self) -> float:
        """Calls answered in time, a second."""
        return self.codes["OK"] / self.wall


class Load:
    """Callers of one service.

    Args:
        served: The service.
        requests: Serialised requests, which are sent over and over.
        deadline: Of each call, in seconds.
    """

    def __init__(self, served: Served, requests: Sequence[bytes], deadline: float) -> None:
        self._served = served
        self._process = served.process
        self._requests = itertools.cycle(requests)
        self._deadline = deadline

    def peak(self, seconds: float) -> Step:
        """A few callers, each one call after another."""
        step = Step()

        async def caller(call: Any, end: float) -> None:
            while (now := time.perf_counter()) < end:
                await self._one(call, step, now)

        async def run() -> None:
            async with grpc.aio.insecure_channel(self._served.address) as channel:
                call = channel.unary_unary(_METHOD)
                end = time.perf_counter() + seconds
                await asyncio.gather(*(caller(call, end) for _ in range(_CALLERS)))

        with self._watched(step):
            asyncio.run(run())
        return step

    def offered(self, per_second: float, seconds: float) -> Step:
        """Calls at random times that wait for nothing."""
        step = Step()
        draw = random.Random(11)

        async def run() -> None:
            async with grpc.aio.insecure_channel(self._served.address) as channel:
                await channel.channel_ready()
                call = channel.unary_unary(_METHOD)
                begin = due = time.perf_counter()
                flying: set[asyncio.Task[None]] = set()
                while due < begin + seconds:
                    due += draw.expovariate(per_second)
                    # What is due already goes without a turn of the loop, but not for ever.
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    task = asyncio.create_task(self._one(call, step, due))
                    flying.add(task)
                    task.add_done_callback(flying.discard)
                step.wall = time.perf_counter() - begin
                if flying:
                    await asyncio.wait_for(asyncio.gather(*flying), _PATIENCE * self._deadline)

        with self._watched(step):
            asyncio.run(run())
        return step

    async def _one(self, call: Any, step: Step, due: float) -> None:
        request = next(self._requests)
        step.late_seconds.append(time.perf_counter() - due)
        try:
            await call(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            step.codes[error.code().name] += 1
            trailers = dict(error.trailing_metadata() or ())
            if (delay := trailers.get("grpc-retry-pushback-ms")) is not None:
                step.retry_seconds.append(float(delay) / 1000)
        else:
            step.codes["OK"] += 1
            step.seconds.append(time.perf_counter() - due)

    @contextmanager
    def _watched(self, step: Step) -> Iterator[None]:
        """Note time and memory of the service while the block runs."""
        ended = threading.Event()

        def watch() -> None:
            while True:
                step.peak_rss = max(step.peak_rss, self._process.memory_info().rss)
                if ended.wait(0.2):
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        cpu, own, begin = self._cpu(), _own_cpu(), time.perf_counter()
        try:
            yield
        finally:
            step.wall = step.wall or time.perf_counter() - begin
            step.service_cpu = self._cpu() - cpu
            step.callers_cpu = _own_cpu() - own
            ended.set()
            watcher.join()

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def requests_of(texts: Sequence[str], per_call: int) -> list[bytes]:
    """Serialised requests, texts in random order."""
    shuffled = random.Random(5).sample(list(texts), len(texts))
    return [
        extraction_pb2.ExtractRequest(
            documents=[
                common_pb2.Document(id=str(index), text=text)
                for index, text in enumerate(shuffled[start : start + per_call])
            ]
        ).SerializeToString()
        for start in range(0, len(shuffled) - per_call + 1, per_call)
    ]


def row(offered: float, step: Step, around: Sequence[Step], per_call: int) -> dict[str, object]:
    """A line of the table."""
    peak = sum(one.rate for one in around) / len(around)
    peak_per_cpu = sum(one.codes["OK"] for one in around) / sum(one.service_cpu for one in around)
    sent = sum(step.codes.values())
    refused = step.codes["RESOURCE_EXHAUSTED"]
    p50, p99 = np.percentile(step.seconds or [float("nan")], [50, 99])
    return {
        "offered_of_peak": offered,
        "peak_texts_per_s": round(peak * per_call, 1),
        "sent_of_peak": round(sent / step.wall / peak, 2),
        "calls": sent,
        "accepted_share": round(1 - refused / sent, 4),
        "refused_share": round(refused / sent, 4),
        "codes": dict(step.codes),
        "goodput_texts_per_s": round(step.rate * per_call, 1),
        "goodput_of_peak": round(step.rate / peak, 3),
        "answered_of_accepted": round(step.codes["OK"] / max(1, sent - refused), 4),
        "texts_per_service_cpu_s_of_peak": round(
            step.codes["OK"] / step.service_cpu / peak_per_cpu, 3
        ),
        "p50_s": round(float(p50), 3),
        "p99_s": round(float(p99), 3),
        "told_to_wait_p50_s": round(float(np.median(step.retry_seconds)), 3)
        if step.retry_seconds
        else None,
        "sent_late_p99_s": round(float(np.percentile(step.late_seconds, 99)), 3),
        "service_cpus": round(step.service_cpu / step.wall, 2),
        "callers_cpus": round(step.callers_cpu / step.wall, 2),
        "peak_rss_mib": round(step.peak_rss / 2**20),
    }


_COLUMNS = (
    ("offered_of_peak", "x peak"),
    ("sent_of_peak", "sent"),
    ("accepted_share", "accepted"),
    ("refused_share", "refused"),
    ("goodput_texts_per_s", "goodput/s"),
    ("goodput_of_peak", "of peak"),
    ("texts_per_service_cpu_s_of_peak", "per cpu"),
    ("answered_of_accepted", "in time"),
    ("p50_s", "p50 s"),
    ("p99_s", "p99 s"),
    ("told_to_wait_p50_s", "wait s"),
    ("service_cpus", "cpus"),
    ("callers_cpus", "callers"),
    ("peak_rss_mib", "RSS MiB"),
)


def measure(load: Load, options: argparse.Namespace) -> list[dict[str, object]]:
    """Every step, each between two measurements of the peak."""
    load.peak(options.peak_seconds)  # the first seconds of a process are not like others
    peaks = [load.peak(options.peak_seconds)]
    rows = []
    print("".join(f"{title:>10}" for _, title in _COLUMNS), flush=True)
    for offered in options.offered:
        step = load.offered(offered * peaks[-1].rate, options.seconds)
        peaks.append(load.peak(options.peak_seconds))
        rows.append(row(offered, step, peaks[-2:], options.texts_per_call))
        print("".join(f"{rows[-1][name]!s:>10}" for name, _ in _COLUMNS), flush=True)
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of a step")
    parser.add_argument("--peak-seconds", type=float, default=8.0)
    parser.add_argument("--deadline", type=float, default=2.0, help="of a call, in seconds")
    parser.add_argument("--texts-per-call", type=int, default=16)
    parser.add_argument("--offered", type=float, nargs="+", default=list(_OFFERED))
    parser.add_argument("--apart", action="store_true", help="processors of their own for both")
    parser.add_argument("--log-level", default="info", help="of the service")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/overload.json"))
    options = parser.parse_args()
    torch.set_num_threads(available_cpus())
    processors = sorted(os.sched_getaffinity(0))
    if options.apart:
        # The service inherits what this process has when it starts it.
        os.sched_setaffinity(0, processors[:-1])
    texts = sentences(790)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        built = make_model("builtin", texts, home / "builtin")
        settings = {"SLCOLM_SERVER_LOG_LEVEL": options.log_level}
        with (
            (home / "log").open("w") as log,
            extraction_server(built.folder, "fp32", home, log=log, **settings) as served,
        ):
            if options.apart:
                os.sched_setaffinity(0, processors[-1:])
            load = Load(served, requests_of(texts, options.texts_per_call), options.deadline)
            rows = measure(load, options)
    given = {name: value for name, value in vars(options).items() if name != "out"}
    result = {"machine": machine(), "options": given, "steps": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
