"""Calibration: what the SLM's probability of a relation is worth, learned on dev.

A map is chosen from three by log loss out of fold. Of those within one standard error of the best
the simplest wins: none, temperature (Guo et al. 2017, "On calibration of modern neural networks",
section 4.2), isotonic (Zadrozny & Elkan 2002, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.scoring.counts import FloatArray, IntArray

Method = Literal["none", "temperature", "isotonic"]

METHODS: tuple[Method, ...] = get_args(Method)
"""The simplest first."""

MIN_TRIPLES = 50
"""With fewer triples nothing can be learned, and probabilities stand as they are."""

_FLOOR = 1e-4
"""Probabilities are kept this far from 0 and 1, so that logits and log losses are finite."""

_FOLDS = 5
_COLDEST, _HOTTEST = math.log(0.05), math.log(20.0)
"""Bounds of the logarithm of the temperature."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map of probabilities that never turns their order round.

    Attributes:
        method: Which of the three maps it is.
        temperature: Method `temperature`: the logit is divided by it.
        from_probabilities: Method `isotonic`: knots, ascending.
        to_probabilities: Likewise; a straight line between two knots, flat beyond the ends.
    """

    method: Method = "none"
    temperature: float = 1.0
    from_probabilities: tuple[float, ...] = ()
    to_probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            DataInvalid: There is no such method, the temperature is not positive, or the knots do
                not ascend within [0, 1].
        """
        violations = []
        if self.method not in METHODS:
            problem = f"must be one of {', '.join(METHODS)}, got {self.method!r}"
            violations.append(FieldViolation("method", problem))
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            problem = f"must be above 0, got {self.temperature}"
            violations.append(FieldViolation("temperature", problem))
        if len(self.from_probabilities) != len(self.to_probabilities):
            problem = f"must be as many as from_probabilities, {len(self.from_probabilities)}"
            violations.append(FieldViolation("to_probabilities", problem))
        if self.method == "isotonic" and not self.from_probabilities:
            violations.append(FieldViolation("from_probabilities", "must not be empty"))
        violations += [
            FieldViolation(name, "must ascend within [0, 1]")
            for name, knots in (
                ("from_probabilities", self.from_probabilities),
                ("to_probabilities", self.to_probabilities),
            )
            if not all(low <= high for low, high in zip((0, *knots), (*knots, 1), strict=True))
        ]
        if violations:
            raise DataInvalid("this is not a valid calibration", violations=violations)

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Calibrate probabilities of any shape; NaN stays NaN."""
        if self.method == "temperature":
            return sigmoid(logit(probabilities) / self.temperature)
        if self.method == "isotonic":
            return np.asarray(
                np.interp(probabilities, self.from_probabilities, self.to_probabilities)
            )
        return probabilities


def logit(probabilities: FloatArray) -> FloatArray:
    """Logarithm of the odds, finite at 0 and 1 too."""
    inside = np.clip(probabilities, _FLOOR, 1 - _FLOOR)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def sigmoid(values: FloatArray) -> FloatArray:
    """The inverse of the logit, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)))


def log_losses(probabilities: FloatArray, right: npt.NDArray[np.bool_]) -> FloatArray:
    """Minus the logarithm of the probability that was given to what is the case."""
    inside = np.clip(probabilities, _FLOOR, 1 - _FLOOR)
    return np.asarray(-np.log(np.where(right, inside, 1 - inside)))


def fit_calibration(
    probabilities: FloatArray, right: npt.NDArray[np.bool_], sentence: IntArray
) -> Calibration:
    """Choose and fit a map.

    Args:
        probabilities: Of the SLM's triples on dev, shape (triples,).
        right: Whether gold has the triple, shape (triples,).
        sentence: Index of its sentence, shape (triples,). Folds and standard error go by sentence.
    """
    known = ~np.isnan(probabilities)
    probabilities, right, sentence = probabilities[known], right[known], sentence[known]
    if len(right) < MIN_TRIPLES or right.all() or not right.any():
        return Calibration()
    held_out = sentence % _FOLDS
    losses = {}
    for method in METHODS:
        found = np.empty(len(right))
        for fold in range(_FOLDS):
            rest, here = held_out != fold, held_out == fold
            found[here] = _FITTERS[method](probabilities[rest], right[rest]).apply(
                probabilities[here]
            )
        losses[method] = np.asarray(np.bincount(sentence, log_losses(found, right)), np.float64)
    best = min(METHODS, key=lambda method: losses[method].sum())
    chosen = next(method for method in METHODS if _is_close(losses[method], losses[best]))
    return _FITTERS[chosen](probabilities, right)


def _is_close(losses: FloatArray, best: FloatArray) -> bool:
    """Whether the sum is within one standard error of the best, paired by sentence."""
    gaps = losses - best
    return bool(gaps.sum() <= np.sqrt(len(gaps)) * gaps.std())


def _stand(probabilities: FloatArray, right: npt.NDArray[np.bool_]) -> Calibration:
    del probabilities, right
    return Calibration()


def _temperature(probabilities: FloatArray, right: npt.NDArray[np.bool_]) -> Calibration:
    from scipy.optimize import minimize_scalar  # noqa: PLC0415  only fitting needs it: slow to load

    logits = logit(probabilities)
    found = minimize_scalar(
        lambda log_t: log_losses(sigmoid(logits / math.exp(log_t)), right).sum(),
        bounds=(_COLDEST, _HOTTEST),
        method="bounded",
    )
    return Calibration("temperature", temperature=math.exp(float(found.x)))


def _isotonic(probabilities: FloatArray, right: npt.NDArray[np.bool_]) -> Calibration:
    """Ends are kept off 0 and 1 as if one more triple of each kind had been seen there."""
    from sklearn.isotonic import (  # noqa: PLC0415  only fitting needs it: slow to load
        IsotonicRegression,
    )

    margin = 1 / (len(right) + 2)
    found = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    found.fit(probabilities, right.astype(np.float64))
    return Calibration(
        "isotonic",
        from_probabilities=tuple(float(value) for value in found.X_thresholds_),
        to_probabilities=tuple(float(value) for value in found.y_thresholds_),
    )


_FITTERS: Mapping[Method, Callable[[FloatArray, npt.NDArray[np.bool_]], Calibration]] = {
    "none": _stand,
    "temperature": _temperature,
    "isotonic": _isotonic,
}
