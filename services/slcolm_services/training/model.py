"""The joint span model: entities over spans, relations over pairs of spans.

Eberts and Ulges (2020), "Span-based Joint Entity and Relation Extraction with Transformer
Pre-training" (SpERT), sections 3.1 to 3.3: max-pooled spans with a width embedding and the [CLS]
context, relations from both spans and the max-pooled context between them.

SpERT pools with a [spans x length] mask. Here every maximum over a range is read off a sparse
table (Bender and Farach-Colton 2000, "The LCA problem revisited", section 3): two overlapping
ranges of a power of two cover any range, so pooling costs two look-ups a span at any length, and
the graph holds no control flow that depends on the data.

Letters in shapes: B texts, L tokens, W widths, H hidden size, K levels, M spans, P pairs.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class RangeMax:
    """Maximum over any token range of any text of a batch, from a table of doubling ranges.

    Args:
        hidden: float[B,L,H].
        levels: K; ranges of up to 2**K - 1 tokens can be asked for.
    """

    def __init__(self, hidden: Tensor, levels: int) -> None:
        batch, length, width = hidden.shape
        tables = [hidden]
        positions = torch.arange(length, device=hidden.device)
        for level in range(1, levels):
            # Past the end the last entry is repeated: no range that lies inside the text reads it.
            shifted = (positions + 2 ** (level - 1)).clamp(max=length - 1)
            tables.append(torch.maximum(tables[-1], tables[-1].index_select(1, shifted)))
        self._length = length
        self._levels = levels
        # [B,K,L,H] as rows, so that one gather serves every text and level at once.
        self._rows = torch.stack(tables, dim=1).reshape(batch * levels * length, width)

    def __call__(self, text: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Maximum over [start, end) of each asked range; empty ranges give zeros.

        Args:
            text: int64[N], index of the text in the batch.
            start: int64[N], first token.
            end: int64[N], one past the last token.

        Returns:
            float[N,H].
        """
        size = end - start
        level = torch.zeros_like(size)
        for power in range(1, self._levels):
            level = level + (size >= 2**power).to(size.dtype)
        last = self._length - 1
        row = (text * self._levels + level) * self._length
        first = self._rows[row + start.clamp(min=0, max=last)]
        second = self._rows[row + (end - 2**level).clamp(min=0, max=last)]
        return torch.where((size > 0).unsqueeze(-1), torch.maximum(first, second), 0.0)


class SpanModel(nn.Module):
    """Encoder with an entity head over spans and a relation head over pairs of spans.

    Args:
        encoder: Any module that gives `last_hidden_state` float[B,L,H].
        entity_types: Number of types E; class 0 of the entity logits is "no entity".
        relation_types: Number of types R.
        max_span_tokens: W, the longest span that can be an entity.
        max_tokens: The longest text.
        width_size: Size of the width embedding.
        dropout: On the inputs of both heads.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        *,
        entity_types: int,
        relation_types: int,
        max_span_tokens: int,
        max_tokens: int,
        width_size: int = 25,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        hidden = encoder.config.hidden_size
        self.encoder = encoder
        self.max_span_tokens = max_span_tokens
        self.pair_levels = max_tokens.bit_length()
        self.widths = nn.Embedding(max_span_tokens + 1, width_size)
        self.dropout = nn.Dropout(dropout)
        self.entity_head = nn.Linear(2 * hidden + width_size, entity_types + 1)
        self.relation_head = nn.Linear(3 * hidden + 2 * width_size, relation_types)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token states, float[B,L,H], of int64[B,L] ids and mask."""
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return cast(Tensor, output.last_hidden_state)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, spans: Tensor, pairs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of the asked spans and pairs, as training needs them.

        Args:
            input_ids: int64[B,L].
            attention_mask: int64[B,L].
            spans: int64[M,3]: text, first token, one past the last token.
            pairs: int64[P,2]: head and tail, indexes into `spans`.

        Returns:
            Entity logits float[M,E+1] and relation logits float[P,R].
        """
        hidden = self.encode(input_ids, attention_mask)
        maximum = RangeMax(hidden, self.pair_levels)
        pooled = maximum(spans[:, 0], spans[:, 1], spans[:, 2])
        widths = self._width(spans[:, 2] - spans[:, 1])
        context = hidden[:, 0][spans[:, 0]]
        entities = self.entity_head(self.dropout(torch.cat([pooled, widths, context], dim=-1)))
        return entities, self._relations(maximum, pooled, spans, pairs)

    def span_logits(self, hidden: Tensor) -> Tensor:
        """Entity logits of every span, float[B,L,W,E+1]: from token i on, w + 1 tokens wide.

        Spans that reach beyond the text are given too; they mean nothing.
        """
        length = hidden.shape[1]
        positions = torch.arange(length, device=hidden.device)
        pooled = [hidden]
        for _ in range(1, self.max_span_tokens):
            shifted = (positions + len(pooled)).clamp(max=length - 1)
            pooled.append(torch.maximum(pooled[-1], hidden.index_select(1, shifted)))
        sizes = torch.arange(1, self.max_span_tokens + 1, device=hidden.device)
        # The head is linear: its three parts are applied to what each depends on, and added.
        width = hidden.shape[-1]
        span_part, width_part, context_part = self.entity_head.weight.split(
            [width, self.widths.embedding_dim, width], dim=1
        )
        logits = torch.stack([spans @ span_part.T for spans in pooled], dim=2)
        logits = logits + (self._width(sizes) @ width_part.T + self.entity_head.bias)
        return logits + (hidden[:, 0] @ context_part.T)[:, None, None, :]

    def relation_logits(self, hidden: Tensor, spans: Tensor, pairs: Tensor) -> Tensor:
        """Relation logits float[P,R] of `pairs` of `spans`; shapes as in `forward`."""
        maximum = RangeMax(hidden, self.pair_levels)
        pooled = maximum(spans[:, 0], spans[:, 1], spans[:, 2])
        return self._relations(maximum, pooled, spans, pairs)

    def _relations(self, maximum: RangeMax, pooled: Tensor, spans: Tensor, pairs: Tensor) -> Tensor:
        head, tail = spans[pairs[:, 0]], spans[pairs[:, 1]]
        between = maximum(
            head[:, 0],
            torch.minimum(head[:, 2], tail[:, 2]),
            torch.maximum(head[:, 1], tail[:, 1]),
        )
        features = [
            pooled[pairs[:, 0]],
            pooled[pairs[:, 1]],
            between,
            self._width(head[:, 2] - head[:, 1]),
            self._width(tail[:, 2] - tail[:, 1]),
        ]
        return cast(Tensor, self.relation_head(self.dropout(torch.cat(features, dim=-1))))

    def _width(self, size: Tensor) -> Tensor:
        return cast(Tensor, self.widths(size.clamp(max=self.max_span_tokens)))
