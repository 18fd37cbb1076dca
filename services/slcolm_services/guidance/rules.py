"""Rules that stand in for an LLM where there is none.

They see what an LLM is shown: the SLM's prediction, demonstrations and candidate relation types
with their trigger words. They drop what is impossible, and what is improbable and of a type that
retrieval does not propose. They add what trigger words show between mentions that the SLM has left
alone, and, where there is no prediction, what is worded like a demonstration. They understand
nothing. What each rule is worth is measured by `benchmarks/offline.py`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.script import find_mention, fold
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem

_SENTENCE_END = re.compile(r"[。；！？;!?\n]|\.\s")
_WIDE = re.compile(r"[\u2e80-\u9fff]")
_MAX_WORDING_CHARS = 6
_LIKELIEST = 2
_REACH_WIDE = 10
_REACH_NARROW = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule did.

    Attributes:
        rule: `unsupported`, `impossible`, `wording` or `trigger`.
        triple: The triple that was dropped or added.
        evidence: The probability, the entity types, or the words of the text that it rests on.
    """

    rule: str
    triple: Triple
    evidence: str


@dataclass(frozen=True, slots=True)
class Revised:
    """Outcome of the rules.

    Attributes:
        entities: The entities that the triples are about.
        triples: What is left of the prediction, then what was added.
        dropped: Predicted triples left out.
        added: Triples that were not predicted.
    """

    entities: tuple[Entity, ...]
    triples: tuple[Triple, ...]
    dropped: tuple[Finding, ...]
    added: tuple[Finding, ...]


def revise(item: GuideItem, schema: TaskSchema, *, min_probability: float) -> Revised:
    """Apply the rules to one text.

    Args:
        item: The text with the SLM's prediction, demonstrations and candidates. Without predicted
            entities those of the demonstrations are looked for in the text.
        schema: The task.
        min_probability: Predicted triples below it are dropped where there are candidates and
            their type is none of them.
    """
    document = item.prediction
    if not document.entities:
        document = Document(
            document.id, document.text, _known_entities(document.text, item.demonstrations)
        )
    kept, dropped = _review(document, schema, item.candidates, min_probability)
    settled = {frozenset((triple.head, triple.tail)) for triple in kept}
    settled |= {frozenset((finding.triple.head, finding.triple.tail)) for finding in dropped}
    added: dict[Triple, Finding] = {}
    for finding in itertools.chain(
        () if item.prediction.entities else _by_wording(document, schema, item.demonstrations),
        _by_trigger(document, schema, item.candidates, _head_comes_first(item.demonstrations)),
    ):
        ends = frozenset((finding.triple.head, finding.triple.tail))
        if ends not in settled and len(ends) > 1:
            settled.add(ends)
            added[finding.triple] = finding
    return Revised(document.entities, (*kept, *added), tuple(dropped), tuple(added.values()))


def _review(
    document: Document,
    schema: TaskSchema,
    candidates: tuple[Candidate, ...],
    min_probability: float,
) -> tuple[list[Triple], list[Finding]]:
    """What stays of the prediction and what does not."""
    possible = {
        Triple(document.mention(relation.head), document.mention(relation.tail), relation.type)
        for relation in document.relations
        if _admits(
            schema,
            relation.type,
            document.entities[relation.head].type,
            document.entities[relation.tail].type,
        )
    }
    proposed = {candidate.type for candidate in candidates}
    kept, dropped = [], []
    for triple in document.triples():
        doubtful = triple.prob is not None and triple.prob < min_probability
        if triple not in possible:
            dropped.append(Finding("impossible", triple, triple.type))
        elif doubtful and proposed and triple.type not in proposed:
            dropped.append(Finding("unsupported", triple, f"{triple.prob:.2f}"))
        else:
            kept.append(triple)
    return kept, dropped


def _by_wording(
    document: Document, schema: TaskSchema, demonstrations: tuple[Demonstration, ...]
) -> Iterator[Finding]:
    """The words between two mentions are those between the mentions of a solved example."""
    shown: dict[tuple[str, str, str], tuple[str, bool]] = {}
    for example in demonstrations:
        gold = example.gold
        for relation in gold.relations:
            head, tail = gold.entities[relation.head], gold.entities[relation.tail]
            first, second = sorted((head, tail), key=lambda entity: entity.start)
            words = fold(gold.text[first.end : second.start])
            if 0 < len(words) <= _MAX_WORDING_CHARS and any(map(str.isalnum, words)):
                shown[first.type, words, second.type] = relation.type, first is head
    for first, second in _neighbours(document):
        between = document.text[first.end : second.start]
        found = shown.get((first.type, fold(between), second.type))
        if found and found[0] in schema.relations_by_name:
            kind, head_first = found
            head, tail = (first, second) if head_first else (second, first)
            yield Finding("wording", _triple(document, head, tail, kind), between)


def _by_trigger(
    document: Document,
    schema: TaskSchema,
    candidates: tuple[Candidate, ...],
    head_comes_first: dict[str, bool],
) -> Iterator[Finding]:
    """A trigger word is all that stands between two mentions that the relation admits.

    Only the likeliest types count, and only mentions that the prediction leaves alone: where the
    SLM has spoken of a mention, its silence on others means more than a word does.
    """
    related = {
        document.mention(index)
        for relation in document.relations
        for index in (relation.head, relation.tail)
    }
    likeliest = [found for found in candidates if found.type != schema.fallback_relation]
    for candidate in likeliest[:_LIKELIEST]:
        triggers = {fold(trigger) for trigger in candidate.triggers}
        for first, second in _neighbours(document):
            between = document.text[first.end : second.start]
            words = "".join(filter(str.isalnum, fold(between)))
            triple = _directed(document, schema, candidate.type, (first, second), head_comes_first)
            if words in triggers and triple and not {triple.head, triple.tail} & related:
                yield Finding("trigger", triple, between)


def _directed(
    document: Document,
    schema: TaskSchema,
    kind: str,
    pair: tuple[Entity, Entity],
    head_comes_first: dict[str, bool],
) -> Triple | None:
    """The pair as a triple in the direction that its types admit; in text order where both do."""
    first, second = pair
    directions = [(first, second), (second, first)]
    if not head_comes_first.get(kind, True):
        directions.reverse()
    for head, tail in directions:
        if _admits(schema, kind, head.type, tail.type):
            return _triple(document, head, tail, kind)
    return None


def _neighbours(document: Document) -> Iterator[tuple[Entity, Entity]]:
    """Pairs of mentions that follow each other closely within a sentence, in text order."""
    reach = _REACH_WIDE if _WIDE.search(document.text) else _REACH_NARROW
    ordered = sorted(document.entities, key=lambda entity: (entity.start, entity.end))
    for first, second in itertools.pairwise(ordered):
        between = document.text[first.end : second.start]
        if first.end <= second.start <= first.end + reach and not _SENTENCE_END.search(between):
            yield first, second


def _head_comes_first(demonstrations: tuple[Demonstration, ...]) -> dict[str, bool]:
    """By relation type: whether the head stands before the tail in most solved examples."""
    votes: dict[str, int] = {}
    for example in demonstrations:
        for relation in example.gold.relations:
            head, tail = (
                example.gold.entities[relation.head],
                example.gold.entities[relation.tail],
            )
            votes[relation.type] = votes.get(relation.type, 0) + (
                1 if head.start < tail.start else -1
            )
    return {kind: vote >= 0 for kind, vote in votes.items()}


def _known_entities(text: str, demonstrations: tuple[Demonstration, ...]) -> tuple[Entity, ...]:
    """Mentions of the solved examples that also stand in this text; a longer one covers others."""
    mentions = {
        example.gold.mention(index): entity.type
        for example in demonstrations
        for index, entity in enumerate(example.gold.entities)
    }
    taken: list[Entity] = []
    for mention in sorted(mentions, key=len, reverse=True):
        taken.extend(
            Entity(mentions[mention], start, end)
            for start, end in find_mention(text, mention)
            if all(end <= other.start or other.end <= start for other in taken)
        )
    return tuple(sorted(taken, key=lambda entity: entity.start))


def _admits(schema: TaskSchema, kind: str, head_type: str, tail_type: str) -> bool:
    relation = schema.relations_by_name.get(kind)
    return relation is not None and relation.admits(head_type, tail_type)


def _triple(document: Document, head: Entity, tail: Entity, kind: str) -> Triple:
    text = document.text
    return Triple(text[head.start : head.end], text[tail.start : tail.end], kind)
