"""What the rows of a document name and say: each thing once, each fact once, with all evidence.

Mentions of one entity type whose names are equal (`knowledge.names`) are one thing. Relations of
one type between the same two things are one fact. **Nothing is lost and nothing counted twice**:
each entity of the rows is a mention of one thing, each relation is evidence of one fact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.predictions import Lineage
from slcolm_services.knowledge.names import is_pronoun, name_key


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a document: a sentence, or all of it.

    Attributes:
        id: Its id, which other rows may have too.
        document: Its text with annotations; None where it failed.
        lineage: Where its triples come from, where the file says so.
        error: Why it failed; empty where it did not.
    """

    id: str
    document: Document | None
    lineage: Mapping[Triple, Lineage] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mention stands.

    Attributes:
        row: Index of its row in the document.
        start: First code point of the row's text.
        end: One past the last.
        probability: Calibrated probability in [0, 1]; None on gold data.
    """

    row: int
    start: int
    end: int
    probability: float | None


@dataclass(frozen=True, slots=True)
class Thing:
    """What a document names.

    Attributes:
        type: Entity type of all mentions.
        name: The most frequent wording; of equally frequent ones the first.
        mentions: In the order of the rows and of their entities.
    """

    type: str
    name: str
    mentions: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A relation that says a fact.

    Attributes:
        head: The mention where it starts; of a symmetric type it may be one of the fact's tail.
        tail: The mention where it ends, in the same row.
        probability: Calibrated probability in [0, 1]; None on gold data.
        lineage: Who said it, and why the merge took it.
    """

    head: Place
    tail: Place
    probability: float | None
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class Fact:
    """What a document says of two things.

    Attributes:
        type: Relation type.
        head: Index of a thing.
        tail: Index of a thing; that of the head where both mentions have one name.
        evidence: Every relation that says it, in the order of the rows.
    """

    type: str
    head: int
    tail: int
    evidence: tuple[Evidence, ...]

    @property
    def probability(self) -> float | None:
        """The greatest of the evidence, None where no evidence has one.

        That is what is certain: of several events at least one happens with no less than the
        greatest of their probabilities, however they depend on each other (the bound of Fréchet).
        Noisy-or, 1 - Π(1 - p), needs them to be independent. Sentences of one text, read by one
        model, are not: it errs on the same names and wordings again. Downey, Etzioni and Soderland
        (A Probabilistic Model of Redundancy in Information Extraction, IJCAI 2005) compare noisy-or
        with a model of how errors repeat.
        """
        known = [item.probability for item in self.evidence if item.probability is not None]
        return max(known, default=None)


def merge(
    rows: Sequence[Row], *, symmetric: Collection[str] = (), apart: Collection[str] = ()
) -> tuple[tuple[Thing, ...], tuple[Fact, ...]]:
    """The things and facts of one document, both in the order in which they come up.

    Args:
        rows: Its rows.
        symmetric: Relation types that hold in both directions: their facts have the thing first
            that comes up first.
        apart: Wordings that are no name, beside pronouns: each mention is a thing of its own.
    """
    things = _Things({name_key(wording) for wording in apart})
    facts: dict[tuple[str, int, int], list[Evidence]] = {}
    for number, row in enumerate(rows):
        document = row.document
        if document is None:
            continue
        places = _places(number, document)
        at = [
            things.add(entity, document.mention(index), places[index])
            for index, entity in enumerate(document.entities)
        ]
        for relation in document.relations:
            head, tail = at[relation.head], at[relation.tail]
            if relation.type in symmetric:
                head, tail = sorted((head, tail))
            named = Triple(
                document.mention(relation.head), document.mention(relation.tail), relation.type
            )
            facts.setdefault((relation.type, head, tail), []).append(
                Evidence(
                    places[relation.head],
                    places[relation.tail],
                    relation.prob,
                    row.lineage.get(named, Lineage()),
                )
            )
    return things.all(), tuple(Fact(*key, tuple(found)) for key, found in facts.items())


class _Things:
    """Things as they come up."""

    def __init__(self, apart: Collection[str]) -> None:
        self._apart = apart
        self._index: dict[tuple[str | int, ...], int] = {}
        self._types: list[str] = []
        self._wordings: list[Counter[str]] = []
        self._mentions: list[list[Place]] = []

    def add(self, entity: Entity, wording: str, place: Place) -> int:
        """Add a mention; returns the index of its thing."""
        name = name_key(wording)
        if not name or name in self._apart or is_pronoun(wording):
            # A range that is annotated twice is one thing all the same.
            key: tuple[str | int, ...] = (entity.type, place.row, place.start, place.end)
        else:
            key = (entity.type, name)
        index = self._index.setdefault(key, len(self._types))
        if index == len(self._types):
            self._types.append(entity.type)
            self._wordings.append(Counter())
            self._mentions.append([])
        self._wordings[index][wording] += 1
        self._mentions[index].append(place)
        return index

    def all(self) -> tuple[Thing, ...]:
        """All of them."""
        return tuple(
            Thing(kind, wordings.most_common(1)[0][0], tuple(mentions))
            for kind, wordings, mentions in zip(
                self._types, self._wordings, self._mentions, strict=True
            )
        )


def _places(row: int, document: Document) -> list[Place]:
    return [Place(row, entity.start, entity.end, entity.prob) for entity in document.entities]
