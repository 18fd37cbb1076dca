"""Retrieval on the wire: requests in, answers out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from slcolm.common.v1 import common_pb2
from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import BatchTooLarge, FieldViolation, InvalidInput, TextTooLong
from slcolm_services.retrieval.candidates import Candidate
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.measures import RetrievalMeasures
from slcolm_services.retrieval.points import Hit
from slcolm_services.retrieval.records import IndexedSentence, Manifest, Role, Vector
from slcolm_services.retrieval.retriever import (
    Query,
    Retriever,
    Selection,
    SelectOptions,
    check_dimension,
)
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import (
    check_batch,
    document_from_wire,
    document_to_wire,
    schema_from_wire,
)

_REVISION = re.compile(r"[a-z0-9-]{1,63}")
_DEFAULT_NEIGHBOURS = 10
_DEFAULT_CANDIDATES = 12
_ROLES = {
    retrieval_pb2.SENTENCE_ROLE_DEMONSTRATION: Role.DEMONSTRATION,
    retrieval_pb2.SENTENCE_ROLE_TRAINING: Role.TRAINING,
}


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Serves `slcolm.retrieval.v1.RetrievalService`."""

    def __init__(
        self, config: RetrievalConfig, retriever: Retriever, measures: RetrievalMeasures
    ) -> None:
        self._config = config
        self._retriever = retriever
        self._measures = measures

    async def IndexDemonstrations(
        self,
        request: retrieval_pb2.IndexDemonstrationsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> retrieval_pb2.IndexDemonstrationsResponse:
        """Add sentences to an index, all or none, or finish it."""
        del context
        if not _REVISION.fullmatch(request.index_revision):
            raise _invalid("index_revision", "must be 1 to 63 of a-z, 0-9 and -")
        if not request.model_revision:
            raise _invalid("model_revision", "must name the model that made the vectors")
        if len(request.sentences) > self._config.max_sentences:
            raise BatchTooLarge(
                f"{len(request.sentences)} sentences, at most {self._config.max_sentences} are "
                "taken at once",
                violations=[FieldViolation("sentences", "send them in several calls")],
                metadata={"limit": str(self._config.max_sentences)},
            )
        for index, message in enumerate(request.sentences):
            self._check_length(message.gold.text, f"sentences[{index}].gold.text")
        schema = schema_from_wire(request.schema)
        manifest = await self._retriever.add(
            request.index_revision,
            schema,
            request.model_revision,
            [
                _sentence_from_wire(message, f"sentences[{index}]", schema)
                for index, message in enumerate(request.sentences)
            ],
            finish=request.finish,
        )
        return retrieval_pb2.IndexDemonstrationsResponse(index=_index_to_wire(manifest))

    async def Select(
        self, request: retrieval_pb2.SelectRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> retrieval_pb2.SelectResponse:
        """Select for a batch of texts; one bad text fails alone."""
        del context
        check_batch(
            [query.document.id for query in request.queries],
            field="queries",
            limit=self._config.max_queries,
        )
        options = self._options(request)
        manifest = (await self._retriever.finished(request.index_revision)).manifest
        queries: dict[str, Query] = {}
        results: dict[str, retrieval_pb2.SelectResult] = {}
        for index, message in enumerate(request.queries):
            name, field = message.document.id, f"queries[{index}]"
            try:
                self._check_length(message.document.text, f"{field}.document.text")
                document = document_from_wire(message.document, f"{field}.document")
                vector = _vector_from_wire(message.vector, f"{field}.vector")
                check_dimension(vector, manifest, f"{field}.vector")
                queries[name] = Query(document, vector)
            except InvalidInput as error:
                self._measures.queries.labels(error.reason).inc()
                results[name] = retrieval_pb2.SelectResult(id=name, error=status_of(error))
        selections = await self._retriever.select(
            request.index_revision, list(queries.values()), options
        )
        for name, selection in zip(queries, selections, strict=True):
            self._measures.queries.labels("OK").inc()
            self._measures.selected.labels("demonstration").inc(len(selection.demonstrations))
            self._measures.selected.labels("candidate").inc(len(selection.candidates))
            results[name] = retrieval_pb2.SelectResult(
                id=name, selection=_selection_to_wire(selection)
            )
        return retrieval_pb2.SelectResponse(
            results=[results[query.document.id] for query in request.queries],
            index_revision=request.index_revision,
        )

    async def GetIndex(
        self, request: retrieval_pb2.GetIndexRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> retrieval_pb2.GetIndexResponse:
        """Describe an index."""
        del context
        manifest = await self._retriever.get(request.index_revision)
        return retrieval_pb2.GetIndexResponse(index=_index_to_wire(manifest))

    async def ListIndexes(
        self, request: retrieval_pb2.ListIndexesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> retrieval_pb2.ListIndexesResponse:
        """List indexes by revision."""
        del context
        part, token = page(await self._retriever.revisions(), request.page_size, request.page_token)
        manifests = await self._retriever.get_all(part)
        return retrieval_pb2.ListIndexesResponse(
            indexes=[_index_to_wire(manifest) for manifest in manifests], next_page_token=token
        )

    async def DeleteIndex(
        self, request: retrieval_pb2.DeleteIndexRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> retrieval_pb2.DeleteIndexResponse:
        """Delete an index."""
        del context
        await self._retriever.delete(request.index_revision)
        return retrieval_pb2.DeleteIndexResponse()

    def _check_length(self, text: str, field: str) -> None:
        limit = self._config.max_text_characters
        if len(text) > limit:
            problem = f"has {len(text)} characters, at most {limit} are taken"
            raise TextTooLong(
                f"{field} {problem}",
                violations=[FieldViolation(field, problem)],
                metadata={"characters": str(len(text)), "limit": str(limit)},
            )

    def _options(self, request: retrieval_pb2.SelectRequest) -> SelectOptions:
        for field, value, limit in (
            ("demonstration_count", request.demonstration_count, self._config.max_demonstrations),
            ("neighbour_count", request.neighbour_count, self._config.max_neighbours),
            ("max_candidates", request.max_candidates, None),
        ):
            if value < 0 or (limit is not None and value > limit):
                at_most = "" if limit is None else f" and at most {limit}"
                raise _invalid(field, f"must be 0 or more{at_most}, got {value}")
        return SelectOptions(
            demonstrations=request.demonstration_count,
            neighbours=request.neighbour_count or _DEFAULT_NEIGHBOURS,
            candidates=request.max_candidates or _DEFAULT_CANDIDATES,
            random=request.random,
        )


def _sentence_from_wire(
    message: retrieval_pb2.IndexedSentence, field: str, schema: TaskSchema
) -> IndexedSentence:
    role = _ROLES.get(message.role)
    if role is None:
        raise _invalid(f"{field}.role", "must be DEMONSTRATION or TRAINING")
    gold = document_from_wire(message.gold, f"{field}.gold")
    if not gold.id:
        raise _invalid(f"{field}.gold.id", "must not be empty")
    for index, relation in enumerate(gold.relations):
        if relation.type not in schema.relations_by_name:
            place = f"{field}.gold.relations[{index}].type"
            raise _invalid(place, f"{relation.type!r} is not a relation type of the schema")
    prediction: Document | None = None
    if message.HasField("prediction"):
        prediction = document_from_wire(message.prediction, f"{field}.prediction")
    return IndexedSentence(
        gold, prediction, _vector_from_wire(message.vector, f"{field}.vector"), role
    )


def _vector_from_wire(values: Sequence[float], field: str) -> Vector:
    """Read a sentence vector and scale it to length 1; only its direction is compared."""
    vector = np.asarray(values, dtype=np.float64)
    if not np.isfinite(vector).all():
        position = int(np.argmin(np.isfinite(vector)))
        raise _invalid(f"{field}[{position}]", f"must be finite, got {vector[position]}")
    length = float(np.linalg.norm(vector))
    if length == 0.0:
        raise _invalid(field, "must have a direction: it is empty or all zeros")
    return (vector / length).astype(np.float32)


def _index_to_wire(manifest: Manifest) -> retrieval_pb2.Index:
    return retrieval_pb2.Index(
        revision=manifest.revision,
        model_revision=manifest.model_revision,
        demonstration_count=manifest.demonstration_count,
        training_count=manifest.training_count,
        trigger_count=manifest.trigger_count,
        finished=manifest.finished,
        vector_dimension=manifest.vector_dimension,
    )


def _selection_to_wire(selection: Selection) -> retrieval_pb2.Selection:
    return retrieval_pb2.Selection(
        demonstrations=[_demonstration_to_wire(hit) for hit in selection.demonstrations],
        candidates=[_candidate_to_wire(candidate) for candidate in selection.candidates],
    )


def _demonstration_to_wire(hit: Hit) -> common_pb2.Demonstration:
    return common_pb2.Demonstration(
        gold=document_to_wire(hit.gold),
        prediction=document_to_wire(hit.prediction) if hit.prediction else None,
        score=hit.score,
    )


def _candidate_to_wire(candidate: Candidate) -> common_pb2.CandidateRelation:
    return common_pb2.CandidateRelation(
        type=candidate.type,
        score=candidate.score,
        triggers=candidate.triggers,
        from_similar=candidate.from_similar,
    )


def _invalid(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{field} {problem}", violations=[FieldViolation(field, problem)])
