"""What the strict protocol counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.errors import InvalidInput
from slcolm_services.scoring.counts import Counts, Interval
from slcolm_services.scoring.strict import Scores, Sentence, compare, count_strict, score

SCHEMA = TaskSchema(
    "t",
    "en",
    (),
    (RelationType("works_for"), RelationType("married", symmetric=True), RelationType("born_in")),
)
TRAINING_COUNTS = {"works_for": 101, "married": 21, "born_in": 20}

mentions = st.sampled_from("abc")
triples = st.lists(
    st.builds(Triple, mentions, mentions, st.sampled_from(list(SCHEMA.relations_by_name))),
    max_size=6,
)
corpora = st.lists(st.tuples(triples, triples), min_size=1, max_size=6)


def sentences(items: list[list[Triple]]) -> list[Sentence]:
    return [Sentence(str(index), tuple(found)) for index, found in enumerate(items)]


def scored(gold: list[list[Triple]], predicted: list[list[Triple]], samples: int = 0) -> Scores:
    counts = count_strict(sentences(gold), sentences(predicted), SCHEMA)
    return score(counts, TRAINING_COUNTS, samples=samples)


def test_a_directed_relation_matches_one_way_and_a_symmetric_one_both_ways() -> None:
    gold = [[Triple("a", "b", "works_for"), Triple("a", "b", "married")]]
    found = [[Triple("b", "a", "works_for"), Triple("b", "a", "married")]]
    by_type = {item.type: item.counts for item in scored(gold, found).per_type}
    assert by_type == {"works_for": Counts(0, 1, 1), "married": Counts(1, 1, 1)}


def test_both_directions_of_a_symmetric_relation_are_one_triple() -> None:
    both = [Triple("a", "b", "married"), Triple("b", "a", "married")]
    assert scored([both], [both]).counts == Counts(1, 1, 1)


def test_a_repeated_triple_counts_once() -> None:
    twice = [Triple("a", "b", "works_for", 0.9), Triple("a", "b", "works_for", 0.5)]
    assert scored([twice], [twice]).counts == Counts(1, 1, 1)


def test_of_a_repeated_sentence_the_first_answer_stands() -> None:
    gold = [Sentence("0", (Triple("a", "b", "works_for"),))]
    answers = [Sentence("0", ()), Sentence("0", gold[0].triples)]
    assert score(count_strict(gold, answers, SCHEMA), {}).counts == Counts(0, 0, 1)


def test_a_sentence_without_an_answer_stays_in() -> None:
    gold = sentences([[Triple("a", "b", "works_for")], [Triple("b", "c", "works_for")]])
    found = score(count_strict(gold, gold[:1], SCHEMA), TRAINING_COUNTS)
    assert (found.sentences, found.counts) == (2, Counts(1, 1, 2))


def test_labels_are_normalised_and_those_outside_the_schema_are_no_false_positives() -> None:
    gold = [[Triple("a", "b", "works_for")]]
    found = scored(gold, [[Triple("a", "b", " works_for "), Triple("a", "b", "likes")]])
    assert (found.counts, found.off_schema) == (Counts(1, 1, 1), 1)


def test_a_triple_of_one_mention_is_left_out_and_counted() -> None:
    gold = [[Triple("a", "b", "works_for"), Triple("a", "a", "works_for")]]
    found = scored(gold, gold)
    assert (found.counts, found.same_mention) == (Counts(1, 1, 1), 1)


def test_a_type_without_gold_is_reported_apart_from_the_figures() -> None:
    gold = [[Triple("a", "b", "works_for")]]
    found = scored(gold, [[Triple("a", "b", "works_for"), Triple("a", "b", "born_in")]])
    assert (found.micro.precision, found.without_gold) == (1.0, 1)
    assert {item.type: item.counts for item in found.per_type}["born_in"] == Counts(0, 1, 0)


def test_macro_f1_has_both_forms() -> None:
    gold = [
        [Triple("a", "b", "works_for"), Triple("a", "b", "born_in"), Triple("a", "c", "born_in")]
    ]
    found = scored(gold, [[Triple("a", "b", "works_for"), Triple("a", "b", "born_in")]])
    assert (found.macro.precision, found.macro.recall) == (1.0, 0.75)
    assert found.macro.f1_pr == pytest.approx(2 * 0.75 / 1.75)
    assert found.macro.f1_mean == pytest.approx((1 + 2 / 3) / 2)


def test_buckets_follow_training_counts() -> None:
    gold = [[Triple("a", "b", kind) for kind in SCHEMA.relations_by_name]]
    buckets = {item.bucket: item.counts for item in scored(gold, [[]]).by_frequency}
    assert buckets == dict.fromkeys(("head", "medium", "tail"), Counts(0, 0, 1))


def test_gold_outside_the_schema_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        scored([[], [Triple("a", "b", "likes")]], [])
    assert [v.field for v in caught.value.violations] == ["gold[1].triples[0].type"]


def test_a_prediction_for_an_unknown_sentence_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not among the gold"):
        count_strict([Sentence("0", ())], [Sentence("1", ())], SCHEMA)


def test_a_gold_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unique"):
        count_strict([Sentence("0", ()), Sentence("0", ())], [], SCHEMA)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to score"):
        count_strict([], [], SCHEMA)


@given(corpora)
def test_counts_are_consistent_and_figures_are_fractions(
    corpus: list[tuple[list[Triple], list[Triple]]],
) -> None:
    found = scored([gold for gold, _ in corpus], [predicted for _, predicted in corpus])
    for item in found.per_type:
        assert 0 <= item.counts.correct <= min(item.counts.predicted, item.counts.gold)
    assert sum(item.counts.gold for item in found.by_frequency) == found.counts.gold
    figures = (found.micro.f1, found.macro.f1_pr, found.macro.f1_mean)
    assert all(0 <= figure <= 1 for figure in figures)


@given(corpora)
def test_swapping_gold_and_prediction_swaps_precision_and_recall(
    corpus: list[tuple[list[Triple], list[Triple]]],
) -> None:
    gold, predicted = [g for g, _ in corpus], [p for _, p in corpus]
    there = {item.type: item.counts for item in scored(gold, predicted).per_type}
    back = {item.type: item.counts for item in scored(predicted, gold).per_type}
    assert there == {
        name: Counts(counts.correct, counts.gold, counts.predicted) for name, counts in back.items()
    }


@given(st.lists(triples, min_size=1, max_size=5))
def test_gold_against_itself_is_perfect(gold: list[list[Triple]]) -> None:
    found = scored(gold, gold)
    perfect = 1.0 if found.counts.gold else 0.0
    assert found.micro.f1 == found.macro.f1_pr == perfect


def test_a_system_compared_with_itself_differs_by_nothing() -> None:
    gold = sentences([[Triple("a", "b", "works_for")], [Triple("b", "c", "born_in")]])
    counts = count_strict(gold, gold[:1], SCHEMA)
    difference = compare(counts, counts, samples=50).micro_f1
    assert (difference.value, difference.interval.low, difference.interval.high) == (0, 0, 0)


def test_a_single_sentence_tells_nothing_of_chance() -> None:
    gold, found = [[Triple("a", "b", "works_for")]], [[Triple("a", "b", "works_for")]]
    scores = scored(gold, found, samples=50)
    assert (scores.micro.f1, scores.micro.f1_interval) == (1.0, None)
    assert scored(gold * 2, found * 2, samples=50).micro.f1_interval == Interval(1.0, 1.0)
    nothing = count_strict(sentences(gold), [], SCHEMA)
    everything = count_strict(sentences(gold), sentences(found), SCHEMA)
    difference = compare(nothing, everything, samples=50).micro_f1
    assert (difference.value, difference.interval) == (1.0, Interval(-1.0, 1.0))


def test_systems_on_different_sentences_cannot_be_compared() -> None:
    gold = sentences([[Triple("a", "b", "works_for")], []])
    first, second = count_strict(gold, [], SCHEMA), count_strict(gold[:1], [], SCHEMA)
    with pytest.raises(InvalidInput, match="same sentences"):
        compare(first, second)
