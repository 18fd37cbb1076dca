"""Texts to entities, relations and sentence vectors, with one loaded model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document
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
from slcolm_services.extraction.long_texts import token_windows
from slcolm_services.extraction.resources import Resources
from slcolm_services.model.decode import to_document
from slcolm_services.model.folder import (
    SCHEMA_FILE,
    TOKENIZER_FILE,
    ModelManifest,
    passed_precisions,
    read_manifest,
)
from slcolm_services.model.graphs import Device, Precision, bf16_available
from slcolm_services.model.inference import Inference
from slcolm_services.model.tokenization import Encoded, TextTokenizer


@dataclass(frozen=True)
class Extraction:
    """What was found in a text.

    Attributes:
        document: The text with entities and relations, each with its probability.
        vector: float32[V], mean of the encoder states, L2-normalised.
        windows: Ranges of the text that were read one by one; none where it was read at once.
        unseen_pairs: Ordered pairs of its entities that no window holds together, or that were
            beyond the bound on pairs of one.
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
    """One loaded model. Safe to use from many threads.

    Attributes:
        manifest: What the model folder says of itself.
        schema: The task that the model was trained for.
        precision: Of the matrix products.
        resources: Where it runs, and how many batches of which size at once.
    """

    def __init__(
        self,
        *,
        manifest: ModelManifest,
        schema: TaskSchema,
        tokenizer: TextTokenizer,
        inference: Inference,
        precision: Precision,
        resources: Resources,
        config: EngineConfig,
    ) -> None:
        self.manifest = manifest
        self.schema = schema
        self._tokenizer = tokenizer
        self._inference = inference
        self._config = config
        self.precision = precision
        self.resources = resources
        # More batches than processors at once would only take more memory.
        self._free_slots = threading.Semaphore(resources.slots)

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
            ModelInvalid: The folder is damaged, its files do not fit together, or it has not passed
                its check in the configured precision.
            ConfigInvalid: The configured precision or device are not to be had here.
        """
        config = config or EngineConfig()
        manifest = read_manifest(folder, verify=verify)
        try:
            schema = read_schema(folder / SCHEMA_FILE)
        except DataInvalid as error:
            raise ModelInvalid(error.message, violations=error.violations) from error
        _check_types(manifest, schema)
        tokenizer = TextTokenizer.load(folder / TOKENIZER_FILE, max_tokens=manifest.max_tokens)
        resources = Resources.of(config)
        precision = _precision(folder, config.precision, resources.device)
        return cls(
            manifest=manifest,
            schema=schema,
            tokenizer=tokenizer,
            inference=Inference(
                folder,
                manifest,
                tokenizer,
                precision=precision,
                device=resources.device,
                slots=resources.slots,
            ),
            precision=precision,
            resources=resources,
            config=config,
        )

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
            results = self._inference.run([sentence.encoded for sentence in batch])
        return [
            Extraction(
                to_document(
                    sentence.document.id,
                    sentence.document.text,
                    sentence.encoded,
                    found.spans,
                    found.relations,
                ),
                found.vector,
                unseen_pairs=found.unseen_pairs,
            )
            for sentence, found in zip(batch, results, strict=True)
        ]


def _precision(folder: Path, wanted: str, device: Device) -> Precision:
    if wanted == "fp32":
        return "fp32"
    passed = "bf16" in passed_precisions(folder)
    if wanted == "auto":
        return "bf16" if passed and device == "cpu" and bf16_available() else "fp32"
    if not passed:
        raise ModelInvalid(
            "the model has not passed a check in bf16; its card says in which it has"
        )
    return "bf16"


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
