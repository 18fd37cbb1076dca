"""How well candidates and demonstrations cover the gold relation types of ChisRE dev.

    python benchmarks/retrieval.py [--data ../shared/data/chisre] [--out FILE]

Training sentences and dev sentences are indexed as the service indexes them; then every dev
sentence is a query (its own sentence is never among its demonstrations). The entities of a query
are the gold ones or none: what an SLM finds lies between. Sentence vectors are random projections
of character n-grams, a stand-in for a model's: a trained encoder should do better.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import frequency_bucket, training_counts
from slcolm_services.retrieval.candidates import Neighbour, choose
from slcolm_services.retrieval.config import RetrievalConfig, TriggerConfig
from slcolm_services.retrieval.records import IndexedSentence, Manifest, Role, Vector, identity
from slcolm_services.retrieval.store import IndexStore
from slcolm_services.retrieval.terms import sparse_vector
from slcolm_services.retrieval.triggers import TriggerLexicon, mine

_DIMENSION = 256
_REVISION = "benchmark"
_NEIGHBOURS = 10
_CANDIDATE_COUNTS = (4, 8, 12)
_DEMONSTRATION_COUNTS = (2, 4, 8)
_INDEX_BATCH = 256


@dataclass(frozen=True)
class Searched:
    """What the searches found for one query."""

    document: Document
    neighbours: list[Neighbour]
    demonstrations: list[Document]
    drawn: list[Document]
    seconds: float


def types_of(document: Document) -> frozenset[str]:
    """Relation types that hold in a document."""
    return frozenset(relation.type for relation in document.relations)


def stand_in_vector(text: str) -> Vector:
    """Random projection of the text's n-grams: the same text has the same vector everywhere."""
    total = np.zeros(_DIMENSION)
    for term, weight in sparse_vector(text).items():
        seed = zlib.crc32(term.to_bytes(4, "big"))
        total += weight * np.random.default_rng(seed).standard_normal(_DIMENSION)
    return (total / (np.linalg.norm(total) or 1.0)).astype(np.float32)


def index(store: IndexStore, schema: TaskSchema, sentences: Sequence[IndexedSentence]) -> None:
    """Build the index."""
    store.create(Manifest(_REVISION, "stand-in", _DIMENSION, schema))
    for start in range(0, len(sentences), _INDEX_BATCH):
        store.add(_REVISION, sentences[start : start + _INDEX_BATCH])


def search(store: IndexStore, documents: Sequence[Document]) -> Iterator[Searched]:
    """Search for every document as the service does, and draw demonstrations at random."""
    most = max(_DEMONSTRATION_COUNTS)
    names = [set(identity(document)) for document in documents]
    for document, own in zip(documents, names, strict=True):
        vector = stand_in_vector(document.text)
        started = time.perf_counter()
        similar = store.search(_REVISION, document, vector, Role.TRAINING, _NEIGHBOURS)
        shown = store.search(_REVISION, document, vector, Role.DEMONSTRATION, most)
        seconds = time.perf_counter() - started
        others = [
            other for other, name in zip(documents, names, strict=True) if own.isdisjoint(name)
        ]
        yield Searched(
            document,
            [Neighbour(types_of(hit.gold), hit.score) for hit in similar],
            [hit.gold for hit in shown],
            random.Random(document.id).sample(others, most),
            seconds,
        )


class Recall:
    """Share of the gold relation types that were among the proposed ones, by frequency."""

    def __init__(self, buckets: Mapping[str, str], fallback: str | None) -> None:
        self._buckets, self._fallback = buckets, fallback
        self._found: Counter[str] = Counter()
        self._all: Counter[str] = Counter()

    def add(self, gold: Iterable[str], proposed: Iterable[str]) -> None:
        """Count one sentence. The fallback relation is no type to be recalled."""
        known = set(proposed)
        for type_ in gold:
            if type_ != self._fallback:
                for bucket in ("all", self._buckets[type_]):
                    self._all[bucket] += 1
                    self._found[bucket] += type_ in known

    def figures(self) -> dict[str, float | int]:
        """Recall and number of gold types of every bucket."""
        figures: dict[str, float | int] = {}
        for bucket in ("all", "head", "medium", "tail"):
            figures[bucket] = round(self._found[bucket] / max(1, self._all[bucket]), 4)
            figures[f"{bucket}_gold"] = self._all[bucket]
        return figures


def measure(
    searched: Sequence[Searched],
    schema: TaskSchema,
    lexicon: TriggerLexicon,
    buckets: Mapping[str, str],
) -> dict[str, dict[str, float | int]]:
    """Recall of every way to choose candidates and demonstrations."""
    recalls: dict[str, Recall] = defaultdict(lambda: Recall(buckets, schema.fallback_relation))
    for item in searched:
        gold = types_of(item.document)
        for entities, document in (
            ("gold entities", item.document),
            ("no entities", item.document.without_annotations()),
        ):
            triggers = lexicon.find(document)
            for witnesses, neighbours, words in (
                ("similar + triggers", item.neighbours, triggers),
                ("similar", item.neighbours, {}),
                ("triggers", [], triggers),
            ):
                chosen = choose(schema, document, neighbours, words, len(schema.relation_types))
                ranked = [candidate.type for candidate in chosen]
                for count in _CANDIDATE_COUNTS:
                    name = f"candidates@{count}, {witnesses}, {entities}"
                    recalls[name].add(gold, ranked[:count])
        for way, shown in (("similar", item.demonstrations), ("random", item.drawn)):
            for count in _DEMONSTRATION_COUNTS:
                held = {type_ for document in shown[:count] for type_ in types_of(document)}
                recalls[f"{count} demonstrations, {way}"].add(gold, held)
    return {name: recall.figures() for name, recall in recalls.items()}


def main() -> None:
    """Measure, print and write the figures."""
    root = Path(__file__).parents[1]
    shared = Path(os.environ.get("SLCOLM_SHARED", root.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=shared / "data" / "chisre")
    parser.add_argument("--out", type=Path, default=root / "benchmarks" / "out" / "retrieval.json")
    arguments = parser.parse_args()

    if not arguments.data.is_dir():
        print(f"passed over: there is no data set in {arguments.data}")
        return
    schema = read_schema(arguments.data / "task.yaml")
    train = read_documents(arguments.data / "train.jsonl", schema)
    dev = read_documents(arguments.data / "dev.jsonl", schema)
    counts = training_counts(train, schema)
    buckets = {type_: frequency_bucket(count) for type_, count in counts.items()}
    sentences = [
        IndexedSentence(document, None, stand_in_vector(document.text), role)
        for documents, role in ((train, Role.TRAINING), (dev, Role.DEMONSTRATION))
        for document in documents
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = IndexStore(RetrievalConfig(folder=Path(folder)))
        started = time.perf_counter()
        index(store, schema, sentences)
        index_seconds = time.perf_counter() - started
        searched = list(search(store, dev))
        store.close()
    lexicon = mine(train, TriggerConfig())
    recalls = measure(searched, schema, lexicon, buckets)
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.platform()}",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("slcolm", "qdrant-client", "numpy", "opencc")},
        },
        "sentences": {"train": len(train), "dev": len(dev)},
        "vectors": f"stand-in, {_DIMENSION} dimensions",
        "neighbours": _NEIGHBOURS,
        "triggers": len(lexicon),
        "index_seconds": round(index_seconds, 1),
        "select_seconds_median": round(statistics.median(i.seconds for i in searched), 4),
        "recall": recalls,
    }
    print(json.dumps({**report, "recall": "below"}, ensure_ascii=False, indent=1))
    width = max(len(name) for name in recalls)
    print(f"{'':{width}}  {'all':>6} {'head':>6} {'medium':>6} {'tail':>6}")
    for name, figures in recalls.items():
        values = " ".join(f"{figures[b]:6.3f}" for b in ("all", "head", "medium", "tail"))
        print(f"{name:{width}}  {values}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
