"""Texts to entities, relations and sentence vectors, with one loaded model.

Two ONNX graphs, run by ONNX Runtime alone. The first reads the texts and scores every span; the
decoder picks the entities; the second scores pairs of them on the same hidden states, so each text
passes the encoder once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.windows import Window
from slcolm_services.errors import (
    DataInvalid,
    FieldViolation,
    InvalidInput,
    ModelInvalid,
    TextTooLong,
)
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.graphs import Array, Graph, load_graph
from slcolm_services.extraction.long_texts import token_windows
from slcolm_services.model.decode import (
    SpanPrediction,
    candidate_pairs,
    decode_entities,
    decode_relations,
    to_document,
)
from slcolm_services.model.folder import (
    SCHEMA_FILE,
    TOKENIZER_FILE,
    ModelManifest,
    read_manifest,
)
from slcolm_services.model.tokenization import Encoded, TextTokenizer, pad
from slcolm_services.runtime.cpu import available_cpus

_PAIRS_PER_RUN = 8192
"""Pairs that the second graph scores at once: about 100 MB of features at 768 dimensions."""


@dataclass(frozen=True)
class Extraction:
    """What was found in a text.

    Attributes:
        document: The text with entities and relations, each with its probability.
        vector: float32[V], mean of the encoder states, L2-normalised.
        windows: Ranges of the text that were read one by one; none where it was read at once.
        unseen_pairs: Ordered pairs of its entities that no window holds together.
    """

    document: Document
    vector: NDArray[np.float32]
    windows: tuple[Window, ...] = ()
    unseen_pairs: int = 0


@dataclass(frozen=True)
class Sentence:
    """A text, or a window of one, on its way through the graphs.

    Attributes:
        index: Place of the text in the request.
        document: The whole text.
        encoded: Tokens to read, with offsets of the whole text.
        window: Range of the text that they cover; None for all of it.
    """

    index: int
    document: Document
    encoded: Encoded
    window: Window | None = None


class Engine:
    """One loaded model. Safe to use from many threads; `slots` batches pass at once.

    Attributes:
        manifest: What the model folder says of itself.
        schema: The task that the model was trained for.
        slots: Batches that run at the same time, each on the thread of its caller.
    """

    def __init__(
        self,
        *,
        manifest: ModelManifest,
        schema: TaskSchema,
        tokenizer: TextTokenizer,
        spans_graph: Graph,
        relations_graph: Graph,
        config: EngineConfig,
    ) -> None:
        self.manifest = manifest
        self.schema = schema
        self._tokenizer = tokenizer
        self._spans_graph = spans_graph
        self._relations_graph = relations_graph
        self._config = config
        self.slots = config.threads or available_cpus()
        # More batches than processors at once would only take more memory.
        self._free_slots = threading.Semaphore(self.slots)

    @classmethod
    def load(
        cls, folder: Path, config: EngineConfig | None = None, *, verify: bool = True
    ) -> Engine:
        """Load a model folder and try it on a first text.

        Args:
            folder: The model folder.
            config: Limits and threads; the defaults where none is given.
            verify: Whether to check the files against their digests.

        Raises:
            ModelNotFound: There is no model folder at the path.
            ModelInvalid: The folder is damaged, or its files do not fit together.
        """
        config = config or EngineConfig()
        manifest = read_manifest(folder, verify=verify)
        try:
            schema = read_schema(folder / SCHEMA_FILE)
        except DataInvalid as error:
            raise ModelInvalid(error.message, violations=error.violations) from error
        _check_types(manifest, schema)
        engine = cls(
            manifest=manifest,
            schema=schema,
            tokenizer=TextTokenizer.load(folder / TOKENIZER_FILE, max_tokens=manifest.max_tokens),
            spans_graph=load_graph(folder / manifest.spans_graph),
            relations_graph=load_graph(folder / manifest.relations_graph),
            config=config,
        )
        engine._try_out()
        return engine

    def sentences(self, index: int, document: Document) -> list[Sentence]:
        """What of a text passes the graphs: itself, or windows where it is too long for that.

        Args:
            index: Its place in the request.
            document: The text.

        Raises:
            TextTooLong: More characters than the configuration takes.
            InvalidInput: There is nothing to read in it.
        """
        text, limit = document.text, self._config.max_text_characters
        if len(text) > limit:
            raise TextTooLong(
                f"the text has {len(text)} characters, at most {limit} are taken",
                metadata={"characters": str(len(text)), "limit": str(limit)},
            )
        tokens = self._tokenizer.tokens(text)
        if not (tokens.starts < tokens.ends).any():
            raise InvalidInput("the text is empty or holds nothing but whitespace")
        longest = self.manifest.max_tokens - self._tokenizer.frame_tokens
        if self._config.window_tokens:
            longest = min(longest, self._config.window_tokens)
        if len(tokens) <= longest:
            return [Sentence(index, document, self._tokenizer.frame(tokens))]
        overlap = min(self._config.overlap_tokens, longest // 2)
        windows = token_windows(
            text,
            tokens,
            longest=longest,
            overlap=overlap,
            # Then no entity is cut in two by every window that it is in.
            least_overlap=min(self.manifest.max_span_tokens - 1, overlap),
        )
        return [
            Sentence(index, document, self._tokenizer.frame(part), window)
            for window, part in windows
        ]

    def run(self, batch: Sequence[Sentence]) -> list[Extraction]:
        """Pass one batch through the graphs, on the calling thread; waits for a free slot.

        Args:
            batch: At least one text; all are padded to the longest.
        """
        with self._free_slots:
            return self._run(batch)

    def _run(self, batch: Sequence[Sentence]) -> list[Extraction]:
        ids, mask = pad([sentence.encoded for sentence in batch], self._tokenizer.pad_id)
        hidden, span_logits, vectors = self._spans_graph.run(
            ["hidden", "span_logits", "vector"], {"input_ids": ids, "attention_mask": mask}
        )
        spans = [
            decode_entities(logits, sentence.encoded, self.manifest)
            for logits, sentence in zip(span_logits, batch, strict=True)
        ]
        return [
            Extraction(
                to_document(
                    sentence.document.id, sentence.document.text, sentence.encoded, found, relations
                ),
                vector,
            )
            for sentence, found, relations, vector in zip(
                batch, spans, self._relations(hidden, spans), vectors, strict=True
            )
        ]

    def _relations(
        self, hidden: Array, spans: Sequence[Sequence[SpanPrediction]]
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
        for local, rows in zip(pairs, np.split(logits, borders), strict=True):
            yield decode_relations(rows, local, self.manifest)

    def _pair_logits(self, hidden: Array, spans: Array, pairs: Array) -> NDArray[np.float32]:
        """float32[P, R] for int64[P, 2] pairs of the rows of int64[M, 3] spans."""
        parts = [
            self._relations_graph.run(
                ["relation_logits"],
                {"hidden": hidden, "spans": spans, "pairs": pairs[start : start + _PAIRS_PER_RUN]},
            )[0]
            for start in range(0, len(pairs), _PAIRS_PER_RUN)
        ]
        empty = np.empty((0, len(self.manifest.relation_types)), dtype=np.float32)
        return np.concatenate([empty, *parts])

    def _try_out(self) -> None:
        """Run both graphs once and compare the shapes of what comes with the manifest."""
        manifest = self.manifest
        encoded = self._tokenizer.encode("a")
        ids, mask = pad([encoded, encoded], self._tokenizer.pad_id)
        length = len(encoded)
        pairs = np.array([(0, 1), (1, 0)], dtype=np.int64)
        spans = np.array([(1, 0, length), (1, 0, 1)], dtype=np.int64)
        try:
            hidden, span_logits, vectors = self._spans_graph.run(
                ["hidden", "span_logits", "vector"], {"input_ids": ids, "attention_mask": mask}
            )
            relation_logits = self._pair_logits(hidden, spans, pairs)
        # ONNX Runtime raises a dozen unrelated classes, and numpy ValueError on odd shapes.
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


def _check_types(manifest: ModelManifest, schema: TaskSchema) -> None:
    violations = [
        FieldViolation(field, f"{name!r} is not in {SCHEMA_FILE}")
        for field, names, known in (
            ("entity_types", manifest.entity_types, schema.entities_by_name),
            ("relation_types", manifest.relation_types, schema.relations_by_name),
        )
        for name in names
        if name not in known
    ]
    if violations:
        raise ModelInvalid("the manifest does not fit the task schema", violations=violations)
