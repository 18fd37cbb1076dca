"""Triples become relations between places of the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.guidance.grounding import Grounded, ground
from slcolm_services.guidance.mentions import MentionFinder

FATHER = Triple("甲", "乙", "父")


def places(grounded: Grounded) -> list[tuple[int, int]]:
    return [
        (grounded.entities[relation.head].start, grounded.entities[relation.tail].start)
        for relation in grounded.relations
    ]


def test_the_nearest_pair_of_occurrences_is_taken(schema: TaskSchema) -> None:
    text = "甲守城。丙与甲之子乙，乙后去甲"
    assert places(ground([FATHER], (), Document("q", text), schema)) == [(6, 9)]


def test_the_smaller_models_mentions_are_preferred(schema: TaskSchema) -> None:
    text = "甲之子乙。甲乙"
    far = Document("q", text, (Entity("PER", 0, 1, 0.9), Entity("PER", 3, 4, 0.9)))
    assert places(ground([FATHER], (), far, schema)) == [(0, 3)]
    assert places(ground([FATHER], (), Document("q", text), schema)) == [(5, 6)]


def test_a_mention_inside_a_longer_one_comes_last(schema: TaskSchema) -> None:
    text = "吕布杀丁原，而布走。"
    listed = (Entity("PER", 0, 2), Entity("PER", 1, 2), Entity("PER", 3, 5), Entity("PER", 7, 8))
    grounded = ground([Triple("布", "丁原", "攻伐")], listed, Document("q", text), schema)
    assert places(grounded) == [(7, 3)]
    assert Entity("PER", 1, 2) not in grounded.entities
    alone = ground((), (Entity("PER", 0, 2), Entity("PER", 1, 2)), Document("q", "吕布走"), schema)
    assert len(alone.entities) == 2


def test_types_come_from_the_answer_then_the_prediction_then_the_schema(
    schema: TaskSchema,
) -> None:
    text = "甲守乙"
    triples = [Triple("甲", "乙", "管理")]
    bare = Document("q", text)
    assert [e.type for e in ground(triples, (), bare, schema).entities] == ["PER", "LOC"]
    predicted = Document("q", text, (Entity("OFI", 2, 3, 0.9), Entity("PER", 2, 3, 0.2)))
    assert [e.type for e in ground(triples, (), predicted, schema).entities] == ["PER", "OFI"]
    both = (Entity("PER", 2, 3), Entity("LOC", 2, 3))
    grounded = ground(triples, both, predicted, schema)
    assert grounded.entities[grounded.relations[0].tail] == Entity("LOC", 2, 3)


def test_script_variants_are_one_mention(schema: TaskSchema) -> None:
    grounded = ground([Triple("孫權", "孫登", "父")], (), Document("q", "孫權之子孫登"), schema)
    assert places(grounded) == [(0, 4)]


def test_a_word_is_not_found_inside_another(schema: TaskSchema) -> None:
    finder = MentionFinder("The USA and US troops", schema)
    assert finder.places("US") == [(12, 14)]
    assert finder.places("troop") == [(15, 20)]


_names = st.text(alphabet="甲乙丙a b", min_size=1, max_size=3)


@given(
    st.text(alphabet="甲乙丙a b。", max_size=30), st.lists(st.tuples(_names, _names), max_size=5)
)
def test_every_triple_gets_one_relation_whose_mentions_are_its_own(
    text: str, pairs: list[tuple[str, str]]
) -> None:
    task = TaskSchema("t", "zh", (EntityType("PER", "人物"),), (RelationType("父"),))
    finder = MentionFinder(text, task)
    triples = [
        Triple(head, tail, "父")
        for head, tail in pairs
        if finder.places(head) and finder.places(tail)
    ]
    grounded = ground(triples, (), Document("q", text), task)
    mentions = [text[entity.start : entity.end] for entity in grounded.entities]
    assert [
        Triple(mentions[relation.head], mentions[relation.tail], relation.type)
        for relation in grounded.relations
    ] == triples
