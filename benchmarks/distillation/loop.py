"""What `slcolm distil loop` gains on a relation task, by cross-validation over its dev set.

    python benchmarks/distillation/loop.py DATA RECORDING --work runs/ [--share 0.25] [--folds 4] \
        [--encoder random] [--epochs 16] [--seeds 0] [--choose 60] [--gold]
        [--out report.json]

DATA has `task.yaml`, `train.jsonl` and `dev.jsonl`; RECORDING holds an LLM's answers to dev
sentences, which are replayed. In each fold a part of dev is tested on, the next one is dev (early
stopping, calibration, policy, guard), and the rest is raw text whose gold nobody sees. Compared, on
the same folds and with the same seed:

    old      trained on the share of train alone
    loop     `slcolm distil loop` with all raw text
    gain     the same with `--choose` texts that `slcolm distil choose --by gain` chose
    random   the same with as many chosen at random
    gold     trained on the raw texts with their gold beside train: the most there is to gain
             (with `--gold`)
    kept     what the guard kept of old and loop

Figures are over the predictions for all folds together: strict relations (span-level, with entity
types), and entities. Every model stays in the work folder: the same command again trains only what
is missing. Nothing here looks at test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slcolm_services.cli.predictions import model_scores, predictions
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts

_SYSTEMS = ("old", "loop", "kept", "gain", "random", "gold")
_PACKAGES = ("torch", "onnxruntime", "numpy")


class Fold:
    """One fold with one seed: its files, its models, and what they find."""

    def __init__(self, folder: Path, options: argparse.Namespace, seed: int) -> None:
        self.folder = folder
        self._options = options
        self._seed = seed

    def file(self, name: str) -> Path:
        """A data file of the fold."""
        return self.folder / f"{name}.jsonl"

    def model(self, name: str) -> Path:
        """A model of the fold; one that the guard refused lies elsewhere."""
        rejected = self.folder / f"{name}.rejected"
        return rejected if rejected.is_dir() else self.folder / name

    def train(self, name: str, *extra: str) -> None:
        """Train by `slcolm train`."""
        if not self.model(name).is_dir():
            self._slcolm(
                "train", *self._data(), *self._how(), *extra, "--out", str(self.folder / name)
            )

    def loop(self, name: str, raw: str) -> None:
        """Better the old model by `slcolm distil loop`."""
        report = self.folder / f"{name}.json"
        if report.is_file():
            return
        found = self._slcolm(
            *("distil", "loop", *self._data(), *self._how(), "--model", str(self.model("old"))),
            *(
                "--input",
                str(self.file(raw)),
                "--silver",
                str(self.folder / f"{name}.silver.jsonl"),
            ),
            *("--guide", "replay", "--recordings", str(self._options.recording)),
            *("--out", str(self.folder / name)),
        )
        report.write_text(json.dumps(found), encoding="utf-8")

    def choose(self, by: str) -> None:
        """Choose raw texts by `slcolm distil choose`."""
        task, train = self._data()[1], self._data()[3]
        self._slcolm(
            *("distil", "choose", "--task", task, "--train", train, "--by", by),
            *("--model", str(self.model("old")), "--input", str(self.file("raw"))),
            *("--count", str(self._options.choose), "--seed", str(self._seed)),
            *("--out", str(self.file(f"raw-{by}"))),
        )

    def report(self, name: str) -> dict[str, Any]:
        """What a loop reported."""
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_bytes())
        return found

    def _data(self) -> list[str]:
        names = ("--task", str(self._options.data / "task.yaml"))
        return [*names, "--train", str(self.file("train")), "--dev", str(self.file("dev"))]

    def _how(self) -> list[str]:
        epochs = ["--epochs", str(self._options.epochs)] if self._options.epochs else []
        return ["--encoder", self._options.encoder, "--seed", str(self._seed), *epochs]

    def _slcolm(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "slcolm_services", *arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"failed: {' '.join(command)}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def folds(options: argparse.Namespace, seed: int) -> list[Fold]:
    """Write the data of every fold; the same command writes the same."""
    schema = read_schema(options.data / "task.yaml")
    rng = random.Random(options.split_seed)
    train = read_any(options.data / "train.jsonl", schema)
    train = rng.sample(train, round(options.share * len(train)))
    dev = read_any(options.data / "dev.jsonl", schema)
    rng.shuffle(dev)
    parts = [dev[place :: options.folds] for place in range(options.folds)]
    made = []
    for place, part in enumerate(parts):
        fold = Fold(
            options.work / f"{options.encoder}-{options.share:g}-{seed}-{place}", options, seed
        )
        fold.folder.mkdir(parents=True, exist_ok=True)
        following = (place + 1) % options.folds
        raw = [doc for at, one in enumerate(parts) if at not in (place, following) for doc in one]
        write_documents(fold.file("train"), train)
        write_documents(fold.file("dev"), parts[following])
        write_documents(fold.file("test"), part)
        write_documents(fold.file("raw"), (document.without_annotations() for document in raw))
        write_documents(fold.file("raw-gold"), raw)
        made.append(fold)
    return made


def run(fold: Fold, *, choose: bool, gold: bool) -> dict[str, list[Document]]:
    """Train everything of a fold; what each system finds in its test part."""
    fold.train("old")
    fold.loop("loop", "raw")
    if gold:
        fold.train("gold", "--silver", str(fold.file("raw-gold")))
    if choose:
        for by in ("gain", "random"):
            fold.choose(by)
            fold.loop(by, f"raw-{by}")
    texts = read_documents(fold.file("test"))
    systems = ["old", "loop"] + ["gain", "random"] * choose + ["gold"] * gold
    found = {name: predictions(fold.model(name), texts) for name in systems}
    found["kept"] = found["loop" if fold.report("loop")["kept"] == "new" else "old"]
    return found


def main() -> None:
    """Train, score, print; write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--encoder", default="random")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--choose", type=int, default=60)
    parser.add_argument("--gold", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    schema = read_schema(options.data / "task.yaml")

    rows: dict[str, list[dict[str, float]]] = {}
    reports = []
    for seed in options.seeds:
        made = folds(options, seed)
        counts = training_counts(read_documents(made[0].file("train")), schema)
        gold: list[Document] = []
        pooled: dict[str, list[Document]] = {}
        for fold in made:
            found = run(fold, choose=options.choose > 0, gold=options.gold)
            gold += read_documents(fold.file("test"))
            for name, documents in found.items():
                pooled.setdefault(name, []).extend(documents)
            reports.append(fold.report("loop"))
        for name in [name for name in _SYSTEMS if name in pooled]:
            figures, _ = model_scores(gold, pooled[name], schema, counts)
            rows.setdefault(name, []).append(figures.as_dict())
    _show(rows, reports)
    if options.out:
        content = {
            "machine": {"cpus": os.cpu_count(), "processor": platform.processor()},
            "versions": {name: version(name) for name in _PACKAGES},
            "options": {name: str(value) for name, value in vars(options).items()},
            "rows": rows,
            "loops": reports,
        }
        options.out.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


def _show(rows: dict[str, list[dict[str, float]]], reports: Sequence[dict[str, Any]]) -> None:
    print(f"{platform.machine()}, {os.cpu_count()} processors, torch {version('torch')}")
    print(f"{'':8}{'entities':>14}{'relations':>14}{'macro':>14}{'rare types':>14}")
    for name, found in rows.items():
        cells = []
        for figure in ("entities", "micro", "macro", "tail"):
            values = [100 * one[figure] for one in found]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.1f} ± {deviation:.1f}")
        print(f"{name:8}" + "".join(f"{cell:>14}" for cell in cells))
    kept = sum(report["kept"] == "new" for report in reports)
    answered = sum(report["answered"] for report in reports)
    texts = sum(report["raw_texts"] for report in reports)
    print(f"guard: new model kept in {kept} of {len(reports)}; LLM answered {answered} of {texts}")


if __name__ == "__main__":
    main()
