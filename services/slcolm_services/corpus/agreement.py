"""What most of several annotations of one text agree on."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from slcolm_services.corpus.documents import Document, Entity, Relation

_KeyT = TypeVar("_KeyT", bound=Hashable)
_Span = tuple[str, int, int]
"""Type, start and end of an entity."""


def agreed(annotations: Sequence[Document]) -> Document:
    """The entities and relations that more than half of the annotations have.

    Entities are the same when type and place are, relations when their type and both entities are;
    a relation stays only with both of its entities. Probabilities are means over all annotations,
    with 0 where one has nothing.

    Args:
        annotations: At least one, all of the same text.

    Returns:
        A document with the id of the first; entities by place.
    """
    count = len(annotations)
    entities = _shares(
        (_span(entity), entity.prob) for document in annotations for entity in document.entities
    )
    relations = _shares(
        (
            (
                relation.type,
                _span(document.entities[relation.head]),
                _span(document.entities[relation.tail]),
            ),
            relation.prob,
        )
        for document in annotations
        for relation in document.relations
    )
    spans = sorted(
        (span for span, found in entities.items() if 2 * len(found) > count),
        key=lambda span: (span[1:], span[0]),
    )
    place = {span: index for index, span in enumerate(spans)}
    return Document(
        annotations[0].id,
        annotations[0].text,
        tuple(Entity(*span, sum(entities[span]) / count) for span in spans),
        tuple(
            Relation(kind, place[head], place[tail], sum(found) / count)
            for (kind, head, tail), found in relations.items()
            if 2 * len(found) > count and head in place and tail in place
        ),
    )


def _span(entity: Entity) -> _Span:
    return entity.type, entity.start, entity.end


def _shares(found: Iterable[tuple[_KeyT, float | None]]) -> dict[_KeyT, list[float]]:
    """The probabilities that each was found with; 1 where none is told."""
    shares: dict[_KeyT, list[float]] = {}
    for key, prob in found:
        shares.setdefault(key, []).append(1.0 if prob is None else prob)
    return shares
