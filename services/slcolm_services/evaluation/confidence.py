"""Confidence: the probability that a candidate triple is right, from whatever source.

A logistic regression with an L2 penalty, whose strength is chosen by log loss out of fold. Features
are standardised while it is fitted and the scale is folded back into the weights, so that applying
it is one weighted sum of features by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.evaluation.calibration import Calibration, log_losses, sigmoid
from slcolm_services.evaluation.candidates import BoolArray, Candidates
from slcolm_services.evaluation.features import feature_names, features, is_feature
from slcolm_services.scoring.counts import FloatArray, IntArray

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Values of C, the inverse of the penalty, that are tried; the simplest first."""

MIN_CANDIDATES = 100
"""With fewer candidate triples, or fewer right or wrong ones than a tenth, none is fitted."""

DEFAULT_THRESHOLD = 0.5

_FOLDS = 4


@dataclass(frozen=True, slots=True)
class Confidence:
    """A fitted logistic regression.

    Attributes:
        sources: Sources of the answers that it was fitted with, in order.
        intercept: Logit of a triple whose features are all 0.
        weights: By feature name.
        threshold: Mode `learned` keeps a triple of at least this probability, and of half of it
            where its type is rare.
    """

    sources: tuple[str, ...] = ()
    intercept: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    threshold: float = DEFAULT_THRESHOLD

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            DataInvalid: A weight is not finite or has no feature, or the threshold is outside
                [0, 1].
        """
        violations = [
            FieldViolation(f"weights[{name!r}]", "there is no such feature")
            for name in self.weights
            if not is_feature(name)
        ]
        numbers = {"intercept": self.intercept}
        numbers |= {f"weights[{name!r}]": weight for name, weight in self.weights.items()}
        violations += [
            FieldViolation(name, f"must be a finite number, got {number}")
            for name, number in numbers.items()
            if not math.isfinite(number)
        ]
        if not 0 <= self.threshold <= 1:
            violations.append(FieldViolation("threshold", f"{self.threshold} is not in [0, 1]"))
        if violations:
            raise DataInvalid("this is not a valid confidence", violations=violations)

    def probabilities(
        self, candidates: Candidates, calibration: Calibration, training_counts: Mapping[str, int]
    ) -> FloatArray:
        """The probability of each candidate; NaN where the SLM gave none for its triple."""
        names = sorted(self.weights)
        values = features(candidates, calibration, training_counts, names)
        weights = np.array([self.weights[name] for name in names])
        return sigmoid(values @ weights + self.intercept)


def fit_confidence(
    candidates: Candidates,
    right: BoolArray,
    calibration: Calibration,
    training_counts: Mapping[str, int],
    sources: Sequence[str],
) -> Confidence | None:
    """Fit on candidates of answered dev sentences.

    Args:
        candidates: The triples; those of sentences without an answer must not be among them.
        right: Whether gold has the triple.
        calibration: Of the SLM's probabilities.
        training_counts: Training instances by relation type.
        sources: Sources of the answers.

    Returns:
        None where there is too little to learn from, or an SLM triple has no probability.
    """
    names = feature_names(sources)
    values = features(candidates, calibration, training_counts, names)
    few = min(right.sum(), (~right).sum()) * 10 < MIN_CANDIDATES
    if len(right) < MIN_CANDIDATES or few or np.isnan(values).any():
        return None
    strength = _strength(values, right, candidates.sentence)
    intercept, weights = _regression(values, right, strength)
    return Confidence(
        tuple(sources),
        intercept,
        {name: float(w) for name, w in zip(names, weights, strict=True) if w},
    )


def _strength(values: FloatArray, right: BoolArray, sentence: IntArray) -> float:
    """The value of C with the lowest log loss out of fold; folds go by sentence."""
    fold_of = np.unique(sentence, return_inverse=True)[1] % _FOLDS
    losses = dict.fromkeys(PENALTIES, 0.0)
    for fold in range(_FOLDS):
        rest, here = fold_of != fold, fold_of == fold
        for strength in PENALTIES:
            intercept, weights = _regression(values[rest], right[rest], strength)
            found = sigmoid(values[here] @ weights + intercept)
            losses[strength] += float(log_losses(found, right[here]).sum())
    return min(PENALTIES, key=lambda strength: losses[strength])


def _regression(values: FloatArray, right: BoolArray, strength: float) -> tuple[float, FloatArray]:
    """Intercept and weights for the features as they are. A feature that never varies gets 0."""
    from sklearn.linear_model import (  # noqa: PLC0415  only fitting needs it: slow to load
        LogisticRegression,
    )

    mean, scale = values.mean(axis=0), values.std(axis=0)
    varies = scale > 1e-12 * np.maximum(1, np.abs(mean))
    scale = np.where(varies, scale, 1.0)
    model = LogisticRegression(C=strength, solver="newton-cholesky")
    model.fit(np.where(varies, (values - mean) / scale, 0.0), right)
    weights = np.where(varies, model.coef_[0] / scale, 0.0)
    return float(model.intercept_[0] - weights @ mean), weights
