"""Requests out of arguments, results out of responses: the same for both stacks, without calls."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm_client._bulk import Asking, Item
from slcolm_client._errors import (
    SlcolmClientError,
    error_from_status,
    invalid_argument,
    mismatched,
)
from slcolm_client._results import Entity, Extraction, Prediction, Relation, Triple

Texts = Sequence[str] | Mapping[str, str]
"""Texts in order, named `0`, `1` and so on; or texts by the names that results will carry."""

ManyTexts = Iterable[str] | Iterable[tuple[str, str]] | Mapping[str, str]
"""As `Texts`, or pairs of name and text; read as there is room for them."""

AsyncTexts = AsyncIterable[str] | AsyncIterable[tuple[str, str]]
"""`ManyTexts` that are iterated with `async for`."""

_CHUNK_BYTES = 1024 * 1024


def dataset_bytes(data: Path | bytes) -> bytes:
    """The bytes of a data set.

    Raises:
        InvalidArgument: `data` is neither a path nor bytes.
        OSError: The file cannot be read.
    """
    if isinstance(data, Path):
        return data.read_bytes()
    if isinstance(data, bytes):
        return data
    raise invalid_argument("data", f"must be a pathlib.Path or bytes, got {type(data).__name__}")


def upload_messages(
    name: str, content: bytes, schema: common_pb2.TaskSchema
) -> Iterator[coordinator_pb2.UploadDatasetRequest]:
    """A data set in messages of at most 1 MiB: name and schema first."""
    yield coordinator_pb2.UploadDatasetRequest(name=name, schema=schema)
    for start in range(0, len(content), _CHUNK_BYTES):
        yield coordinator_pb2.UploadDatasetRequest(chunk=content[start : start + _CHUNK_BYTES])


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place when the block ends well, and goes otherwise."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def create_run_request(
    spec: coordinator_pb2.RunSpec, request_id: str | None
) -> coordinator_pb2.CreateRunRequest:
    """A request whose id makes its repetition harmless."""
    return coordinator_pb2.CreateRunRequest(spec=spec, request_id=request_id or str(uuid.uuid4()))


def extracting(
    model_revision: str, *, include_vectors: bool, all_or_nothing: bool
) -> Asking[Extraction]:
    """How texts are asked about with `Extract`."""
    return Asking(
        "Extract",
        request=lambda documents: extraction_pb2.ExtractRequest(
            documents=documents, model_revision=model_revision, include_vectors=include_vectors
        ),
        read=read_extractions,
        failed=_failed_extraction,
        all_or_nothing=all_or_nothing,
    )


def predicting(run_id: str, *, all_or_nothing: bool) -> Asking[Prediction]:
    """How texts are asked about with `Predict`."""
    return Asking(
        "Predict",
        request=lambda documents: coordinator_pb2.PredictRequest(
            run_id=run_id, documents=documents
        ),
        read=read_predictions,
        failed=_failed_prediction,
        all_or_nothing=all_or_nothing,
    )


def read_extractions(
    response: extraction_pb2.ExtractResponse, documents: Sequence[common_pb2.Document]
) -> Iterator[Extraction]:
    """Results in the order of the request.

    Raises:
        Internal: They are not those of the request, with the reason `ANSWER_MISMATCHED`.
    """
    _check_results(response.results, documents)
    for result, sent in zip(response.results, documents, strict=True):
        failed = result.WhichOneof("outcome") == "error"
        document = result.extraction.document
        entities = _entities(document)
        yield Extraction(
            id=result.id,
            text=sent.text,
            entities=entities,
            relations=_relations(document, entities),
            vector=tuple(result.extraction.vector),
            model_revision=response.model_revision,
            error=error_from_status(result.error) if failed else None,
            windows=tuple((window.start, window.end) for window in result.extraction.windows),
            unseen_pairs=result.extraction.unseen_pairs,
        )


def read_predictions(
    response: coordinator_pb2.PredictResponse, documents: Sequence[common_pb2.Document]
) -> Iterator[Prediction]:
    """Results in the order of the request.

    Raises:
        Internal: They are not those of the request, with the reason `ANSWER_MISMATCHED`.
    """
    _check_results(response.results, documents)
    for result, sent in zip(response.results, documents, strict=True):
        failed = result.WhichOneof("outcome") == "error"
        found = result.prediction
        unguided = found.HasField("guidance_error")
        entities = _entities(found.document)
        yield Prediction(
            id=result.id,
            text=sent.text,
            entities=entities,
            relations=_relations(found.document, entities),
            triples=tuple(
                Triple(
                    head=item.triple.head,
                    tail=item.triple.tail,
                    type=item.triple.type,
                    probability=_probability(item.triple),
                    sources=tuple(item.sources),
                    rule=item.rule,
                )
                for item in found.triples
            ),
            explanation=found.explanation,
            offline_rules=found.offline_rules,
            guidance_error=error_from_status(found.guidance_error) if unguided else None,
            model_revision=response.model_revision,
            index_revision=response.index_revision,
            policy_digest=response.policy_digest,
            error=error_from_status(result.error) if failed else None,
        )


def _failed_extraction(item: Item, error: SlcolmClientError) -> Extraction:
    return Extraction(
        id=item.id,
        text=item.text,
        entities=(),
        relations=(),
        vector=(),
        model_revision="",
        error=error,
    )


def _failed_prediction(item: Item, error: SlcolmClientError) -> Prediction:
    return Prediction(
        id=item.id,
        text=item.text,
        entities=(),
        relations=(),
        triples=(),
        explanation="",
        offline_rules=False,
        guidance_error=None,
        model_revision="",
        index_revision="",
        policy_digest="",
        error=error,
    )


def _check_results(
    results: Sequence[extraction_pb2.ExtractResult] | Sequence[coordinator_pb2.PredictResult],
    documents: Sequence[common_pb2.Document],
) -> None:
    if [result.id for result in results] != [document.id for document in documents]:
        raise mismatched(len(documents), len(results))


def _entities(document: common_pb2.Document) -> tuple[Entity, ...]:
    return tuple(
        Entity(entity.type, entity.start, entity.end, entity.text, _probability(entity))
        for entity in document.entities
    )


def _relations(document: common_pb2.Document, entities: Sequence[Entity]) -> tuple[Relation, ...]:
    return tuple(
        Relation(
            relation.type, entities[relation.head], entities[relation.tail], _probability(relation)
        )
        for relation in document.relations
    )


def _probability(
    message: common_pb2.Entity | common_pb2.Relation | common_pb2.Triple,
) -> float | None:
    return message.probability if message.HasField("probability") else None
