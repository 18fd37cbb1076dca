"""Between the wire types of `slcolm.common.v1` and the types of `corpus`.

Reading checks what the wire allows and the types do not: offsets inside the text, indexes inside
the lists, unique ids. Every problem names the field by its path in the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slcolm.common.v1 import common_pb2
from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import BatchTooLarge, FieldViolation, InvalidInput

_CODE_POINTS = common_pb2.OFFSET_UNIT_UNICODE_CODE_POINTS


def document_to_wire(document: Document) -> common_pb2.Document:
    """Write a document; every entity carries its text."""
    return common_pb2.Document(
        id=document.id,
        text=document.text,
        entities=[entity_to_wire(entity, document.text) for entity in document.entities],
        relations=[
            common_pb2.Relation(
                type=relation.type,
                head=relation.head,
                tail=relation.tail,
                probability=relation.prob,
            )
            for relation in document.relations
        ],
        offset_unit=_CODE_POINTS,
    )


def entity_to_wire(entity: Entity, text: str) -> common_pb2.Entity:
    """Write an entity of `text`."""
    return common_pb2.Entity(
        type=entity.type,
        start=entity.start,
        end=entity.end,
        text=text[entity.start : entity.end],
        probability=entity.prob,
    )


def document_from_wire(message: common_pb2.Document, field: str = "document") -> Document:
    """Read a document.

    Args:
        message: What came over the wire.
        field: Path of the message in the request, for errors.

    Raises:
        InvalidInput: The offset unit is unknown, an offset lies outside the text, an entity's text
            is not what stands at its offsets, a relation points to no entity, or a probability is
            none.
    """
    violations = list(_violations(message, field))
    if violations:
        raise InvalidInput(f"{field} is not a valid document", violations=violations)
    return Document(
        id=message.id,
        text=message.text,
        entities=tuple(
            Entity(
                entity.type,
                entity.start,
                entity.end,
                entity.probability if entity.HasField("probability") else None,
            )
            for entity in message.entities
        ),
        relations=tuple(
            Relation(
                relation.type,
                relation.head,
                relation.tail,
                relation.probability if relation.HasField("probability") else None,
            )
            for relation in message.relations
        ),
    )


def _violations(message: common_pb2.Document, field: str) -> Iterable[FieldViolation]:
    if message.offset_unit not in (common_pb2.OFFSET_UNIT_UNSPECIFIED, _CODE_POINTS):
        yield FieldViolation(f"{field}.offset_unit", "only Unicode code points are understood")
    length = len(message.text)
    for index, entity in enumerate(message.entities):
        place = f"{field}.entities[{index}]"
        if not 0 <= entity.start < entity.end <= length:
            yield FieldViolation(
                place, f"range [{entity.start}, {entity.end}) is not inside a text of {length}"
            )
        elif entity.text and entity.text != message.text[entity.start : entity.end]:
            yield FieldViolation(f"{place}.text", "is not what stands at the offsets")
        yield from _probability_violations(entity, place)
    count = len(message.entities)
    for index, relation in enumerate(message.relations):
        for role, target in (("head", relation.head), ("tail", relation.tail)):
            if not 0 <= target < count:
                yield FieldViolation(
                    f"{field}.relations[{index}].{role}", f"{target} is not one of {count} entities"
                )
        yield from _probability_violations(relation, f"{field}.relations[{index}]")


def _probability_violations(
    message: common_pb2.Entity | common_pb2.Relation | common_pb2.Triple, place: str
) -> Iterable[FieldViolation]:
    if message.HasField("probability") and not 0.0 <= message.probability <= 1.0:
        yield FieldViolation(
            f"{place}.probability", f"must be from 0 to 1, got {message.probability}"
        )


def triple_to_wire(triple: Triple) -> common_pb2.Triple:
    """Write a triple."""
    return common_pb2.Triple(
        head=triple.head, tail=triple.tail, type=triple.type, probability=triple.prob
    )


def triple_from_wire(message: common_pb2.Triple, field: str = "triple") -> Triple:
    """Read a triple.

    Args:
        message: The triple.
        field: Path of the triple in the request, for errors.

    Raises:
        InvalidInput: Its probability is not in [0, 1].
    """
    violations = list(_probability_violations(message, field))
    if violations:
        raise InvalidInput(f"{field} is not a valid triple", violations=violations)
    prob = message.probability if message.HasField("probability") else None
    return Triple(message.head, message.tail, message.type, prob)


def schema_to_wire(schema: TaskSchema) -> common_pb2.TaskSchema:
    """Write a task schema."""
    return common_pb2.TaskSchema(
        name=schema.name,
        language=schema.language,
        entity_types=[
            common_pb2.EntityType(name=kind.name, label=kind.label, definition=kind.definition)
            for kind in schema.entity_types
        ],
        relation_types=[
            common_pb2.RelationType(
                name=kind.name,
                definition=kind.definition,
                head_types=kind.head_types,
                tail_types=kind.tail_types,
                symmetric=kind.symmetric,
                training_count=kind.count or 0,
            )
            for kind in schema.relation_types
        ],
        fallback_relation=schema.fallback_relation or "",
        script=schema.script,
    )


def schema_from_wire(message: common_pb2.TaskSchema, field: str = "schema") -> TaskSchema:
    """Read a task schema.

    Raises:
        InvalidInput: There are no relation types, a name is empty or used twice, or the fallback
            relation or a head or tail type is not declared.
    """
    schema = TaskSchema(
        name=message.name,
        language=message.language,
        entity_types=tuple(
            EntityType(kind.name, kind.label or kind.name, kind.definition)
            for kind in message.entity_types
        ),
        relation_types=tuple(
            RelationType(
                name=kind.name,
                definition=kind.definition,
                head_types=tuple(kind.head_types),
                tail_types=tuple(kind.tail_types),
                symmetric=kind.symmetric,
                count=kind.training_count or None,
            )
            for kind in message.relation_types
        ),
        fallback_relation=message.fallback_relation or None,
        script=message.script,
    )
    violations = [
        FieldViolation(f"{field}.{problem.field}", problem.problem) for problem in schema.problems()
    ]
    if violations:
        raise InvalidInput(f"{field} is not a valid task schema", violations=violations)
    return schema


def check_batch(ids: Sequence[str], *, field: str, limit: int) -> None:
    """Check the size of a batch and that its ids are unique and not empty.

    Raises:
        BatchTooLarge: More items than `limit`.
        InvalidInput: An id is empty or stands twice.
    """
    if len(ids) > limit:
        raise BatchTooLarge(
            f"{len(ids)} items in {field}, at most {limit} are taken at once",
            violations=[FieldViolation(field, f"at most {limit} items, got {len(ids)}")],
            metadata={"items": str(len(ids)), "limit": str(limit)},
        )
    violations = []
    seen: dict[str, int] = {}
    for index, name in enumerate(ids):
        if not name:
            violations.append(FieldViolation(f"{field}[{index}].id", "must not be empty"))
        elif name in seen:
            violations.append(
                FieldViolation(f"{field}[{index}].id", f"{name!r} also names item {seen[name]}")
            )
        seen.setdefault(name, index)
    if violations:
        raise InvalidInput(f"ids in {field} must be unique and not empty", violations=violations)
