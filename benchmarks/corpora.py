"""Both engines of `slcolm batch` over the same sentences, one of them with everything killed once.

    python benchmarks/corpora.py [--rows 50000] [--model FOLDER] [--actors 2] [--out FILE]

An extraction service in a process of its own is asked by `--engine local`, undisturbed, and by
`--engine ray`. While that works, an actor is killed (kill -9), then the service, which is started
again on the same port. Compared are rows in and rows out, the order of their ids, every byte of the
output, and the seconds of each. Sentences are those of ChisRE where they are, else of the shipped
sample, again and again until there are enough. The model is trained on the sample, from random
weights, where none is named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from reliability.sample import SAMPLE
from reliability.system import free_port

from slcolm_client import connect, wait_until_ready
from slcolm_services.corpus.jsonl import read_documents

_PACKAGES = ("grpcio", "onnxruntime", "ray")
_SPLITS = ("train", "dev", "test", "test_a")
_EPOCHS = 8
_SHARD_ROWS = 1000
_AWAY_SECONDS = 5.0
_START_SECONDS = 120.0
_SLCOLM = (sys.executable, "-m", "slcolm_services")


def sentences(count: int) -> tuple[list[str], str]:
    """So many sentences, and where they are from."""
    shared = Path(os.environ.get("SLCOLM_SHARED", SAMPLE.parents[3] / ".." / "shared"))
    folder = shared / "data" / "chisre"
    if not folder.is_dir():
        folder = SAMPLE
    names = [path for path in sorted(folder.glob("*.jsonl")) if path.stem in _SPLITS]
    texts = [document.text for path in names for document in read_documents(path)]
    return (texts * -(-count // len(texts)))[:count], folder.name


def write_corpus(path: Path, texts: list[str]) -> None:
    """A JSONL file; ids are numbers in order."""
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"id": number, "text": text}, ensure_ascii=False) + "\n")


def train(folder: Path) -> Path:
    """A small model of the sample."""
    arguments = ["--encoder", "random", "--epochs", str(_EPOCHS), "--out", str(folder)]
    for name in ("train", "dev"):
        arguments += [f"--{name}", str(SAMPLE / f"{name}.jsonl")]
    task = str(SAMPLE / "task.yaml")
    subprocess.run([*_SLCOLM, "train", "--task", task, *arguments, "--json"], check=True)
    return folder


class Service:
    """An extraction service on a fixed port, which can be killed and started again.

    Args:
        model: Its model.
        home: Where it keeps its state.
    """

    def __init__(self, model: Path, home: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = os.environ | {
            "SLCOLM_SERVER_PORT": self.address.rpartition(":")[2],
            "SLCOLM_EXTRACTION_MODEL": str(model),
            "SLCOLM_EXTRACTION_STORE": str(home / "store"),
            "SLCOLM_EXTRACTION_CACHE_DIR": str(home / "cache"),
        }

    def start(self) -> None:
        """Start it, and wait until it takes calls."""
        self._process = subprocess.Popen(
            [*_SLCOLM, "serve", "--role", "extraction"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        with connect(self.address) as channel:
            if not wait_until_ready(channel, timeout_seconds=_START_SECONDS):
                raise SystemExit("the extraction service does not start")

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait()


@contextmanager
def serving(model: Path, home: Path) -> Iterator[Service]:
    """A service until the block ends."""
    service = Service(model, home)
    service.start()
    try:
        yield service
    finally:
        service.kill()


def finished(out: Path) -> int:
    """Finished shards of an output."""
    manifest = out / "manifest.json"
    return len(json.loads(manifest.read_bytes())["shards"]) if manifest.exists() else 0


def batch(
    corpus: Path, out: Path, address: str, *more: str, disturb: Callable[[int], None]
) -> tuple[dict[str, Any], float]:
    """Run a command to its end; its summary, and its seconds from start to end."""
    start = time.monotonic()
    process = subprocess.Popen(
        [
            *(*_SLCOLM, "batch", "--input", str(corpus), "--output", str(out)),
            *("--extraction", address, "--shard-rows", str(_SHARD_ROWS), "--json", *more),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    disturb(process.pid)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"slcolm batch ended with {process.returncode}: {said}")
    return json.loads(said), time.monotonic() - start


def kill_all(pid: int, out: Path, service: Service, shards: int) -> list[str]:
    """Kill an actor after a quarter of the shards, the service after half of them."""
    told = []
    _wait(pid, out, shards // 4)
    next(actors_at_work(pid)).kill()
    told.append(f"an actor after {finished(out)} of {shards} shards")
    _wait(pid, out, shards // 2)
    service.kill()
    told.append(f"the service after {finished(out)} of {shards} shards")
    time.sleep(_AWAY_SECONDS)
    service.start()
    for line in told:
        print("killed", line, flush=True)
    return told


def actors_at_work(pid: int) -> Iterator[psutil.Process]:
    """Processes of actors that write a shard, as soon as there is one."""
    while True:
        for process in psutil.Process(pid).children(recursive=True):
            # One that ends meanwhile is none.
            with contextlib.suppress(psutil.Error):
                if "".join(process.cmdline()).startswith("ray::_Writer.shard"):
                    yield process


def _wait(pid: int, out: Path, shards: int) -> None:
    while finished(out) < shards:
        if not psutil.pid_exists(pid):
            raise SystemExit("slcolm batch ended too early")
        time.sleep(0.05)


def output_of(folder: Path) -> bytes:
    """All rows, one after the other."""
    shards = json.loads((folder / "manifest.json").read_bytes())["shards"]
    return b"".join((folder / shard["name"]).read_bytes() for shard in shards)


def main() -> None:
    """Run both, print, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--actors", type=int, default=2)
    default = Path(__file__).with_name("out") / "corpora.json"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    texts, source = sentences(options.rows)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        corpus, calm, wild = home / "corpus.jsonl", home / "local", home / "ray"
        write_corpus(corpus, texts)
        model = options.model or train(home / "model")
        killed: list[str] = []
        with serving(model, home) as service:
            local, local_seconds = batch(corpus, calm, service.address, disturb=lambda _: None)
            print(f"local: {local['rows']} rows in {local_seconds:.1f} s", flush=True)
            shards = -(-options.rows // _SHARD_ROWS)
            on_ray, ray_seconds = batch(
                *(corpus, wild, service.address, "--engine", "ray"),
                *("--actors", str(options.actors)),
                disturb=lambda pid: killed.extend(kill_all(pid, wild, service, shards)),
            )
            print(f"ray: {on_ray['rows']} rows in {ray_seconds:.1f} s", flush=True)
        rows = [json.loads(line) for line in output_of(wild).splitlines()]
        report = {
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "versions": {name: version(name) for name in _PACKAGES},
            "sentences": source,
            "rows_in": len(texts),
            "rows_out": len(rows),
            "ids_in_order": [row["id"] for row in rows] == [str(n) for n in range(len(texts))],
            "failed": on_ray["failed"],
            "same_bytes": output_of(wild) == output_of(calm),
            "same_manifest": (wild / "manifest.json").read_bytes()
            == (calm / "manifest.json").read_bytes(),
            "actors": options.actors,
            "killed": killed,
            "seconds": {"local": round(local_seconds, 1), "ray": round(ray_seconds, 1)},
            "seconds_without_start": {"local": local["seconds"], "ray": on_ray["seconds"]},
        }
    for field, value in report.items():
        print(f"{field:24}{value}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    good = report["rows_in"] == report["rows_out"] and report["ids_in_order"]
    if not (good and report["same_bytes"] and report["same_manifest"]):
        raise SystemExit("the outputs differ")


if __name__ == "__main__":
    main()
