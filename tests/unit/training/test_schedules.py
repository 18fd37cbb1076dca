"""Blending schedules: the formulas of arXiv 2402.09282, and what holds of all of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.cli.schedules import schedules
from slcolm_services.errors import ConfigInvalid
from slcolm_services.training.epochs import blended_sizes
from slcolm_services.training.schedules import Schedule, Weights, usual_schedules

EPOCHS = 20


def w0(text: str, epochs: int = EPOCHS) -> list[float]:
    return [weights.distilled for weights in Schedule.parse(text).course(epochs)]


def test_each_schedule_is_its_formula() -> None:
    places = [epoch / (EPOCHS - 1) for epoch in range(EPOCHS)]
    assert w0("simple-mix") == [1.0] * 10 + [0.0] * 10
    assert w0("simple-mix", 5) == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert w0("cosine") == pytest.approx([0.5 * (1 + math.cos(math.pi * x)) for x in places])
    for k in (2, 4, 8, 16, 32):
        expected = [1 - 1 / (1 + math.exp(-k * (x - 0.5))) for x in places]
        assert w0(f"sigmoid:{k}") == pytest.approx(expected)
    for n in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        assert w0(f"power:{n}") == pytest.approx([1 - x**n for x in places])
    assert w0("all") == w0("distilled") == [1.0] * EPOCHS
    assert w0("original") == [0.0] * EPOCHS
    assert all(weights.original == 1.0 for weights in Schedule("all").course(EPOCHS))


@given(st.sampled_from(usual_schedules()), st.integers(1, 60))
def test_shares_are_shares_that_never_rise_and_add_up_to_one(
    schedule: Schedule, epochs: int
) -> None:
    course = schedule.course(epochs)
    assert len(course) == epochs
    for weights in course:
        assert 0.0 <= weights.distilled <= 1.0
        if schedule.name != "all":
            assert weights.distilled + weights.original == pytest.approx(1.0)
    shares = [weights.distilled for weights in course]
    assert shares == sorted(shares, reverse=True)


@given(st.sampled_from(usual_schedules()))
def test_a_schedule_is_read_as_it_is_written(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    "text", ["", "linear", "cosine:2", "sigmoid", "sigmoid:0", "sigmoid:nan", "power:x", "power:-1"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid):
        Schedule.parse(text)


@given(st.floats(0, 1), st.integers(1, 500), st.integers(1, 500))
def test_an_epoch_draws_the_shares_and_never_nothing(
    share: float, distilled: int, original: int
) -> None:
    drawn = blended_sizes(Weights(share, 1 - share), distilled, original)
    assert sum(drawn) >= 1
    assert drawn[0] == pytest.approx(share * distilled, abs=1)
    assert drawn[1] == pytest.approx((1 - share) * original, abs=1)


def test_what_is_not_there_is_not_drawn() -> None:
    """As where every annotated sentence is too long for a model."""
    assert blended_sizes(Weights(1.0, 0.0), 0, 5) == (0, 1)
    assert blended_sizes(Weights(0.0, 1.0), 5, 0) == (1, 0)


def test_show_prints_both_shares_as_json() -> None:
    result = CliRunner().invoke(schedules, ["show", "power", "--n", "2", "--epochs", "5", "--json"])
    assert json.loads(result.stdout) == {
        "w0": [1.0, 0.9375, 0.75, 0.4375, 0.0],
        "w1": [0.0, 0.0625, 0.25, 0.5625, 1.0],
    }


@pytest.mark.parametrize(
    "arguments",
    [["show", "cosine", "--k", "3"], ["show", "sigmoid"], ["show", "power", "--k", "2"]],
)
def test_a_parameter_that_is_missing_or_not_its_own_is_named(arguments: list[str]) -> None:
    error = CliRunner().invoke(schedules, arguments).exception
    assert isinstance(error, ConfigInvalid)
    assert error.violations


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_plot_is_the_same_picture_every_time(tmp_path: Path, ending: str) -> None:
    pictures = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.{ending}"
        result = CliRunner().invoke(schedules, ["plot", "cosine", "sigmoid:8", "--out", str(path)])
        assert result.exception is None
        pictures.append(path.read_bytes())
    assert len(pictures[0]) > 1000
    if ending != "pdf":
        assert pictures[0] == pictures[1]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
