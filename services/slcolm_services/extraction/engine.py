"""Texts to entities, relations and sentence vectors, with one loaded model.

Two ONNX graphs, run by ONNX Runtime alone. The first reads the texts and scores every span; the
decoder picks the entities; the second scores pairs of them on the same hidden states, so each text
passes the encoder once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.errors import (
    Cancelled,
    DataInvalid,
    FieldViolation,
    InvalidInput,
    ModelInvalid,
    SlcolmError,
    TextTooLong,
)
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.graphs import Array, Graph, load_graph
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
    """

    document: Document
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class Sentence:
    """A text on its way through the graphs; `index` is its place in the request."""

    index: int
    document: Document
    encoded: Encoded


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

    def extract(
        self,
        documents: Sequence[Document],
        *,
        should_stop: Callable[[], bool] = lambda: False,
        on_done: Callable[[int], None] = lambda _: None,
    ) -> list[Extraction | SlcolmError]:
        """Extract from texts.

        Args:
            documents: `id` and `text` are read.
            should_stop: Asked before each batch; true when nobody waits for the answer any more.
            on_done: Told after each batch how many texts it held; failed texts are counted too.

        Returns:
            In the order of `documents`: what was found, or the error of that text alone
            (TextTooLong, InvalidInput).

        Raises:
            Cancelled: `should_stop` said so.
        """
        results: list[Extraction | SlcolmError | None] = [None] * len(documents)
        sentences = []
        for index, document in enumerate(documents):
            try:
                sentences.append(Sentence(index, document, self.encode(document.text)))
            except SlcolmError as error:
                results[index] = error
        on_done(len(documents) - len(sentences))
        for batch in batches(sentences, self._config.batch_tokens):
            if should_stop():
                raise Cancelled("the caller has gone")
            for sentence, output in zip(batch, self.run(batch), strict=True):
                results[sentence.index] = output
            on_done(len(batch))
        return [result for result in results if result is not None]

    def encode(self, text: str) -> Encoded:
        """Tokens of a text.

        Raises:
            TextTooLong: More characters than the configuration or more tokens than the model takes.
            InvalidInput: There is nothing to read in it.
        """
        limit = self._config.max_text_characters
        if len(text) > limit:
            raise TextTooLong(
                f"the text has {len(text)} characters, at most {limit} are taken "
                f"(and the model reads at most {self.manifest.max_tokens} tokens)",
                metadata={"characters": str(len(text)), "limit": str(limit)},
            )
        encoded = self._tokenizer.encode(text)
        if not (encoded.starts < encoded.ends).any():
            raise InvalidInput("the text is empty or holds nothing but whitespace")
        return encoded

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


def batches(sentences: Sequence[Sentence], budget: int) -> Iterator[list[Sentence]]:
    """Group texts of like length, so that little is padded.

    Args:
        sentences: In any order.
        budget: Most tokens in a batch, padding included; a longer text goes alone.
    """
    batch: list[Sentence] = []
    for sentence in sorted(sentences, key=lambda sentence: len(sentence.encoded)):
        # Sorted: the newest is the longest, and every other is padded to it.
        if batch and len(sentence.encoded) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(sentence)
    if batch:
        yield batch


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
