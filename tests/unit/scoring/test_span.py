"""Span scores against cases worked out by hand from SpERT's evaluator."""

from __future__ import annotations

import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.errors import InvalidInput
from slcolm_services.scoring.counts import Counts
from slcolm_services.scoring.span import score_spans

TEXT = "Ann of Bonn met Carl in Delft"
ANN, BONN, CARL, DELFT = (
    Entity("PER", 0, 3),
    Entity("LOC", 7, 11),
    Entity("PER", 16, 20),
    Entity("LOC", 24, 29),
)
GOLD = Document(
    "1",
    TEXT,
    (ANN, BONN, CARL, DELFT),
    (Relation("lives_in", 0, 1), Relation("met", 0, 2)),
)


def predicted(entities: tuple[Entity, ...], *relations: Relation) -> Document:
    return Document("1", TEXT, entities, relations)


def test_a_wrong_entity_type_fails_the_entity_but_not_its_boundaries() -> None:
    wrong = Entity("ORG", BONN.start, BONN.end)
    scores = score_spans([GOLD], [predicted((ANN, wrong))])
    assert scores.entities.counts == Counts(1, 2, 4)
    assert scores.boundaries.counts == Counts(2, 2, 4)


def test_a_wrong_entity_type_fails_the_relation_with_types_only() -> None:
    wrong = Entity("ORG", BONN.start, BONN.end)
    scores = score_spans([GOLD], [predicted((ANN, wrong), Relation("lives_in", 0, 1))])
    assert scores.relations.counts == Counts(1, 1, 2)
    assert scores.relations_strict.counts == Counts(0, 1, 2)


def test_a_wrong_boundary_fails_everything() -> None:
    long = Entity("LOC", BONN.start - 3, BONN.end)
    scores = score_spans([GOLD], [predicted((ANN, long), Relation("lives_in", 0, 1))])
    assert scores.boundaries.counts == Counts(1, 2, 4)
    assert scores.relations.counts == Counts(0, 1, 2)


def test_a_reversed_relation_is_right_only_where_it_is_symmetric() -> None:
    answer = predicted((CARL, ANN), Relation("met", 0, 1))
    assert score_spans([GOLD], [answer]).relations.counts == Counts(0, 1, 2)
    assert score_spans([GOLD], [answer], ["met"]).relations.counts == Counts(1, 1, 2)


def test_macro_averages_over_types_of_gold_or_prediction_as_spert_does() -> None:
    # PER: 1 of 1 found, 2 true. LOC: none found, 2 true. ORG: 1 found, none true.
    scores = score_spans([GOLD], [predicted((ANN, Entity("ORG", 4, 6)))])
    macro = scores.entities.macro
    assert macro.precision == pytest.approx(1 / 3)
    assert macro.recall == pytest.approx((1 / 2) / 3)
    assert macro.f1_mean == pytest.approx((2 / 3) / 3)


def test_repeated_annotations_count_once() -> None:
    answer = predicted((ANN, ANN, BONN), Relation("lives_in", 0, 2), Relation("lives_in", 1, 2))
    scores = score_spans([GOLD], [answer])
    assert scores.entities.counts == Counts(2, 2, 4)
    assert scores.relations_strict.counts == Counts(1, 1, 2)


def test_a_sentence_without_a_prediction_stays_in() -> None:
    assert score_spans([GOLD], []).relations.counts == Counts(0, 0, 2)


def test_a_prediction_for_an_unknown_sentence_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not among the gold"):
        score_spans([GOLD], [Document("2", TEXT)])


def test_nothing_in_gold_and_prediction_scores_zero() -> None:
    empty = Document("1", TEXT)
    assert score_spans([empty], [empty]).entities.micro.f1 == 0


def test_offsets_into_another_text_are_refused() -> None:
    other = Document("1", "Bob of Rome met Dora in Delft", (ANN,))
    with pytest.raises(InvalidInput, match="same text") as caught:
        score_spans([GOLD], [other])
    assert [violation.field for violation in caught.value.violations] == ["prediction 1"]
