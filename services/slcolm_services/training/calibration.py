"""Fits the calibration maps of a model on dev, by maximum likelihood.

Both fits are convex: the temperature is fitted as its inverse, Platt's line as it stands. So a
Newton iteration with step halving finds the optimum in a handful of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.model.calibration import PlattScaling, TemperatureScaling, sigmoid
from slcolm_services.model.folder import ModelManifest
from slcolm_services.training.dev import Prediction

FloatArray = NDArray[np.float64]

_LEAST_ITEMS = 20
"""Fewer predictions than this say too little: the plain probabilities stand."""

_INVERSE_TEMPERATURES = (0.05, 20.0)
_LEAST_SLOPE = 0.05
_SMALLEST_STEP, _SMALLEST_GAIN = 1e-6, 1e-10


@dataclass(frozen=True)
class CalibrationReport:
    """How well probabilities meet the truth on dev.

    Attributes:
        items: Number of predictions.
        ece_before: Expected calibration error of the plain probabilities, in [0, 1].
        ece_after: Of the calibrated ones, on the same predictions that they were fitted on.
    """

    items: int
    ece_before: float
    ece_after: float

    def as_dict(self) -> dict[str, float | int]:
        """As JSON takes it."""
        return asdict(self)


def calibrate_entities(
    predictions: Sequence[Prediction], manifest: ModelManifest
) -> tuple[TemperatureScaling, CalibrationReport]:
    """Fit the temperature on every span of dev; report on those that are predicted as entities."""
    parts = [_candidate_logits(found, manifest.max_span_tokens) for found in predictions]
    logits = np.concatenate([part[0] for part in parts])
    classes = np.concatenate([part[1] for part in parts])
    best = logits.argmax(axis=-1)
    predicted = best > 0
    scaling = TemperatureScaling()
    if predicted.sum() >= _LEAST_ITEMS:
        scaling = fit_temperature(logits, classes)
    right = best[predicted] == classes[predicted]
    return scaling, CalibrationReport(
        int(predicted.sum()),
        expected_calibration_error(TemperatureScaling()(logits[predicted]).max(axis=-1), right),
        expected_calibration_error(scaling(logits[predicted]).max(axis=-1), right),
    )


def calibrate_relations(
    predictions: Sequence[Prediction], manifest: ModelManifest, schema: TaskSchema
) -> tuple[PlattScaling, CalibrationReport]:
    """Fit Platt scaling on the relations that the manifest's threshold admits.

    Right means right as a whole: the relation type, both spans and both entity types.
    """
    symmetric = frozenset(kind.name for kind in schema.relation_types if kind.symmetric)
    parts = [_admitted_relations(found, manifest, symmetric) for found in predictions]
    logits = np.concatenate([part[0] for part in parts])
    right = np.concatenate([part[1] for part in parts])
    scaling = PlattScaling()
    if len(right) >= _LEAST_ITEMS:
        scaling = fit_platt(logits, right)
    return scaling, CalibrationReport(
        len(right),
        expected_calibration_error(PlattScaling()(logits), right),
        expected_calibration_error(scaling(logits), right),
    )


def fit_temperature(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> TemperatureScaling:
    """Temperature of the greatest likelihood.

    Args:
        logits: float32[N,C].
        classes: int64[N], the true class of each.
    """
    values = logits.astype(np.float64)
    # The softmax does not see a constant: the true class is put at 0.
    values = values - values[np.arange(len(values)), classes][:, None]

    def loss(point: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        scaled = values * point[0]
        top = scaled.max(axis=-1, keepdims=True)
        weights = np.exp(scaled - top)
        total = weights.sum(axis=-1, keepdims=True)
        weights /= total
        mean = (weights * values).sum(axis=-1)
        variance = (weights * values**2).sum(axis=-1) - mean**2
        negative_log_likelihood = (np.log(total) + top).mean()
        return (
            float(negative_log_likelihood),
            np.array([mean.mean()]),
            np.array([[variance.mean()]]),
        )

    inverse = np.clip(_newton(loss, np.array([1.0]))[0], *_INVERSE_TEMPERATURES)
    return TemperatureScaling(float(1 / inverse))


def fit_platt(logits: NDArray[np.float32], right: NDArray[np.bool_]) -> PlattScaling:
    """Slope and intercept of the greatest likelihood, with the targets of Platt (1999, 2.2).

    Targets stop short of 0 and 1, as if one more item of each kind had been seen: few items, or
    separable ones, then give no certainty. A slope that would turn the order of the logits around
    is replaced by a small one.

    Args:
        logits: float32[N].
        right: bool[N].
    """
    values = logits.astype(np.float64)
    positives, negatives = int(right.sum()), int((~right).sum())
    targets = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(point: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        line = point[0] * values + point[1]
        probs = sigmoid(line)
        design = np.stack([values, np.ones_like(values)])
        weights = probs * (1 - probs)
        return (
            float((np.logaddexp(0.0, line) - targets * line).mean()),
            design @ (probs - targets) / len(values),
            (design * weights) @ design.T / len(values),
        )

    slope, intercept = _newton(loss, np.array([1.0, 0.0])).tolist()
    if slope < _LEAST_SLOPE:
        slope, share = _LEAST_SLOPE, float(targets.mean())
        intercept = float(np.log(share / (1 - share)) - slope * values.mean())
    return PlattScaling(slope, intercept)


def _newton(
    loss: Callable[[FloatArray], tuple[float, FloatArray, FloatArray]], point: FloatArray
) -> FloatArray:
    """Minimum of a convex function that gives its value, gradient and Hessian."""
    value, gradient, hessian = loss(point)
    for _ in range(50):
        step = np.linalg.solve(hessian + 1e-9 * np.eye(len(point)), gradient)
        size = 1.0
        while (trial := loss(point - size * step))[0] > value and size > _SMALLEST_STEP:
            size /= 2
        if value - trial[0] < _SMALLEST_GAIN:
            break
        point = point - size * step
        value, gradient, hessian = trial
    return point


def expected_calibration_error(
    probs: FloatArray, right: NDArray[np.bool_], bins: int = 10
) -> float:
    """Mean distance of probability and truth over bins of equal width (Guo et al. 2017, eq. 3)."""
    if not len(probs):
        return 0.0
    places = np.minimum((probs * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(places, weights=right - probs, minlength=bins)
    return float(np.abs(gaps).sum() / len(probs))


def _candidate_logits(
    found: Prediction, max_span_tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits float32[N,C] and true classes int64[N] of every span that may be an entity."""
    possible = found.example.encoded.candidates(max_span_tokens)
    classes = np.zeros(possible.shape, np.int64)
    for (first, end), kind in zip(found.example.spans, found.example.types, strict=True):
        classes[first, end - first - 1] = kind
    return found.span_logits[possible], classes[possible]


def _holds(
    pairs: Mapping[tuple[int, int], frozenset[int]],
    head: int | None,
    tail: int | None,
    kind: int,
) -> bool:
    return head is not None and tail is not None and kind in pairs.get((head, tail), frozenset())


def _admitted_relations(
    found: Prediction, manifest: ModelManifest, symmetric: frozenset[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits float32[N] above the threshold, and whether each is right, bool[N]."""
    example, threshold = found.example, manifest.relation_threshold
    index_of = {
        (span, manifest.entity_types[kind - 1]): index
        for index, (span, kind) in enumerate(zip(example.spans, example.types, strict=True))
    }
    gold_index = [index_of.get(((span.first, span.end), span.type)) for span in found.spans]
    rows, kinds = np.nonzero(found.relation_logits >= np.log(threshold / (1 - threshold)))
    right = []
    for row, kind in zip(rows.tolist(), kinds.tolist(), strict=True):
        head, tail = (gold_index[index] for index in found.pairs[row].tolist())
        holds = _holds(example.pairs, head, tail, kind)
        if manifest.relation_types[kind] in symmetric:
            holds = holds or _holds(example.pairs, tail, head, kind)
        right.append(holds)
    return found.relation_logits[rows, kinds], np.array(right, bool)
