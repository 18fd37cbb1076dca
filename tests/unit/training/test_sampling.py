"""Samples hold all that is gold, and negatives that are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training.examples import Examples, build_examples
from slcolm_services.training.sampling import Sampler, collate, length_batches
from slcolm_services.training.vocabulary import character_tokenizer

MakeDocuments = Callable[[int, int], list[Document]]


def _examples(documents: list[Document], schema: TaskSchema, widest: int = 4) -> Examples:
    tokenizer = TextTokenizer(character_tokenizer([doc.text for doc in documents]), max_tokens=30)
    return build_examples(documents, schema, tokenizer, max_span_tokens=widest)


def test_every_candidate_is_drawn_once_when_the_limits_allow(
    schema: TaskSchema, make_documents: MakeDocuments
) -> None:
    (example,) = _examples(make_documents(1, 0), schema).items
    sample = Sampler(2, 4, 10_000, 10_000).draw(example, np.random.default_rng(0))
    drawn = [tuple(span) for span in sample.spans.tolist()]
    possible = {(i, i + w + 1) for i, w in np.argwhere(example.encoded.candidates(4)).tolist()}
    assert set(drawn) == possible
    assert len(drawn) == len(possible)
    gold = dict(zip(example.spans, example.types, strict=True))
    assert sample.classes.tolist() == [gold.get(span, 0) for span in drawn]
    assert sorted(map(tuple, sample.pairs.tolist())) == [(0, 1), (1, 0)]


def test_limits_hold_and_gold_is_never_given_up(
    schema: TaskSchema, make_documents: MakeDocuments
) -> None:
    for example in _examples(make_documents(20, 1), schema).items:
        sample = Sampler(2, 4, 3, 0).draw(example, np.random.default_rng(0))
        assert len(sample.spans) == len(example.spans) + 3
        assert [tuple(span) for span in sample.spans[: len(example.spans)]] == list(example.spans)
        assert [tuple(pair) for pair in sample.pairs.tolist()] == list(example.pairs)
        assert all(
            set(np.flatnonzero(row)) == example.pairs[tuple(pair)]
            for pair, row in zip(sample.pairs.tolist(), sample.labels, strict=True)
        )


def test_pairs_of_a_batch_point_to_spans_of_their_own_text(
    schema: TaskSchema, make_documents: MakeDocuments
) -> None:
    examples = _examples(make_documents(8, 2), schema).items
    sampler = Sampler(2, 4, 5, 5)
    rng = np.random.default_rng(0)
    batch = collate(examples, [sampler.draw(example, rng) for example in examples], pad_id=0)
    texts = batch.spans[:, 0][batch.pairs]
    assert (texts[:, 0] == texts[:, 1]).all()
    assert int(batch.spans[:, 0].max()) == len(examples) - 1
    assert (batch.classes[batch.pairs] > 0).all()


def test_batches_hold_every_index_once_and_change_with_the_generator() -> None:
    lengths = [index % 17 for index in range(101)]
    first = length_batches(lengths, 8, np.random.default_rng(0), pool=3)
    second = length_batches(lengths, 8, np.random.default_rng(1), pool=3)
    assert sorted(np.concatenate(first).tolist()) == list(range(101))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


@pytest.mark.parametrize(
    ("entities", "relations", "reason"),
    [
        ([Entity("PER", 0, 6)], [], "entity too wide"),
        ([Entity("PER", 0, 2), Entity("LOC", 0, 2)], [], "second entity type on a span"),
        (
            [Entity("PER", 0, 2), Entity("PER", 0, 2)],
            [Relation("到", 0, 1)],
            "relation of a span with itself",
        ),
        (
            [Entity("PER", 0, 6), Entity("LOC", 3, 5)],
            [Relation("到", 0, 1)],
            "relation of an entity that was left out",
        ),
    ],
)
def test_what_the_model_has_no_place_for_is_counted(
    schema: TaskSchema, entities: list[Entity], relations: list[Relation], reason: str
) -> None:
    document = Document("a", "甲乙至山东也", tuple(entities), tuple(relations))
    assert _examples([document], schema).left_out[reason] == 1


def test_relations_that_the_schema_rules_out_are_counted_and_not_learned(
    schema: TaskSchema,
) -> None:
    document = Document(
        "a",
        "甲乙至山东",
        (Entity("PER", 0, 2), Entity("LOC", 3, 5)),
        (Relation("到", 0, 1), Relation("到", 1, 0)),
    )
    kinds = tuple(replace(kind, head_types=("PER",)) for kind in schema.relation_types)
    examples = _examples([document], replace(schema, relation_types=kinds))
    assert examples.left_out == {"relation between types that the schema rules out": 1}
    assert dict(examples.items[0].pairs) == {(0, 1): frozenset({0})}


def test_a_repeated_entity_is_one_span_with_the_relations_of_both(schema: TaskSchema) -> None:
    document = Document(
        "a",
        "甲乙至山东",
        (Entity("PER", 0, 2), Entity("PER", 0, 2), Entity("LOC", 3, 5)),
        (Relation("到", 0, 2), Relation("伐", 1, 2)),
    )
    (example,) = _examples([document], schema).items
    assert example.spans == ((1, 3), (4, 6))
    assert dict(example.pairs) == {(0, 1): frozenset({0, 1})}


def test_a_text_too_long_costs_itself(schema: TaskSchema, make_documents: MakeDocuments) -> None:
    documents = [*make_documents(3, 3), Document("long", "甲" * 29)]
    examples = _examples(documents, schema)
    assert len(examples.items) == 3
    assert examples.left_out == {"text too long": 1}
