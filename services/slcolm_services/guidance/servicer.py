"""GuidanceService on the wire."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from slcolm.common.v1 import common_pb2
from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.corpus.documents import Document
from slcolm_services.errors import FieldViolation, SlcolmError, TextTooLong
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import Demonstration, GuideItem
from slcolm_services.guidance.outcome import Outcome
from slcolm_services.guidance.wire import (
    batch_to_wire,
    budget_from_wire,
    guided_to_wire,
    item_from_wire,
    options_from_wire,
    run_id_from_wire,
    sample_from_wire,
    usage_to_wire,
)
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import check_batch, document_from_wire, schema_from_wire

_MARGIN_SECONDS = 0.25
"""Kept of the caller's deadline, so that the answers that are there still reach the caller."""

_NO_DEADLINE_SECONDS = 600.0

_MAX_BATCH_ITEMS = 50_000
"""What OpenAI takes in one batch."""


class GuidanceServicer(guidance_pb2_grpc.GuidanceServiceServicer):
    """Wire types in, wire types out.

    Args:
        guidance: What does the work; open.
        config: Limits on requests.
    """

    def __init__(self, guidance: Guidance, config: GuidanceConfig) -> None:
        self._guidance = guidance
        self._config = config

    async def Guide(
        self,
        request: guidance_pb2.GuideRequest,
        context: grpc.aio.ServicerContext[guidance_pb2.GuideRequest, guidance_pb2.GuideResponse],
    ) -> guidance_pb2.GuideResponse:
        """Guide a batch."""
        items = self._items(request.items)
        outcomes = await self._guidance.guide(
            items,
            schema_from_wire(request.schema),
            timeout_seconds=_remaining(context.time_remaining()),
            provider=request.provider,
            options=options_from_wire(request.options),
            sample=sample_from_wire(request.sample),
            run_id=run_id_from_wire(request.run_id),
            budget=budget_from_wire(request),
        )
        return guidance_pb2.GuideResponse(
            results=[
                guidance_pb2.GuideResult(id=item.prediction.id, error=status_of(outcome))
                if isinstance(outcome, SlcolmError)
                else guidance_pb2.GuideResult(
                    id=item.prediction.id,
                    guided=guided_to_wire(outcome, item.prediction.text, self._config.currency),
                )
                for item, outcome in zip(items, outcomes, strict=True)
            ]
        )

    async def Annotate(
        self,
        request: guidance_pb2.AnnotateRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.AnnotateRequest, guidance_pb2.AnnotateResponse
        ],
    ) -> guidance_pb2.AnnotateResponse:
        """Annotate texts without an SLM."""
        documents = self._documents(request.documents, "documents")
        demonstrations = tuple(
            Demonstration(document_from_wire(message, f"demonstrations[{index}]"))
            for index, message in enumerate(request.demonstrations)
        )
        outcomes: list[Outcome] = await self._guidance.annotate(
            [GuideItem(document, demonstrations) for document in documents],
            schema_from_wire(request.schema),
            timeout_seconds=_remaining(context.time_remaining()),
            provider=request.provider,
            style=request.style or "standard",
            entities_only=request.entities_only,
            sample=sample_from_wire(request.sample),
            run_id=run_id_from_wire(request.run_id),
            budget=budget_from_wire(request),
        )
        return guidance_pb2.AnnotateResponse(
            results=[
                guidance_pb2.AnnotateResult(id=document.id, error=status_of(outcome))
                if isinstance(outcome, SlcolmError)
                else guidance_pb2.AnnotateResult(
                    id=document.id,
                    annotation=guided_to_wire(outcome, document.text, self._config.currency),
                )
                for document, outcome in zip(documents, outcomes, strict=True)
            ]
        )

    async def RenderPrompt(
        self,
        request: guidance_pb2.RenderPromptRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.RenderPromptRequest, guidance_pb2.RenderPromptResponse
        ],
    ) -> guidance_pb2.RenderPromptResponse:
        """Show what would be sent."""
        del context
        items = self._items(request.items)
        info = self._guidance.provider(request.provider)
        rendered = await self._guidance.render(
            items,
            schema_from_wire(request.schema),
            request.provider,
            options_from_wire(request.options),
            sample=sample_from_wire(request.sample),
        )
        return guidance_pb2.RenderPromptResponse(
            prompts=[
                guidance_pb2.RenderedPrompt(
                    id=item.prediction.id,
                    messages=[
                        guidance_pb2.Message(role=message.role, content=message.content)
                        for message in shown.prompt.messages
                    ],
                    prompt_digest=shown.digest,
                    prompt_tokens=shown.prompt.tokens,
                    cost=info.prices.cost(
                        prompt=shown.prompt.tokens, completion=info.window.answer_tokens
                    ),
                    currency=info.prices.currency,
                    shortened=shown.prompt.shortened,
                    answered=shown.answered,
                )
                for item, shown in zip(items, rendered, strict=True)
            ]
        )

    async def ListProviders(
        self,
        request: guidance_pb2.ListProvidersRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.ListProvidersRequest, guidance_pb2.ListProvidersResponse
        ],
    ) -> guidance_pb2.ListProvidersResponse:
        """List the configured providers."""
        del context
        providers = self._guidance.providers()
        shown, next_page_token = page(providers, request.page_size, request.page_token)
        return guidance_pb2.ListProvidersResponse(
            providers=[
                guidance_pb2.Provider(
                    name=info.name,
                    kind=info.kind,
                    model=info.model,
                    digest=info.digest,
                    default=info == providers[0],
                    batch=self._guidance.batches.are_taken_by(info.name),
                    answer_form=info.answer_form,
                )
                for info in shown
            ],
            next_page_token=next_page_token,
        )

    async def GetUsage(
        self,
        request: guidance_pb2.GetUsageRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.GetUsageRequest, guidance_pb2.GetUsageResponse
        ],
    ) -> guidance_pb2.GetUsageResponse:
        """Tell what was spent."""
        del context
        spending = await self._guidance.spending(request.run_id)
        response = guidance_pb2.GetUsageResponse(
            usage=usage_to_wire(spending.usage, self._config.currency)
        )
        if spending.since is not None:
            response.since_time.FromDatetime(spending.since)
        return response

    async def SubmitBatch(
        self,
        request: guidance_pb2.SubmitBatchRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.SubmitBatchRequest, guidance_pb2.SubmitBatchResponse
        ],
    ) -> guidance_pb2.SubmitBatchResponse:
        """Have the provider answer in its own time."""
        batch = await self._guidance.submit_batch(
            self._items(request.items, _MAX_BATCH_ITEMS),
            schema_from_wire(request.schema),
            timeout_seconds=_remaining(context.time_remaining()),
            provider=request.provider,
            options=options_from_wire(request.options),
            sample=sample_from_wire(request.sample),
            run_id=run_id_from_wire(request.run_id),
            budget=budget_from_wire(request),
        )
        return guidance_pb2.SubmitBatchResponse(batch=batch_to_wire(batch) if batch else None)

    async def GetBatch(
        self,
        request: guidance_pb2.GetBatchRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.GetBatchRequest, guidance_pb2.GetBatchResponse
        ],
    ) -> guidance_pb2.GetBatchResponse:
        """Tell how a batch stands."""
        del context
        batch = await self._guidance.batches.get(request.batch_id)
        return guidance_pb2.GetBatchResponse(batch=batch_to_wire(batch))

    async def ListBatches(
        self,
        request: guidance_pb2.ListBatchesRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.ListBatchesRequest, guidance_pb2.ListBatchesResponse
        ],
    ) -> guidance_pb2.ListBatchesResponse:
        """List batches, newest first."""
        del context
        batches = await self._guidance.batches.list()
        shown, next_page_token = page(batches, request.page_size, request.page_token)
        return guidance_pb2.ListBatchesResponse(
            batches=[batch_to_wire(batch) for batch in shown], next_page_token=next_page_token
        )

    async def CancelBatch(
        self,
        request: guidance_pb2.CancelBatchRequest,
        context: grpc.aio.ServicerContext[
            guidance_pb2.CancelBatchRequest, guidance_pb2.CancelBatchResponse
        ],
    ) -> guidance_pb2.CancelBatchResponse:
        """Stop a batch."""
        del context
        batch = await self._guidance.batches.cancel(request.batch_id)
        return guidance_pb2.CancelBatchResponse(batch=batch_to_wire(batch))

    def _items(
        self, messages: Sequence[guidance_pb2.GuideItem], limit: int | None = None
    ) -> list[GuideItem]:
        predictions = [item.prediction for item in messages]
        documents = self._documents(predictions, "items", "prediction", limit)
        return [
            item_from_wire(message, document, f"items[{index}]")
            for index, (message, document) in enumerate(zip(messages, documents, strict=True))
        ]

    def _documents(
        self,
        messages: Sequence[common_pb2.Document],
        field: str,
        inner: str = "",
        limit: int | None = None,
    ) -> list[Document]:
        ids = [message.id for message in messages]
        check_batch(ids, field=field, limit=limit or self._config.max_items)
        documents = []
        for index, message in enumerate(messages):
            place = f"{field}[{index}]" + (f".{inner}" if inner else "")
            if len(message.text) > self._config.max_text_chars:
                most = self._config.max_text_chars
                raise TextTooLong(
                    f"{message.id!r} has {len(message.text)} characters, at most {most} are taken",
                    violations=[FieldViolation(f"{place}.text", f"at most {most} characters")],
                    metadata={"id": message.id, "limit": str(most)},
                )
            documents.append(document_from_wire(message, place))
        return documents


def _remaining(seconds: float | None) -> float:
    return (_NO_DEADLINE_SECONDS if seconds is None else seconds) - _MARGIN_SECONDS
