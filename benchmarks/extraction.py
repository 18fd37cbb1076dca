"""How fast sentences are read, beside the original algorithm and beside what the machine can do.

    python benchmarks/extraction.py [--sentences 790] [--rounds 5] [--sizes builtin base]

Two sizes of model with random weights: BERT-base (12 x 768) and the built-in encoder (4 x 256). In
one process tree: SpERT's own algorithm, plain torch, ours in this process, ours through gRPC. Paths
take turns, round by round, on the same sentences, so that a change of the machine's load meets all
of them. Rates are medians over the rounds; callers share the sentences of a round out in calls of
at most 16, at least two calls each. Latencies are of calls with one sentence, all rounds together,
with as many callers as the path says; and, at the end, of sentences that arrive at random times at
70 % of the rate that 16 callers got. Reference and ours in fp32 must find the same entities and
relations in every sentence.

The bound is what the matrix products of the model alone would take, on real tokens, at the rate
that torch or numpy, whichever is faster, reaches on products of the model's shapes with every core.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from spert.gemm import gemm_rate, operations_per_text
from spert.models import BenchmarkModel, example_of, make_model
from spert.reference import SpertReference
from spert.server import call_at_random, call_concurrently, extraction_server

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.extraction.reading import Reading
from slcolm_services.extraction.scheduler import Scheduler
from slcolm_services.model.graphs import bf16_available
from slcolm_services.runtime.cpu import available_cpus
from slcolm_services.training.dev import predict

_CALLERS = (1, 4, 16, 64)
_TEXTS_PER_CALL = 16
_SINGLES = 24
"""Sentences of a round that are also read one by one, for latencies; more with more callers."""

_LOAD = 0.7

Read = Callable[[Sequence[str]], list[Document]]


@dataclass
class Measured:
    """Figures of one path: sentences a second of each round, and seconds of single sentences."""

    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def as_json(self, reference: float, bound: float) -> dict[str, float]:
        """As the result file has it."""
        p50, p99 = np.percentile(np.array(self.seconds) * 1000, [50, 99])
        rate = statistics.median(self.rates)
        return {
            "sentences_per_s": round(rate, 2),
            "p50_ms": round(float(p50), 2),
            "p99_ms": round(float(p99), 2),
            "ratio_to_reference": round(rate / reference, 2),
            "share_of_bound": round(rate / bound, 3),
        }


def sentences(count: int) -> list[str]:
    """Dev, test and training sentences of ChisRE where they are; else of the shipped sample."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SLCOLM_SHARED", root.parent / "shared")) / "data" / "chisre"
    names = ["dev.jsonl", "test_a.jsonl", "train.jsonl"]
    if not folder.is_dir():
        folder = Path(str(files("slcolm_services") / "samples" / "annals"))
        names = ["train.jsonl", "dev.jsonl", "test.jsonl"]
    texts = [document.text for name in names for document in read_documents(folder / name)]
    return (texts * -(-count // len(texts)))[:count]


def reference_path(built: BenchmarkModel) -> Read:
    """SpERT's algorithm, a sentence at a time."""
    reference = SpertReference(built.model, built.manifest)
    return lambda texts: [reference.extract(text, built.tokenizer.encode(text)) for text in texts]


def torch_path(built: BenchmarkModel) -> Read:
    """Our model in torch, in batches of like length."""

    def read(texts: Sequence[str]) -> list[Document]:
        examples = [example_of(text, built.tokenizer) for text in texts]
        found = predict(built.model, examples, built.manifest, pad_id=built.tokenizer.pad_id)
        return [one.document(built.manifest) for one in found]

    return read


def our_path(folder: Path, precision: str, stack: ExitStack) -> Read:
    """The engine under the scheduler, as the service and `slcolm predict` run it."""
    engine = Engine.load(folder, EngineConfig(precision=precision, device="cpu"), verify=False)
    resources = engine.resources
    scheduler = stack.enter_context(
        Scheduler(workers=resources.slots, batch_tokens=resources.batch_tokens)
    )

    def read(texts: Sequence[str]) -> list[Document]:
        reading = Reading.of(engine, [Document("", text) for text in texts])
        answers = reading.joined(scheduler.submit(engine, reading.sentences).result())
        return [answer.document for answer in answers if isinstance(answer, Extraction)]

    return read


def measure_path(read: Read, texts: Sequence[str], into: Measured) -> list[Document]:
    """One round of a path in this process."""
    for text in texts[:_SINGLES]:
        start = time.perf_counter()
        read([text])
        into.seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    documents = read(texts)
    into.rates.append(len(texts) / (time.perf_counter() - start))
    return documents


def measure_calls(address: str, texts: Sequence[str], callers: int, into: Measured) -> None:
    """One round of callers of the service."""
    count = max(_SINGLES, 2 * callers)
    singles = (list(texts) * -(-count // len(texts)))[:count]
    _, seconds = call_concurrently(address, singles, callers=callers, texts_per_call=1)
    into.seconds += seconds
    # Every caller has a few calls to make, or the rate would be that of the last one.
    per_call = max(1, min(_TEXTS_PER_CALL, len(texts) // (2 * callers)))
    rate, _ = call_concurrently(address, texts, callers=callers, texts_per_call=per_call)
    into.rates.append(rate)


def measure_load(
    address: str, texts: Sequence[str], paths: dict[str, Measured]
) -> dict[str, float]:
    """Single sentences at random times, at a part of what the service gave to 16 callers."""
    offered = _LOAD * statistics.median(paths["grpc_16"].rates)
    unloaded = float(np.median(paths["grpc_1"].seconds)) * 1000
    p50, p99 = np.percentile(call_at_random(address, texts, per_second=offered), [50, 99]) * 1000
    limit = np.percentile(_queued(paths["ours_fp32"].seconds, offered), 99) * 1000
    return {
        "offered_per_s": round(offered, 1),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "unloaded_p50_ms": round(unloaded, 2),
        "p99_over_unloaded_p50": round(float(p99) / unloaded, 2),
        "p99_of_ideal_queue_ms": round(float(limit), 2),
    }


def _queued(service_seconds: Sequence[float], per_second: float) -> list[float]:
    """Seconds in an ideal queue: a free processor takes the first that waits, at no cost.

    What any server has to add to that which it measured in process: sentences that come at random
    times wait for one another.
    """
    draw = random.Random(13)
    free = [0.0] * available_cpus()
    now, seconds = 0.0, []
    for _ in range(20_000):
        now += draw.expovariate(per_second)
        begin = max(now, heapq.heappop(free))
        end = begin + draw.choice(service_seconds)
        heapq.heappush(free, end)
        seconds.append(end - now)
    return seconds


def check_equal(expected: Sequence[Document], found: Sequence[Document]) -> None:
    """Same entities and relations in every sentence; probabilities but for rounding."""
    for one, other in zip(expected, found, strict=True):
        where = one.text
        assert [(e.type, e.start, e.end) for e in one.entities] == [
            (e.type, e.start, e.end) for e in other.entities
        ], where
        assert {(r.type, r.head, r.tail) for r in one.relations} == {
            (r.type, r.head, r.tail) for r in other.relations
        }, where
        np.testing.assert_allclose(
            [e.prob for e in one.entities], [e.prob for e in other.entities], atol=1e-2
        )


def measure_model(size: str, texts: Sequence[str], rounds: int, home: Path) -> dict[str, object]:
    """All paths on one model; the result file's entry of it."""
    built = make_model(size, texts, home / size)
    paths = {name: Measured() for name in ("reference", "torch", "ours_fp32")}
    with ExitStack() as stack:
        reads = {
            "reference": reference_path(built),
            "torch": torch_path(built),
            "ours_fp32": our_path(built.folder, "fp32", stack),
        }
        if bf16_available():
            reads["ours_fast"] = our_path(built.folder, "bf16", stack)
            paths["ours_fast"] = Measured()
        paths |= {f"grpc_{callers}": Measured() for callers in _CALLERS}
        address = stack.enter_context(extraction_server(built.folder, "fp32", home)).address
        for part in _parts(texts, rounds):
            documents = {
                name: measure_path(read, part, paths[name]) for name, read in reads.items()
            }
            check_equal(documents["reference"], documents["ours_fp32"])
            for callers in _CALLERS:
                measure_calls(address, part, callers, paths[f"grpc_{callers}"])
        load = measure_load(address, texts, paths)
    examples = [example_of(text, built.tokenizer) for text in texts]
    operations = operations_per_text(built, examples[:: max(1, len(examples) // 100)])
    bound = {
        name: gemm_rate(built.model, dtype) / operations
        for name, dtype in (("fp32", torch.float32), ("fast", torch.bfloat16))
    }
    reference = statistics.median(paths["reference"].rates)
    return {
        "bound": {name: round(rate, 1) for name, rate in bound.items()},
        "paths": {
            name: measured.as_json(reference, bound["fast" if name == "ours_fast" else "fp32"])
            for name, measured in paths.items()
        },
        "load": load,
    }


def _parts(texts: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """The sentences in random order, dealt out to the rounds."""
    shuffled = random.Random(5).sample(list(texts), len(texts))
    for start in range(rounds):
        yield shuffled[start::rounds]


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": available_cpus(),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("torch", "onnxruntime", "slcolm")},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def show(size: str, result: dict[str, object]) -> None:
    """Print one model's table."""
    print(f"\n{size}: bound {result['bound']} sentences/s")
    print(f"{'path':12}{'sentences/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'x ref':>8}{'of bound':>10}")
    paths = result["paths"]
    assert isinstance(paths, dict)
    for name, row in paths.items():
        print(
            f"{name:12}{row['sentences_per_s']:12.1f}{row['p50_ms']:10.1f}{row['p99_ms']:10.1f}"
            f"{row['ratio_to_reference']:8.1f}{row['share_of_bound']:10.0%}"
        )
    print(f"at {_LOAD:.0%} load: {result['load']}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=790)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--sizes", nargs="+", choices=("builtin", "base"), default=["base", "builtin"]
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/extraction.json"))
    options = parser.parse_args()
    torch.set_num_threads(available_cpus())
    texts = sentences(options.sentences)
    result: dict[str, object] = {"machine": machine()}
    models: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as home:
        for size in options.sizes:
            entry = measure_model(size, texts, options.rounds, Path(home))
            show(size, entry)
            models[size] = entry
    result["models"] = models
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
