"""What both models say of a text, as training data."""

from __future__ import annotations

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.silver import corrected, silver_document

SCHEMA = TaskSchema(
    "t", "en", (EntityType("PER", "PER"), EntityType("LOC", "LOC")), (RelationType("in"),)
)
TEXT = "A in B , C in D"
A, C = Entity("PER", 0, 1, 0.9), Entity("PER", 9, 10, 0.8)
B, D = Entity("LOC", 5, 6, 0.7), Entity("LOC", 14, 15, 0.6)
PREDICTED = Document(
    "d", TEXT, (A, B, C, D), (Relation("in", 0, 1, 0.9), Relation("in", 2, 3, 0.4))
)


def merged(head: str, tail: str, prob: float | None, *sources: str) -> MergedTriple:
    slm = prob if "slm" in sources else None
    return MergedTriple(Triple(head, tail, "in", prob), slm, sources, "rule")


def test_the_slm_alone_counts_by_its_probability_and_the_llm_in_full() -> None:
    found = silver_document(
        PREDICTED,
        [
            merged("A", "B", 0.9, "slm", "llm"),
            merged("C", "D", 0.4, "slm"),
            merged("A", "D", None, "llm"),
        ],
        SCHEMA,
    )
    assert {(one.head, one.tail): one.prob for one in found.relations} == {
        (0, 1): None,
        (2, 3): 0.4,
        (0, 3): None,
    }
    assert found.entities == PREDICTED.entities


def test_a_fitted_confidence_is_the_weight_whoever_says_it() -> None:
    item = MergedTriple(Triple("A", "B", "in", 0.7), 0.9, ("slm", "llm"), "confidence")
    (relation,) = silver_document(PREDICTED, [item], SCHEMA).relations
    assert relation.prob == 0.7


def test_the_entities_that_the_llm_lists_stand_with_those_that_relations_need() -> None:
    listed = [Entity("LOC", 0, 1), Entity("LOC", 5, 6)]
    found = silver_document(PREDICTED, [merged("C", "B", None, "llm")], SCHEMA, listed)
    assert [(one.type, one.start) for one in found.entities] == [("LOC", 0), ("LOC", 5), ("PER", 9)]
    (relation,) = found.relations
    assert (found.mention(relation.head), found.mention(relation.tail)) == ("C", "B")


def test_what_the_llm_brings_is_counted() -> None:
    assert corrected([merged("A", "B", 0.9, "slm"), merged("A", "D", None, "llm")]) == 1
