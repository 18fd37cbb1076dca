"""Candidate relation types: which types may hold in a text.

Two witnesses give each type a probability of being in the text: similar training sentences (the
share of their fused scores that belongs to sentences with the type) and trigger words (the
probability of the best one). They are taken as independent: score = 1 - (1 - similar)(1 - trigger).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.retrieval.triggers import Trigger


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training sentence that is like the query.

    Attributes:
        relation_types: The relation types that hold in it.
        score: Fused similarity, positive.
    """

    relation_types: frozenset[str]
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A relation type that may hold in a text.

    Attributes:
        type: Relation type.
        score: Greater means more likely; in (0, 1].
        triggers: Trigger words of the type in the text, most probable first.
        from_similar: Whether similar training sentences hold the type.
    """

    type: str
    score: float
    triggers: tuple[str, ...]
    from_similar: bool


def choose(
    schema: TaskSchema,
    document: Document,
    neighbours: Sequence[Neighbour],
    triggers: Mapping[str, Sequence[Trigger]],
    limit: int,
) -> list[Candidate]:
    """Choose the candidate relation types of a text, most likely first.

    Types that the entity types of the text cannot form are left out; a text without entities
    leaves out none. The fallback relation comes last and only where a place is left, for it fits
    everywhere and would take the place of a type that says something.

    Args:
        schema: The task; types it does not know are not proposed.
        document: The text with the SLM's entities.
        neighbours: Similar training sentences.
        triggers: Trigger words in the text, by type, most probable first.
        limit: Most candidates.
    """
    votes = _votes(neighbours)
    present = {entity.type for entity in document.entities}
    found = []
    for relation in schema.relation_types:
        vote, words = votes.get(relation.name, 0.0), triggers.get(relation.name, ())
        if (vote or words) and (not present or _can_form(relation, present)):
            trigger = words[0].probability if words else 0.0
            found.append(
                Candidate(
                    relation.name,
                    1.0 - (1.0 - vote) * (1.0 - trigger),
                    tuple(word.text for word in words),
                    vote > 0.0,
                )
            )
    found.sort(key=lambda candidate: (candidate.type == schema.fallback_relation, -candidate.score))
    return found[:limit]


def _votes(neighbours: Sequence[Neighbour]) -> dict[str, float]:
    """Share of the neighbours' scores that belongs to sentences with the type."""
    total = sum(neighbour.score for neighbour in neighbours)
    votes: dict[str, float] = defaultdict(float)
    for neighbour in neighbours:
        for type_ in neighbour.relation_types:
            votes[type_] += neighbour.score / total
    return votes


def _can_form(relation: RelationType, present: set[str]) -> bool:
    """Whether the text has an entity type for the head and one for the tail.

    Types are compared, not mentions: where the SLM found one person, there may be two.
    """
    return any(relation.admits(head, tail) for head in present for tail in present)
