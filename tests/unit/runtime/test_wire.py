"""What goes over the wire comes back the same, and what the types forbid is named by its place."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm.common.v1 import common_pb2
from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import BatchTooLarge, InvalidInput
from slcolm_services.runtime.wire import (
    check_batch,
    document_from_wire,
    document_to_wire,
    schema_from_wire,
    schema_to_wire,
    triple_from_wire,
    triple_to_wire,
)

# Lone surrogates are no text: protobuf refuses them. Astral characters are the point of the test.
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
probability = st.none() | st.floats(0, 1)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    content = draw(text)
    spans = st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))
    entities = tuple(
        Entity(draw(text), min(span), max(span), draw(probability))
        for span in draw(st.lists(spans.filter(lambda span: span[0] != span[1]), max_size=5))
    )
    places = st.integers(0, len(entities) - 1)
    relations = tuple(
        Relation(draw(text), draw(places), draw(places), draw(probability))
        for _ in range(draw(st.integers(0, 4)) if entities else 0)
    )
    return Document(draw(text), content, entities, relations)


@given(documents())
def test_documents_come_back_with_offsets_in_code_points(document: Document) -> None:
    message = common_pb2.Document.FromString(document_to_wire(document).SerializeToString())
    assert message.offset_unit == common_pb2.OFFSET_UNIT_UNICODE_CODE_POINTS
    assert document_from_wire(message) == document
    for entity in message.entities:
        assert entity.text == document.text[entity.start : entity.end]


@given(head=text, tail=text, kind=text, prob=probability)
def test_triples_come_back(head: str, tail: str, kind: str, prob: float | None) -> None:
    triple = Triple(head, tail, kind, prob)
    back = triple_from_wire(triple_to_wire(triple))
    assert back == triple
    assert back.prob == triple.prob


def test_schemas_come_back() -> None:
    schema = TaskSchema(
        "annals",
        "lzh",
        (EntityType("PER", "人物", "a person"), EntityType("OFI", "OFI")),
        (
            RelationType("任职", "holds", ("PER",), ("OFI",), symmetric=False, count=7),
            RelationType("同僚", symmetric=True),
        ),
        fallback_relation="同僚",
        script="simplified",
    )
    assert schema_from_wire(schema_to_wire(schema)) == schema


def wire(**changes: Any) -> common_pb2.Document:
    fields: dict[str, Any] = {
        "id": "a",
        "text": "王甲为丞相",
        "entities": [
            common_pb2.Entity(type="PER", start=0, end=2),
            common_pb2.Entity(type="OFI", start=3, end=5),
        ],
        "relations": [common_pb2.Relation(type="任职", head=0, tail=1)],
    }
    return common_pb2.Document(**{**fields, **changes})


def entity(**changes: Any) -> list[common_pb2.Entity]:
    good = common_pb2.Entity(type="OFI", start=3, end=5)
    return [good, common_pb2.Entity(**{"type": "PER", "start": 0, "end": 2, **changes})]


def relation(**changes: Any) -> list[common_pb2.Relation]:
    return [common_pb2.Relation(**{"type": "任职", "head": 0, "tail": 1, **changes})]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"offset_unit": 9}, "offset_unit"),
        ({"entities": entity(start=-1)}, "entities[1]"),
        ({"entities": entity(end=6)}, "entities[1]"),
        ({"entities": entity(end=0)}, "entities[1]"),
        ({"entities": entity(text="丞相")}, "entities[1].text"),
        ({"entities": entity(probability=1.5)}, "entities[1].probability"),
        ({"entities": entity(probability=math.nan)}, "entities[1].probability"),
        ({"relations": relation(head=2)}, "relations[0].head"),
        ({"relations": relation(tail=-1)}, "relations[0].tail"),
        ({"relations": relation(probability=-0.1)}, "relations[0].probability"),
    ],
)
def test_what_the_types_forbid_is_named(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        document_from_wire(wire(**changes), "documents[3]")
    assert [violation.field for violation in caught.value.violations] == [f"documents[3].{place}"]


def test_a_schema_that_contradicts_itself_is_refused() -> None:
    message = common_pb2.TaskSchema(
        name="x", relation_types=[common_pb2.RelationType(name="r")], fallback_relation="other"
    )
    with pytest.raises(InvalidInput) as caught:
        schema_from_wire(message)
    assert all(violation.field.startswith("schema.") for violation in caught.value.violations)


def test_batches_are_limited_and_ids_are_unique_and_not_empty() -> None:
    check_batch(["a", "b"], field="documents", limit=2)
    with pytest.raises(BatchTooLarge) as large:
        check_batch(["a", "b", "c"], field="documents", limit=2)
    assert large.value.metadata == {"items": "3", "limit": "2"}
    with pytest.raises(InvalidInput) as caught:
        check_batch(["a", "", "a"], field="documents", limit=9)
    assert [violation.field for violation in caught.value.violations] == [
        "documents[1].id",
        "documents[2].id",
    ]
