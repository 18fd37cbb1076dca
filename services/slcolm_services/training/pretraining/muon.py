"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024).

Every direction of a weight matrix moves as far as any other, where AdamW follows the few that
dominate the gradient. For the matrices inside of a network only; embeddings, norms and biases are
AdamW's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration; they pull singular values into about [0.7, 1.2] in five steps."""
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum.

    Args:
        parameters: Matrices; of more dimensions all after the first are taken as one.
        lr: Learning rate.
        momentum: Of the gradients.
        weight_decay: Times the learning rate.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(list(parameters), defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient, momentum = parameter.grad, state["momentum"]
        assert gradient is not None  # noqa: S101  `step` looked
        momentum.lerp_(gradient, 1 - group["momentum"])
        direction = orthogonal(gradient.lerp(momentum, group["momentum"]).flatten(1))
        rows, columns = direction.shape
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        scale = max(1.0, rows / columns) ** 0.5
        parameter.add_(direction.view_as(parameter), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all about 1, by Newton-Schulz iteration."""
    first, second, third = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    found = (matrix.T if tall else matrix).bfloat16()
    found = found / (found.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = found @ found.T
        found = first * found + (second * gram + third * gram @ gram) @ found
    return cast(Tensor, (found.T if tall else found).to(matrix.dtype))
