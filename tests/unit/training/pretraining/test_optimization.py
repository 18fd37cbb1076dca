"""Steps: what Muon does to a matrix, and what bfloat16 changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from slcolm_services.errors import ConfigInvalid
from slcolm_services.training.pretraining.masking import Masked, mask
from slcolm_services.training.pretraining.muon import Muon, orthogonal
from slcolm_services.training.pretraining.objective import MaskedCharacters
from slcolm_services.training.pretraining.optimization import Optimization
from slcolm_services.training.pretraining.options import Budget, Recipe

_WORDS = 30


@pytest.mark.parametrize("shape", [(32, 32), (16, 80), (80, 16)])
def test_orthogonal_brings_all_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


def test_muon_moves_convolutions_as_the_matrices_that_they_are() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 4, 3))
    weight.grad = torch.randn(8, 4, 3, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.5).step()
    values = torch.linalg.svdvals(weight.detach().flatten(1) / 0.5)
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


def _batches(count: int) -> list[Masked]:
    rng = np.random.default_rng(0)
    blocks = rng.integers(4, _WORDS, size=(4, 16)).astype(np.uint16)
    return [mask(blocks, 0.3, _WORDS, rng) for _ in range(count)]


def _optimization(recipe: Recipe) -> Optimization:
    torch.manual_seed(0)
    return Optimization(MaskedCharacters(recipe, _WORDS), recipe)


def test_bfloat16_follows_float32(recipe: Recipe) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        optimization = _optimization(replace(recipe, precision=precision))
        losses[precision] = [optimization.step(_batches(2), 1.0) for _ in range(20)]
        assert all(p.dtype == torch.float32 for p in optimization.model.parameters())
    assert losses["fp32"][-1] < losses["fp32"][0] - 0.5
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.05, atol=0.02)


def test_a_step_of_micro_batches_is_one_step_of_all(recipe: Recipe) -> None:
    exact = replace(recipe, precision="fp32")
    one, other = _optimization(exact), _optimization(exact)
    batch = _batches(1)[0]
    one.step([batch], 1.0)
    other.step([batch, batch, batch], 1.0)
    for left, right in zip(one.model.parameters(), other.model.parameters(), strict=True):
        # Muon makes its matrices orthogonal in bfloat16.
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-3)


def test_validation_changes_nothing(recipe: Recipe) -> None:
    optimization = _optimization(recipe)
    before = [p.clone() for p in optimization.model.parameters()]
    assert optimization.loss(_batches(1)) == optimization.loss(_batches(1))
    assert all(map(torch.equal, before, optimization.model.parameters()))


def test_the_learning_rate_rises_stays_and_has_fallen_at_the_end_of_the_budget() -> None:
    budget = Budget(tokens=1000, decay_share=0.4)
    factors = [budget.factor(tokens, 0.0, 100) for tokens in range(0, 1001, 50)]
    assert factors[0] < 0.02
    assert factors[2:13] == [1.0] * 11
    assert factors[12:] == pytest.approx([1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0])


def test_of_two_limits_the_nearer_one_counts() -> None:
    budget = Budget(tokens=1000, seconds=10.0)
    assert budget.spent(500, 1.0) == 0.5
    assert budget.spent(100, 9.0) == 0.9


@pytest.mark.parametrize("limits", [{}, {"tokens": 0}, {"tokens": 5, "seconds": -1.0}])
def test_a_run_needs_an_end(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigInvalid, match="end"):
        Budget(**limits)


def test_everything_that_is_wrong_with_a_recipe_is_named() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        Recipe(layers=0, hidden_size=100, batch_tokens=1000, activation="tanh")
    assert [item.field for item in caught.value.violations] == [
        "layers",
        "hidden_size",
        "activation",
        "batch_tokens",
    ]
