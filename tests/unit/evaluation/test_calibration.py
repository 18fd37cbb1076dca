"""Calibration keeps the order of probabilities, stays within [0, 1], and helps or stands back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slcolm_services.errors import DataInvalid
from slcolm_services.evaluation.calibration import (
    MIN_TRIPLES,
    Calibration,
    fit_calibration,
    log_losses,
    logit,
    sigmoid,
)
from slcolm_services.scoring.counts import FloatArray, IntArray

knots = st.lists(st.floats(0, 1), min_size=1, max_size=6).map(sorted)
isotonic = st.tuples(knots, st.data()).map(
    lambda drawn: Calibration(
        "isotonic",
        from_probabilities=tuple(drawn[0]),
        to_probabilities=tuple(
            sorted(drawn[1].draw(st.floats(0, 1)) for _ in range(len(drawn[0])))
        ),
    )
)
calibrations = st.one_of(
    st.just(Calibration()),
    st.builds(Calibration, method=st.just("temperature"), temperature=st.floats(0.05, 20)),
    isotonic,
)


def drawn(
    true: FloatArray, seed: int = 3
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], IntArray]:
    """Triples that are right with the given probability, three to a sentence."""
    right = np.random.default_rng(seed).random(len(true)) < true
    return right, np.arange(len(true)) // 3


@given(calibrations, st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_every_map_keeps_the_order_and_stays_within_0_and_1(
    calibration: Calibration, probabilities: list[float]
) -> None:
    found = calibration.apply(np.sort(np.array(probabilities)))
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(np.diff(found) >= -1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 200))
def test_whatever_is_fitted_is_such_a_map_and_is_the_same_again(seed: int, size: int) -> None:
    probabilities = np.random.default_rng(seed).random(size).round(2)
    right, sentence = drawn(probabilities**2, seed)
    calibration = fit_calibration(probabilities, right, sentence)
    found = calibration.apply(np.linspace(0, 1, 50))
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(np.diff(found) >= 0)
    assert calibration == fit_calibration(probabilities, right, sentence)


def test_probabilities_that_mean_what_they_say_are_left_alone() -> None:
    probabilities = np.random.default_rng(1).random(2000)
    assert fit_calibration(probabilities, *drawn(probabilities)).method == "none"


def test_overconfidence_is_a_temperature() -> None:
    true = np.random.default_rng(1).random(3000)
    calibration = fit_calibration(sigmoid(3 * logit(true)), *drawn(true))
    assert calibration.method == "temperature"
    assert calibration.temperature == pytest.approx(3, rel=0.15)


def test_another_shape_is_isotonic() -> None:
    probabilities = np.random.default_rng(1).random(3000)
    true = np.where(probabilities > 0.5, 0.95, 0.6)
    calibration = fit_calibration(probabilities, *drawn(true))
    assert calibration.method == "isotonic"
    assert calibration.apply(np.array([0.2, 0.9])) == pytest.approx([0.6, 0.95], abs=0.04)


def test_the_chosen_map_loses_less_on_triples_it_has_not_seen() -> None:
    true = np.random.default_rng(1).random(3000)
    said = sigmoid(4 * logit(true))
    calibration = fit_calibration(said, *drawn(true))
    unseen, _ = drawn(true, seed=9)
    before, after = (log_losses(p, unseen).mean() for p in (said, calibration.apply(said)))
    assert after < before


def test_isotonic_ends_are_never_certain() -> None:
    probabilities = np.linspace(0, 1, 300)
    calibration = fit_calibration(probabilities, probabilities > 0.5, np.arange(300))
    ends = calibration.apply(np.array([0.0, 1.0]))
    assert 0 < ends[0] < ends[1] < 1


def test_too_few_triples_or_none_wrong_teach_nothing() -> None:
    few = np.full(MIN_TRIPLES - 1, 0.99)
    assert fit_calibration(few, *drawn(np.full(len(few), 0.5))) == Calibration()
    many = np.full(500, 0.99)
    assert fit_calibration(many, np.ones(500, dtype=np.bool_), np.arange(500)) == Calibration()


def test_what_has_no_probability_teaches_nothing_and_gets_none() -> None:
    true = np.random.default_rng(1).random(600)
    right, sentence = drawn(true)
    said = sigmoid(3 * logit(true))
    with_gaps = np.concatenate([said, np.full(9, np.nan)])
    calibration = fit_calibration(
        with_gaps,
        np.concatenate([right, np.ones(9, dtype=np.bool_)]),
        np.concatenate([sentence, sentence[:9]]),
    )
    assert calibration == fit_calibration(said, right, sentence)
    assert np.isnan(calibration.apply(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"method": "platt"}, "method"),
        ({"method": "temperature", "temperature": 0.0}, "temperature"),
        ({"method": "temperature", "temperature": float("nan")}, "temperature"),
        ({"method": "isotonic"}, "from_probabilities"),
        (
            {"method": "isotonic", "from_probabilities": (0.1,), "to_probabilities": ()},
            "to_probabilities",
        ),
        (
            {
                "method": "isotonic",
                "from_probabilities": (0.1, 0.2),
                "to_probabilities": (0.9, 0.2),
            },
            "to_probabilities",
        ),
        (
            {
                "method": "isotonic",
                "from_probabilities": (0.1, 1.2),
                "to_probabilities": (0.1, 0.2),
            },
            "from_probabilities",
        ),
    ],
)
def test_a_map_that_means_nothing_is_refused(values: dict[str, object], field: str) -> None:
    with pytest.raises(DataInvalid) as caught:
        Calibration(**values)  # type: ignore[arg-type]
    assert field in [violation.field for violation in caught.value.violations]
