"""Decoding, from logits made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from slcolm_services.corpus.documents import Entity, Relation
from slcolm_services.model.calibration import PlattScaling, TemperatureScaling, sigmoid
from slcolm_services.model.decode import (
    MAX_PAIRED_SPANS,
    SpanPrediction,
    candidate_pairs,
    decode_entities,
    decode_relations,
    disjoint,
    to_document,
    without_impossible,
)
from slcolm_services.model.folder import Arguments, ModelManifest
from slcolm_services.model.tokenization import Encoded

MANIFEST = ModelManifest(
    entity_types=("PER", "LOC"),
    relation_types=("born_in", "knows", "rules"),
    max_tokens=512,
    max_span_tokens=3,
    relation_threshold=0.4,
    vector_dimension=4,
    entity_calibration=TemperatureScaling(2.0),
    relation_calibration=PlattScaling(slope=0.5, intercept=-1.0),
)


def characters(count: int) -> Encoded:
    """A text of `count` characters, a token each, between two special tokens."""
    positions = np.arange(count)
    return Encoded(
        ids=np.arange(count + 2),
        starts=np.concatenate(([0], positions, [0])),
        ends=np.concatenate(([0], positions + 1, [0])),
    )


def logits_of(length: int, spans: dict[tuple[int, int], list[float]]) -> np.ndarray:
    """float32[length, 3, 3]: `spans` by (first, width index), everything else "no entity"."""
    logits = np.zeros((length, 3, 3), dtype=np.float32)
    logits[..., 0] = 5.0
    for place, values in spans.items():
        logits[place] = values
    return logits


def test_what_relations_may_join_is_kept_and_nothing_else() -> None:
    manifest = replace(
        MANIFEST,
        relation_arguments={
            "born_in": Arguments(("PER",), ("LOC",)),
            "rules": Arguments(head=("PER",)),
        },
    )
    spans = [SpanPrediction(1, 2, "PER", 0.9), SpanPrediction(3, 4, "LOC", 0.9)]
    pairs = np.array([[0, 1], [1, 0], [0, 0]])
    logits = np.arange(9, dtype=np.float32).reshape(3, 3)
    possible = without_impossible(logits, pairs, spans, manifest)
    # Columns: born_in joins a person and a place, knows anything, rules begins with a person.
    assert np.isfinite(possible).tolist() == [
        [True, True, True],
        [False, True, False],
        [False, True, True],
    ]
    assert (possible[np.isfinite(possible)] == logits[np.isfinite(possible)]).all()
    assert len(decode_relations(possible, pairs, manifest)) == 6


def test_without_a_word_on_arguments_anything_is_possible_and_no_pair_is_no_trouble() -> None:
    logits = np.ones((1, 3), dtype=np.float32)
    spans = [SpanPrediction(1, 2, "PER", 0.9)]
    assert without_impossible(logits, np.array([[0, 0]]), spans, MANIFEST) is logits
    manifest = replace(MANIFEST, relation_arguments={"rules": Arguments(head=("LOC",))})
    none = np.empty((0, 3), dtype=np.float32)
    assert without_impossible(none, np.empty((0, 2), np.int64), [], manifest).shape == (0, 3)


def test_each_span_takes_its_best_class_with_a_calibrated_probability() -> None:
    logits = logits_of(6, {(1, 1): [0.0, 4.0, 1.0], (4, 0): [0.0, 0.0, 2.0]})
    spans = decode_entities(logits, characters(4), MANIFEST)
    assert [(span.first, span.end, span.type) for span in spans] == [(1, 3, "PER"), (4, 5, "LOC")]
    expected = np.exp(4 / 2) / (1 + np.exp(4 / 2) + np.exp(1 / 2))
    assert spans[0].prob == pytest.approx(expected)


def test_nested_and_overlapping_spans_are_kept() -> None:
    best = [0.0, 9.0, 0.0]
    logits = logits_of(6, {(1, 0): best, (1, 2): best, (2, 1): best})
    spans = decode_entities(logits, characters(4), MANIFEST)
    assert [(span.first, span.end) for span in spans] == [(1, 2), (1, 4), (2, 4)]


def test_where_entities_do_not_overlap_the_most_probable_ones_stay() -> None:
    logits = logits_of(
        6, {(1, 0): [0.0, 9.0, 0.0], (1, 2): [0.0, 8.0, 0.0], (4, 0): [0.0, 0.0, 7.0]}
    )
    manifest = replace(MANIFEST, overlapping_entities=False)
    spans = decode_entities(logits, characters(4), manifest)
    assert [(span.first, span.end, span.type) for span in spans] == [(1, 2, "PER"), (4, 5, "LOC")]


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 5), st.sampled_from([0.5, 0.7, 0.9])),
        max_size=12,
    )
)
def test_what_is_kept_shares_no_token_and_what_is_not_gave_way_to_something_as_probable(
    drawn: list[tuple[int, int, float]],
) -> None:
    ranges = [(first, first + size) for first, size, _ in drawn]
    probs = [prob for _, _, prob in drawn]
    kept = disjoint(ranges, probs)
    assert kept == sorted(kept)
    places = [place for index in kept for place in range(*ranges[index])]
    assert len(places) == len(set(places))
    for index in set(range(len(ranges))) - set(kept):
        first, end = ranges[index]
        assert any(
            ranges[other][0] < end and first < ranges[other][1] and probs[other] >= probs[index]
            for other in kept
        )


def test_spans_over_special_tokens_padding_and_the_end_are_never_entities() -> None:
    logits = np.zeros((9, 3, 3), dtype=np.float32)
    logits[..., 1] = 7.0
    spans = decode_entities(logits, characters(4), MANIFEST)
    assert [(span.first, span.end) for span in spans] == [
        (first, first + width) for first in range(1, 5) for width in (1, 2, 3) if first + width <= 5
    ]


def test_decoding_leaves_the_logits_as_they_were() -> None:
    logits = np.zeros((6, 3, 3), dtype=np.float32)
    logits[..., 2] = 1.0
    before = logits.copy()
    decode_entities(logits, characters(4), MANIFEST)
    np.testing.assert_array_equal(logits, before)


def spans_at(*ranges: tuple[int, int], probs: list[float] | None = None) -> list[SpanPrediction]:
    return [
        SpanPrediction(first, end, "PER", probs[index] if probs else 0.9)
        for index, (first, end) in enumerate(ranges)
    ]


def test_all_ordered_pairs_of_different_ranges_are_candidates() -> None:
    pairs = candidate_pairs(spans_at((1, 2), (1, 3), (1, 2)))
    assert pairs.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_entities_make_no_pairs(count: int) -> None:
    pairs = candidate_pairs(spans_at(*[(1, 2)] * count))
    assert pairs.shape == (0, 2)
    assert pairs.dtype == np.int64


@given(st.integers(0, 2 * MAX_PAIRED_SPANS))
def test_the_number_of_pairs_is_bounded_by_the_most_probable_spans(count: int) -> None:
    rng = np.random.default_rng(count)
    probs = rng.permutation(count) / max(count, 1)
    spans = spans_at(*[(i, i + 1) for i in range(count)], probs=probs.tolist())
    pairs = candidate_pairs(spans)
    kept = min(count, MAX_PAIRED_SPANS)
    assert len(pairs) == max(0, kept * (kept - 1))
    assert set(np.unique(pairs)) == set(np.argsort(-probs)[:kept]) or kept < 2


def test_relations_pass_the_plain_threshold_and_report_the_calibrated_probability() -> None:
    threshold = np.log(0.4 / 0.6)
    logits = np.array(
        [[threshold + 0.01, threshold - 0.01, -9.0], [-9.0, -9.0, 3.0]], dtype=np.float32
    )
    relations = decode_relations(logits, np.array([[0, 1], [1, 0]]), MANIFEST)
    assert [(relation.type, relation.head, relation.tail) for relation in relations] == [
        ("born_in", 0, 1),
        ("rules", 1, 0),
    ]
    assert relations[1].prob == pytest.approx(1 / (1 + np.exp(-(0.5 * 3 - 1))))
    # Below the threshold as reported, above it as decided: the two are different scales.
    assert relations[0].prob is not None
    assert relations[0].prob < 0.4


def test_one_pair_may_hold_several_relations() -> None:
    logits = np.full((1, 3), 2.0, dtype=np.float32)
    assert len(decode_relations(logits, np.array([[0, 1]]), MANIFEST)) == 3


def test_no_pairs_give_no_relations() -> None:
    empty = np.empty((0, 3), dtype=np.float32)
    assert decode_relations(empty, np.empty((0, 2), dtype=np.int64), MANIFEST) == []


def test_a_document_carries_code_points_and_probabilities() -> None:
    text = "𠀀中a"
    spans = [SpanPrediction(1, 2, "PER", 0.5), SpanPrediction(2, 4, "LOC", 0.75)]
    document = to_document("d", text, characters(3), spans, [Relation("knows", 0, 1, 0.25)])
    assert document.entities == (Entity("PER", 0, 1, 0.5), Entity("LOC", 1, 3, 0.75))
    assert document.mention(0) == "𠀀"
    assert document.relations == (Relation("knows", 0, 1, 0.25),)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8), st.floats(0.01, 100))
def test_temperature_scaling_gives_a_distribution_in_the_same_order(
    values: list[float], temperature: float
) -> None:
    logits = np.array(values, dtype=np.float32)
    probs = TemperatureScaling(temperature)(logits)
    assert probs.sum() == pytest.approx(1)
    assert (probs >= 0).all()
    assert (np.diff(probs[np.argsort(logits, kind="stable")]) >= -1e-12).all()


def test_the_sigmoid_does_not_overflow() -> None:
    assert_allclose(sigmoid(np.array([-1e6, 0.0, 1e6])), [0.0, 0.5, 1.0])
