"""What the results of an experiment say: means over seeds, and differences that can be told.

Two conditions differ by the difference of their mean F1 over the same seeds. Two tests tell
whether that is more than chance, each of something else: a paired t-test over the seeds (would
other seeds say the same?), and a paired bootstrap over the test sentences (would other sentences?;
Berg-Kirkpatrick et al. 2012). With three seeds the first has little power.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from slcolm_services.scoring.bootstrap import interval, micro_f1, resample
from slcolm_services.scoring.counts import CountMatrix, FloatArray, macro, micro
from slcolm_services.training.experiments.cells import (
    GROUPS,
    groups,
    schedule_conditions,
)
from slcolm_services.training.experiments.config import Experiment
from slcolm_services.training.experiments.results import KINDS, Result
from slcolm_services.training.experiments.runner import Results

_RESAMPLES = 1000
_SEED = 0


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds (n - 1; 0 for one seed), in [0, 1]."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Row:
    """One condition on test.

    Attributes:
        precision: Micro.
        recall: Micro.
        f1: Micro.
        macro_f1: Mean of the types' F1.
        epoch: Median of the epochs that count.
    """

    precision: Spread
    recall: Spread
    f1: Spread
    macro_f1: Spread
    epoch: float


@dataclass(frozen=True)
class Difference:
    """Micro F1 of a condition less that of another one, over the seeds that both have.

    Attributes:
        mean: Of the differences, in [-1, 1].
        low: Of the 95 % bootstrap interval over sentences.
        high: Likewise.
        p_seeds: Of the paired t-test over seeds, two-sided; None with fewer than two seeds, or
            where all differences are equal.
        macro: Mean difference of macro F1.
    """

    mean: float
    low: float
    high: float
    p_seeds: float | None
    macro: float


def row(results: Mapping[int, Result], kind: str) -> Row:
    """Figures of a condition."""
    totals = [result.counts[kind].totals() for _, result in sorted(results.items())]
    micros = [micro(total) for total in totals]
    return Row(
        _spread([figures.precision for figures in micros]),
        _spread([figures.recall for figures in micros]),
        _spread([figures.f1 for figures in micros]),
        _spread([macro(total).f1_mean for total in totals]),
        statistics.median(result.outcome.epoch for result in results.values()),
    )


def difference(
    results: Mapping[int, Result], others: Mapping[int, Result], kind: str
) -> Difference:
    """How far a condition is from another one."""
    seeds = sorted(results.keys() & others.keys())
    ours = [results[seed].counts[kind] for seed in seeds]
    theirs = [others[seed].counts[kind] for seed in seeds]
    mine, other = (
        [micro(counts.totals()).f1 for counts in matrices] for matrices in (ours, theirs)
    )
    resampled = _resampled_f1(ours) - _resampled_f1(theirs)
    bounds = interval(resampled)
    gaps = [one - two for one, two in zip(mine, other, strict=True)]
    p_seeds = None
    if len(set(gaps)) > 1:
        p_seeds = float(stats.ttest_rel(mine, other).pvalue)
    macros = [
        macro(one.totals()).f1_mean - macro(two.totals()).f1_mean
        for one, two in zip(ours, theirs, strict=True)
    ]
    return Difference(
        statistics.fmean(gaps), bounds.low, bounds.high, p_seeds, statistics.fmean(macros)
    )


def summarize(experiment: Experiment, results: Results) -> dict[str, Any]:
    """Everything the experiment shows, as JSON takes it.

    Returns:
        By kind (`entities`, and `relations` where there are any) `groups` and `schedules`: lists of
        rows with their figures, and `against`: the difference to group A, of schedules also to
        group D. A condition without a result is left out.
    """
    named = groups(experiment)
    base = results.get(named["A"], {})
    mixed = results.get(named["D"], {})
    kinds = {kind for found in results.values() for one in found.values() for kind in one.counts}
    return {
        kind: {
            "groups": [
                {"group": name, "data": GROUPS[name]}
                | _line(results[condition], {"A": base} if name != "A" else {}, kind)
                for name, condition in named.items()
                if results.get(condition)
            ],
            "schedules": [
                {"schedule": str(condition.schedule), "rate_course": condition.rate_course}
                | _line(results[condition], {"A": base, "D": mixed}, kind)
                for condition in schedule_conditions(experiment)
                if results.get(condition)
            ],
        }
        for kind in KINDS
        if kind in kinds
    }


def _line(
    results: Mapping[int, Result], others: Mapping[str, Mapping[int, Result]], kind: str
) -> dict[str, Any]:
    against = {
        name: asdict(difference(results, found, kind))
        for name, found in others.items()
        if results.keys() & found.keys()
    }
    return {"seeds": sorted(results), **asdict(row(results, kind)), "against": against}


def _spread(values: Sequence[float]) -> Spread:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(statistics.fmean(values), deviation)


def _resampled_f1(matrices: Sequence[CountMatrix]) -> FloatArray:
    """Mean micro F1 over seeds in each resample of sentences."""
    resampled = [micro_f1(resample(matrix, _RESAMPLES, _SEED)) for matrix in matrices]
    return np.asarray(np.mean(resampled, axis=0))
