"""How well an LLM's annotations are borne out: several answers to a text made one, with tiers.

What more than half of the answers have is kept. Of that,

    A   every answer has it, in the words of the text, and something else bears it out: another
        answer (a second sample, another prompt) or a small model; a small model that was asked
        and does not have it speaks against it
    B   in the words of the text, and no more is known of it
    C   the answer has a mention in other words (letter case, spaces, a variant of a character),
        and what the text says had to be found

Source of the idea: tiered selection, which arXiv 2402.09282 names as future work (section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from slcolm_services.corpus.agreement import agreed
from slcolm_services.corpus.documents import Document, Entity, Relation

TIERS = ("A", "B", "C")
"""Quality of annotations, the best first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a text.

    Attributes:
        document: What it says, at places of the text.
        repaired: Mentions of the text that it has in other words.
    """

    document: Document
    repaired: frozenset[str] = frozenset()


def combine(answers: Sequence[Answer], slm: Document | None = None) -> Document:
    """What more than half of the answers have, each annotation with its share and its tier.

    Args:
        answers: At least one, all to the same text.
        slm: What a small model found in the text; None where none was asked.

    Returns:
        A document; `prob` is the share of the answers that have it.
    """
    bare = [_without_probabilities(answer.document) for answer in answers]
    document = agreed(bare)
    repaired = frozenset[str]().union(*(answer.repaired for answer in answers))
    entities = tuple(
        replace(
            entity,
            tier=_tier(
                entity.prob,
                exact=document.mention(index) not in repaired,
                answers=len(answers),
                slm=None if slm is None else entity_key(entity) in map(entity_key, slm.entities),
            ),
        )
        for index, entity in enumerate(document.entities)
    )
    found = None if slm is None else {relation_key(slm, relation) for relation in slm.relations}
    relations = tuple(
        replace(
            relation,
            tier=_tier(
                relation.prob,
                exact=repaired.isdisjoint(
                    document.mention(index) for index in (relation.head, relation.tail)
                ),
                answers=len(answers),
                slm=None if found is None else relation_key(document, relation) in found,
            ),
        )
        for relation in document.relations
    )
    return replace(document, entities=entities, relations=relations)


def _tier(prob: float | None, *, exact: bool, answers: int, slm: bool | None) -> str:
    if not exact:
        return "C"
    borne_out = slm if slm is not None else answers > 1
    return "A" if borne_out and prob == 1.0 else "B"


def at_least(documents: Iterable[Document], tier: str) -> list[Document]:
    """Documents whose every annotation is of a tier, or better.

    A document is kept or left out as a whole: without some of its annotations it would teach that
    there is nothing where they stood. One without annotations is kept.
    """
    worse = set(TIERS[TIERS.index(tier) + 1 :])
    return [document for document in documents if worse.isdisjoint(tiers_of(document))]


def tiers_of(document: Document) -> list[str]:
    """The tier of every annotation, entities first; empty strings where there are none."""
    tiers = [entity.tier for entity in document.entities]
    return tiers + [relation.tier for relation in document.relations]


def entity_key(entity: Entity) -> tuple[str, int, int]:
    """What makes two entities of a text the same: type and place."""
    return entity.type, entity.start, entity.end


def relation_key(document: Document, relation: Relation) -> tuple[str, object, object]:
    """What makes two relations of a text the same: type and both entities."""
    head, tail = (document.entities[index] for index in (relation.head, relation.tail))
    return relation.type, entity_key(head), entity_key(tail)


def _without_probabilities(document: Document) -> Document:
    """An LLM's own probabilities say little; an answer has an annotation or has it not."""
    return replace(
        document,
        entities=tuple(replace(entity, prob=None) for entity in document.entities),
        relations=tuple(replace(relation, prob=None) for relation in document.relations),
    )
