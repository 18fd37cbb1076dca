"""Counts are those of the file, and buckets those of the paper."""

from __future__ import annotations

import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.stats import (
    Bucket,
    TypeCount,
    frequency_bucket,
    statistics,
    training_counts,
)

ENTITIES = (Entity("PER", 0, 4), Entity("PER", 1, 2), Entity("OFI", 3, 6), Entity("OFI", 6, 7))
DOCS = [
    Document("a", "甲乙丙丁戊己庚", ENTITIES, (Relation("父", 0, 1), Relation("父", 0, 1))),
    Document("b", "甲乙丙丁戊己庚。", (), ()),
    Document("c", "孫", (Entity("PER", 0, 1),), ()),
]


@pytest.mark.parametrize(
    ("count", "bucket"),
    [(0, "tail"), (20, "tail"), (21, "medium"), (100, "medium"), (101, "head")],
)
def test_buckets_end_where_the_paper_says(count: int, bucket: Bucket) -> None:
    assert frequency_bucket(count) == bucket


def test_training_counts_name_every_type_of_the_task(schema: TaskSchema) -> None:
    """Repeated relations count as they stand; labels outside the task do not."""
    stray = Document("d", "甲乙", ENTITIES[1:], (Relation("母", 0, 1),))

    assert training_counts([*DOCS, stray], schema) == {
        "任职": 0,
        "父": 2,
        "死于时间": 0,
        "其他": 0,
    }


def test_a_corpus_is_described(schema: TaskSchema) -> None:
    found = statistics(DOCS, schema)

    assert (found.documents, found.characters, found.entities, found.relations) == (3, 16, 5, 2)
    assert found.without_relations == 2
    assert found.repeated_texts == 1
    assert found.nested_entities == 1
    assert found.crossing_entities == 1
    assert found.entity_counts == {"PER": 3, "OFI": 2}
    assert found.relation_counts[0] == TypeCount("父", 2, "tail")
    assert {kind.name for kind in found.relation_counts} == {"父", "任职", "死于时间", "其他"}
    assert found.length_percentiles[0] == 1
    assert found.length_percentiles[50] == 7
    assert found.length_percentiles[100] == 8


def test_an_empty_corpus_is_described() -> None:
    found = statistics([])

    assert (found.documents, found.relation_counts, found.length_percentiles) == (0, (), {})
