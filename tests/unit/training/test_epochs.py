"""What an epoch trains on: the same annotations over other names, and a share of silver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training.epochs import TrainingSet
from slcolm_services.training.examples import Examples, build_examples
from slcolm_services.training.replacement import MentionReplacer
from slcolm_services.training.vocabulary import character_tokenizer

MakeDocuments = Callable[[int, int], list[Document]]


def builder(schema: TaskSchema) -> Callable[[Sequence[Document]], Examples]:
    tokenizer = TextTokenizer(
        character_tokenizer(["甲乙丙丁戊己山东河西江南至击见之"]), max_tokens=30
    )
    return lambda documents: build_examples(documents, schema, tokenizer, max_span_tokens=4)


@given(st.integers(0, 50), st.floats(0, 1))
def test_names_change_and_nothing_else_does(seed: int, share: float) -> None:
    document = Document(
        "d",
        "甲乙至山东，甲乙見丙",
        # Not in the order of their places, as data files have them.
        (Entity("LOC", 3, 5), Entity("PER", 0, 2), Entity("PER", 6, 8), Entity("PER", 9, 10)),
        (Relation("到", 1, 0), Relation("見", 2, 3)),
    )
    other = Document("o", "己伐河西南", (Entity("PER", 0, 1), Entity("LOC", 2, 5)), ())
    drawn = MentionReplacer([document, other], share).draw(document, np.random.default_rng(seed))
    mentions = [drawn.mention(index) for index in range(4)]
    assert drawn.text == f"{mentions[1]}至{mentions[0]}，{mentions[2]}見{mentions[3]}"
    assert mentions[0] in {"山东", "河西南"}
    assert set(mentions[1:]) <= {"甲乙", "丙", "己"}
    # One person stays one person.
    assert mentions[1] == mentions[2]
    assert [entity.type for entity in drawn.entities] == ["LOC", "PER", "PER", "PER"]
    assert drawn.relations == document.relations


def test_entities_that_overlap_are_left_alone() -> None:
    document = Document("d", "山东王", (Entity("LOC", 0, 2), Entity("PER", 0, 3)), ())
    replacer = MentionReplacer([document], 1.0)
    assert replacer.draw(document, np.random.default_rng(0)) is document


@pytest.mark.parametrize(("silver", "expected"), [(0, 20), (5, 25), (50, 40)])
def test_an_epoch_has_every_gold_sentence_and_at_most_as_many_silver_ones(
    schema: TaskSchema, make_documents: MakeDocuments, silver: int, expected: int
) -> None:
    build = builder(schema)
    training = TrainingSet(
        build(make_documents(20, 0)).items,
        build(make_documents(silver, 1)).items,
        replacement=0.5,
        build=build,
    )
    drawn = training.draw(0, np.random.default_rng(0))
    assert len(drawn) == training.size(0) == expected
    names = Counter(example.document.id for example in drawn)
    assert {f"s0-{index}" for index in range(20)} <= set(names)
    assert set(names.values()) == {1}


def test_without_replacement_sentences_are_as_they_were_and_with_it_most_change(
    schema: TaskSchema, make_documents: MakeDocuments
) -> None:
    build = builder(schema)
    gold = build(make_documents(40, 0)).items
    same = TrainingSet(gold, (), replacement=0.0, build=build).draw(0, np.random.default_rng(0))
    assert all(one is other for one, other in zip(same, gold, strict=True))
    drawn = TrainingSet(gold, (), replacement=1.0, build=build).draw(0, np.random.default_rng(0))
    changed = [
        (one, other)
        for one, other in zip(drawn, gold, strict=True)
        if one.document.text != other.document.text
    ]
    assert len(changed) > 20
    for one, other in changed:
        assert one.types == other.types
        assert one.pairs == other.pairs


def test_a_sentence_that_would_lose_an_entity_stays_as_it_was(schema: TaskSchema) -> None:
    """The one other place is too wide for the model."""
    build = builder(schema)
    gold = build([Document("d", "甲至山东", (Entity("PER", 0, 1), Entity("LOC", 2, 4)), ())]).items
    wide = Document("w", "山东河西江南", (Entity("LOC", 0, 6),), ())
    training = TrainingSet(gold, (), replacement=1.0, build=build)
    training._replacer = MentionReplacer(
        [wide, Document("p", "乙", (Entity("PER", 0, 1),), ())], 1.0
    )
    assert training.draw(0, np.random.default_rng(0))[0] is gold[0]
