"""Whether the exported graphs compute what the torch model computes.

Exporters bake sizes in without a word when an example input suggests it. So both graphs are run at
batch sizes and lengths far from the example's, up to the longest text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from slcolm_services.errors import ModelInvalid
from slcolm_services.training.export import RELATIONS_GRAPH, SPANS_GRAPH, SpansGraph
from slcolm_services.training.model import SpanModel

TOLERANCE = 1e-3
"""Largest difference of any output that is let through; sound exports stay below 1e-4."""


@dataclass(frozen=True)
class ParityReport:
    """What was compared.

    Attributes:
        shapes: Texts and tokens of each comparison.
        max_difference: Largest absolute difference of any output.
        tolerance: Largest that is let through.
    """

    shapes: tuple[tuple[int, int], ...]
    max_difference: float
    tolerance: float = TOLERANCE

    def as_dict(self) -> dict[str, object]:
        """As JSON takes it."""
        return asdict(self)


def check_parity(
    model: SpanModel, folder: Path, *, max_tokens: int, vocabulary: int
) -> ParityReport:
    """Compare the graphs in a folder with the model that they were made of.

    Args:
        model: On the CPU.
        folder: Holds both graphs.
        max_tokens: Longest text.
        vocabulary: Number of token ids.

    Raises:
        ModelInvalid: An output differs by more than the tolerance.
    """
    sizes = ((1, 2), (1, max_tokens), (2, 64), (5, 7), (9, max_tokens - 1))
    shapes = tuple((texts, min(tokens, max_tokens)) for texts, tokens in sizes)
    spans_session, relations_session = (
        onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        for name in (SPANS_GRAPH, RELATIONS_GRAPH)
    )
    model.eval()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for texts, tokens in shapes:
        ids, mask = _texts(texts, tokens, vocabulary, generator)
        spans, pairs = _spans(mask, model.max_span_tokens, generator)
        with torch.inference_mode():
            expected = SpansGraph(model)(ids, mask)
            expected_relations = model.relation_logits(expected[0], spans, pairs)
        found = spans_session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        found_relations = relations_session.run(
            None, {"hidden": expected[0].numpy(), "spans": spans.numpy(), "pairs": pairs.numpy()}
        )
        everywhere = np.ones((), np.bool_)
        masks = (*_inside(mask, model.max_span_tokens), everywhere, everywhere)
        for want, got, inside in zip(
            (*expected, expected_relations), (*found, *found_relations), masks, strict=True
        ):
            if want.shape != got.shape:
                raise ModelInvalid(
                    f"the exported graph gives shape {got.shape} for {texts} texts of {tokens} "
                    f"tokens, the model {tuple(want.shape)}"
                )
            # Not a number is a difference too, if it stands inside.
            outside = np.broadcast_to(~inside, got.shape)
            difference = np.ma.masked_array(np.abs(want.numpy() - got), outside).compressed()
            worst = max(worst, float(difference.max(initial=0.0)))
    if not worst <= TOLERANCE:
        raise ModelInvalid(
            f"the exported graphs differ from the model by {worst:.2e}, more than {TOLERANCE:.0e}",
            metadata={"max_difference": f"{worst:.3e}"},
        )
    return ParityReport(shapes, worst)


def _texts(
    texts: int, tokens: int, vocabulary: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random token ids and a mask, the first text full, the others of random lengths."""
    ids = torch.randint(0, vocabulary, (texts, tokens), generator=generator)
    lengths = torch.randint(min(3, tokens), tokens + 1, (texts,), generator=generator)
    lengths[0] = tokens
    return ids, (torch.arange(tokens)[None, :] < lengths[:, None]).to(torch.int64)


def _inside(mask: Tensor, max_span_tokens: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tokens, bool[B,L,1], and which spans, bool[B,L,W,1], are of the text.

    Where padding attends to nothing but padding, as in ModernBERT's windows, runtimes differ in
    what they make of it, and nobody reads it.
    """
    present = mask.bool().numpy()
    last = np.arange(present.shape[1])[:, None] + np.arange(max_span_tokens)[None, :]
    lengths = present.sum(axis=1)[:, None, None]
    return present[..., None], (last[None] < lengths)[..., None]


def _spans(mask: Tensor, max_span_tokens: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Six random spans inside each text, and every ordered pair of two spans of a text."""
    lengths = mask.sum(dim=1).repeat_interleave(6)
    text = torch.arange(len(mask)).repeat_interleave(6)
    first = (torch.rand(len(text), generator=generator) * lengths).to(torch.int64)
    size = torch.randint(1, max_span_tokens + 1, (len(text),), generator=generator)
    end = torch.minimum(first + size, lengths)
    same = (text[:, None] == text[None, :]) & ~torch.eye(len(text), dtype=torch.bool)
    return torch.stack([text, first, end], dim=1), same.nonzero()
