"""Bootstrap intervals against an independent implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from slcolm_services.scoring import bootstrap
from slcolm_services.scoring.bootstrap import (
    Figure,
    interval,
    macro_f1_mean,
    macro_f1_pr,
    micro_f1,
    resample,
)
from slcolm_services.scoring.counts import CountMatrix

SAMPLES = 4000


def matrix(sentences: int = 60, types: int = 4) -> CountMatrix:
    """Counts as a system with about two thirds of its answers right has them."""
    draw = np.random.default_rng(7)
    gold = draw.poisson(1.5, (sentences, types))
    correct = draw.binomial(gold, 0.65)
    predicted = correct + draw.poisson(0.6, (sentences, types))
    values = np.stack([correct, predicted, gold], axis=-1).astype(np.int64)
    return CountMatrix(tuple("abcd"[:types]), values)


@pytest.mark.parametrize("figure", [micro_f1, macro_f1_pr, macro_f1_mean])
def test_the_interval_is_that_of_scipy(figure: Figure) -> None:
    counts = matrix()

    def statistic(index: Any, axis: int) -> Any:
        assert axis == -1
        return figure(counts.values[index].sum(axis=-3).astype(np.float64))

    theirs = stats.bootstrap(
        (np.arange(len(counts.values)),),
        statistic,
        n_resamples=SAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(1),
    ).confidence_interval
    ours = interval(figure(resample(counts, SAMPLES, seed=2)))
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.08 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.08 * width)


def test_a_resample_holds_as_many_sentences_as_there_are() -> None:
    ones = CountMatrix(("a",), np.ones((7, 1, 3), dtype=np.int64))
    assert (resample(ones, 20, seed=0) == 7).all()


def test_equal_seeds_draw_the_same_sentences_for_two_systems() -> None:
    counts = matrix()
    doubled = CountMatrix(counts.types, counts.values * 2)
    assert (resample(doubled, 30, seed=3) == 2 * resample(counts, 30, seed=3)).all()


def test_blocks_do_not_change_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = matrix()
    monkeypatch.setattr(bootstrap, "_CELLS_PER_BLOCK", 7 * len(counts.values))
    assert resample(counts, 50, seed=4).shape == (50, 4, 3)


def test_no_sentences_give_zeros() -> None:
    empty = CountMatrix(("a",), np.zeros((0, 1, 3), dtype=np.int64))
    assert resample(empty, 5, seed=0).sum() == 0
