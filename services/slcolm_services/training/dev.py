"""What a model in training predicts, decoded as it will be in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.model.decode import (
    SpanPrediction,
    candidate_pairs,
    decode_entities,
    decode_relations,
    disjoint,
    to_document,
    without_impossible,
)
from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.tokenization import pad
from slcolm_services.scoring.span import SpanScores, score_spans
from slcolm_services.training.examples import Example
from slcolm_services.training.model import SpanModel

_TOKENS_A_BATCH = 4096


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one sentence, before relations are decided on.

    Attributes:
        example: The sentence with its gold annotation.
        span_logits: float32[L,W,E+1].
        spans: Entities.
        pairs: int64[P,2], candidate pairs of `spans`.
        relation_logits: float32[P,R], minus infinity for what the manifest says cannot be.
    """

    example: Example
    span_logits: NDArray[np.float32]
    spans: list[SpanPrediction]
    pairs: NDArray[np.int64]
    relation_logits: NDArray[np.float32]

    def document(self, manifest: ModelManifest) -> Document:
        """The sentence with the predictions that the manifest's threshold admits."""
        return to_document(
            self.example.document.id,
            self.example.document.text,
            self.example.encoded,
            self.spans,
            decode_relations(self.relation_logits, self.pairs, manifest),
        )

    def without_overlaps(self) -> Prediction:
        """The same with the most probable entities of those that share tokens."""
        ranges = [(span.first, span.end) for span in self.spans]
        kept = disjoint(ranges, [span.prob for span in self.spans])
        place = np.full(len(self.spans), -1)
        place[kept] = np.arange(len(kept))
        pairs = place[self.pairs]
        rows = (pairs >= 0).all(axis=1)
        return replace(
            self,
            spans=[self.spans[index] for index in kept],
            pairs=pairs[rows],
            relation_logits=self.relation_logits[rows],
        )


def predict(
    model: SpanModel, examples: Sequence[Example], manifest: ModelManifest, *, pad_id: int
) -> list[Prediction]:
    """Predictions in the order of the examples. Side effect: the model is in evaluation mode."""
    model.eval()
    found: dict[int, Prediction] = {}
    with torch.inference_mode():
        for chosen in _batches(examples):
            batch = [examples[index] for index in chosen]
            found.update(zip(chosen, _predict_batch(model, batch, manifest, pad_id), strict=True))
    return [found[index] for index in range(len(examples))]


def _batches(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Indexes of texts of about the same length, up to a number of tokens with their padding."""
    batch: list[int] = []
    for index in sorted(range(len(examples)), key=lambda i: len(examples[i].encoded)):
        if batch and (len(batch) + 1) * len(examples[index].encoded) > _TOKENS_A_BATCH:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _predict_batch(
    model: SpanModel, examples: Sequence[Example], manifest: ModelManifest, pad_id: int
) -> list[Prediction]:
    device = next(model.parameters()).device
    ids, mask = (
        torch.from_numpy(array).to(device)
        for array in pad([example.encoded for example in examples], pad_id)
    )
    hidden = model.encode(ids, mask)
    logits = model.span_logits(hidden).cpu().numpy()
    spans = [
        decode_entities(row, example.encoded, manifest)
        for row, example in zip(logits, examples, strict=True)
    ]
    pairs = [candidate_pairs(found) for found in spans]
    offsets = np.cumsum([0, *(len(found) for found in spans)])
    rows = [(text, span.first, span.end) for text, found in enumerate(spans) for span in found]
    shifted = [pair + offset for pair, offset in zip(pairs, offsets, strict=False)]
    relation_logits = (
        model.relation_logits(
            hidden,
            torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 3),
            torch.from_numpy(np.concatenate(shifted)).to(device),
        )
        .cpu()
        .numpy()
    )
    cuts = np.cumsum([len(pair) for pair in pairs])[:-1]
    return [
        Prediction(
            example,
            row[: len(example.encoded)],
            found,
            pair,
            without_impossible(part, pair, found, manifest),
        )
        for example, row, found, pair, part in zip(
            examples, logits, spans, pairs, np.split(relation_logits, cuts), strict=True
        )
    ]


def score(
    gold: Sequence[Document],
    predictions: Sequence[Prediction],
    manifest: ModelManifest,
    schema: TaskSchema,
) -> SpanScores:
    """Span-level scores of predictions at the manifest's threshold."""
    symmetric = [kind.name for kind in schema.relation_types if kind.symmetric]
    return score_spans(gold, [found.document(manifest) for found in predictions], symmetric)


def settle_overlaps(
    gold: Sequence[Document],
    predictions: list[Prediction],
    manifest: ModelManifest,
    schema: TaskSchema,
) -> tuple[list[Prediction], ModelManifest]:
    """Decide whether entities may overlap, by the entity F1.

    Args:
        gold: The documents.
        predictions: With all entities.
        manifest: Of the model.
        schema: The task.

    Returns:
        The predictions that are left, and the manifest that says so.
    """
    apart = [found.without_overlaps() for found in predictions]
    together_f1, apart_f1 = (
        score(gold, found, manifest, schema).entities.micro.f1 for found in (predictions, apart)
    )
    overlapping = together_f1 > apart_f1
    found = predictions if overlapping else apart
    return found, replace(manifest, overlapping_entities=overlapping)


def choose_threshold(
    gold: Sequence[Document],
    predictions: Sequence[Prediction],
    manifest: ModelManifest,
    schema: TaskSchema,
) -> ModelManifest:
    """The manifest with the relation threshold of the best relation F1; ties go to the middle."""
    candidates = [
        replace(manifest, relation_threshold=round(value, 2))
        for value in np.arange(0.1, 0.95, 0.05).tolist()
    ]
    return max(
        candidates,
        key=lambda candidate: (
            score(gold, predictions, candidate, schema).relations_strict.micro.f1,
            -abs(candidate.relation_threshold - 0.5),
        ),
    )
