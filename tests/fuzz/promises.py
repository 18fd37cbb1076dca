"""What every decoder promises, whatever it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import InvalidInput, SlcolmError

_T = TypeVar("_T")


def value_or_refusal(decode: Callable[[], _T]) -> _T | None:
    """What a decoder makes of its input; None where it refuses it in the way that was promised.

    Every other exception is a finding.
    """
    try:
        return decode()
    except SlcolmError as error:
        check_error(error)
        return None


def check_error(error: SlcolmError) -> None:
    """An error says where, and can be printed and sent."""
    assert error.message
    # Only here: other errors are told by their class and message.
    assert error.violations or not isinstance(error, InvalidInput), repr(error)
    for text in (error.message, *error.metadata.values()):
        text.encode("utf-8")
    for violation in error.violations:
        # A key that is empty has no better name.
        assert violation.field or "is not a field" in violation.problem
        assert violation.problem
        str(violation).encode("utf-8")


def check_document(document: Document, schema: TaskSchema | None = None) -> None:
    """Offsets lie inside the text, relations join entities, labels are of the schema."""
    document.id.encode("utf-8")
    document.text.encode("utf-8")
    check_entities(document.entities, document.text)
    for relation in document.relations:
        assert 0 <= relation.head < len(document.entities)
        assert 0 <= relation.tail < len(document.entities)
        check_probability(relation.prob)
    if schema is not None:
        assert {entity.type for entity in document.entities} <= schema.entities_by_name.keys()
        assert {item.type for item in document.relations} <= schema.relations_by_name.keys()
    document.triples()


def check_entities(entities: Sequence[Entity], text: str) -> None:
    """Every entity is a piece of the text that is not empty."""
    for entity in entities:
        assert 0 <= entity.start < entity.end <= len(text)
        check_probability(entity.prob)


def check_triple(triple: Triple, schema: TaskSchema, text: str | None = None) -> None:
    """A triple is of the schema; its mentions stand in the text, where there is one."""
    assert triple.type in schema.relations_by_name
    if text is not None:
        assert triple.head in text
        assert triple.tail in text
    for written in (triple.head, triple.tail):
        written.encode("utf-8")


def check_probability(prob: float | None) -> None:
    """In [0, 1], where there is one."""
    assert prob is None or 0.0 <= prob <= 1.0


def check_schema(schema: TaskSchema) -> None:
    """A schema can be worked with."""
    assert not schema.problems()
    assert schema.relation_types
