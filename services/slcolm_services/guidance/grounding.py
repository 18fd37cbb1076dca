"""From triples of mentions to relations between places of the text.

An answer names mentions, not places. Where a mention stands more than once, the pair of places
that stand closest to each other is taken; places that are part of a longer mention come last.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.script import fold
from slcolm_services.guidance.mentions import MentionFinder, Span


@dataclass(frozen=True, slots=True)
class Grounded:
    """Triples as relations.

    Attributes:
        entities: What the answer lists, in the order of the text, and what its triples need.
        relations: One for each triple, in their order, between `entities`.
    """

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]


def ground(
    triples: Sequence[Triple], listed: Sequence[Entity], prediction: Document, schema: TaskSchema
) -> Grounded:
    """Give every triple two places of the text.

    Args:
        triples: Triples whose mentions stand in the text.
        listed: Entities that the answer lists, at every place where they stand.
        prediction: The text with the SLM's entities.
        schema: The task.

    Returns:
        The relations. A mention has the type that the answer gives it, else the SLM's, else the
        first that the relation type admits; of several the one that the relation type admits.
    """
    places = _Places(prediction, listed, schema)
    entities = dict.fromkeys(entity for entity in listed if places.stands_alone(entity))
    ends = [places.pair(triple) for triple in triples]
    for pair in ends:
        entities |= dict.fromkeys(pair)
    ordered = sorted(entities, key=lambda entity: (entity.start, entity.end, entity.type))
    index = {entity: position for position, entity in enumerate(ordered)}
    return Grounded(
        tuple(ordered),
        tuple(
            Relation(triple.type, index[head], index[tail])
            for triple, (head, tail) in zip(triples, ends, strict=True)
        ),
    )


class _Places:
    """Where mentions stand, and of which type they are."""

    def __init__(self, prediction: Document, listed: Sequence[Entity], schema: TaskSchema) -> None:
        self._text = prediction.text
        self._folded = fold(prediction.text)
        self._schema = schema
        self._finder = MentionFinder(prediction.text, schema)
        self._listed = self._types(listed)
        self._predicted = self._types(prediction.entities)
        self._spans = {(entity.start, entity.end) for entity in prediction.entities}
        self._covered = _covered({*listed, *prediction.entities})

    def stands_alone(self, entity: Entity) -> bool:
        """Whether it is no mere part of a longer mention, or stands nowhere else."""
        return (entity.start, entity.end) in self._outside(self._text[entity.start : entity.end])

    def pair(self, triple: Triple) -> tuple[Entity, Entity]:
        """Head and tail of a triple."""
        kind = self._schema.relations_by_name[triple.type]
        head, tail = _nearest(self._choices(triple.head), self._choices(triple.tail))
        return (
            Entity(self._type(triple.head, kind.head_types), *head),
            Entity(self._type(triple.tail, kind.tail_types), *tail),
        )

    def _choices(self, mention: str) -> list[Span]:
        """Places of a mention: those that the SLM found, else those outside longer mentions."""
        places = self._finder.places(mention)
        return [span for span in places if span in self._spans] or self._outside(mention)

    def _outside(self, mention: str) -> list[Span]:
        """Places of a mention outside longer ones of its type, or all where there are none."""
        places = self._finder.places(mention)
        return [span for span in places if span not in self._covered] or places

    def _types(self, entities: Iterable[Entity]) -> dict[str, list[str]]:
        """Types by mention, the most probable first."""
        found: dict[str, list[str]] = defaultdict(list)
        for entity in sorted(entities, key=lambda entity: -(entity.prob or 0.0)):
            found[self._folded[entity.start : entity.end]].append(entity.type)
        return found

    def _type(self, mention: str, admitted: Sequence[str]) -> str:
        folded = fold(mention)
        for known in (self._listed.get(folded), self._predicted.get(folded)):
            if known:
                return next((kind for kind in known if kind in admitted), known[0])
        if admitted:
            return admitted[0]
        return self._schema.entity_types[0].name if self._schema.entity_types else ""


def _covered(entities: Iterable[Entity]) -> set[Span]:
    """Spans that lie inside a longer one of the same type."""
    covered: set[Span] = set()
    longest: dict[str, Entity] = {}
    for entity in sorted(entities, key=lambda entity: (entity.start, -entity.end)):
        around = longest.get(entity.type)
        if around is None or entity.end > around.end:
            longest[entity.type] = entity
        elif (entity.start, entity.end) != (around.start, around.end):
            covered.add((entity.start, entity.end))
    return covered


def _nearest(heads: Sequence[Span], tails: Sequence[Span]) -> tuple[Span, Span]:
    """The pair with the least text between them; overlapping ones only where there are no others.

    Places of one mention are equally long and come in order, so that only the last tail before a
    head and the first one after it can be nearest.
    """
    starts = [start for start, _ in tails]
    ends = [end for _, end in tails]
    pairs = []
    for head in heads:
        before = bisect.bisect_right(ends, head[0]) - 1
        after = bisect.bisect_left(starts, head[1])
        pairs += [(head, tails[place]) for place in (before, after) if 0 <= place < len(tails)]
    return min(pairs or [(heads[0], tails[0])], key=_between)


def _between(pair: tuple[Span, Span]) -> tuple[int, int]:
    """Characters between two spans, then where the pair begins."""
    first, second = sorted(pair)
    return second[0] - first[1], first[0]
