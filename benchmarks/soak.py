"""Half an hour of mixed load with faults: what is answered, what fails and how, what is lost.

    python benchmarks/soak.py [--minutes 30] [--calm 2] [--seed 0] [--out FILE]

Six services in processes of their own, an LLM endpoint on this machine, an SLCoLM client in each of
seven threads: extraction, online prediction with LLM, and short runs of the whole sequence, one
after the other. Every few seconds a fault: a service is killed (kill -9) and started again after a
second, connections between client and services are reset, the endpoint dawdles, refuses, hangs up
or answers nonsense, or the disk (a file system in memory) is full. The last minutes are calm.

A call may fail while there are faults, with an error of the client's own tree. It must not lose
anything: every text of an answered call has its result, in order, with an outcome or an error of
its own, extraction finds what it found before the first fault, and every run that was created
succeeds in the end, resumed where it failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reliability.endpoint import MOODS, Endpoint, endpoint
from reliability.sample import SAMPLE, SPLITS, await_ready, short_run
from reliability.system import ROLES, Proxy, System, small_disk

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client, ExtractionClient, SlcolmClientError
from slcolm_services.corpus.jsonl import read_documents

_DISK_MIB = 600
_BALLAST = 4 << 20
_CALL_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_FAULT_SECONDS = 10.0
_BETWEEN_SECONDS = 8.0
_RUN_SECONDS = 600.0
_PACKAGES = ("grpcio", "protobuf", "dbos", "sqlalchemy", "qdrant-client", "onnxruntime")


@dataclass
class Tally:
    """What became of one kind of work; threads write to tallies of their own."""

    calls: int = 0
    items: int = 0
    answered: int = 0
    lost: int = 0
    wrong: int = 0
    call_errors: Counter[str] = field(default_factory=Counter)
    item_errors: Counter[str] = field(default_factory=Counter)
    strange: Counter[str] = field(default_factory=Counter)
    calm_errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Join the counts of another thread."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)

    def as_json(self) -> dict[str, Any]:
        """Counts by name."""
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
        }


@dataclass
class Soak:
    """State that the threads share.

    Attributes:
        texts: Sentences of the sample.
        baseline: What extraction finds in each text.
        run_id: A run that has succeeded.
        stop: Set when the load ends.
        calm: Set when faults have ended and the system has had time to recover.
    """

    texts: list[str]
    baseline: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    calm: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def spend(self, tally: Tally, call: Callable[[], None]) -> None:
        """Make one call and book how it ended."""
        tally.calls += 1
        try:
            call()
        except SlcolmClientError as error:
            name = f"{error.code} {error.reason}"
            tally.call_errors[name] += 1
            if self.calm.is_set():
                tally.calm_errors[name] += 1
        except Exception as error:  # noqa: BLE001  that there are none is what is measured
            tally.strange[f"{type(error).__name__}: {error}"[:200]] += 1

    def book(self, tally: Tally, texts: dict[str, str], results: Any) -> list[Any]:
        """Compare the results of a call with its texts; those that are no errors."""
        tally.items += len(texts)
        if [one.id for one in results] != list(texts):
            tally.lost += len(texts)
            return []
        good = [one for one in results if one.error is None]
        tally.answered += len(good)
        for one in results:
            if one.error is not None:
                tally.item_errors[f"{one.error.code} {one.error.reason}"] += 1
        return good


def found_in(result: Any) -> Any:
    """What extraction found, as it can be compared."""
    entities = sorted((e.type, e.start, e.end) for e in result.entities)
    return entities, sorted(
        (r.type, r.head.start, r.head.end, r.tail.start, r.tail.end) for r in result.relations
    )


def extract(soak: Soak, address: str, tally: Tally, seed: int) -> None:
    """Extraction of eight known sentences at a time."""
    draw = random.Random(seed)
    with ExtractionClient(address, timeout_seconds=_CALL_SECONDS) as client:
        while not soak.stop.wait(_PAUSE_SECONDS):
            texts = {str(next(soak.numbers)): text for text in draw.sample(soak.texts, 8)}

            def call(texts: dict[str, str] = texts) -> None:
                results = soak.book(tally, texts, client.extract(texts))
                tally.wrong += sum(found_in(one) != soak.baseline[one.text] for one in results)

            soak.spend(tally, call)


def predict(soak: Soak, address: str, tally: Tally, seed: int) -> None:
    """Online prediction of four new texts at a time."""
    draw = random.Random(seed)
    with Client(address, timeout_seconds=_CALL_SECONDS) as client:
        while not soak.stop.wait(_PAUSE_SECONDS):
            numbers = [next(soak.numbers) for _ in range(4)]
            texts = {str(n): f"{draw.choice(soak.texts)}其{n}。" for n in numbers}

            def call(texts: dict[str, str] = texts) -> None:
                results = soak.book(tally, texts, client.predict(texts, run_id=soak.run_id))
                for one in results:
                    if one.guidance_error is not None:
                        tally.item_errors[f"guidance: {one.guidance_error.reason}"] += 1

            soak.spend(tally, call)


def runs(soak: Soak, address: str, tally: Tally, spec: coordinator_pb2.RunSpec) -> None:
    """Runs of the whole sequence, one after the other; one that fails is resumed."""
    with Client(address, timeout_seconds=_CALL_SECONDS) as client:
        while not soak.stop.wait(_PAUSE_SECONDS):
            own = coordinator_pb2.RunSpec()
            own.CopyFrom(spec)
            own.training.seed = 100 + next(soak.numbers)
            wish, deadline = Wish(client, own, tally), time.monotonic() + _RUN_SECONDS
            tally.items += 1
            while not wish.granted and time.monotonic() < deadline:
                soak.spend(tally, wish.follow)
                time.sleep(0.0 if wish.granted else 1.0)
            tally.answered += wish.granted
            tally.lost += not wish.granted


@dataclass
class Wish:
    """A run that shall come to its end, however often something fails."""

    client: Client
    spec: coordinator_pb2.RunSpec
    tally: Tally
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str = ""
    granted: bool = False

    def follow(self) -> None:
        """Create the run, or follow it; resume it where it has failed."""
        if not self.run_id:
            self.run_id = self.client.create_run(self.spec, request_id=self.request_id).id
        *_, run = self.client.watch_run(self.run_id, timeout_seconds=_RUN_SECONDS)
        self.granted = run.state == coordinator_pb2.RUN_STATE_SUCCEEDED
        if not self.granted:
            self.tally.item_errors[f"run failed: {run.error.message[:80]}"] += 1
            self.client.resume_run(self.run_id)


class Faults:
    """Does the damage, and says what it did."""

    def __init__(
        self, system: System, llm: Endpoint, proxies: list[Proxy], disk: Path | None, seed: int
    ) -> None:
        self._system = system
        self._llm = llm
        self._proxies = proxies
        self._disk = disk
        self._draw = random.Random(seed)
        self.done: Counter[str] = Counter()

    def one(self) -> None:
        """Do one fault and undo it."""
        kinds = [f"kill {role}" for role in ROLES] + ["reset connections"] * 2
        kinds += [f"endpoint {mood}" for mood in MOODS if mood != "well"]
        kinds += ["disk full"] if self._disk else []
        kind = self._draw.choice(kinds)
        self.done[kind] += 1
        print(f"{time.strftime('%H:%M:%S')} {kind}", flush=True)
        what, _, which = kind.partition(" ")
        if what == "kill":
            self._system.kill(which)
        elif what == "reset":
            self.done["connections reset"] += sum(proxy.cut() for proxy in self._proxies)
        elif what == "endpoint":
            self._llm.be(which)
            time.sleep(_FAULT_SECONDS)
            self._llm.be("well")
        elif self._disk:
            ballast = self._disk / "ballast"
            _fill(ballast)
            time.sleep(_FAULT_SECONDS)
            ballast.unlink()


def _fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        block = b"\0" * _BALLAST
        try:
            while block:
                written = file.write(block)
                block = block[:written] if written < len(block) else block
        except OSError:
            pass


def first_run(client: Client) -> tuple[coordinator_pb2.RunSpec, coordinator_pb2.Run]:
    """Run the sequence once."""
    await_ready(client)
    spec = short_run(client)
    *_, run = client.watch_run(client.create_run(spec).id, timeout_seconds=_RUN_SECONDS)
    if run.state != coordinator_pb2.RUN_STATE_SUCCEEDED:
        raise SystemExit(f"the first run failed: {run.error.message}")
    return spec, run


def soak_system(system: System, llm: Endpoint, disk: Path | None, options: Any) -> dict[str, Any]:
    """The whole soak on a system that is up."""
    front = {role: Proxy(system.ports[role]) for role in ("coordinator", "extraction")}
    address = {role: f"127.0.0.1:{proxy.port}" for role, proxy in front.items()}
    with Client(address["coordinator"]) as client:
        spec, run = first_run(client)
    texts = {one.text for split in SPLITS for one in read_documents(SAMPLE / f"{split}.jsonl")}
    soak = Soak(sorted(texts), run_id=run.id)
    with ExtractionClient(address["extraction"]) as extraction:
        soak.baseline = {one.text: found_in(one) for one in extraction.extract(soak.texts)}
    tallies: dict[str, list[Tally]] = {"extract": [], "predict": [], "runs": []}
    threads = []
    for kind, count, work, role in (
        ("extract", 3, extract, "extraction"),
        ("predict", 3, predict, "coordinator"),
        ("runs", 1, runs, "coordinator"),
    ):
        for number in range(count):
            tally = Tally()
            tallies[kind].append(tally)
            last = spec if kind == "runs" else options.seed + number
            arguments = (soak, address[role], tally, last)
            threads.append(threading.Thread(target=work, args=arguments))
    started = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(options.calm * 30)
    memory = {"at the start": system.resident_mib()}
    faults = Faults(system, llm, list(front.values()), disk, options.seed)
    while time.monotonic() - started < 60 * (options.minutes - options.calm):
        faults.one()
        time.sleep(_BETWEEN_SECONDS)
    time.sleep(options.calm * 30)
    soak.calm.set()
    time.sleep(options.calm * 30)
    memory["at the end"] = system.resident_mib()
    memory["at the peak"] = dict(system.peak_mib)
    soak.stop.set()
    for thread in threads:
        thread.join()
    totals = {kind: Tally() for kind in tallies}
    for kind, parts in tallies.items():
        for part in parts:
            totals[kind].add(part)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "work": {kind: tally.as_json() for kind, tally in totals.items()},
        "faults": dict(faults.done),
        "disk_could_be_filled": disk is not None,
        "restarts": system.restarts,
        "endpoint": llm.figures(),
        "memory_mib": {
            when: {role: round(size, 1) for role, size in sizes.items()}
            for when, sizes in memory.items()
        },
    }


def show(report: dict[str, Any]) -> None:
    """The counts as aligned lines."""
    print(f"\n{'work':10}{'calls':>8}{'items':>8}{'answered':>10}{'lost':>6}{'wrong':>7}")
    for kind, row in report["work"].items():
        numbers = f"{row['calls']:8}{row['items']:8}{row['answered']:10}"
        print(f"{kind:10}{numbers}{row['lost']:6}{row['wrong']:7}")
        for name in ("call_errors", "item_errors", "strange", "calm_errors"):
            for error, count in sorted(row[name].items(), key=lambda one: -one[1]):
                print(f"    {name.replace('_', ' '):14}{count:6}  {error}")
    print(f"\nfaults    {report['faults']}\nrestarts  {report['restarts']}")
    print(f"endpoint  {report['endpoint']}")
    print(f"\n{'MiB':15}" + "".join(f"{role:>13}" for role in ROLES))
    for when, sizes in report["memory_mib"].items():
        print(f"{when:15}" + "".join(f"{sizes[role]:13.1f}" for role in ROLES))


def main() -> None:
    """Soak, print, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--calm", type=float, default=2.0, help="minutes without faults at the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "load_before": os.getloadavg(),
        "versions": {name: version(name) for name in _PACKAGES},
    }
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk"
        with (
            small_disk(disk, _DISK_MIB) as mounted,
            endpoint() as llm,
            System(disk / "home", llm.url) as system,
        ):
            report |= soak_system(system, llm, disk if mounted else None, options)
    show(report)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
