"""SpERT as its paper and its code do it, with the heads of our span model.

Eberts and Ulges (2020), "Span-based Joint Entity and Relation Extraction with Transformer
Pre-training", section 3, and the authors' code (lavis-nlp/spert, spert/models.py): every span up to
a width has a mask over the tokens; the hidden states are repeated for every mask, what lies outside
is pushed to minus infinity, and the maximum is taken over the tokens, so that pooling costs
[spans x tokens x width]. Pairs of the spans that pass the entity classifier are pooled likewise
between their spans, at most 1000 pairs at once. One sentence at a time.

The heads are ours, so that answers can be compared; they are projected at the tokens where that can
be done, as in our model: what is measured is SpERT's way of pooling and no dearer classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu

from slcolm_services.corpus.documents import Document
from slcolm_services.model.decode import (
    SpanPrediction,
    candidate_pairs,
    decode_relations,
    to_document,
)
from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.tokenization import Encoded
from slcolm_services.training.model import SpanModel

_OUTSIDE = -1e30
_PAIRS_AT_ONCE = 1000


@dataclass(frozen=True)
class SpertReference:
    """The original algorithm.

    Attributes:
        model: Its weights; in evaluation mode.
        manifest: Names the classes and calibrates them.
    """

    model: SpanModel
    manifest: ModelManifest

    @torch.inference_mode()
    def extract(self, text: str, encoded: Encoded) -> Document:
        """Entities and relations of one sentence."""
        ids = torch.from_numpy(encoded.ids)[None]
        hidden = self.model.encode(ids, torch.ones_like(ids))[0]
        ranges = np.argwhere(encoded.candidates(self.model.max_span_tokens))
        spans = torch.from_numpy(np.stack([ranges[:, 0], ranges.sum(axis=1) + 1], axis=1))
        pooled = _max_pool(hidden, spans)
        logits = self._classify_spans(hidden, spans, pooled)
        classes = logits.argmax(dim=-1)
        kept = classes.nonzero()[:, 0]
        found = self._entities(logits[kept], spans[kept], classes[kept])
        # All pairs, up to the bound that our decoder has.
        pairs = torch.from_numpy(candidate_pairs(found))
        types = classes[kept]
        scores = self._classify_pairs(hidden, spans[kept], pooled[kept], types, pairs)
        relations = decode_relations(scores.numpy(), pairs.numpy(), self.manifest)
        return to_document("", text, encoded, found, relations)

    def _classify_spans(self, hidden: Tensor, spans: Tensor, pooled: Tensor) -> Tensor:
        model = self.model
        first, end = spans.unbind(dim=1)
        joined = (
            model.entity_first(hidden)[first]
            + model.entity_last(hidden)[end - 1]
            + model.entity_pooled(pooled)
            + model.entity_context(hidden[0])
            + model.entity_width(end - first)
        )
        return model.entity_output(gelu(joined))

    def _entities(self, logits: Tensor, spans: Tensor, classes: Tensor) -> list[SpanPrediction]:
        probs = self.manifest.entity_calibration(logits.numpy())
        return [
            SpanPrediction(first, end, self.manifest.entity_types[kind - 1], float(row[kind]))
            for (first, end), kind, row in zip(spans.tolist(), classes.tolist(), probs, strict=True)
        ]

    def _classify_pairs(
        self, hidden: Tensor, spans: Tensor, pooled: Tensor, types: Tensor, pairs: Tensor
    ) -> Tensor:
        model = self.model
        widths = spans[:, 1] - spans[:, 0]
        as_head = model.relation_head(pooled) + model.head_width(widths) + model.head_type(types)
        as_tail = model.relation_tail(pooled) + model.tail_width(widths) + model.tail_type(types)
        scores = [torch.empty(0, len(self.manifest.relation_types))]
        for part in pairs.split(_PAIRS_AT_ONCE):
            head, tail = spans[part[:, 0]], spans[part[:, 1]]
            between = torch.stack(
                [
                    torch.minimum(head[:, 1], tail[:, 1]),
                    torch.maximum(head[:, 0], tail[:, 0]),
                ],
                dim=1,
            )
            context = model.relation_between(_max_pool(hidden, between))
            joined = as_head[part[:, 0]] + as_tail[part[:, 1]] + context
            scores.append(model.relation_output(gelu(joined)))
        return torch.cat(scores)


def _max_pool(hidden: Tensor, ranges: Tensor) -> Tensor:
    """Maximum of [L, H] over each of [N, 2] token ranges, by repeating and masking; [N, H]."""
    positions = torch.arange(len(hidden))
    inside = (positions >= ranges[:, :1]) & (positions < ranges[:, 1:])
    outside = (~inside).unsqueeze(-1).float() * _OUTSIDE
    pooled = (outside + hidden.unsqueeze(0).repeat(len(ranges), 1, 1)).max(dim=1)[0]
    pooled[~inside.any(dim=-1)] = 0.0
    return pooled
