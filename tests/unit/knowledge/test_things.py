"""Mentions become things and relations facts: none is lost, none counted twice."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.predictions import Lineage
from slcolm_services.knowledge.names import is_pronoun, name_key
from slcolm_services.knowledge.things import Evidence, Fact, Place, Row, Thing, merge

APART = "帝"
SYMMETRIC = ("同",)


@st.composite
def a_row(draw: st.DrawFn) -> Row:
    """A text of few characters, so that names come again, with entities and relations."""
    if draw(st.integers(0, 9)) == 0:
        return Row("r", None, error="TEXT_TOO_LONG")
    text = draw(st.text("曹操书書其帝aA \n", min_size=1, max_size=12))
    spans = st.integers(0, len(text) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(text)))
    )
    probabilities = st.none() | st.floats(0, 1)
    entities = draw(
        st.lists(
            st.builds(
                lambda kind, span, prob: Entity(kind, span[0], span[1], prob),
                st.sampled_from(["PER", "LOC"]),
                spans,
                probabilities,
            ),
            max_size=6,
        )
    )
    relations: list[Relation] = []
    if entities:
        index = st.integers(0, len(entities) - 1)
        kinds = st.sampled_from(["父", *SYMMETRIC])
        made = st.builds(Relation, kinds, index, index, probabilities)
        relations = draw(st.lists(made, max_size=6))
    return Row("r", Document("r", text, tuple(entities), tuple(relations)))


def text_of(rows: list[Row], place: Place) -> str:
    document = rows[place.row].document
    assert document is not None
    return document.text[place.start : place.end]


@given(st.lists(a_row(), max_size=5))
def test_each_entity_is_a_mention_of_one_thing(rows: list[Row]) -> None:
    things, _ = merge(rows, symmetric=SYMMETRIC, apart=[APART])

    given_entities = Counter(
        (entity.type, Place(number, entity.start, entity.end, entity.prob))
        for number, row in enumerate(rows)
        for entity in (row.document.entities if row.document else ())
    )
    found = Counter((thing.type, place) for thing in things for place in thing.mentions)
    assert found == given_entities
    for thing in things:
        wordings = Counter(text_of(rows, place) for place in thing.mentions)
        assert wordings[thing.name] == max(wordings.values())


@given(st.lists(a_row(), max_size=5))
def test_mentions_are_together_where_type_and_name_are_one(rows: list[Row]) -> None:
    things, _ = merge(rows, symmetric=SYMMETRIC, apart=[APART])

    def has_name(text: str) -> bool:
        return bool(text.strip()) and not is_pronoun(text) and name_key(text) != APART

    mentions = [(at, thing, place) for at, thing in enumerate(things) for place in thing.mentions]
    for (at, thing, place), (other_at, other, other_place) in combinations(mentions, 2):
        texts = text_of(rows, place), text_of(rows, other_place)
        if all(map(has_name, texts)):
            one = thing.type == other.type and name_key(texts[0]) == name_key(texts[1])
        else:
            one = (thing.type, place.row, place.start, place.end) == (
                *(other.type, other_place.row),
                *(other_place.start, other_place.end),
            )
        assert (at == other_at) == one


@given(st.lists(a_row(), max_size=5))
def test_each_relation_is_evidence_of_one_fact(rows: list[Row]) -> None:
    things, facts = merge(rows, symmetric=SYMMETRIC, apart=[APART])

    given_relations = Counter(
        (relation.type, place_of(number, head), place_of(number, tail), relation.prob)
        for number, row in enumerate(rows)
        if row.document
        for relation in row.document.relations
        for head, tail in [
            (row.document.entities[relation.head], row.document.entities[relation.tail])
        ]
    )
    found = Counter(
        (fact.type, item.head, item.tail, item.probability)
        for fact in facts
        for item in fact.evidence
    )
    assert found == given_relations
    keys = [(fact.type, fact.head, fact.tail) for fact in facts]
    assert len(keys) == len(set(keys))
    for fact in facts:
        ends = things[fact.head].mentions, things[fact.tail].mentions
        for item in fact.evidence:
            straight = item.head in ends[0] and item.tail in ends[1]
            turned = item.head in ends[1] and item.tail in ends[0]
            assert straight or (fact.type in SYMMETRIC and turned)
        if fact.type in SYMMETRIC:
            assert fact.head <= fact.tail


def place_of(row: int, entity: Entity) -> Place:
    return Place(row, entity.start, entity.end, entity.prob)


def row(text: str, entities: tuple[Entity, ...], *relations: Relation, **more: object) -> Row:
    return Row("r", Document("r", text, entities, relations), **more)  # type: ignore[arg-type]


def test_a_fact_has_all_its_evidence_and_the_greatest_probability() -> None:
    pair = (Entity("PER", 0, 2, 0.9), Entity("PER", 3, 5, 0.8))
    lineage = {Triple("曹操", "曹丕", "父"): Lineage(("slm", "llm"), "agreed")}

    things, facts = merge(
        [
            row("曹操父曹丕", pair, Relation("父", 0, 1, 0.5)),
            row("曹操父曹丕", pair, Relation("父", 0, 1, 0.7), lineage=lineage),
        ]
    )

    assert [(thing.type, thing.name, len(thing.mentions)) for thing in things] == [
        ("PER", "曹操", 2),
        ("PER", "曹丕", 2),
    ]
    (fact,) = facts
    assert fact.probability == 0.7
    assert [item.lineage for item in fact.evidence] == [
        Lineage(),
        Lineage(("slm", "llm"), "agreed"),
    ]


def test_a_fact_of_a_symmetric_type_is_one_and_its_evidence_keeps_its_direction() -> None:
    pair = (Entity("PER", 0, 1), Entity("PER", 1, 2))
    rows = [row("甲乙", pair, Relation("同", 1, 0), Relation("同", 0, 1), Relation("父", 1, 0))]
    one, other = Place(0, 0, 1, None), Place(0, 1, 2, None)
    there, back = Evidence(one, other, None, Lineage()), Evidence(other, one, None, Lineage())

    things, facts = merge(rows, symmetric=["同"])

    assert things == (Thing("PER", "甲", (one,)), Thing("PER", "乙", (other,)))
    assert facts == (Fact("同", 0, 1, (back, there)), Fact("父", 1, 0, (back,)))
    assert [fact.probability for fact in facts] == [None, None]
    assert len(merge(rows)[1]) == 3


def test_pronouns_and_what_is_set_apart_are_never_one_thing() -> None:
    entities = (Entity("PER", 0, 1), Entity("PER", 1, 2), Entity("PER", 2, 3), Entity("PER", 3, 4))

    def names(*apart: str) -> list[str]:
        return [thing.name for thing in merge([row("其其帝帝", entities)], apart=apart)[0]]

    assert names() == ["其", "其", "帝"]
    assert names("帝") == ["其", "其", "帝", "帝"]
