"""Fitted calibration maps find the truth that the data were drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from slcolm_services.model.calibration import PlattScaling, TemperatureScaling, sigmoid
from slcolm_services.training.calibration import (
    expected_calibration_error,
    fit_platt,
    fit_temperature,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (20_000, 5)).astype(np.float32)
    probs = TemperatureScaling(temperature)(logits)
    classes = (probs.cumsum(axis=1) < rng.random((len(probs), 1))).sum(axis=1)
    assert fit_temperature(logits, classes).temperature == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.4, -0.8), (2.0, 1.0)])
def test_slope_and_intercept_are_found(slope: float, intercept: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000).astype(np.float32)
    right = rng.random(len(logits)) < sigmoid(slope * logits.astype(np.float64) + intercept)
    found = fit_platt(logits, right)
    assert found.slope == pytest.approx(slope, abs=0.08)
    assert found.intercept == pytest.approx(intercept, abs=0.08)
    before = expected_calibration_error(PlattScaling()(logits), right)
    after = expected_calibration_error(found(logits), right)
    assert after <= max(before, 0.02)


def test_separable_items_give_no_certainty() -> None:
    logits = np.linspace(-3, 3, 40).astype(np.float32)
    probs = fit_platt(logits, logits > 0)(logits)
    assert probs.min() > 0.0
    assert probs.max() < 1.0


def test_a_reversed_order_is_never_learned() -> None:
    logits = np.linspace(-3, 3, 40).astype(np.float32)
    found = fit_platt(logits, logits < 0)
    assert found.slope > 0
    assert found(logits).mean() == pytest.approx(0.5, abs=0.05)


def test_calibration_error_is_the_gap_between_saying_and_being_right() -> None:
    probs = np.array([0.95] * 10 + [0.15] * 10)
    right = np.array([True] * 5 + [False] * 15)
    assert expected_calibration_error(probs, right) == pytest.approx((0.45 + 0.15) / 2)
    assert expected_calibration_error(np.zeros(0), np.zeros(0, bool)) == 0.0
