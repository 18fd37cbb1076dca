"""Bootstrap intervals over sentences (Efron & Tibshirani 1993, ch. 13, percentile interval).

A resample of sentences is a vector of how often each was drawn, so that one matrix product with the
counts by sentence gives the totals of many resamples at once. Two systems are compared on the same
resamples: the interval is that of their paired difference (Berg-Kirkpatrick et al. 2012).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slcolm_services.scoring.counts import (
    CountMatrix,
    FloatArray,
    Interval,
    macro_arrays,
    prf_arrays,
)

Figure = Callable[[FloatArray], FloatArray]
"""A figure of totals: shape (..., types, 3) to shape (...)."""

CONFIDENCE_LEVEL = 0.95
_CELLS_PER_BLOCK = 4_000_000
"""Resamples are drawn in blocks, so that a large corpus does not fill the memory."""


def micro_f1(totals: FloatArray) -> FloatArray:
    """F1 of the counts summed over types."""
    return prf_arrays(totals.sum(axis=-2))[2]


def macro_f1_pr(totals: FloatArray) -> FloatArray:
    """Harmonic mean of macro precision and macro recall."""
    return macro_arrays(totals)[2]


def macro_f1_mean(totals: FloatArray) -> FloatArray:
    """Mean of the types' F1."""
    return macro_arrays(totals)[3]


def resample(matrix: CountMatrix, samples: int, seed: int) -> FloatArray:
    """Draw sentences with replacement and sum their counts.

    Args:
        matrix: Counts by sentence and type.
        samples: Number of resamples.
        seed: Matrices over equally many sentences with the same seed share their resamples.

    Returns:
        Totals of shape (samples, types, 3).
    """
    sentences = len(matrix.values)
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS_PER_BLOCK // max(1, sentences))
    sizes = [min(block, samples - start) for start in range(0, samples, block)]
    return np.concatenate(
        [weighted_totals(matrix, draw(sentences, size, generator)) for size in sizes]
    )


def draw(sentences: int, samples: int, generator: np.random.Generator) -> FloatArray:
    """How often each sentence is drawn in each resample, shape (samples, sentences)."""
    if sentences == 0:
        return np.zeros((samples, 0))
    evenly = np.full(sentences, 1 / sentences)
    return generator.multinomial(sentences, evenly, size=samples).astype(np.float64)


def weighted_totals(matrix: CountMatrix, weights: FloatArray) -> FloatArray:
    """Totals of shape (samples, types, 3) with `weights` of shape (samples, sentences)."""
    sentences, types, _ = matrix.values.shape
    flat = matrix.values.reshape(sentences, types * 3).astype(np.float64)
    return (weights @ flat).reshape(len(weights), types, 3)


def interval(values: FloatArray) -> Interval:
    """The percentile interval of a figure's resampled values."""
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return Interval(float(low), float(high))
