"""The confidence is a logistic regression with its scale folded back, if there is enough data."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import DataInvalid
from slcolm_services.evaluation.calibration import Calibration
from slcolm_services.evaluation.candidates import BoolArray, Candidates, tabulate
from slcolm_services.evaluation.confidence import (
    PENALTIES,
    Confidence,
    fit_confidence,
)
from slcolm_services.evaluation.evidence import Evidence, Mention
from slcolm_services.evaluation.features import FEATURES, feature_names, features

SCHEMA = TaskSchema(
    "t",
    "en",
    (EntityType("PER", "PER"), EntityType("LOC", "LOC")),
    (RelationType("in", head_types=("PER",), tail_types=("LOC",)), RelationType("knows")),
)
COUNTS = {"in": 500, "knows": 5}
MENTIONS = {
    "a": Mention(frozenset({"PER"}), 0.9),
    "b": Mention(frozenset({"LOC"}), 0.8),
    "c": Mention(frozenset({"PER", "LOC"}), None),
}


def made_up(sources: tuple[str, ...], count: int = 300) -> tuple[Candidates, BoolArray]:
    """Sources that are right to different degrees: each says a true triple and a false one."""
    draw = random.Random(4)
    sentences = []
    for _ in range(count):
        kinds = draw.sample(["in", "knows"], 2)
        true, false = Triple("a", "b", kinds[0]), Triple("b", "a", kinds[1])
        said = {
            source: tuple(
                triple
                for triple, share in ((true, 0.9), (false, 0.2 + 0.3 * index))
                if draw.random() < share
            )
            for index, source in enumerate(sources)
        }
        slm = tuple(
            replace(triple, prob=draw.uniform(low, low + 0.5))
            for triple, share, low in ((true, 0.7, 0.5), (false, 0.4, 0.3))
            if draw.random() < share
        )
        sentences.append(Evidence(slm, said, MENTIONS))
    candidates = tabulate(sentences, SCHEMA)
    return candidates, np.array([triple.head == "a" for triple in candidates.triples])


def test_the_scale_is_folded_back_into_the_weights() -> None:
    """The same probabilities as a pipeline that standardises before it fits and before it asks."""
    candidates, right = made_up(("one", "two"))
    confidence = fit_confidence(candidates, right, Calibration(), COUNTS, ("one", "two"))
    assert confidence is not None
    found = confidence.probabilities(candidates, Calibration(), COUNTS)
    values = features(candidates, Calibration(), COUNTS, feature_names(("one", "two")))
    distances = []
    for strength in PENALTIES:
        model = LogisticRegression(C=strength, solver="newton-cholesky")
        pipeline = make_pipeline(StandardScaler(), model)
        expected = pipeline.fit(values, right).predict_proba(values)[:, 1]
        distances.append(np.abs(found - expected).max())
    assert min(distances) < 1e-6


def test_probabilities_tell_right_from_wrong_and_add_up() -> None:
    candidates, right = made_up(("one",))
    confidence = fit_confidence(candidates, right, Calibration(), COUNTS, ("one",))
    assert confidence is not None
    found = confidence.probabilities(candidates, Calibration(), COUNTS)
    assert found.mean() == pytest.approx(right.mean(), abs=0.01)
    assert found[right].mean() - found[~right].mean() > 0.2


def test_the_better_of_two_voters_weighs_more() -> None:
    candidates, right = made_up(("good", "bad"))
    confidence = fit_confidence(candidates, right, Calibration(), COUNTS, ("good", "bad"))
    assert confidence is not None
    assert confidence.weights["vote:good"] > confidence.weights["vote:bad"]


def test_samples_of_one_model_are_one_voter() -> None:
    assert feature_names(("llm#1", "llm#2")) == FEATURES
    assert feature_names(("a#1", "a#2", "b")) == (*FEATURES, "vote:a", "vote:b")
    said = {"a#1": (Triple("a", "b", "in"),), "a#2": (), "b": ()}
    votes = tabulate([Evidence((), said, MENTIONS)], SCHEMA).votes
    assert {name: column.tolist() for name, column in votes.items()} == {"a": [0.0], "b": [-1.0]}


def test_the_same_data_gives_the_same_confidence() -> None:
    candidates, right = made_up(("one",))
    first = fit_confidence(candidates, right, Calibration(), COUNTS, ("one",))
    assert first == fit_confidence(candidates, right, Calibration(), COUNTS, ("one",))


def test_too_little_or_one_sided_data_teaches_nothing() -> None:
    few, few_right = made_up(("one",), count=10)
    assert fit_confidence(few, few_right, Calibration(), COUNTS, ("one",)) is None
    candidates, right = made_up(("one",))
    none_wrong = np.ones_like(right)
    assert fit_confidence(candidates, none_wrong, Calibration(), COUNTS, ("one",)) is None


def test_without_the_slms_probabilities_there_is_no_confidence() -> None:
    candidates, right = made_up(("one",))
    unknown = replace(candidates, slm_probability=np.full(len(right), np.nan))
    assert fit_confidence(unknown, right, Calibration(), COUNTS, ("one",)) is None


def test_columns_by_example() -> None:
    slm = (Triple("a", "b", "in", 0.7), Triple("b", "a", "in", 0.4))
    said = {"llm": (Triple("a", "b", "knows"), Triple("a", "b", "in"), Triple("a", "z", "in"))}
    found = tabulate([Evidence(slm, said, MENTIONS), Evidence((), {}, {})], SCHEMA)
    assert [(t.head, t.tail, t.type) for t in found.triples] == [
        ("a", "b", "in"),
        ("b", "a", "in"),
        ("a", "b", "knows"),
        ("a", "z", "in"),
    ]
    assert found.slm.tolist() == [True, True, False, False]
    assert found.held.tolist() == [1, 0, 1, 1]
    assert found.slm_type.tolist() == [True, True, False, True]
    assert found.admitted.tolist() == [1.0, -1.0, 1.0, 0.0]
    assert found.mention_probability[:3].tolist() == [0.8, 0.8, 0.8]
    assert np.isnan(found.mention_probability[3])
    assert found.slm_rival.tolist() == [0.0, 0.0, 0.7, 0.0]
    assert found.llm_rival.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert found.slm_reversed.tolist() == [True, True, False, False]
    assert found.size.tolist() == [4, 4, 4, 4]


@given(st.dictionaries(st.sampled_from(FEATURES), st.floats(-50, 50)), st.floats(-50, 50))
def test_whatever_the_weights_probabilities_are_within_0_and_1(
    weights: dict[str, float], intercept: float
) -> None:
    candidates, _ = made_up(("one",), count=5)
    confidence = Confidence(("one",), intercept, weights)
    found = confidence.probabilities(candidates, Calibration(), COUNTS)
    assert np.all((found >= 0) & (found <= 1))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"weights": {"luck": 1.0}}, "weights['luck']"),
        ({"weights": {"slm": float("inf")}}, "weights['slm']"),
        ({"intercept": float("nan")}, "intercept"),
        ({"threshold": 1.5}, "threshold"),
    ],
)
def test_a_confidence_that_means_nothing_is_refused(values: dict[str, object], field: str) -> None:
    with pytest.raises(DataInvalid) as caught:
        Confidence(**values)  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == [field]
