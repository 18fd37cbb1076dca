"""Steps in bfloat16 on weights that are kept in float32.

A bfloat16 copy of the model computes losses and gradients; the gradients are summed up and the
weights moved in float32. Unlike autocast, nothing is cast inside of the model, and what passes
between its parts is half as large: on CPUs, where most of the time goes into memory, that is worth
as much as the faster matrix products.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from slcolm_services.training.pretraining.masking import Masked
from slcolm_services.training.pretraining.muon import Muon
from slcolm_services.training.pretraining.objective import MaskedCharacters
from slcolm_services.training.pretraining.options import Recipe

_LARGEST_GRADIENT = 1.0


class Optimization:
    """A model with its optimizers.

    Args:
        model: In float32, on its device; changed in place.
        recipe: Of the run.
    """

    def __init__(self, model: MaskedCharacters, recipe: Recipe) -> None:
        self.model = model
        self._recipe = recipe
        self._device = next(model.parameters()).device
        low = recipe.precision == "bf16"
        self._worker = copy.deepcopy(model).bfloat16() if low else model
        blocks = {id(p) for p in model.encoder.blocks.parameters() if p.ndim > 1}
        matrices = [p for p in model.parameters() if id(p) in blocks]
        others = [p for p in model.parameters() if id(p) not in blocks]
        muon = Muon(matrices, lr=recipe.matrix_learning_rate, weight_decay=recipe.weight_decay)
        adam = torch.optim.AdamW(
            others, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {"muon": muon, "adam": adam}
        self._peaks = {"muon": recipe.matrix_learning_rate, "adam": recipe.learning_rate}

    def step(self, batches: list[Masked], factor: float) -> float:
        """Move the weights by the mean gradient of micro-batches; returns their mean loss.

        Args:
            batches: Of equal sizes.
            factor: Of the peak learning rates.
        """
        self._refresh()
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        total = 0.0
        for batch in batches:
            loss = self._loss(batch)
            (loss / len(batches)).backward()  # type: ignore[no-untyped-call,unused-ignore]
            total += float(loss.detach())
            self._collect()
        nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_GRADIENT)
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._peaks[name] * factor
            optimizer.step()
        return total / len(batches)

    @torch.no_grad()
    def loss(self, batches: list[Masked]) -> float:
        """Mean loss with the weights as they are; changes nothing."""
        self._refresh()
        return sum(float(self._loss(batch)) for batch in batches) / len(batches)

    def _loss(self, batch: Masked) -> torch.Tensor:
        tensors = (batch.inputs, batch.places, batch.labels)
        found = self._worker(*(torch.from_numpy(part).to(self._device) for part in tensors))
        assert isinstance(found, torch.Tensor)  # noqa: S101  the module has no types
        return found

    @torch.no_grad()
    def _refresh(self) -> None:
        if self._worker is not self.model:
            for low, high in zip(self._worker.parameters(), self.model.parameters(), strict=True):
                low.copy_(high)

    @torch.no_grad()
    def _collect(self) -> None:
        """Add the gradients of the bfloat16 copy to those of the weights."""
        if self._worker is not self.model:
            for low, high in zip(self._worker.parameters(), self.model.parameters(), strict=True):
                if low.grad is not None and high.grad is not None:
                    high.grad.add_(low.grad)
                low.grad = None
