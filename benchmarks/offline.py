"""What the offline rules are worth on ChisRE dev, beside the small model alone.

    python benchmarks/offline.py [--data ../shared/data/chisre] [--out FILE]

The dev sentences with a recorded prediction of the published SpERT are given to the rules with
demonstrations, candidates and trigger words that retrieval takes from train, as the service does.
Compared are the small model alone, the rules' own answer, and the merge of both by a policy that is
fitted on four fifths of the sentences and applied to the other fifth. The rules' threshold is
chosen on the same four fifths. Sentence vectors are stand-ins: see `benchmarks/retrieval.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieval import index, stand_in_vector

from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.recordings import Recording, first_answers, read_recordings
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.script import find_mention
from slcolm_services.corpus.stats import training_counts
from slcolm_services.evaluation.evidence import Evidence
from slcolm_services.evaluation.fit import fit
from slcolm_services.evaluation.learning import DevSentence
from slcolm_services.evaluation.merge import merge
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.grounding import ground
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem
from slcolm_services.guidance.rules import revise
from slcolm_services.retrieval.candidates import Neighbour, choose
from slcolm_services.retrieval.config import RetrievalConfig, TriggerConfig
from slcolm_services.retrieval.records import IndexedSentence, Role
from slcolm_services.retrieval.store import IndexStore
from slcolm_services.retrieval.triggers import mine
from slcolm_services.scoring.strict import (
    Difference,
    Sentence,
    StrictCounts,
    compare,
    count_strict,
    score,
)

_REVISION = "benchmark"
_NEIGHBOURS = 10
_CANDIDATES = 12
_DEMONSTRATIONS = 2
_FOLDS = 5
_THRESHOLDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Predictions = list[tuple[Triple, ...]]
"""Triples by sentence."""


@dataclass(frozen=True)
class Setting:
    """What everything is measured on."""

    schema: TaskSchema
    counts: dict[str, int]
    recordings: list[Recording]
    items: list[GuideItem]

    def figures(
        self, predicted: Iterable[Sequence[Triple]], rows: Sequence[int]
    ) -> tuple[float, float]:
        """Micro F1 and mean macro F1 over some sentences."""
        scores = score(self.counted(predicted, rows), self.counts)
        return scores.micro.f1, scores.macro.f1_mean

    def counted(self, predicted: Iterable[Sequence[Triple]], rows: Sequence[int]) -> StrictCounts:
        """Strict counts over some sentences."""
        lines = [self.recordings[row] for row in rows]
        return count_strict(
            [Sentence(line.id, line.gold_triples or ()) for line in lines],
            [Sentence(line.id, tuple(found)) for line, found in zip(lines, predicted, strict=True)],
            self.schema,
        )


def slm_document(line: Recording, schema: TaskSchema) -> Document:
    """The recorded prediction with places: recordings name mentions by their text only."""
    names = {kind.label: kind.name for kind in schema.entity_types}
    seen: Counter[tuple[str, str]] = Counter()
    entities: dict[Entity, None] = {}
    for entity in line.slm_entities:
        places = find_mention(line.text, entity.text)
        turn = seen[entity.text, entity.type]
        seen[entity.text, entity.type] += 1
        if places:
            place = places[min(turn, len(places) - 1)]
            entities[Entity(names[entity.type], *place, entity.prob)] = None
    bare = Document(line.id, line.text, tuple(entities))
    triples = [
        triple
        for triple in line.slm_triples
        if find_mention(line.text, triple.head) and find_mention(line.text, triple.tail)
    ]
    grounded = ground(triples, bare.entities, bare, schema)
    probs = {(entity.type, entity.start, entity.end): entity.prob for entity in entities}
    return Document(
        line.id,
        line.text,
        tuple(
            replace(entity, prob=probs.get((entity.type, entity.start, entity.end)))
            for entity in grounded.entities
        ),
        tuple(
            replace(relation, prob=triple.prob)
            for relation, triple in zip(grounded.relations, triples, strict=True)
        ),
    )


def guide_items(
    documents: Sequence[Document], train: Sequence[Document], schema: TaskSchema
) -> list[GuideItem]:
    """Select for every document from train as the service does."""
    lexicon = mine(train, TriggerConfig())
    vectors = [stand_in_vector(document.text) for document in train]
    items = []
    with tempfile.TemporaryDirectory() as folder:
        store = IndexStore(RetrievalConfig(folder=Path(folder)))
        index(
            store,
            schema,
            [
                IndexedSentence(document, None, vector, role)
                for role in (Role.TRAINING, Role.DEMONSTRATION)
                for document, vector in zip(train, vectors, strict=True)
            ],
        )
        for document in documents:
            vector = stand_in_vector(document.text)
            similar = store.search(_REVISION, document, vector, Role.TRAINING, _NEIGHBOURS)
            shown = store.search(_REVISION, document, vector, Role.DEMONSTRATION, _DEMONSTRATIONS)
            chosen = choose(
                schema,
                document,
                [
                    Neighbour(frozenset(found.type for found in hit.gold.relations), hit.score)
                    for hit in similar
                ],
                lexicon.find(document),
                _CANDIDATES,
            )
            items.append(
                GuideItem(
                    document,
                    tuple(Demonstration(hit.gold) for hit in shown),
                    tuple(Candidate(found.type, found.score, found.triggers) for found in chosen),
                )
            )
        store.close()
    return items


def folds(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Rows to fit on and rows to judge on, five times."""
    for fold in range(_FOLDS):
        yield (
            [row for row in range(count) if row % _FOLDS != fold],
            [row for row in range(count) if row % _FOLDS == fold],
        )


def ruled(setting: Setting, threshold: float) -> Predictions:
    """The rules' own answers."""
    return [
        revise(item, setting.schema, min_probability=threshold).triples for item in setting.items
    ]


def chosen_by_fold(
    setting: Setting, by_threshold: dict[float, Predictions]
) -> tuple[Predictions, list[float]]:
    """The rules' answers with the threshold that is best on the other folds (micro + macro)."""
    answers: Predictions = [()] * len(setting.items)
    thresholds = []
    for fitted, judged in folds(len(setting.items)):

        def worth(threshold: float, rows: Sequence[int] = fitted) -> float:
            return sum(setting.figures([by_threshold[threshold][row] for row in rows], rows))

        best = max(_THRESHOLDS, key=worth)
        thresholds.append(best)
        for row in judged:
            answers[row] = by_threshold[best][row]
    return answers, thresholds


def merged_by_fold(setting: Setting, answers: Predictions) -> Predictions:
    """Both merged by policies that are fitted on the other folds."""
    dev = [
        DevSentence(
            line.id, line.gold_triples or (), {"slm": Evidence(line.slm_triples, {"llm": found})}
        )
        for line, found in zip(setting.recordings, answers, strict=True)
    ]
    merged: Predictions = [()] * len(dev)
    for fitted, judged in folds(len(dev)):
        policy = fit([dev[row] for row in fitted], setting.schema, setting.counts).policy
        for row in judged:
            found = merge(dev[row].evidence["slm"], policy, setting.schema)
            merged[row] = tuple(triple.triple for triple in found)
    return merged


def findings(setting: Setting, threshold: float) -> dict[str, dict[str, int]]:
    """By rule: how often it dropped or added, and how often that was right."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item, line in zip(setting.items, setting.recordings, strict=True):
        revised = revise(item, setting.schema, min_probability=threshold)
        gold = set(line.gold_triples or ())
        for finding in revised.dropped:
            counts[finding.rule].update(dropped=1, rightly=int(finding.triple not in gold))
        for finding in revised.added:
            counts[finding.rule].update(added=1, rightly=int(finding.triple in gold))
    return {rule: dict(found) for rule, found in counts.items()}


def report(setting: Setting) -> dict[str, object]:
    """Every figure."""
    rows = list(range(len(setting.items)))
    by_threshold = {threshold: ruled(setting, threshold) for threshold in _THRESHOLDS}
    default = GuidanceConfig().min_probability
    by_fold, thresholds = chosen_by_fold(setting, by_threshold)
    slm = [line.slm_triples for line in setting.recordings]
    systems: dict[str, Predictions] = {
        "slm": slm,
        "rules": by_threshold[default],
        "rules, threshold by fold": by_fold,
        "merged by fold": merged_by_fold(setting, by_fold),
    }
    baseline = setting.counted(slm, rows)
    figures = {}
    for name, predicted in systems.items():
        micro, macro = setting.figures(predicted, rows)
        difference = compare(baseline, setting.counted(predicted, rows))
        figures[name] = {
            "micro_f1": round(micro, 4),
            "macro_f1_mean": round(macro, 4),
            "micro_f1_over_slm": interval_json(difference.micro_f1),
            "macro_f1_mean_over_slm": interval_json(difference.macro_f1_mean),
        }
    return {
        "sentences": len(rows),
        "demonstrations": _DEMONSTRATIONS,
        "candidates": _CANDIDATES,
        "min_probability": default,
        "min_probability_by_fold": thresholds,
        "systems": figures,
        "rules": findings(setting, default),
    }


def interval_json(difference: Difference) -> dict[str, float]:
    """A difference with its 95 % bootstrap interval."""
    low, high = difference.interval.low, difference.interval.high
    return {"value": round(difference.value, 4), "low": round(low, 4), "high": round(high, 4)}


def main() -> None:
    """Measure, print and write the figures."""
    root = Path(__file__).parents[1]
    shared = Path(os.environ.get("SLCOLM_SHARED", root.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=shared / "data" / "chisre")
    parser.add_argument("--out", type=Path, default=root / "benchmarks" / "out" / "offline.json")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"passed over: there is no data set in {arguments.data}")
        return
    schema = read_schema(arguments.data / "task.yaml")
    train = read_documents(arguments.data / "train.jsonl", schema)
    lines = first_answers(read_recordings(arguments.data / "recordings" / "frontier_k2_dev.jsonl"))
    documents = [slm_document(line, schema) for line in lines]
    setting = Setting(
        schema,
        training_counts(train, schema),
        lines,
        guide_items(documents, train, schema),
    )
    text = json.dumps(report(setting), ensure_ascii=False, indent=1)
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
