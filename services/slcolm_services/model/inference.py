"""Batches of tokens to entities, relations and sentence vectors.

Two graphs. The first reads the texts and scores every span; the decoder picks the entities; the
second scores pairs of them on the same hidden states, so each text passes the encoder once and no
more pairs are scored than there are (decision 0018).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Relation
from slcolm_services.errors import FieldViolation, ModelInvalid
from slcolm_services.model.decode import (
    SpanPrediction,
    candidate_pairs,
    decode_entities,
    decode_relations,
    unseen_pairs,
    without_impossible,
)
from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.graphs import Array, Device, Precision, Value, load_graph
from slcolm_services.model.tokenization import Encoded, TextTokenizer, pad

_PAIRS_PER_RUN = 2048
"""Pairs that the second graph scores at once: 6 MB for each of its features at 768 dimensions."""

_BF16_TOKENS = 16
"""Texts are padded to a multiple of this in bf16. OpenVINO sums what is left over of a row of
attention in another order than the blocks before it, so that a text's rounding would depend on the
length of its batch; between multiples of 16 its answers are equal bit by bit."""


@dataclass(frozen=True)
class Found:
    """What a model finds in one text.

    Attributes:
        spans: Entities.
        relations: Between the indexes of `spans`.
        vector: float32[V], mean of the encoder states, L2-normalised.
        unseen_pairs: Ordered pairs of entities beyond the decoder's bound, which were not scored.
    """

    spans: list[SpanPrediction]
    relations: list[Relation]
    vector: NDArray[np.float32]
    unseen_pairs: int = 0


class Inference:
    """Both graphs of a model folder with the decoder between them. Safe to use from many threads.

    Args:
        folder: The model folder.
        manifest: Its manifest.
        tokenizer: Its tokenizer.
        precision: Of the matrix products.
        device: Where the graphs run.
        slots: Most batches at the same time.

    Raises:
        ModelInvalid: The graphs cannot be run or do not give what the manifest promises; they are
            tried on a first text.
        ConfigInvalid: Precision or device are not to be had here.
    """

    def __init__(
        self,
        folder: Path,
        manifest: ModelManifest,
        tokenizer: TextTokenizer,
        *,
        precision: Precision = "fp32",
        device: Device = "cpu",
        slots: int = 1,
    ) -> None:
        self._manifest = manifest
        self._pad_id = tokenizer.pad_id
        self._multiple = _BF16_TOKENS if precision == "bf16" else 1
        self._spans_graph, self._relations_graph = (
            load_graph(folder / name, precision, device=device, slots=slots)
            for name in (manifest.spans_graph, manifest.relations_graph)
        )
        self._try_out(tokenizer.encode("a"))

    def run(self, texts: Sequence[Encoded]) -> list[Found]:
        """Pass one batch through the graphs, on the calling thread.

        Args:
            texts: At least one; all are padded to the longest.

        Returns:
            In the order of the texts.
        """
        ids, mask = pad(texts, self._pad_id, multiple=self._multiple)
        hidden, span_logits, vectors = self._spans(ids, mask)
        spans = [
            decode_entities(logits, encoded, self._manifest)
            for logits, encoded in zip(span_logits, texts, strict=True)
        ]
        return [
            Found(found, relations, vector, unseen_pairs(len(found)))
            for found, relations, vector in zip(
                spans, self._relations(hidden, spans), vectors, strict=True
            )
        ]

    def _spans(self, ids: Array, mask: Array) -> tuple[Value, Array, Array]:
        hidden, span_logits, vectors = self._spans_graph.run(
            ["hidden", "span_logits", "vector"],
            {"input_ids": ids, "attention_mask": mask},
            keep=["hidden"],
        )
        return hidden, span_logits, vectors

    def _relations(
        self, hidden: Value, spans: Sequence[Sequence[SpanPrediction]]
    ) -> Iterator[list[Relation]]:
        """Relations of each text of a batch, given its hidden states and entities."""
        pairs = [candidate_pairs(found) for found in spans]
        offsets = np.cumsum([0, *(len(found) for found in spans)])
        table = np.array(
            [(row, span.first, span.end) for row, found in enumerate(spans) for span in found],
            dtype=np.int64,
        ).reshape(-1, 3)
        shifted = np.concatenate(
            [local + offset for local, offset in zip(pairs, offsets[:-1], strict=True)]
        )
        logits = self._pair_logits(hidden, table, shifted)
        borders = np.cumsum([len(local) for local in pairs])[:-1]
        for found, local, rows in zip(spans, pairs, np.split(logits, borders), strict=True):
            possible = without_impossible(rows, local, found, self._manifest)
            yield decode_relations(possible, local, self._manifest)

    def _pair_logits(self, hidden: Value, spans: Array, pairs: Array) -> NDArray[np.float32]:
        """float32[P, R] for int64[P, 2] pairs of the rows of int64[M, 3] spans."""
        parts = [
            self._relations_graph.run(
                ["relation_logits"],
                {"hidden": hidden, "spans": spans, "pairs": pairs[start : start + _PAIRS_PER_RUN]},
            )[0]
            for start in range(0, len(pairs), _PAIRS_PER_RUN)
        ]
        empty = np.empty((0, len(self._manifest.relation_types)), dtype=np.float32)
        return np.concatenate([empty, *parts])

    def _try_out(self, encoded: Encoded) -> None:
        """Run both graphs once and compare the shapes of what comes with the manifest."""
        manifest = self._manifest
        ids, mask = pad([encoded, encoded], self._pad_id, multiple=self._multiple)
        length = ids.shape[1]
        pairs = np.array([(0, 1), (1, 0)], dtype=np.int64)
        spans = np.array([(1, 0, length), (1, 0, 1)], dtype=np.int64)
        try:
            hidden, span_logits, vectors = self._spans(ids, mask)
            relation_logits = self._pair_logits(hidden, spans, pairs)
        # The runtimes raise a dozen unrelated classes, and numpy ValueError on odd shapes.
        except Exception as error:
            raise ModelInvalid(f"the model's graphs cannot be run: {error}") from error
        expected: Mapping[str, tuple[Array, tuple[int, ...]]] = {
            "span_logits": (
                span_logits,
                (2, length, manifest.max_span_tokens, len(manifest.entity_types) + 1),
            ),
            "vector": (vectors, (2, manifest.vector_dimension)),
            "relation_logits": (relation_logits, (2, len(manifest.relation_types))),
        }
        violations = [
            FieldViolation(name, f"has shape {array.shape}, the manifest means {shape}")
            for name, (array, shape) in expected.items()
            if array.shape != shape
        ]
        violations += [
            FieldViolation(name, "holds values that are no numbers")
            for name, (array, _) in expected.items()
            if not np.isfinite(array).all()
        ]
        if violations:
            raise ModelInvalid(
                "the graphs do not give what the manifest promises", violations=violations
            )
