"""The span protocol: entities and relations with offsets, as SpERT's evaluator counts them.

Source: lavis-nlp/spert, spert/evaluator.py. Every sentence is a set of items; a relation is right
when its type and the spans of both entities are right (`relations`), or their types too
(`relations_strict`). A symmetric relation has its earlier entity first. SpERT averages over the
types that occur in gold or prediction, and its macro F1 is the mean of the types' F1.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.scoring.align import by_gold_id
from slcolm_services.scoring.counts import (
    GOLD,
    PREDICTED,
    CountMatrix,
    Counts,
    MacroPrf,
    Prf,
    macro,
    micro,
    tally,
    total,
)

_Item = tuple[str, Hashable]

_SHOWN = 20
"""Violations shown; the message is the same for all."""


@dataclass(frozen=True, slots=True)
class SpanFigures:
    """Figures of one kind of item.

    Attributes:
        counts: Over all sentences and types.
        micro: Of the summed counts.
        macro: Over the types that occur in gold or prediction.
        by_type: Counts by type.
        matrix: Counts by sentence, in the order of gold, and type.
    """

    counts: Counts
    micro: Prf
    macro: MacroPrf
    by_type: dict[str, Counts]
    matrix: CountMatrix = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SpanScores:
    """What SpERT reports.

    Attributes:
        entities: Span and type.
        boundaries: Span alone.
        relations: Relation type and both spans ("without NEC").
        relations_strict: Relation type, both spans and both entity types ("with NEC").
    """

    entities: SpanFigures
    boundaries: SpanFigures
    relations: SpanFigures
    relations_strict: SpanFigures


def score_spans(
    gold: Sequence[Document],
    predicted: Iterable[Document],
    symmetric: Collection[str] = (),
) -> SpanScores:
    """Score predictions with offsets.

    Args:
        gold: True annotations, each id once.
        predicted: Predictions, matched by id. A sentence without one has predicted nothing.
        symmetric: Relation types that match in both directions.

    Raises:
        InvalidInput: A gold id stands twice, a prediction belongs to no gold sentence, or it is
            about another text, where its offsets mean nothing.
    """
    matched = by_gold_id(gold, predicted)
    violations = [
        FieldViolation(f"prediction {sentence.id}", "is about another text than gold")
        for sentence, document in zip(gold, matched, strict=True)
        if document and document.text != sentence.text
    ]
    if violations:
        raise InvalidInput(
            "offsets can only be compared in the same text", violations=violations[:_SHOWN]
        )
    found = [
        document or sentence.without_annotations()
        for sentence, document in zip(gold, matched, strict=True)
    ]
    both_ways = frozenset(symmetric)
    return SpanScores(
        entities=_figures([_entities(doc) for doc in gold], [_entities(doc) for doc in found]),
        boundaries=_figures([_spans(doc) for doc in gold], [_spans(doc) for doc in found]),
        relations=_figures(
            [_relations(doc, both_ways, typed=False) for doc in gold],
            [_relations(doc, both_ways, typed=False) for doc in found],
        ),
        relations_strict=_figures(
            [_relations(doc, both_ways, typed=True) for doc in gold],
            [_relations(doc, both_ways, typed=True) for doc in found],
        ),
    )


def _entities(document: Document) -> list[_Item]:
    return [(entity.type, (entity.start, entity.end)) for entity in document.entities]


def _spans(document: Document) -> list[_Item]:
    return [("span", (entity.start, entity.end)) for entity in document.entities]


def _relations(document: Document, symmetric: frozenset[str], *, typed: bool) -> list[_Item]:
    return [
        (relation.type, _arguments(document, relation, symmetric, typed=typed))
        for relation in document.relations
    ]


def _arguments(
    document: Document, relation: Relation, symmetric: frozenset[str], *, typed: bool
) -> Hashable:
    pair = [
        _argument(document.entities[index], typed=typed) for index in (relation.head, relation.tail)
    ]
    return tuple(sorted(pair) if relation.type in symmetric else pair)


def _argument(entity: Entity, *, typed: bool) -> tuple[int, int, str]:
    return entity.start, entity.end, entity.type if typed else ""


def _figures(gold: Sequence[list[_Item]], predicted: Sequence[list[_Item]]) -> SpanFigures:
    types = sorted({kind for sentence in (*gold, *predicted) for kind, _ in sentence})
    matrix = tally(gold, predicted, types)
    totals = matrix.totals()
    occurring = (totals[:, GOLD] > 0) | (totals[:, PREDICTED] > 0)
    by_type = matrix.by_type()
    return SpanFigures(total(by_type), micro(totals), macro(totals, occurring), by_type, matrix)
