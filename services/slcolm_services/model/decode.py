"""From a model's logits to entities and relations.

Decoding follows SpERT (Eberts and Ulges 2020, section 3): each span takes its best class on its
own, and each ordered pair of entities holds every relation whose sigmoid reaches the threshold.
Where the entities of a task do not overlap, only the most probable of overlapping ones are kept,
which SpERT does not do: a span model finds a name and, less sure, the name with one more character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.tokenization import Encoded

MAX_PAIRED_SPANS = 100
"""Entities of one text that are paired, the most probable first: at most 9,900 pairs a text.

The number of pairs grows with the square of the entities; without a bound a poor model and a long
text would cost gigabytes.
"""


@dataclass(frozen=True, slots=True)
class SpanPrediction:
    """An entity in tokens.

    Attributes:
        first: First token.
        end: One past the last token.
        type: Entity type name.
        prob: Calibrated probability in [0, 1].
    """

    first: int
    end: int
    type: str
    prob: float


def decode_entities(
    span_logits: NDArray[np.float32], encoded: Encoded, manifest: ModelManifest
) -> list[SpanPrediction]:
    """Entities of one text.

    Args:
        span_logits: float32[L, W, E+1] with class 0 for "no entity"; L may exceed the text's
            tokens (padding).
        encoded: The text's tokens.
        manifest: Names the classes and calibrates them.

    Returns:
        Every span whose best class is an entity type, by first token, then by length; of spans that
        share tokens only the most probable, unless the manifest says that entities may overlap.
    """
    logits = span_logits[: len(encoded)]
    classes = logits.argmax(axis=-1)
    classes[~encoded.candidates(logits.shape[1])] = 0
    firsts, widths = np.nonzero(classes)
    chosen = classes[firsts, widths]
    probs = manifest.entity_calibration(logits[firsts, widths])[np.arange(len(chosen)), chosen]
    spans = [
        SpanPrediction(first, first + width + 1, manifest.entity_types[kind - 1], prob)
        for first, width, kind, prob in zip(
            firsts.tolist(), widths.tolist(), chosen.tolist(), probs.tolist(), strict=True
        )
    ]
    if manifest.overlapping_entities:
        return spans
    ranges = [(span.first, span.end) for span in spans]
    return [spans[index] for index in disjoint(ranges, [span.prob for span in spans])]


def disjoint(ranges: Sequence[tuple[int, int]], probs: Sequence[float]) -> list[int]:
    """Indexes, rising, of ranges of which no two overlap.

    The most probable is taken first; then, in falling order of probability, each that is free of
    those taken before.

    Args:
        ranges: Half-open, [first, end).
        probs: Of each range.
    """
    taken: set[int] = set()
    kept = []
    for index in sorted(range(len(ranges)), key=lambda index: -probs[index]):
        places = range(*ranges[index])
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(index)
    return sorted(kept)


def candidate_pairs(spans: Sequence[SpanPrediction]) -> NDArray[np.int64]:
    """Ordered pairs of entities that may be related.

    Args:
        spans: Entities of one text.

    Returns:
        int64[P, 2] of head and tail as indexes into `spans`: every pair of two different token
        ranges among the `MAX_PAIRED_SPANS` most probable spans.
    """
    probs = np.array([span.prob for span in spans])
    kept = np.sort(np.argsort(-probs, kind="stable")[:MAX_PAIRED_SPANS])
    ranges = np.array([(spans[index].first, spans[index].end) for index in kept]).reshape(-1, 2)
    differ = (ranges[:, None] != ranges[None, :]).any(axis=-1)
    return kept[np.argwhere(differ)].astype(np.int64)


def unseen_pairs(entities: int) -> int:
    """Ordered pairs of so many entities of a text that `candidate_pairs` leaves out."""
    paired = min(entities, MAX_PAIRED_SPANS)
    return entities * (entities - 1) - paired * (paired - 1)


def without_impossible(
    relation_logits: NDArray[np.float32],
    pairs: NDArray[np.int64],
    spans: Sequence[SpanPrediction],
    manifest: ModelManifest,
) -> NDArray[np.float32]:
    """Logits with minus infinity where a type never joins entities like those of the pair.

    Args:
        relation_logits: float32[P, R].
        pairs: int64[P, 2], indexes into `spans`.
        spans: Entities of the text.
        manifest: Says what relations may join.

    Returns:
        float32[P, R]; the same array where nothing is impossible.
    """
    if not manifest.relation_arguments:
        return relation_logits
    index = {name: number for number, name in enumerate(manifest.entity_types)}
    kinds = np.array([index[span.type] for span in spans], dtype=np.int64)
    heads, tails = manifest.admitted_types
    possible = heads[kinds[pairs[:, 0]]] & tails[kinds[pairs[:, 1]]]
    return np.where(possible, relation_logits, np.float32(-np.inf))


def decode_relations(
    relation_logits: NDArray[np.float32], pairs: NDArray[np.int64], manifest: ModelManifest
) -> list[Relation]:
    """Relations of one text.

    The threshold applies to the plain sigmoid of the logit, as it was chosen on dev; the
    probability that is reported is the calibrated one.

    Args:
        relation_logits: float32[P, R].
        pairs: int64[P, 2], head and tail of each row.
        manifest: Names the relation types; holds threshold and calibration.

    Returns:
        Relations between the indexes in `pairs`, by pair, then by type in the manifest's order.
    """
    threshold = manifest.relation_threshold
    rows, types = np.nonzero(relation_logits >= np.log(threshold / (1 - threshold)))
    probs = manifest.relation_calibration(relation_logits[rows, types])
    return [
        Relation(manifest.relation_types[kind], head, tail, prob)
        for (head, tail), kind, prob in zip(
            pairs[rows].tolist(), types.tolist(), probs.tolist(), strict=True
        )
    ]


def to_document(
    document_id: str,
    text: str,
    encoded: Encoded,
    spans: Sequence[SpanPrediction],
    relations: Sequence[Relation],
) -> Document:
    """The text with its predictions; entity `i` is `spans[i]`."""
    return Document(
        id=document_id,
        text=text,
        entities=tuple(
            Entity(
                span.type,
                int(encoded.starts[span.first]),
                int(encoded.ends[span.end - 1]),
                span.prob,
            )
            for span in spans
        ),
        relations=tuple(relations),
    )
