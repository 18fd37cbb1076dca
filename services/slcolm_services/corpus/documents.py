"""Documents with their annotations: the types that every room speaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention: the half-open range [start, end) of the text, in Unicode code points.

    Attributes:
        type: Entity type name of the task schema.
        start: First code point, counted from 0.
        end: One past the last code point.
        prob: Calibrated probability in [0, 1]; None on gold data.
        tier: How well an LLM's annotation is borne out, see `corpus.tiers`; empty elsewhere.
    """

    type: str
    start: int
    end: int
    prob: float | None = None
    tier: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Relation:
    """A typed, directed relation between two entities of one document.

    Attributes:
        type: Relation type name of the task schema.
        head: Index into the document's entities.
        tail: Index into the document's entities.
        prob: Calibrated probability in [0, 1]; None on gold data.
        tier: As of an entity.
    """

    type: str
    head: int
    tail: int
    prob: float | None = None
    tier: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Triple:
    """A relation named by the texts of its mentions: what an LLM says and what is scored.

    `prob` takes no part in equality: a set of triples holds each (head, tail, type) once.
    """

    head: str
    tail: str
    type: str
    prob: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its entities and relations, gold or predicted.

    Attributes:
        id: Name of the text, unique in its data set.
        text: The text as it came; never normalised.
        entities: Mentions, in any order.
        relations: Relations between `entities`, by index.
    """

    id: str
    text: str
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()

    def mention(self, index: int) -> str:
        """Text of entity `index`."""
        entity = self.entities[index]
        return self.text[entity.start : entity.end]

    def triples(self) -> tuple[Triple, ...]:
        """Relations as triples of text, in order, each (head, tail, type) once.

        Of relations with the same texts and type the most probable stands.
        """
        best: dict[Triple, Triple] = {}
        for relation in self.relations:
            head, tail = self.mention(relation.head), self.mention(relation.tail)
            triple = Triple(head, tail, relation.type, relation.prob)
            seen = best.get(triple)
            if seen is None or (triple.prob or 0.0) > (seen.prob or 0.0):
                best[triple] = triple
        return tuple(best.values())

    def without_annotations(self) -> Document:
        """The bare text under the same id."""
        return replace(self, entities=(), relations=())
