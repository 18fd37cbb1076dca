"""Extraction on the wire: requests in, answers out, work off the event loop."""

from __future__ import annotations

import asyncio
import threading

import grpc

from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_services.corpus.documents import Document
from slcolm_services.errors import FieldViolation, InvalidInput, SlcolmError
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.engine import Extraction
from slcolm_services.extraction.registry import LoadedModel, Registry
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import check_batch, document_to_wire, schema_to_wire


class ExtractionServicer(extraction_pb2_grpc.ExtractionServiceServicer):
    """Serves `slcolm.extraction.v1.ExtractionService`."""

    def __init__(self, config: ExtractionConfig, registry: Registry) -> None:
        self._config = config
        self._registry = registry

    async def Extract(
        self,
        request: extraction_pb2.ExtractRequest,
        context: grpc.aio.ServicerContext[
            extraction_pb2.ExtractRequest, extraction_pb2.ExtractResponse
        ],
    ) -> extraction_pb2.ExtractResponse:
        """Extract from a batch of texts; one bad text fails alone."""
        del context
        check_batch(
            [document.id for document in request.documents],
            field="documents",
            limit=self._config.max_batch_documents,
        )
        model = self._registry.get(request.model_revision)
        gone = threading.Event()
        try:
            return await asyncio.to_thread(_extract, model, request, gone)
        finally:
            # A caller that goes away cancels this handler; the thread then stops at its next batch.
            gone.set()

    async def GetModel(
        self,
        request: extraction_pb2.GetModelRequest,
        context: grpc.aio.ServicerContext[
            extraction_pb2.GetModelRequest, extraction_pb2.GetModelResponse
        ],
    ) -> extraction_pb2.GetModelResponse:
        """Describe a loaded model."""
        del context
        model = self._registry.get(request.revision)
        return extraction_pb2.GetModelResponse(model=self._describe(model))

    async def ListModels(
        self,
        request: extraction_pb2.ListModelsRequest,
        context: grpc.aio.ServicerContext[
            extraction_pb2.ListModelsRequest, extraction_pb2.ListModelsResponse
        ],
    ) -> extraction_pb2.ListModelsResponse:
        """List revisions; those that are not loaded carry their name alone."""
        del context
        revisions = await asyncio.to_thread(self._registry.revisions)
        part, token = page(revisions, request.page_size, request.page_token)
        models = []
        for revision in part:
            loaded = self._registry.find_loaded(revision)
            models.append(
                self._describe(loaded) if loaded else extraction_pb2.Model(revision=revision)
            )
        return extraction_pb2.ListModelsResponse(models=models, next_page_token=token)

    async def LoadModel(
        self,
        request: extraction_pb2.LoadModelRequest,
        context: grpc.aio.ServicerContext[
            extraction_pb2.LoadModelRequest, extraction_pb2.LoadModelResponse
        ],
    ) -> extraction_pb2.LoadModelResponse:
        """Load a revision and make it the default."""
        del context
        if not request.revision:
            raise InvalidInput(
                "the revision is missing",
                violations=[FieldViolation("revision", "must name a model revision")],
            )
        model = await asyncio.to_thread(self._registry.load, request.revision)
        return extraction_pb2.LoadModelResponse(model=self._describe(model))

    def _describe(self, model: LoadedModel) -> extraction_pb2.Model:
        manifest = model.engine.manifest
        return extraction_pb2.Model(
            revision=model.revision,
            schema=schema_to_wire(model.engine.schema),
            vector_dimension=manifest.vector_dimension,
            max_tokens=manifest.max_tokens,
            precision=manifest.precision,
            loaded=True,
            default=self._registry.is_default(model.revision),
            dev_scores=model.dev_scores,
        )


def _extract(
    model: LoadedModel, request: extraction_pb2.ExtractRequest, gone: threading.Event
) -> extraction_pb2.ExtractResponse:
    documents = [Document(document.id, document.text) for document in request.documents]
    results = model.engine.extract(documents, should_stop=gone.is_set)
    return extraction_pb2.ExtractResponse(
        results=[
            _result(document.id, result, include_vector=request.include_vectors)
            for document, result in zip(documents, results, strict=True)
        ],
        model_revision=model.revision,
    )


def _result(
    document_id: str, result: Extraction | SlcolmError, *, include_vector: bool
) -> extraction_pb2.ExtractResult:
    if isinstance(result, SlcolmError):
        return extraction_pb2.ExtractResult(id=document_id, error=status_of(result))
    return extraction_pb2.ExtractResult(
        id=document_id,
        extraction=extraction_pb2.Extraction(
            document=document_to_wire(result.document),
            vector=result.vector.tolist() if include_vector else (),
        ),
    )
