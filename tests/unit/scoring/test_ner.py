"""Entities by the schemes of SemEval 2013 task 9.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate import Evaluator

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.errors import InvalidInput
from slcolm_services.scoring.ner import NerCounts, score_ner
from slcolm_services.scoring.span import score_spans

TEXT = "x" * 300
kinds = st.sampled_from(["PER", "LOC", "ORG"])


@st.composite
def nested(draw: st.DrawFn) -> tuple[Entity, ...]:
    """Entities that overlap each other as they like; some stand twice."""
    spans = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3), kinds), max_size=6))
    return tuple(Entity(kind, start, start + length) for start, length, kind in spans)


@st.composite
def flat(draw: st.DrawFn) -> tuple[Entity, ...]:
    """Entities from left to right that do not overlap."""
    bounds = sorted(draw(st.sets(st.integers(0, 12), max_size=8)))
    return tuple(
        Entity(draw(kinds), start, end)
        for start, end in zip(bounds[::2], bounds[1::2], strict=False)
    )


def doc(*entities: Entity, name: str = "1") -> Document:
    return Document(name, TEXT, entities)


def test_the_examples_of_the_task_are_counted_as_it_says() -> None:
    """One entity each: right, wrong type, wrong bounds, both wrong, spurious, missed."""
    gold = doc(
        Entity("PER", 0, 4),
        Entity("PER", 10, 14),
        Entity("PER", 20, 24),
        Entity("PER", 30, 34),
        Entity("PER", 50, 54),
    )
    found = doc(
        Entity("PER", 0, 4),
        Entity("LOC", 10, 14),
        Entity("PER", 20, 26),
        Entity("LOC", 30, 36),
        Entity("PER", 40, 44),
    )

    scores = score_ner([gold], [found])

    assert scores.strict == NerCounts(correct=1, incorrect=3, missed=1, spurious=1)
    assert scores.exact == NerCounts(correct=2, incorrect=2, missed=1, spurious=1)
    assert scores.partial == NerCounts(correct=2, partial=2, missed=1, spurious=1)
    assert scores.type == NerCounts(correct=2, incorrect=2, missed=1, spurious=1)
    assert scores.partial.prf().precision == pytest.approx(3 / 5)
    assert scores.partial.prf().recall == pytest.approx(3 / 5)


def test_neighbours_do_not_overlap() -> None:
    """Ends are exclusive here and inclusive in nervaluate."""
    scores = score_ner([doc(Entity("PER", 0, 2))], [doc(Entity("PER", 2, 4))])
    assert scores.partial == NerCounts(missed=1, spurious=1)
    assert score_ner([doc(Entity("PER", 0, 3))], [doc(Entity("PER", 2, 4))]).type.correct == 1


def test_a_sentence_without_a_prediction_is_missed_and_without_gold_spurious() -> None:
    entity = Entity("PER", 0, 2)
    gold = [doc(name="1"), doc(entity, name="2")]
    assert score_ner(gold, [doc(entity, name="1")]).strict == NerCounts(missed=1, spurious=1)


def test_where_there_is_nothing_all_figures_are_zero() -> None:
    for gold in ([], [doc()]):
        scores = score_ner(gold, [])
        assert set(scores.by_scheme().values()) == {NerCounts()}
        assert scores.strict.prf().f1 == 0


def test_an_overlapping_wrong_entity_does_not_take_the_place_of_a_right_one() -> None:
    """By itself nervaluate finds nothing right: the first prediction takes the true entity."""
    gold, inner, whole = Entity("ORG", 0, 9), Entity("LOC", 0, 4), Entity("ORG", 0, 9)
    alone = Evaluator(
        [[{"label": "ORG", "start": 0, "end": 8}]],
        [[{"label": "LOC", "start": 0, "end": 3}, {"label": "ORG", "start": 0, "end": 8}]],
        tags=["LOC", "ORG"],
        loader="dict",
    ).evaluate()["overall"]["strict"]
    assert (alone.correct, alone.incorrect, alone.spurious) == (0, 1, 1)

    scores = score_ner([doc(gold)], [doc(inner, whole)])
    assert scores.strict == NerCounts(correct=1, spurious=1)


def test_of_two_types_for_one_span_the_right_one_is_found() -> None:
    gold = Entity("PER", 0, 2)
    scores = score_ner([doc(gold)], [doc(Entity("LOC", 0, 2), gold)])
    assert scores.strict == scores.type == NerCounts(correct=1, spurious=1)


def test_a_second_type_for_a_span_does_not_take_another_entity() -> None:
    outer, inner = Entity("PER", 1, 3), Entity("PER", 2, 3)
    found = doc(outer, Entity("LOC", 1, 3), Entity("LOC", 2, 3))
    assert score_ner([doc(outer, inner)], [found]).exact == NerCounts(correct=2, spurious=1)


def test_a_prediction_for_an_unknown_sentence_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not among the gold"):
        score_ner([doc()], [doc(name="2")])


@given(st.lists(st.tuples(nested(), nested()), max_size=5))
def test_strict_is_exact_match_and_exact_is_that_of_bounds(
    corpus: list[tuple[tuple[Entity, ...], tuple[Entity, ...]]],
) -> None:
    gold = [doc(*true, name=str(index)) for index, (true, _) in enumerate(corpus)]
    found = [doc(*answer, name=str(index)) for index, (_, answer) in enumerate(corpus)]

    scores, spans = score_ner(gold, found), score_spans(gold, found)

    assert scores.strict.correct == spans.entities.counts.correct
    assert scores.strict.prf().f1 == pytest.approx(spans.entities.micro.f1)
    assert scores.strict.prf().precision == pytest.approx(spans.entities.micro.precision)
    assert scores.strict.prf().recall == pytest.approx(spans.entities.micro.recall)
    assert scores.exact.correct >= spans.boundaries.counts.correct
    assert scores.exact.correct == scores.partial.correct >= scores.strict.correct
    assert scores.type.correct >= scores.strict.correct


@given(nested(), nested())
def test_the_order_in_a_file_makes_no_difference(
    true: tuple[Entity, ...], found: tuple[Entity, ...]
) -> None:
    scores = score_ner([doc(*true)], [doc(*found)])

    assert score_ner([doc(*reversed(true))], [doc(*reversed(found))]) == scores


@given(nested(), nested())
def test_every_entity_is_counted_once_in_every_scheme(
    true: tuple[Entity, ...], found: tuple[Entity, ...]
) -> None:
    for counts in score_ner([doc(*true)], [doc(*found)]).by_scheme().values():
        pairs = counts.correct + counts.incorrect + counts.partial
        assert pairs + counts.missed == len({(e.start, e.end, e.type) for e in true})
        assert pairs + counts.spurious == len({(e.start, e.end, e.type) for e in found})


@given(flat(), flat())
def test_without_overlaps_nervaluate_alone_says_the_same(
    true: tuple[Entity, ...], found: tuple[Entity, ...]
) -> None:
    alone = Evaluator(
        [[{"label": e.type, "start": e.start, "end": e.end - 1} for e in true]],
        [[{"label": e.type, "start": e.start, "end": e.end - 1} for e in found]],
        tags=["LOC", "ORG", "PER"],
        loader="dict",
    ).evaluate()["overall"]

    scores = score_ner([doc(*true)], [doc(*found)])

    for scheme in ("strict", "exact", "partial"):
        counts, theirs = scores.by_scheme()[scheme], alone[scheme]
        assert counts == NerCounts(
            theirs.correct, theirs.incorrect, theirs.partial, theirs.missed, theirs.spurious
        )
        figures = counts.prf()
        assert (figures.precision, figures.recall, figures.f1) == pytest.approx(
            (theirs.precision, theirs.recall, theirs.f1)
        )
