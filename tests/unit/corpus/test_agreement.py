"""Several annotations of one text become what most of them say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.agreement import agreed
from slcolm_services.corpus.documents import Document, Entity, Relation

TEXT = "甲攻乙於丙"


def annotation(
    *entities: tuple[str, int, int, float], relations: tuple[Relation, ...] = ()
) -> Document:
    return Document("d", TEXT, tuple(Entity(*entity) for entity in entities), relations)


def test_what_more_than_half_have_stays_with_its_mean_probability() -> None:
    found = agreed(
        [
            annotation(("PER", 2, 3, 0.9), ("PER", 0, 1, 0.8), ("LOC", 4, 5, 0.9)),
            annotation(("PER", 0, 1, 0.7), ("PER", 2, 3, 0.9)),
            annotation(("PER", 0, 1, 0.6), ("LOC", 2, 3, 0.9)),
        ]
    )
    assert [(one.type, one.start, one.end) for one in found.entities] == [
        ("PER", 0, 1),
        ("PER", 2, 3),
    ]
    assert [one.prob for one in found.entities] == [pytest.approx(0.7), pytest.approx(0.6)]


def test_half_is_not_enough() -> None:
    assert agreed([annotation(("PER", 0, 1, 0.9)), annotation()]).entities == ()


def test_a_relation_needs_both_entities_whatever_their_order() -> None:
    one = annotation(("PER", 0, 1, 1.0), ("PER", 2, 3, 1.0), relations=(Relation("伐", 0, 1, 0.5),))
    two = annotation(("PER", 2, 3, 1.0), ("PER", 0, 1, 1.0), relations=(Relation("伐", 1, 0, 0.7),))
    other = annotation(
        ("PER", 0, 1, 1.0), ("LOC", 2, 3, 1.0), relations=(Relation("伐", 0, 1, 0.9),)
    )
    (relation,) = agreed([one, two, other]).relations
    assert (relation.type, relation.head, relation.tail) == ("伐", 0, 1)
    assert relation.prob == pytest.approx(0.4)
    assert agreed([one, other]).relations == ()


SPANS = st.sampled_from(
    [(kind, start, start + size) for kind in ("PER", "LOC") for start in (0, 1) for size in (1, 2)]
)


@st.composite
def annotated(draw: st.DrawFn) -> Document:
    spans = draw(st.lists(SPANS, max_size=4, unique=True))
    places = range(len(spans))
    relations = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["伐", "到"]), st.sampled_from(places), st.sampled_from(places)
            ),
            max_size=4,
            unique=True,
        )
        if spans
        else st.just([])
    )
    return Document(
        "d",
        TEXT,
        tuple(Entity(*span, 0.5) for span in spans),
        tuple(Relation(*relation, 0.5) for relation in relations),
    )


@given(annotated(), st.integers(1, 5))
def test_equal_annotations_agree_on_all_they_say(document: Document, times: int) -> None:
    found = agreed([document] * times)

    def spans(one: Document) -> set[tuple[str, int, int]]:
        return {(entity.type, entity.start, entity.end) for entity in one.entities}

    def triples(one: Document) -> set[tuple[str, Entity, Entity]]:
        return {(r.type, one.entities[r.head], one.entities[r.tail]) for r in one.relations}

    assert spans(found) == spans(document)
    assert triples(found) == triples(document)
