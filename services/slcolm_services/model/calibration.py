"""Calibration maps: from a model's logits to probabilities that mean what they say.

They are fitted on dev when a model is trained and stored in its manifest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TemperatureScaling:
    """Softmax of logits divided by one temperature (Guo et al. 2017, section 4.2).

    Attributes:
        temperature: Greater than 0; above 1 makes the model less certain. 1 changes nothing.
    """

    temperature: float = 1.0

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of float logits [..., classes], which sum to 1 over the last axis."""
        scaled = logits.astype(np.float64) / self.temperature
        scaled -= scaled.max(axis=-1, keepdims=True)
        exponentials = np.exp(scaled)
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True)
class PlattScaling:
    """Logistic function of a line through each logit (Platt 1999).

    Attributes:
        slope: Greater than 0 for any model that has learnt something.
        intercept: Added after the slope. Slope 1 with intercept 0 is the plain sigmoid.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each float logit [...], in the same shape."""
        return sigmoid(self.slope * logits.astype(np.float64) + self.intercept)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic function of values [...] of any size, without overflow."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small))
