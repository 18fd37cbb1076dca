"""Reliability and precision-recall: the strict protocol's rules, and scikit-learn's figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.scoring.reliability import (
    MAX_POINTS,
    Judged,
    PrecisionRecallPoint,
    ReliabilityBin,
    judge,
    precision_recall,
    reliability,
)
from slcolm_services.scoring.strict import Sentence, count_strict, score, strict_items

SCHEMA = TaskSchema(
    "t",
    "en",
    (),
    (RelationType("works_for"), RelationType("married", symmetric=True), RelationType("born_in")),
)

mentions = st.sampled_from("abc")
types = st.sampled_from([*SCHEMA.relations_by_name, "alien"])
probabilities = st.integers(0, 20).map(lambda twentieths: twentieths / 20)
gold_triples = st.builds(
    Triple, mentions, mentions, st.sampled_from(list(SCHEMA.relations_by_name))
)
found_triples = st.builds(Triple, mentions, mentions, types, probabilities)
corpora = st.lists(
    st.tuples(st.lists(gold_triples, max_size=5), st.lists(found_triples, max_size=6)),
    min_size=1,
    max_size=6,
)
Corpus = list[tuple[list[Triple], list[Triple]]]


def sentences(corpus: Corpus) -> tuple[list[Sentence], list[Sentence]]:
    gold = [Sentence(str(index), tuple(true)) for index, (true, _) in enumerate(corpus)]
    found = [Sentence(str(index), tuple(answer)) for index, (_, answer) in enumerate(corpus)]
    return gold, found


def judged(*predictions: tuple[float | None, bool], gold: int = 10) -> Judged:
    return Judged(
        np.array([np.nan if value is None else value for value, _ in predictions]),
        np.array([right for _, right in predictions], dtype=np.bool_),
        gold,
    )


@given(corpora)
def test_the_curve_ends_at_the_strict_micro_figures(corpus: Corpus) -> None:
    """Same sets, same symmetry, the same triples left out."""
    gold, found = sentences(corpus)
    strict = score(count_strict(gold, found, SCHEMA), {})

    answers = judge(strict_items(gold, found, SCHEMA))

    assert len(answers.right) == strict.counts.predicted
    assert int(answers.right.sum()) == strict.counts.correct
    assert answers.gold == strict.counts.gold
    curve = precision_recall(answers)
    if strict.counts.predicted:
        assert curve is not None
        assert curve.points[-1].precision == pytest.approx(strict.micro.precision)
        assert curve.points[-1].recall == pytest.approx(strict.micro.recall)
    else:
        assert curve is None


def test_of_a_repeated_triple_the_highest_probability_stands() -> None:
    gold = [Sentence("1", (Triple("a", "b", "married"),))]
    found = [Triple("a", "b", "married", 0.3), Triple("b", "a", "married", 0.8)]
    found.append(Triple("b", "a", "married"))

    answers = judge(strict_items(gold, [Sentence("1", tuple(found))], SCHEMA))

    assert answers.probabilities.tolist() == [0.8]
    assert answers.right.tolist() == [True]


def test_bins_are_closed_above() -> None:
    """0 belongs to the first bin, 0.7 to the one that ends there."""
    found = reliability(judged((0.0, False), (0.1, True), (0.7, True), (0.71, False), (1.0, True)))

    assert found is not None
    assert found.bins == (
        ReliabilityBin(0.0, 0.1, 2, 0.05, 0.5),
        ReliabilityBin(0.6, 0.7, 1, 0.7, 1.0),
        ReliabilityBin(0.7, 0.8, 1, 0.71, 0.0),
        ReliabilityBin(0.9, 1.0, 1, 1.0, 1.0),
    )
    assert found.expected_calibration_error == pytest.approx((2 * 0.45 + 0.3 + 0.71 + 0) / 5)
    assert found.brier_score == pytest.approx((0 + 0.81 + 0.09 + 0.71**2 + 0) / 5)


def test_predictions_without_a_probability_are_not_in_the_reliability_and_stop_the_curve() -> None:
    some = judged((0.9, True), (None, True))

    assert precision_recall(some) is None
    found = reliability(some)
    assert found is not None
    assert found.count == 1
    assert reliability(judged((None, True))) is None


def test_nothing_predicted_or_nothing_true_has_no_curve() -> None:
    assert reliability(judged()) is None
    assert precision_recall(judged()) is None
    assert precision_recall(judged((0.5, False), gold=0)) is None


def test_equal_probabilities_are_one_point() -> None:
    curve = precision_recall(judged((0.5, True), (0.9, True), (0.5, False), gold=4))

    assert curve is not None
    assert curve.points == (
        PrecisionRecallPoint(0.9, 1.0, 0.25),
        PrecisionRecallPoint(0.5, 2 / 3, 0.5),
    )
    assert curve.average_precision == pytest.approx(0.25 + 0.25 * 2 / 3)


def test_a_long_curve_is_thinned_between_its_ends() -> None:
    rng = np.random.default_rng(5)
    long = Judged(rng.random(5000), rng.random(5000) < 0.5, 5000)

    curve = precision_recall(long)

    assert curve is not None
    assert len(curve.points) == MAX_POINTS
    assert curve.points[0].threshold == long.probabilities.max()
    assert curve.points[-1].threshold == long.probabilities.min()
    thresholds = [point.threshold for point in curve.points]
    assert thresholds == sorted(set(thresholds), reverse=True)
    # Of the whole curve: scikit-learn knows nothing of gold that was never predicted.
    share = long.right.sum() / long.gold
    theirs = average_precision_score(long.right, long.probabilities)
    assert curve.average_precision == pytest.approx(theirs * share)


observations = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(observations, st.integers(0, 20))
def test_the_curve_is_that_of_scikit_learn(
    predictions: list[tuple[float, bool]], missed: int
) -> None:
    answers = judged(*predictions, gold=sum(right for _, right in predictions) + missed)
    assume(answers.right.any())
    found = precision_recall(answers)
    assert found is not None

    precision, recall, thresholds = precision_recall_curve(answers.right, answers.probabilities)

    share = answers.right.sum() / answers.gold
    assert [point.threshold for point in found.points] == thresholds[::-1].tolist()
    assert [point.precision for point in found.points] == pytest.approx(precision[-2::-1].tolist())
    assert [point.recall / share for point in found.points] == pytest.approx(
        recall[-2::-1].tolist()
    )
    theirs = average_precision_score(answers.right, answers.probabilities)
    assert found.average_precision == pytest.approx(theirs * share)


@given(observations)
def test_reliability_is_that_of_scikit_learn(predictions: list[tuple[float, bool]]) -> None:
    # Its bins end at sums of 0.1 in floating point, ours at decimal tenths.
    assume(not any((10 * value).is_integer() or 0 < value % 0.1 < 1e-9 for value, _ in predictions))
    answers = judged(*predictions)
    found = reliability(answers)
    assert found is not None

    right, mean = calibration_curve(answers.right, answers.probabilities, n_bins=10)

    assert [item.fraction_right for item in found.bins] == pytest.approx(right.tolist())
    assert [item.mean_probability for item in found.bins] == pytest.approx(mean.tolist())
    assert sum(item.count for item in found.bins) == found.count == len(predictions)
    assert found.brier_score == pytest.approx(
        brier_score_loss(answers.right, answers.probabilities, pos_label=True)
    )


@given(observations)
def test_a_perfect_oracle_is_perfectly_reliable(predictions: list[tuple[float, bool]]) -> None:
    found = reliability(judged(*((float(right), right) for _, right in predictions)))
    assert found is not None
    assert found.expected_calibration_error == found.brier_score == 0
