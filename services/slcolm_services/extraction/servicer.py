"""Extraction on the wire: requests in, answers out, work off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import grpc

from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_services.corpus.documents import Document
from slcolm_services.errors import FieldViolation, InvalidInput, SlcolmError
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.engine import Extraction
from slcolm_services.extraction.measures import ExtractionMeasures
from slcolm_services.extraction.reading import Reading
from slcolm_services.extraction.registry import LoadedModel, Registry
from slcolm_services.extraction.scheduler import Output, Scheduler
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import check_batch, document_to_wire, schema_to_wire

# Less than this takes a fraction of a millisecond, which is less than a change of threads costs.
_INLINE_CHARACTERS = 500
_INLINE_OUTPUTS = 4

_NEWS_SHARE = 0.1
"""How much the latest call says of the tokens of a character."""


class ExtractionServicer(extraction_pb2_grpc.ExtractionServiceServicer):
    """Serves `slcolm.extraction.v1.ExtractionService`."""

    def __init__(
        self,
        config: ExtractionConfig,
        registry: Registry,
        scheduler: Scheduler,
        measures: ExtractionMeasures,
    ) -> None:
        self._config = config
        self._registry = registry
        self._scheduler = scheduler
        self._measures = measures
        self._loading = asyncio.Lock()
        self._tokens_per_character = 1.0

    def wait_seconds(self, characters: int) -> float:
        """How long others would hold up a call with so many characters."""
        return self._scheduler.wait_seconds(round(characters * self._tokens_per_character))

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
        documents = [Document(document.id, document.text) for document in request.documents]
        characters = characters_of(request)
        if characters <= _INLINE_CHARACTERS:
            reading = self._read(model, documents)
        else:
            reading = await asyncio.to_thread(self._read, model, documents)
        self._note_tokens(characters, reading)
        # A caller that goes away cancels this handler, and that what still waits of the call.
        outputs = await asyncio.wrap_future(self._scheduler.submit(model.engine, reading.sentences))
        answer = partial(
            _response, model.revision, reading, outputs, include_vectors=request.include_vectors
        )
        if len(outputs) <= _INLINE_OUTPUTS:
            return answer()
        return await asyncio.to_thread(answer)

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
        # Models are loaded one after another: calls that wait for that must take no threads.
        async with self._loading:
            model = await asyncio.to_thread(self._registry.load, request.revision)
        return extraction_pb2.LoadModelResponse(model=self._describe(model))

    def _read(self, model: LoadedModel, documents: Sequence[Document]) -> Reading:
        with self._measures.read_seconds.time():
            return Reading.of(model.engine, documents)

    def _note_tokens(self, characters: int, reading: Reading) -> None:
        if characters:
            tokens = sum(len(sentence.encoded) for sentence in reading.sentences)
            news = tokens / characters - self._tokens_per_character
            self._tokens_per_character += _NEWS_SHARE * news

    def _describe(self, model: LoadedModel) -> extraction_pb2.Model:
        manifest = model.engine.manifest
        return extraction_pb2.Model(
            revision=model.revision,
            schema=schema_to_wire(model.engine.schema),
            vector_dimension=manifest.vector_dimension,
            max_tokens=manifest.max_tokens,
            precision=model.engine.precision,
            loaded=True,
            default=self._registry.is_default(model.revision),
            dev_scores=model.dev_scores,
        )


def characters_of(request: extraction_pb2.ExtractRequest) -> int:
    """Characters to read."""
    return sum(len(document.text) for document in request.documents)


def _response(
    revision: str, reading: Reading, outputs: Sequence[Output], *, include_vectors: bool
) -> extraction_pb2.ExtractResponse:
    return extraction_pb2.ExtractResponse(
        results=[
            _result(document.id, result, include_vector=include_vectors)
            for document, result in zip(reading.documents, reading.joined(outputs), strict=True)
        ],
        model_revision=revision,
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
            windows=[
                extraction_pb2.Window(start=window.start, end=window.end)
                for window in result.windows
            ],
            unseen_pairs=result.unseen_pairs,
        ),
    )
