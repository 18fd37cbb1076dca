"""How good small models are: encoders, shares of the data and seeds, on dev and on test.

    python benchmarks/training/span_model.py DATA --work runs/ --encoder random --encoder built-in \
        [--seeds 0 1 2] [--share 1.0] [--silver silver.jsonl] [--test test.jsonl] \
        [--out report.json]

DATA is a folder with `train` and `dev` in any form that `slcolm data check` reads, and `task.yaml`
where the types have definitions. Every model is trained by `slcolm train` in a process of its own,
one after the other, and kept in the work folder: the same command again trains only what is
missing. Scores are span-level; micro F1 of entities with types and of relations with entity types,
macro F1 as harmonic mean of macro precision and recall, micro F1 of relations by how often their
type stands in train. Test is scored only where it is named: choose on dev, report on test.
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
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import write_documents
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import read_schema, write_schema
from slcolm_services.corpus.stats import frequency_bucket, training_counts
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.extraction.reading import Reading
from slcolm_services.scoring.counts import Counts, macro, total, totals_of
from slcolm_services.scoring.span import score_spans

_PACKAGES = ("torch", "transformers", "onnxruntime", "numpy")


def find(folder: Path, name: str) -> Path:
    """The data file of a folder by its name without the ending."""
    (path,) = folder.glob(f"{name}.json*")
    return path


def schema_of(folder: Path) -> TaskSchema:
    """The folder's schema, or one without definitions made of the types that occur."""
    if (folder / "task.yaml").is_file():
        return read_schema(folder / "task.yaml")
    docs = [doc for name in ("train", "dev") for doc in read_any(find(folder, name), None)]
    entities = sorted({entity.type for doc in docs for entity in doc.entities})
    relations = sorted({relation.type for doc in docs for relation in doc.relations})
    return TaskSchema(
        folder.name,
        "en" if docs[0].text.isascii() else "zh",
        tuple(EntityType(name, name) for name in entities),
        tuple(RelationType(name, name) for name in relations),
    )


def train(arguments: Sequence[str], out: Path) -> dict[str, float]:
    """Train a model; what it took. A model that is there stays, with the figures of its making."""
    figures = out.with_name(f"{out.name}.train.json")
    if not figures.is_file():
        command = [sys.executable, "-m", "slcolm_services", "train", *arguments, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"training {out} failed")
        taken = {
            "seconds": json.loads(output)["train_seconds"],
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mib": usage.ru_maxrss / 1024,
        }
        figures.write_text(json.dumps(taken), encoding="utf-8")
    found: dict[str, float] = json.loads(figures.read_bytes())
    return found


def evaluate(
    model: Path, gold: Sequence[Document], schema: TaskSchema, counts: Mapping[str, int]
) -> dict[str, float]:
    """Figures of a model, in percent."""
    engine = Engine.load(model)
    symmetric = [kind.name for kind in schema.relation_types if kind.symmetric]
    outputs = Reading.of(engine, gold).run(engine)
    found = [one for one in outputs if isinstance(one, Extraction)]
    scores = score_spans(gold, [one.document for one in found], symmetric)
    relations = scores.relations_strict.by_type
    figures = {
        "entities": scores.entities.micro.f1,
        "relations": scores.relations_strict.micro.f1,
        "macro": macro(totals_of(relations)).f1_pr,
    }
    for bucket in ("head", "medium", "tail"):
        part: dict[str, Counts] = {
            name: found
            for name, found in relations.items()
            if frequency_bucket(counts.get(name, 0)) == bucket
        }
        figures[bucket] = total(part).prf().f1
    return {name: 100 * value for name, value in figures.items()}


def summary(rows: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each figure; the deviation of one row is 0."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {
        name: (statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
        for name, values in columns.items()
    }


def show(title: str, found: Mapping[str, tuple[float, float]]) -> None:
    """A line of the table."""
    cells = "  ".join(f"{name} {mean:.1f} ± {dev:.1f}" for name, (mean, dev) in found.items())
    print(f"{title:44} {cells}", flush=True)


def main() -> None:
    """Train, score and print; write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where models are kept")
    parser.add_argument("--encoder", action="append", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--share", type=float, nargs="+", default=[1.0], help="of the training set")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--silver", type=Path, default=None)
    parser.add_argument("--test", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()

    options.work.mkdir(parents=True, exist_ok=True)
    schema = schema_of(options.data)
    write_schema(options.work / "task.yaml", schema)
    docs = {name: list(read_any(find(options.data, name), schema)) for name in ("train", "dev")}
    test = list(read_any(options.test, schema)) if options.test else []
    counts = training_counts(docs["train"], schema)
    write_documents(options.work / "dev.jsonl", docs["dev"])
    random.Random(0).shuffle(docs["train"])
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "load": os.getloadavg(),
        "versions": {name: version(name) for name in _PACKAGES},
        "data": options.data.name,
        "rows": [],
    }
    for share in options.share:
        part = docs["train"][: round(share * len(docs["train"]))]
        path = options.work / f"train-{share:g}.jsonl"
        write_documents(path, part)
        for encoder in options.encoder:
            runs = []
            for seed in options.seeds:
                name = f"{Path(encoder).name}-{share:g}{'-silver' if options.silver else ''}-{seed}"
                out = options.work / name
                arguments = ["--task", str(options.work / "task.yaml"), "--train", str(path)]
                arguments += ["--dev", str(options.work / "dev.jsonl"), "--out", str(out)]
                arguments += ["--encoder", encoder, "--seed", str(seed)]
                arguments += ["--silver", str(options.silver)] if options.silver else []
                arguments += ["--epochs", str(options.epochs)] if options.epochs else []
                taken = train(arguments, out)
                scores = {"dev": evaluate(out, docs["dev"], schema, counts)}
                if test:
                    scores["test"] = evaluate(out, test, schema, counts)
                runs.append({"seed": seed, **taken, **scores})
                show(f"{name} dev", summary([scores["dev"]]))
            row: dict[str, Any] = {"encoder": encoder, "share": share, "runs": runs}
            row["silver"] = bool(options.silver)
            for split in ("dev", "test") if test else ("dev",):
                row[split] = summary(run[split] for run in runs)
                show(f"{encoder}, {len(part)} sentences, {split}", row[split])
            row["cost"] = summary(
                {name: run[name] for name in ("seconds", "cpu_seconds", "peak_mib")} for run in runs
            )
            show("  cost of training", row["cost"])
            report["rows"].append(row)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
