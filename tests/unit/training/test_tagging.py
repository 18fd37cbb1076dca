"""The token classifier: tags from entities and back, and a small language learnt."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.schema import EntityType, TaskSchema
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.scoring.span import score_spans
from slcolm_services.training.encoder import load_encoder
from slcolm_services.training.epochs import TrainingSet
from slcolm_services.training.examples import Example, build_examples
from slcolm_services.training.options import TrainOptions, settle
from slcolm_services.training.schedules import Schedule
from slcolm_services.training.tagging.tagger import tag, train_tagger
from slcolm_services.training.tagging.tags import IGNORED, entities_of, tags_of
from slcolm_services.training.vocabulary import character_tokenizer

SCHEMA = TaskSchema("t", "zh", (EntityType("PER", "人"), EntityType("LOC", "地")), ())
TEXT = "甲乙丙丁戊己庚辛"
TOKENIZER = TextTokenizer(character_tokenizer([TEXT]), max_tokens=32)


def example(*entities: Entity) -> Example:
    document = Document("d", TEXT, entities)
    (built,) = build_examples([document], SCHEMA, TOKENIZER, max_span_tokens=32).items
    return built


@st.composite
def disjoint_entities(draw: st.DrawFn) -> list[Entity]:
    cuts = sorted(draw(st.sets(st.integers(0, len(TEXT)), min_size=2)))
    spans = list(itertools.pairwise(cuts))
    kept = draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
    kinds = draw(
        st.lists(st.sampled_from(["PER", "LOC"]), min_size=len(spans), max_size=len(spans))
    )
    return [
        Entity(kind, *span) for span, kind, keep in zip(spans, kinds, kept, strict=True) if keep
    ]


@given(disjoint_entities())
def test_tags_say_what_the_entities_were(entities: list[Entity]) -> None:
    """Neighbours of one type too: each begins with a tag of its own."""
    built = example(*entities)
    assert list(entities_of(built, tags_of(built), SCHEMA).entities) == entities


def test_special_tokens_count_for_nothing_and_the_longer_of_two_entities_stands() -> None:
    tags = tags_of(example(Entity("PER", 0, 1), Entity("LOC", 0, 3)))
    assert list(tags) == [IGNORED, 3, 4, 4, 0, 0, 0, 0, 0, IGNORED]


def test_an_inner_tag_that_continues_nothing_begins_an_entity() -> None:
    tags = np.array([0, 2, 2, 4, 4, 0, 0, 0, 0, 1])
    found = entities_of(example(), tags, SCHEMA).entities
    assert found == (Entity("PER", 0, 2), Entity("LOC", 2, 4))


@pytest.mark.parametrize("schedule", ["cosine", "all"])
def test_it_learns_from_both_kinds_of_data_and_does_so_again(
    schedule: str, schema: TaskSchema, make_documents: Callable[[int, int], list[Document]]
) -> None:
    gold, silver, dev = (make_documents(40, seed) for seed in (0, 1, 2))
    settings = settle(
        TrainOptions("random", epochs=6, batch_size=8, learning_rate=2e-3, schedule=schedule),
        sentences=80,
    )
    settings = replace(settings, hidden_size=64)

    def train() -> tuple[float, tuple[float, ...]]:
        loaded = load_encoder([doc.text for doc in (*gold, *silver)], settings)
        tokenizer = TextTokenizer(loaded.tokenizer, max_tokens=loaded.max_tokens)

        def items(documents: list[Document]) -> list[Example]:
            return build_examples(documents, schema, tokenizer, max_span_tokens=64).items

        training = TrainingSet(
            items(gold),
            items(silver),
            replacement=0.0,
            build=lambda documents: build_examples(
                documents, schema, tokenizer, max_span_tokens=64
            ),
            course=Schedule.parse(settings.schedule).course(settings.epochs),
        )
        tagger, run = train_tagger(
            loaded, training, items(dev), schema, settings, pad_id=tokenizer.pad_id
        )
        found = tag(tagger, items(dev), schema, pad_id=tokenizer.pad_id)
        f1 = score_spans(dev, found).entities.micro.f1
        # The epoch that counts is the best one, and the model has its weights.
        assert f1 == pytest.approx(run.dev_f1)
        assert run.history[run.epoch - 1] == max(run.history)
        return f1, run.history

    first, history = train()
    assert first > 0.9
    assert len(history) == 6
