"""How well the forecast of `slcolm capacity` holds: 1, 2 and 4 extraction processes, beside it.

    python benchmarks/scaling.py [--rows 4000] [--rounds 3] [--size builtin] [--profile FILE]

First what a sentence costs is measured, each service in a process of its own: `slcolm batch` and an
extraction service with one thread, from processor time; retrieval and guidance likewise, with an
endpoint that answers after 0.2 s. `--profile` writes that for `slcolm capacity --profile`. Then
the queueing model and a discrete-event simulation say what `slcolm batch` gets from 1, 2 and 4
extraction processes with one thread each on this machine, and it is run, round by round.

Only the run with one process and the machine's own speed feed the forecasts of 2 and 4. The
simulation takes the spread of single calls' times too, and is also what forecasts for larger fleets
are compared with. Everything shares the machine's processors,
the command included: where there are fewer of them than threads, the forecast is that more
processes give nothing more, and that is what is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w
from capacity.processors import parallel
from capacity.services import guidance_seconds, retrieval_seconds, sample_documents
from capacity.simulation import simulate
from extraction import machine, sentences
from guidance import Faults, endpoint
from serving import Served
from spert.models import make_model
from spert.server import call_concurrently, extraction_server

from slcolm_services.capacity.forecast import (
    BATCH_SIZE,
    CALLS_PER_THREAD,
    Fleet,
    Work,
    batch_stations,
    sized,
)
from slcolm_services.capacity.profile import Profile
from slcolm_services.capacity.queueing import closed, on_one_node
from slcolm_services.corpus.jsonl import format_line
from slcolm_services.guidance.prompt import estimate_tokens
from slcolm_services.runtime.cpu import available_cpus

_PROCESSES = (1, 2, 4)
_QUERIES, _PROMPTS = 640, 640
_LATENCY_SECONDS = 0.2
_SINGLE_CALLS = 40
_COST_RUNS = 3
_CORPORA = (1e6, 1e7, 1e8, 1e9)
_DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Ran:
    """One run of `slcolm batch`.

    Attributes:
        rate: Rows a second, from the first to the last, as the command says.
        driver_cpu: Seconds of processor time of the command.
        service_cpu: The same of the extraction processes.
        output_bytes: Of all shards.
    """

    rate: float
    driver_cpu: float
    service_cpu: float
    output_bytes: int


class Corpus:
    """Rows in a file, and the model that reads them."""

    def __init__(self, folder: Path, texts: Sequence[str], model: Path) -> None:
        self.folder, self.texts, self.model = folder, texts, model
        self.path = folder / "corpus.jsonl"
        self.one = folder / "one.jsonl"
        lines = [
            json.dumps({"id": str(number), "text": text}, ensure_ascii=False)
            for number, text in enumerate(texts)
        ]
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.one.write_text(lines[0] + "\n", encoding="utf-8")

    @contextmanager
    def services(self, count: int) -> Iterator[list[Served]]:
        """Extraction processes with one thread each."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    extraction_server(
                        self.model,
                        "fp32",
                        self.folder / f"service-{number}",
                        SLCOLM_EXTRACTION_THREADS="1",
                    )
                )
                for number in range(count)
            ]

    def run(self, path: Path, services: Sequence[Served]) -> Ran:
        """`slcolm batch` over a file."""
        addresses = "ipv4:" + ",".join(service.address for service in services)
        before = sum(service.cpu_seconds() for service in services)
        used = _children_cpu()
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "slcolm_services", "batch", "--json"),
                    *("--input", str(path), "--output", f"{out}/found"),
                    *("--extraction", addresses, "--batch-size", str(BATCH_SIZE)),
                    *("--in-flight", str(CALLS_PER_THREAD * len(services))),
                ],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            size = sum(part.stat().st_size for part in Path(out, "found").glob("part-*"))
        summary = json.loads(done.stdout)
        assert not summary["failed"], summary
        return Ran(
            summary["rows_per_second"],
            _children_cpu() - used,
            sum(service.cpu_seconds() for service in services) - before,
            size,
        )


def _children_cpu() -> float:
    """Processor time of processes of ours that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured_profile(corpus: Corpus, home: Path, processors: int) -> tuple[Profile, list[float]]:
    """What a sentence costs, and seconds of single calls."""
    rows = len(corpus.texts)
    with corpus.services(1) as services:
        start_seconds = services[0].start_seconds
        corpus.run(corpus.path, services)
        start = corpus.run(corpus.one, services)
        runs = [corpus.run(corpus.path, services) for _ in range(_COST_RUNS)]
        _, spread = call_concurrently(
            services[0].address,
            corpus.texts[: _SINGLE_CALLS * BATCH_SIZE],
            callers=1,
            texts_per_call=BATCH_SIZE,
        )
    with endpoint(_LATENCY_SECONDS, Faults()) as (url, _):
        guided, prompt_tokens = guidance_seconds(home / "guidance", url, _PROMPTS)
    profile = Profile(
        machine=f"{machine()['processor']}, {processors} processors; {rows} sentences of "
        f"{statistics.mean(map(len, corpus.texts)):.0f} characters; "
        f"Python {platform.python_version()}",
        driver_seconds=statistics.median(run.driver_cpu - start.driver_cpu for run in runs) / rows,
        extraction_seconds=statistics.median(run.service_cpu for run in runs) / rows,
        retrieval_seconds=retrieval_seconds(home / "retrieval", _QUERIES),
        guidance_seconds=guided,
        start_seconds=start_seconds,
        row_bytes=runs[0].output_bytes / rows,
        prompt_tokens=prompt_tokens,
        completion_tokens=_completion_tokens(),
        parallel=parallel(processors),
    )
    return profile, spread


def _completion_tokens() -> float:
    """Estimated tokens of recorded answers; where there are none, of the sample's annotations."""
    root = Path(__file__).resolve().parents[1]
    shared = Path(os.environ.get("SLCOLM_SHARED", root.parent / "shared"))
    path = shared / "data" / "chisre" / "recordings" / "frontier_k2_dev.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        answers = [json.loads(line)["llm_raw"] for line in lines]
    else:
        answers = [format_line(document) for document in sample_documents("dev")]
    return statistics.mean(map(estimate_tokens, answers))


def compare(
    corpus: Corpus, profile: Profile, spread: Sequence[float], processors: int, rounds: int
) -> list[dict[str, Any]]:
    """Forecast, simulation and runs for every number of processes."""
    rates: dict[int, list[float]] = {count: [] for count in _PROCESSES}
    for _ in range(rounds):
        for count in _PROCESSES:
            with corpus.services(count) as services:
                corpus.run(corpus.one, services)
                rates[count].append(corpus.run(corpus.path, services).rate)
    rows = []
    for count in _PROCESSES:
        stations = batch_stations(profile, Fleet(replicas=count, threads=1))
        calls = CALLS_PER_THREAD * count
        told = BATCH_SIZE * on_one_node(stations, calls, profile.parallel).rate
        drawn = BATCH_SIZE * simulate(
            stations, calls, spread=spread, one_machine=(processors, profile.parallel)
        )
        ran = statistics.median(rates[count])
        rows.append(
            {
                "processes": count,
                "forecast": round(told, 1),
                "simulated": round(drawn, 1),
                "measured": round(ran, 1),
                "rounds": rates[count],
                "forecast_over_measured": round(told / ran, 3),
                "simulated_over_measured": round(drawn / ran, 3),
            }
        )
    return rows


def written(profile: Profile) -> str:
    """A profile as a file, in figures of four digits."""
    figures = {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in asdict(profile).items()
    }
    return tomli_w.dumps({"profile": figures})


def at_scale(profile: Profile, spread: Sequence[float]) -> list[dict[str, Any]]:
    """Forecast and simulation of fleets on machines of their own, each sized for a day."""
    rows = []
    for sentences_ in _CORPORA:
        fleet = sized(Work(sentences_), _DAY_SECONDS, profile).fleet
        stations = batch_stations(profile, fleet)
        told = BATCH_SIZE * closed(stations, fleet.calls).rate
        rounds = max(3000, 40 * fleet.calls)
        drawn = BATCH_SIZE * simulate(stations, fleet.calls, spread=spread, rounds=rounds)
        rows.append(
            {
                "sentences": sentences_,
                "drivers": fleet.drivers,
                "threads": fleet.replicas * fleet.threads,
                "forecast": round(told, 1),
                "simulated": round(drawn, 1),
                "forecast_over_simulated": round(told / drawn, 3),
            }
        )
    return rows


def show(rows: Sequence[dict[str, Any]], large: Sequence[dict[str, Any]]) -> None:
    """Print the comparisons."""
    print("\nrows a second, on this machine")
    head = f"{'processes':>10}{'forecast':>10}{'simulated':>11}{'measured':>10}"
    print(f"{head}{'f / m':>8}{'s / m':>8}")
    for row in rows:
        print(
            f"{row['processes']:>10}{row['forecast']:>10.1f}{row['simulated']:>11.1f}"
            f"{row['measured']:>10.1f}{row['forecast_over_measured']:>8.2f}"
            f"{row['simulated_over_measured']:>8.2f}"
        )
    print("\nrows a second, every server with a processor of its own, sized for a day")
    head = f"{'sentences':>10}{'drivers':>9}{'threads':>9}{'forecast':>10}{'simulated':>11}"
    print(f"{head}{'f / s':>8}")
    for row in large:
        print(
            f"{row['sentences']:>10.0e}{row['drivers']:>9}{row['threads']:>9}"
            f"{row['forecast']:>10.1f}{row['simulated']:>11.1f}"
            f"{row['forecast_over_simulated']:>8.2f}"
        )


def main() -> None:
    """Measure, print and write the figures."""
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=["builtin", "base"], default="builtin")
    parser.add_argument("--profile", type=Path, help="where to write what a sentence costs")
    parser.add_argument("--out", type=Path, default=root / "benchmarks" / "out" / "scaling.json")
    arguments = parser.parse_args()

    processors = available_cpus()
    texts = sentences(arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = make_model(arguments.size, texts[:200], home / "model").folder
        corpus = Corpus(home, texts, model)
        about = machine()
        profile, spread = measured_profile(corpus, home, processors)
        print(json.dumps(asdict(profile), indent=1, ensure_ascii=False))
        rows = compare(corpus, profile, spread, processors, arguments.rounds)
    large = at_scale(profile, spread)
    show(rows, large)
    if arguments.profile:
        arguments.profile.write_text(written(profile), encoding="utf-8")
    report = {
        "machine": about,
        "versions": {name: version(name) for name in ("slcolm", "grpcio", "onnxruntime", "simpy")},
        "rows": len(texts),
        "rounds": arguments.rounds,
        "profile": asdict(profile),
        "one_machine": rows,
        "at_scale": large,
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
