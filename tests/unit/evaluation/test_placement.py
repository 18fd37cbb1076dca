"""Final triples find their mentions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import DataInvalid
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.placement import place

SCHEMA = TaskSchema(
    "t",
    "en",
    (EntityType("PER", "PER"), EntityType("LOC", "LOC")),
    (RelationType("in", "", ("PER",), ("LOC",)), RelationType("near")),
)
#       0123456789012345
TEXT = "A B xx A yyy B A"
A0, B2, A7, B13, A15 = (Entity("PER", i, i + 1) for i in (0, 2, 7, 13, 15))


def by_llm(head: str, tail: str, kind: str) -> MergedTriple:
    return MergedTriple(Triple(head, tail, kind), None, ("llm",), "llm")


def test_a_triple_of_the_slm_stays_where_it_was_predicted_with_its_final_probability() -> None:
    relation = Relation("near", 2, 0, 0.8)
    prediction = Document("1", TEXT, (A0, A7, B13), (relation,))
    kept = MergedTriple(Triple("B", "A", "near", 0.7), 0.8, ("slm", "llm"), "slm")
    placed = place(prediction, [kept], SCHEMA)
    assert placed == replace(prediction, relations=(replace(relation, prob=0.7),))


def test_a_relation_that_was_not_let_in_is_gone_and_its_entities_stay() -> None:
    prediction = Document("1", TEXT, (A0, B2), (Relation("near", 0, 1, 0.8),))
    placed = place(prediction, [], SCHEMA)
    assert (placed.entities, placed.relations) == ((A0, B2), ())


def test_a_triple_of_the_llm_goes_between_the_nearest_mentions() -> None:
    prediction = Document("1", TEXT, (A0, A7, B13, A15))
    placed = place(prediction, [by_llm("A", "B", "near")], SCHEMA)
    assert placed.relations == (Relation("near", 3, 2),)


def test_of_equally_near_mentions_the_first_are_taken() -> None:
    prediction = Document("1", TEXT, (A15, B13, B2, A0))
    assert place(prediction, [by_llm("A", "B", "near")], SCHEMA).relations == (
        Relation("near", 3, 2),
    )


def test_mentions_of_admissible_types_come_before_nearer_ones() -> None:
    far_place = Entity("LOC", 13, 14)
    prediction = Document("1", TEXT, (A0, B2, far_place))
    assert place(prediction, [by_llm("A", "B", "in")], SCHEMA).relations == (Relation("in", 0, 2),)


def test_a_mention_that_the_slm_did_not_find_becomes_an_entity_of_the_admissible_type() -> None:
    placed = place(Document("1", TEXT, (A7,)), [by_llm("A", "xx", "in")], SCHEMA)
    assert placed.entities == (A7, Entity("LOC", 4, 6))
    assert placed.relations == (Relation("in", 0, 1),)


def test_a_new_mention_is_added_once() -> None:
    triples = [by_llm("A", "xx", "in"), by_llm("A", "xx", "near")]
    placed = place(Document("1", TEXT, (A7,)), triples, SCHEMA)
    assert placed.entities == (A7, Entity("LOC", 4, 6))


def test_a_mention_that_is_not_in_the_text_is_refused() -> None:
    with pytest.raises(DataInvalid):
        place(Document("1", TEXT, (A7,)), [by_llm("A", "zz", "in")], SCHEMA)


def test_a_new_mention_needs_an_entity_type() -> None:
    bare = TaskSchema("t", "en", (), (RelationType("near"),))
    with pytest.raises(DataInvalid):
        place(Document("1", TEXT, (A7,)), [by_llm("A", "xx", "near")], bare)
