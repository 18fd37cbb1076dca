"""The bound: what the matrix products of a model take at the best rate measured here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import torch
from spert.models import BenchmarkModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slcolm_services.training.dev import predict
from slcolm_services.training.examples import Example

_ROWS = 512
_SECONDS = 1.0


def operations_per_text(built: BenchmarkModel, examples: list[Example]) -> float:
    """Floating-point operations of all matrix products and convolutions, without padding."""
    with FlopCounterMode(display=False) as counter:
        for example in examples:
            predict(built.model, [example], built.manifest, pad_id=built.tokenizer.pad_id)
    return counter.get_total_flops() / len(examples)


def gemm_rate(model: nn.Module, dtype: torch.dtype) -> float:
    """Operations a second on products of the model's own shapes, weighted as the model uses them.

    The better of torch (oneDNN) and, in float32, numpy (OpenBLAS), on every core.
    """
    shapes = Counter(
        (layer.in_features, layer.out_features)
        for layer in model.modules()
        if isinstance(layer, nn.Linear) and layer.out_features >= layer.in_features // 8
    )
    work = {shape: 2.0 * _ROWS * shape[0] * shape[1] for shape in shapes}
    total = sum(work[shape] * count for shape, count in shapes.items())
    seconds = sum(work[s] * count / _best_rate(*s, work[s], dtype) for s, count in shapes.items())
    return total / seconds


def _best_rate(inputs: int, outputs: int, work: float, dtype: torch.dtype) -> float:
    left = torch.randn(_ROWS, inputs).to(dtype)
    weight = torch.randn(outputs, inputs).to(dtype)
    with torch.inference_mode():
        rates = [_rate(lambda: nn.functional.linear(left, weight), work)]
        if dtype == torch.float32:
            left_array, right_array = left.numpy(), weight.numpy().T.copy()
            rates.append(_rate(lambda: left_array @ right_array, work))
    return max(rates)


def _rate(multiply: Callable[[], object], work: float) -> float:
    """Operations a second of the fastest of many short runs, as others use the machine too."""
    multiply()
    times = []
    until = time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    return work / min(times)
