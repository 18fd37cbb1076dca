"""Training samples: gold spans and pairs with strong negatives beside them (SpERT, section 3.4).

Negative spans come from the same sentence, and negative pairs are gold entities that hold no
relation: both look like what the model must tell apart. Unlike drawn negatives of other sentences
they share their context with the positives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slcolm_services.model.tokenization import pad
from slcolm_services.training.examples import Example


@dataclass(frozen=True)
class Sample:
    """What one sentence asks of the model in one step.

    Attributes:
        spans: int64[M,2], token ranges, the gold ones first.
        classes: int64[M], entity class of each; 0 is "no entity".
        pairs: int64[P,2], head and tail, indexes into `spans`.
        labels: float32[P,R], 1 where the relation holds.
        span_weights: float32[M], how much each span counts in the loss.
        pair_weights: float32[P], likewise.
    """

    spans: NDArray[np.int64]
    classes: NDArray[np.int64]
    pairs: NDArray[np.int64]
    labels: NDArray[np.float32]
    span_weights: NDArray[np.float32]
    pair_weights: NDArray[np.float32]


@dataclass(frozen=True)
class Sampler:
    """Draws samples.

    Attributes:
        relation_types: R.
        max_span_tokens: Longest span.
        entity_negatives: Largest number of negative spans a sentence.
        relation_negatives: Largest number of negative pairs a sentence.
    """

    relation_types: int
    max_span_tokens: int
    entity_negatives: int
    relation_negatives: int

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        """Gold spans and pairs of a sentence, with negatives drawn without replacement."""
        gold = len(example.spans)
        wrong_spans = self._negative_spans(example)
        wrong_spans = wrong_spans[_choose(len(wrong_spans), self.entity_negatives, rng)]
        spans = np.concatenate([np.array(example.spans, np.int64).reshape(-1, 2), wrong_spans])
        classes = np.zeros(len(spans), np.int64)
        classes[:gold] = example.types

        right_pairs = list(example.pairs)
        wrong_pairs = [
            (head, tail)
            for head in range(gold)
            for tail in range(gold)
            if head != tail and (head, tail) not in example.pairs
        ]
        kept = _choose(len(wrong_pairs), self.relation_negatives, rng)
        pairs = right_pairs + [wrong_pairs[index] for index in kept]
        labels = np.zeros((len(pairs), self.relation_types), np.float32)
        for row, pair in enumerate(right_pairs):
            labels[row, list(example.pairs[pair])] = 1.0
        span_weights = np.ones(len(spans), np.float32)
        span_weights[: len(example.span_weights)] = example.span_weights
        pair_weights = np.array([example.pair_weights.get(pair, 1.0) for pair in pairs], np.float32)
        rows = np.array(pairs, np.int64).reshape(-1, 2)
        return Sample(spans, classes, rows, labels, span_weights, pair_weights)

    def _negative_spans(self, example: Example) -> NDArray[np.int64]:
        """Every span that may be an entity and is none, int64[N,2]."""
        possible = example.encoded.candidates(self.max_span_tokens)
        for first, end in example.spans:
            possible[first, end - first - 1] = False
        firsts, widths = np.nonzero(possible)
        return np.stack([firsts, firsts + widths + 1], axis=1)


def _choose(count: int, limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to `limit` of `count` indexes, in rising order."""
    if count <= limit:
        return np.arange(count)
    return np.sort(rng.choice(count, size=limit, replace=False))


@dataclass(frozen=True)
class Batch:
    """Samples of several sentences as the model takes them; shapes as in `SpanModel.forward`.

    Attributes:
        input_ids: int64[B,L].
        attention_mask: int64[B,L].
        spans: int64[M,3].
        classes: int64[M].
        pairs: int64[P,2].
        labels: float32[P,R].
        span_weights: float32[M].
        pair_weights: float32[P].
    """

    input_ids: Tensor
    attention_mask: Tensor
    spans: Tensor
    classes: Tensor
    pairs: Tensor
    labels: Tensor
    span_weights: Tensor
    pair_weights: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


def collate(examples: Sequence[Example], samples: Sequence[Sample], *, pad_id: int) -> Batch:
    """Put samples side by side: texts padded to the longest, span indexes shifted."""
    input_ids, attention_mask = pad([example.encoded for example in examples], pad_id)
    offsets = np.cumsum([0, *(len(sample.spans) for sample in samples[:-1])])
    spans = [
        np.column_stack([np.full(len(sample.spans), text), sample.spans])
        for text, sample in enumerate(samples)
    ]
    pairs = [sample.pairs + offset for sample, offset in zip(samples, offsets, strict=True)]
    return Batch(
        torch.from_numpy(input_ids),
        torch.from_numpy(attention_mask),
        torch.from_numpy(np.concatenate(spans)),
        torch.from_numpy(np.concatenate([sample.classes for sample in samples])),
        torch.from_numpy(np.concatenate(pairs)),
        torch.from_numpy(np.concatenate([sample.labels for sample in samples])),
        torch.from_numpy(np.concatenate([sample.span_weights for sample in samples])),
        torch.from_numpy(np.concatenate([sample.pair_weights for sample in samples])),
    )


def length_batches(
    lengths: Sequence[int], batch_size: int, rng: np.random.Generator, *, pool: int = 32
) -> list[NDArray[np.int64]]:
    """Shuffled batches of indexes in which texts have about the same length.

    Texts are shuffled, sorted by length within pools of `pool` batches, and cut into batches, whose
    order is shuffled again: little padding, yet another composition in every epoch.
    """
    order = rng.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch_size * pool):
        part = order[start : start + batch_size * pool]
        part = part[np.argsort([lengths[index] for index in part], kind="stable")]
        batches.extend(part[i : i + batch_size] for i in range(0, len(part), batch_size))
    return [batches[index] for index in rng.permutation(len(batches))]
