"""Whether probabilities mean what they say, and what is found above each of them.

A prediction is right when the strict protocol counts it as correct. As there, repeated triples are
one, symmetric types match both ways, and what has a label outside the schema, a mention related to
itself or a type that gold does not have is left out: the last point of the precision-recall curve
is the micro precision and recall of the strict protocol.

Sources: expected calibration error, Guo et al. 2017, section 2, with the bins of its figure 1;
Brier 1950; average precision as the sum of precision times the step in recall, without
interpolation (Manning et al. 2008, section 8.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slcolm_services.scoring.counts import FloatArray
from slcolm_services.scoring.strict import StrictItems

BINS = 10
MAX_POINTS = 200
"""A longer curve is thinned to so many of its points."""

_EDGES = np.arange(BINS + 1) / BINS


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions with the truth about them.

    Attributes:
        probabilities: Shape (predictions,), in [0, 1]; NaN where a prediction has none.
        right: Whether each is in gold, shape (predictions,).
        gold: Number of true triples, predicted or not.
    """

    probabilities: FloatArray
    right: npt.NDArray[np.bool_]
    gold: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions with a probability in (low, high]; the first bin holds 0 too."""

    low: float
    high: float
    count: int
    mean_probability: float
    fraction_right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities meet the truth.

    Attributes:
        count: Predictions with a probability; the others are left out.
        expected_calibration_error: Mean over predictions of the distance between mean probability
            and fraction right of their bin, in [0, 1].
        brier_score: Mean squared distance of probability and truth, in [0, 1].
        bins: `BINS` of equal width over [0, 1], empty ones left out.
    """

    count: int
    expected_calibration_error: float
    brier_score: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class PrecisionRecallPoint:
    """Precision and recall of the predictions with a probability of at least `threshold`."""

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """A precision-recall curve.

    True triples that were never predicted are in every recall, so that the curve ends where the
    system does, not at 1.

    Attributes:
        average_precision: Of the whole curve, however many of its points are shown.
        points: One for each distinct probability, the most certain first. Of more than `MAX_POINTS`
            that many are kept, evenly over their ranks, both ends among them.
    """

    average_precision: float
    points: tuple[PrecisionRecallPoint, ...]


def judge(items: StrictItems) -> Judged:
    """Tell right predictions from wrong ones.

    Args:
        items: Gold and predictions, from `strict_items`.
    """
    true = [set(sentence) for sentence in items.gold]
    types = {kind for sentence in true for kind, _ in sentence}
    judged = [
        (np.nan if probability is None else probability, item in truth)
        for truth, found in zip(true, items.predicted, strict=True)
        for item, probability in found.items()
        if item[0] in types
    ]
    return Judged(
        probabilities=np.array([probability for probability, _ in judged], dtype=np.float64),
        right=np.array([right for _, right in judged], dtype=np.bool_),
        gold=sum(map(len, true)),
    )


def reliability(judged: Judged) -> Reliability | None:
    """Reliability of the predictions with a probability; None where there is none."""
    known = ~np.isnan(judged.probabilities)
    probabilities, right = judged.probabilities[known], judged.right[known].astype(np.float64)
    if not len(probabilities):
        return None
    bin_of = np.maximum(np.searchsorted(_EDGES, probabilities) - 1, 0)
    bins = []
    for index in np.unique(bin_of):
        inside = bin_of == index
        bins.append(
            ReliabilityBin(
                low=float(_EDGES[index]),
                high=float(_EDGES[index + 1]),
                count=int(inside.sum()),
                mean_probability=float(probabilities[inside].mean()),
                fraction_right=float(right[inside].mean()),
            )
        )
    gaps = (item.count * abs(item.fraction_right - item.mean_probability) for item in bins)
    return Reliability(
        count=len(probabilities),
        expected_calibration_error=sum(gaps) / len(probabilities),
        brier_score=float(np.mean((probabilities - right) ** 2)),
        bins=tuple(bins),
    )


def precision_recall(judged: Judged) -> PrecisionRecall | None:
    """The precision-recall curve.

    None where it says nothing: there is no prediction or no gold, or some prediction has no
    probability and therefore no place in the order.
    """
    if not len(judged.probabilities) or not judged.gold or np.isnan(judged.probabilities).any():
        return None
    order = np.argsort(-judged.probabilities, kind="stable")
    probabilities = judged.probabilities[order]
    last_of_each = np.append(np.flatnonzero(np.diff(probabilities)), len(probabilities) - 1)
    correct = np.cumsum(judged.right[order])[last_of_each]
    precision = correct / (last_of_each + 1)
    recall = correct / judged.gold
    kept = np.arange(len(recall))
    if len(recall) > MAX_POINTS:
        kept = np.linspace(0, len(recall) - 1, MAX_POINTS).round().astype(np.int64)
    return PrecisionRecall(
        average_precision=float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        points=tuple(
            PrecisionRecallPoint(*(float(value) for value in point))
            for point in zip(
                probabilities[last_of_each][kept], precision[kept], recall[kept], strict=True
            )
        ),
    )
