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

from slcolm_services.training.dropout import TextDropout

_RARE = -4.0
"""First logit of a relation: a probability of about 0.02."""


class RangeMax:
    """Maximum over any token range of any text of a batch, from a table of doubling ranges.

    Level k of the table holds the maxima over 2**k tokens from each token on, as far as the text
    is long enough for them: a short text has few levels.

    Args:
        hidden: float[B,L,H].
        levels: K; ranges of up to 2**K - 1 tokens can be asked for.
    """

    def __init__(self, hidden: Tensor, levels: int) -> None:
        batch, length, width = hidden.shape
        tables, offsets = [hidden], [0]
        for level in range(1, levels):
            offsets.append(offsets[-1] + tables[-1].shape[1])
            # Not a slice, whose size the exporter cannot compare with the other's.
            count = torch.sym_max(length - 2**level + 1, 0)  # type: ignore[no-untyped-call]
            starts = torch.arange(count, device=hidden.device)
            below = tables[-1]
            later = below.index_select(1, starts + 2 ** (level - 1))
            tables.append(torch.maximum(below.index_select(1, starts), later))
        table = torch.cat(tables, dim=1)
        self._offsets = offsets
        self._rows_per_text = table.shape[1]
        # As rows, so that one gather serves every text and level at once.
        self._rows = table.reshape(batch * self._rows_per_text, width)

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
        reach, offset = torch.ones_like(size), torch.zeros_like(size)
        for level, level_offset in enumerate(self._offsets):
            wide = size >= 2**level
            reach = torch.where(wide, 2**level, reach)
            offset = torch.where(wide, level_offset, offset)
        row = text * self._rows_per_text + offset
        some = size > 0
        first = self._rows[row + torch.where(some, start, 0)]
        second = self._rows[row + torch.where(some, end - reach, 0)]
        return torch.where(some.unsqueeze(-1), torch.maximum(first, second), 0.0)


class SpanModel(nn.Module):
    """Encoder with an entity head over spans and a relation head over pairs of spans.

    Both heads have one hidden layer, written as a sum: each part of the input is projected where it
    stands (token, span, text), so nothing is concatenated for every span or pair. To what SpERT
    reads of a span its first and last token are added (Lee et al. 2017, "End-to-end Neural
    Coreference Resolution", section 4): a maximum alone says little of where a span ends, and an
    encoder trained from scratch does not make up for it. To what it reads of a pair the types of
    both entities are added (Zhong and Chen 2021, "A Frustratingly Easy Approach for Entity and
    Relation Extraction", section 3.2): the true ones in training, the most probable ones in use.

    Args:
        encoder: Any module that gives `last_hidden_state` float[B,L,H].
        entity_types: Number of types E; class 0 of the entity logits is "no entity".
        relation_types: Number of types R.
        max_span_tokens: W, the longest span that can be an entity.
        max_tokens: The longest text.
        dropout: Share of the encoder's output features that training drops, text by text.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        *,
        entity_types: int,
        relation_types: int,
        max_span_tokens: int,
        max_tokens: int,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        hidden: int = encoder.config.hidden_size
        self.encoder = encoder
        self.max_span_tokens = max_span_tokens
        self.levels = max_tokens.bit_length()
        self.dropout = TextDropout(dropout)
        self.entity_first = nn.Linear(hidden, hidden)
        self.entity_last = nn.Linear(hidden, hidden, bias=False)
        self.entity_pooled = nn.Linear(hidden, hidden, bias=False)
        self.entity_context = nn.Linear(hidden, hidden, bias=False)
        self.entity_width = nn.Embedding(max_span_tokens + 1, hidden)
        self.entity_output = nn.Linear(hidden, entity_types + 1)
        self.relation_head = nn.Linear(hidden, hidden)
        self.relation_tail = nn.Linear(hidden, hidden, bias=False)
        self.relation_between = nn.Linear(hidden, hidden, bias=False)
        self.head_width = nn.Embedding(max_span_tokens + 1, hidden)
        self.tail_width = nn.Embedding(max_span_tokens + 1, hidden)
        self.head_type = nn.Embedding(entity_types + 1, hidden)
        self.tail_type = nn.Embedding(entity_types + 1, hidden)
        self.relation_types = relation_types
        # Runtimes take no matrix without columns: a task without relation types has one unread.
        self.relation_output = nn.Linear(hidden, max(1, relation_types))
        for table in (self.entity_width, self.head_width, self.tail_width):
            nn.init.normal_(table.weight, std=0.02)
        for table in (self.head_type, self.tail_type):
            nn.init.normal_(table.weight, std=0.1)
        # Relations are rare: without this the first steps are spent on learning just that.
        nn.init.constant_(self.relation_output.bias, _RARE)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token states, float[B,L,H], of int64[B,L] ids and mask."""
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return cast(Tensor, self.dropout(output.last_hidden_state))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        spans: Tensor,
        classes: Tensor,
        pairs: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Logits of the asked spans and pairs, as training needs them.

        Args:
            input_ids: int64[B,L].
            attention_mask: int64[B,L].
            spans: int64[M,3]: text, first token, one past the last token.
            classes: int64[M], their true entity classes; those of paired spans are read.
            pairs: int64[P,2]: head and tail, indexes into `spans`.

        Returns:
            Entity logits float[M,E+1] and relation logits float[P,R].
        """
        hidden = self.encode(input_ids, attention_mask)
        maximum = RangeMax(hidden, min(self.levels, hidden.shape[1].bit_length()))
        pooled = maximum(*spans.unbind(dim=1))
        entities = self._entities(hidden, pooled, spans)
        # Only gold spans are paired in training; the others need no projection.
        used = int(pairs.max()) + 1 if len(pairs) else 0
        relations = self._relations(maximum, pooled[:used], spans[:used], classes[:used], pairs)
        return entities, relations

    def span_logits(self, hidden: Tensor) -> Tensor:
        """Entity logits of every span, float[B,L,W,E+1]: from token i on, w + 1 tokens wide.

        Spans that reach beyond the text are given too; they mean nothing.
        """
        batch, length, width = hidden.shape
        # Rows of all texts in one: a span that runs on into the next text is beyond its own.
        rows = hidden.reshape(batch * length, width)
        positions = torch.arange(batch * length, device=hidden.device)
        first = self.entity_first(hidden) + self.entity_context(hidden[:, 0])[:, None, :]
        first = first.reshape(batch * length, width)
        last = self.entity_last(rows)
        weight = self.entity_pooled.weight.t()
        pooled = rows
        logits = []
        for size in range(1, self.max_span_tokens + 1):
            end = (positions + size - 1).clamp(max=batch * length - 1)
            pooled = torch.maximum(pooled, rows.index_select(0, end))
            # The sum rides on the product; the width is the bias of the activation.
            joined = torch.addmm(first + last.index_select(0, end), pooled, weight)
            joined = joined + self.entity_width.weight[size]
            logits.append(self.entity_output(nn.functional.gelu(joined)))
        return torch.stack(logits, dim=1).reshape(batch, length, self.max_span_tokens, -1)

    def relation_logits(self, hidden: Tensor, spans: Tensor, pairs: Tensor) -> Tensor:
        """Relation logits float[P,R] of `pairs` of `spans` that are entities; see `forward`."""
        maximum = RangeMax(hidden, self.levels)
        pooled = maximum(*spans.unbind(dim=1))
        classes = self._entities(hidden, pooled, spans)[:, 1:].argmax(dim=-1) + 1
        return self._relations(maximum, pooled, spans, classes, pairs)

    def _entities(self, hidden: Tensor, pooled: Tensor, spans: Tensor) -> Tensor:
        """Entity logits float[M,E+1] of spans with their maxima float[M,H]."""
        text, first, end = spans.unbind(dim=1)
        joined = (
            self.entity_first(hidden)[text, first]
            + self.entity_last(hidden)[text, end - 1]
            + self.entity_pooled(pooled)
            + self.entity_width((end - first).clamp(max=self.max_span_tokens))
            + self.entity_context(hidden[:, 0])[text]
        )
        return cast(Tensor, self.entity_output(nn.functional.gelu(joined)))

    def _relations(
        self, maximum: RangeMax, pooled: Tensor, spans: Tensor, classes: Tensor, pairs: Tensor
    ) -> Tensor:
        widths = (spans[:, 2] - spans[:, 1]).clamp(max=self.max_span_tokens)
        as_head = self.relation_head(pooled) + self.head_width(widths) + self.head_type(classes)
        as_tail = self.relation_tail(pooled) + self.tail_width(widths) + self.tail_type(classes)
        head, tail = spans[pairs[:, 0]], spans[pairs[:, 1]]
        between = maximum(
            head[:, 0],
            torch.minimum(head[:, 2], tail[:, 2]),
            torch.maximum(head[:, 1], tail[:, 1]),
        )
        joined = as_head[pairs[:, 0]] + as_tail[pairs[:, 1]] + self.relation_between(between)
        logits = cast(Tensor, self.relation_output(nn.functional.gelu(joined)))
        return logits if self.relation_types else logits[:, :0]
