"""A trained model as the two ONNX graphs of a model folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from slcolm_services.training.model import SpanModel

SPANS_GRAPH, RELATIONS_GRAPH = "spans.onnx", "relations.onnx"

_OPSET = 20
_EXAMPLE_TEXTS, _EXAMPLE_TOKENS = 3, 17
"""Sizes of the example inputs. An axis of size 1 or of equal sizes would be taken for constant."""


class SpansGraph(nn.Module):
    """Ids and mask int64[B,L] -> hidden [B,L,H], span logits [B,L,W,E+1], vector [B,H].

    The vector is the mean of the hidden states over the real tokens, of length 1.
    """

    def __init__(self, model: SpanModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, classify every span, and average."""
        hidden = self.model.encode(input_ids, attention_mask)
        present = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * present).sum(dim=1) / present.sum(dim=1)
        vector = nn.functional.normalize(mean, dim=-1)
        return hidden, self.model.span_logits(hidden), vector


class RelationsGraph(nn.Module):
    """hidden [B,L,H], spans int64[M,3], pairs int64[P,2] -> relation_logits [P,R]."""

    def __init__(self, model: SpanModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, hidden: Tensor, spans: Tensor, pairs: Tensor) -> Tensor:
        """Classify pairs of spans."""
        return self.model.relation_logits(hidden, spans, pairs)


def export_graphs(model: SpanModel, folder: Path) -> None:
    """Write both graphs of a model into a folder.

    Side effect: the model is moved to the CPU and to evaluation mode.
    """
    model = model.cpu().float().eval()
    ids = torch.ones((_EXAMPLE_TEXTS, _EXAMPLE_TOKENS), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[0, _EXAMPLE_TOKENS // 2 :] = 0
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    _export(
        SpansGraph(model),
        (ids, mask),
        folder / SPANS_GRAPH,
        inputs=["input_ids", "attention_mask"],
        outputs=["hidden", "span_logits", "vector"],
        shapes=({0: batch, 1: length}, {0: batch, 1: length}),
    )
    # Long enough for every level of the table of maxima: an empty one would be taken for constant.
    hidden = torch.zeros(_EXAMPLE_TEXTS, 2**model.levels, model.encoder.config.hidden_size)
    spans = torch.tensor([[0, 1, 3], [0, 4, 5], [1, 2, 5], [1, 8, 9], [2, 1, 2]])
    pairs = torch.tensor([[0, 1], [1, 0]])
    _export(
        RelationsGraph(model),
        (hidden, spans, pairs),
        folder / RELATIONS_GRAPH,
        inputs=["hidden", "spans", "pairs"],
        outputs=["relation_logits"],
        shapes=(
            {0: batch, 1: length},
            {0: torch.export.Dim("spans")},
            {0: torch.export.Dim("pairs")},
        ),
    )


def _export(
    graph: nn.Module,
    arguments: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: list[str],
    outputs: list[str],
    shapes: tuple[dict[int, torch.export.Dim], ...],
) -> None:
    with _quiet():
        program = torch.onnx.export(
            graph.eval(),
            arguments,
            dynamo=True,
            opset_version=_OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101  the exporter returns nothing only when given a path
    program.save(str(path), external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's words about itself back; what it makes is checked by numbers later."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    registry.addFilter(_is_of_use)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registry.removeFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    # At each export it misses the operators of torchvision, which no text model has.
    return "torchvision is not installed" not in record.getMessage()
