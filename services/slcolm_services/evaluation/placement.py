"""From triples of text back to a document: final relations between mentions with offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.corpus.script import find_mention
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.evaluation.merge import MergedTriple


def place(prediction: Document, merged: Iterable[MergedTriple], schema: TaskSchema) -> Document:
    """Put the final triples on the SLM's entities.

    A triple of the SLM stays where the SLM predicted it. One of the LLM alone goes between the
    nearest pair of mentions with its texts, pairs of entity types that the relation admits first.
    A mention that the SLM did not find (`text` filter) becomes an entity: of the type that the
    schema gives for its side of the relation, the most frequent one where there are several.

    Args:
        prediction: The SLM's prediction.
        merged: The final triples, in the characters of the text.
        schema: Names the relation types.

    Returns:
        The prediction's entities, in their order and with the same indexes, and new ones after
        them; the final relations with the probabilities of their triples, those of the SLM first.

    Raises:
        DataInvalid: A mention is not in the text, or needs an entity type and the schema has none.
    """
    final = list(merged)
    wanted = {item.triple: item.triple.prob for item in final}
    entities = list(prediction.entities)
    relations = [
        replace(relation, prob=wanted[triple])
        for relation in prediction.relations
        if (triple := _triple(prediction, relation)) in wanted
    ]
    relations += [
        _placed(item.triple, prediction.text, entities, schema)
        for item in final
        if "slm" not in item.sources
    ]
    return Document(prediction.id, prediction.text, tuple(entities), tuple(relations))


def _triple(document: Document, relation: Relation) -> Triple:
    return Triple(document.mention(relation.head), document.mention(relation.tail), relation.type)


def _placed(triple: Triple, text: str, entities: list[Entity], schema: TaskSchema) -> Relation:
    """A relation for `triple`; mentions that are missing are appended to `entities`."""
    kind = schema.relations_by_name[triple.type]
    heads = _mentions(triple.head, text, entities, _type_for(kind.head_types, schema))
    tails = _mentions(triple.tail, text, entities, _type_for(kind.tail_types, schema))
    head, tail = min(product(heads, tails), key=lambda pair: _rank(pair, kind))
    return Relation(triple.type, _index(head, entities), _index(tail, entities), triple.prob)


def _mentions(
    mention: str, text: str, entities: Sequence[Entity], missing_type: str | None
) -> list[Entity]:
    """The entities with this text, else what they would be."""
    known = [entity for entity in entities if text[entity.start : entity.end] == mention]
    if known:
        return known
    places = find_mention(text, mention)
    if not places or missing_type is None:
        problem = (
            "the schema names no entity type for it" if places else "it does not stand in the text"
        )
        raise DataInvalid(
            "a mention cannot become an entity",
            violations=[FieldViolation("llm_triples", f"{mention!r}: {problem}")],
        )
    return [Entity(missing_type, start, end) for start, end in places]


def _type_for(admissible: Sequence[str], schema: TaskSchema) -> str | None:
    """Schemas name types most frequent first."""
    names = [*admissible, *(kind.name for kind in schema.entity_types)]
    return names[0] if names else None


def _rank(pair: tuple[Entity, Entity], kind: RelationType) -> tuple[bool, bool, int, int, int]:
    """Admissible types first, then apart rather than overlapping, then near, then from the left."""
    head, tail = pair
    gap = max(head.start, tail.start) - min(head.end, tail.end)
    return not kind.admits(head.type, tail.type), gap < 0, abs(gap), head.start, tail.start


def _index(entity: Entity, entities: list[Entity]) -> int:
    if entity not in entities:
        entities.append(entity)
    return entities.index(entity)
