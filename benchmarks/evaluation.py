"""How long scoring, comparing, merging and fitting take on a dev set of usual size.

    python benchmarks/evaluation.py [--sentences 400] [--out benchmarks/out/evaluation.json]

The data are made up: 40 relation types with Zipf's frequencies, 3.4 triples a sentence as in
ChisRE, an SLM that finds 60 % of them and an LLM that finds 70 %. Times are medians of several
repetitions, in milliseconds. The peer is `scipy.stats.bootstrap` on the same counts: an interval
of micro F1 from as many resamples by the percentile method, beside ours for seven figures at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.evaluation.evidence import LLM, Evidence
from slcolm_services.evaluation.fit import fit
from slcolm_services.evaluation.learning import DevSentence, learn
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import default_policy
from slcolm_services.scoring.strict import (
    Sentence,
    StrictCounts,
    compare,
    count_strict,
    score,
)

Array = NDArray[np.int64]

_TYPES = 40
_TRIPLES_PER_SENTENCE = 3.4
_SAMPLES = 1000
_REPETITIONS = 5


def made_up(
    sentences: int, sources: Sequence[str] = (LLM,)
) -> tuple[TaskSchema, dict[str, int], list[DevSentence]]:
    """Schema, training counts and dev sentences with answers of some LLMs."""
    draw = random.Random(11)
    names = [f"type{rank}" for rank in range(1, _TYPES + 1)]
    counts = {name: 2400 // rank for rank, name in enumerate(names, start=1)}
    schema = TaskSchema("made up", "en", (), tuple(RelationType(name) for name in names))

    def drawn(share: float, gold: tuple[Triple, ...]) -> tuple[Triple, ...]:
        """A share of the true triples, and for every two true ones a false one."""
        kinds = draw.choices(names, list(counts.values()), k=len(gold) // 2)
        false = [Triple("f", str(index), kind) for index, kind in enumerate(kinds)]
        found = [*(triple for triple in gold if draw.random() < share), *false]
        return tuple(Triple(t.head, t.tail, t.type, draw.random()) for t in found)

    dev = []
    for index in range(sentences):
        size = max(1, round(draw.gauss(_TRIPLES_PER_SENTENCE, 1.5)))
        kinds = draw.choices(names, list(counts.values()), k=size)
        gold = tuple(Triple("h", str(place), kind) for place, kind in enumerate(kinds))
        answers = {source: drawn(0.7, gold) for source in sources}
        evidence = Evidence(drawn(0.6, gold), answers)
        dev.append(DevSentence(str(index), gold, {"slm": evidence}))
    return schema, counts, dev


def median_milliseconds(work: Callable[[], object], repetitions: int = _REPETITIONS) -> float:
    """Median of several runs."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(times), 2)


def peer_interval(counts: StrictCounts) -> object:
    """An interval of micro F1 by SciPy, over sentences."""
    correct, predicted, gold = counts.matrix.with_gold().values.sum(axis=1).T

    def micro_f1(correct: Array, predicted: Array, gold: Array, axis: int) -> Array:
        return 2 * correct.sum(axis) / np.maximum(predicted.sum(axis) + gold.sum(axis), 1)

    return stats.bootstrap(
        (correct, predicted, gold),
        micro_f1,
        paired=True,
        vectorized=True,
        n_resamples=_SAMPLES,
        method="percentile",
        rng=np.random.default_rng(1),
    )


def measure(sentences: int) -> dict[str, float]:
    """Milliseconds by kind of work."""
    schema, counts, dev = made_up(sentences)
    gold = [Sentence(line.id, line.gold) for line in dev]
    slm = [Sentence(line.id, line.slm) for line in dev]
    llm = [Sentence(line.id, line.evidence["slm"].answers[LLM]) for line in dev]
    first, second = count_strict(gold, slm, schema), count_strict(gold, llm, schema)
    policy = default_policy(counts)
    learned = learn(dev, schema, counts).shape(policy)
    several = made_up(sentences, ("llm-1", "llm-2", "llm-3"))[2]
    evidence = [line.evidence["slm"] for line in dev]
    return {
        "merge": median_milliseconds(lambda: [merge(one, policy, schema) for one in evidence]),
        "merge with confidence": median_milliseconds(
            lambda: [merge(one, learned, schema) for one in evidence]
        ),
        "count": median_milliseconds(lambda: count_strict(gold, slm, schema)),
        "score with intervals": median_milliseconds(lambda: score(first, counts, samples=_SAMPLES)),
        "peer: one interval by scipy": median_milliseconds(lambda: peer_interval(first)),
        "compare": median_milliseconds(lambda: compare(first, second, samples=_SAMPLES)),
        "fit": median_milliseconds(lambda: fit(dev, schema, counts), repetitions=3),
        "fit, three LLMs": median_milliseconds(lambda: fit(several, schema, counts), repetitions=3),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/evaluation.json"))
    options = parser.parse_args()
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": os.getloadavg()[0],
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "scipy": version("scipy"),
            "scikit-learn": version("scikit-learn"),
            "slcolm": version("slcolm"),
        },
        "sentences": options.sentences,
        "bootstrap_samples": _SAMPLES,
        "milliseconds": measure(options.sentences),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    text = json.dumps(result, ensure_ascii=False, indent=2)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
