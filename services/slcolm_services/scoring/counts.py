"""Counts of right, predicted and true items, and the figures made of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CORRECT, PREDICTED, GOLD = range(3)
"""Meaning of the last axis of every count array."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Prf:
    """Precision, recall and F1 in [0, 1]; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float
    f1_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class MacroPrf:
    """Averages over types, in [0, 1]. Macro F1 has two common forms: both stand here, by name.

    Attributes:
        precision: Mean of the types' precision.
        recall: Mean of the types' recall.
        f1_pr: Harmonic mean of `precision` and `recall`.
        f1_mean: Mean of the types' F1.
        f1_pr_interval: Bootstrap interval of `f1_pr`, where one was asked for.
        f1_mean_interval: Likewise of `f1_mean`.
    """

    precision: float
    recall: float
    f1_pr: float
    f1_mean: float
    f1_pr_interval: Interval | None = None
    f1_mean_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items are right, were predicted, and are true."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def prf(self) -> Prf:
        """Precision, recall and F1 of these counts."""
        precision, recall, f1 = prf_arrays(np.array([self.correct, self.predicted, self.gold]))
        return Prf(float(precision), float(recall), float(f1))


@dataclass(frozen=True, eq=False)
class CountMatrix:
    """Counts by sentence and type.

    Attributes:
        types: Names of the second axis.
        values: Shape (sentences, types, 3); the last axis is correct, predicted, gold.
    """

    types: tuple[str, ...]
    values: IntArray

    def totals(self) -> IntArray:
        """Sums over sentences, shape (types, 3)."""
        return np.asarray(self.values.sum(axis=0))

    def by_type(self) -> dict[str, Counts]:
        """Sums over sentences by type."""
        return {
            name: Counts(*(int(value) for value in row))
            for name, row in zip(self.types, self.totals(), strict=True)
        }

    def with_gold(self) -> CountMatrix:
        """The columns of the types with gold > 0."""
        columns = np.flatnonzero(self.totals()[:, GOLD])
        return CountMatrix(tuple(self.types[column] for column in columns), self.values[:, columns])


def tally(
    gold: Sequence[Iterable[tuple[str, Hashable]]],
    predicted: Sequence[Iterable[tuple[str, Hashable]]],
    types: Sequence[str],
) -> CountMatrix:
    """Count set matches sentence by sentence.

    Args:
        gold: For each sentence its true items, as (type, what else must match).
        predicted: For each sentence its predicted items, in the same order of sentences.
        types: Every type that occurs.

    Returns:
        A matrix over the sentences and `types`. A repeated item counts once.
    """
    column = {name: index for index, name in enumerate(types)}
    values = np.zeros((len(gold), len(types), 3), dtype=np.int64)
    for row, (true_items, found_items) in enumerate(zip(gold, predicted, strict=True)):
        true, found = set(true_items), set(found_items)
        for axis, items in ((CORRECT, true & found), (PREDICTED, found), (GOLD, true)):
            for kind, _ in items:
                values[row, column[kind], axis] += 1
    return CountMatrix(tuple(types), values)


def prf_arrays(counts: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and F1 of counts of shape (..., 3), each of shape (...)."""
    values = np.asarray(counts, dtype=np.float64)
    correct, predicted, gold = values[..., CORRECT], values[..., PREDICTED], values[..., GOLD]
    return (
        _ratio(correct, predicted),
        _ratio(correct, gold),
        _ratio(2 * correct, predicted + gold),
    )


def harmonic_mean(first: FloatArray, second: FloatArray) -> FloatArray:
    """Harmonic mean, 0 where both are 0."""
    return _ratio(2 * first * second, first + second)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    result = np.zeros(np.broadcast(numerator, denominator).shape)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def micro(totals: npt.ArrayLike) -> Prf:
    """Figures of the counts (types, 3) summed over types."""
    precision, recall, f1 = prf_arrays(np.asarray(totals).sum(axis=0))
    return Prf(float(precision), float(recall), float(f1))


def macro_arrays(
    totals: npt.ArrayLike, averaged: npt.NDArray[np.bool_] | None = None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Plain means over types.

    Args:
        totals: Counts of shape (..., types, 3).
        averaged: Which types are averaged, shape (..., types); None: those with gold > 0.

    Returns:
        Precision, recall, F1 of these two, and mean F1, each of shape (...).
    """
    values = np.asarray(totals, dtype=np.float64)
    mask = values[..., GOLD] > 0 if averaged is None else averaged
    number = mask.sum(axis=-1).astype(np.float64)
    precision, recall, f1 = (
        _ratio((figure * mask).sum(axis=-1), number) for figure in prf_arrays(values)
    )
    return precision, recall, harmonic_mean(precision, recall), f1


def macro(totals: npt.ArrayLike, averaged: npt.NDArray[np.bool_] | None = None) -> MacroPrf:
    """Plain means over types of the counts (types, 3); see `macro_arrays`."""
    precision, recall, f1_pr, f1_mean = macro_arrays(totals, averaged)
    return MacroPrf(float(precision), float(recall), float(f1_pr), float(f1_mean))


def total(by_type: Mapping[str, Counts]) -> Counts:
    """Sum over types."""
    return Counts(
        sum(counts.correct for counts in by_type.values()),
        sum(counts.predicted for counts in by_type.values()),
        sum(counts.gold for counts in by_type.values()),
    )


def totals_of(by_type: Mapping[str, Counts]) -> IntArray:
    """Counts as an array of shape (types, 3)."""
    rows = [(counts.correct, counts.predicted, counts.gold) for counts in by_type.values()]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 3)


def weighted(totals: npt.ArrayLike) -> Prf:
    """Means over types of the counts (types, 3), each type weighted by its true items.

    What scikit-learn calls `weighted`; types without a true item count for nothing.
    """
    values = np.asarray(totals, dtype=np.float64)
    shares = _ratio(values[:, GOLD], values[:, GOLD].sum())
    precision, recall, f1 = (float((figure * shares).sum()) for figure in prf_arrays(values))
    return Prf(precision, recall, f1)
