"""GuidanceService on the wire."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from slcolm.common.v1 import common_pb2
from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm_services.corpus.documents import Document
from slcolm_services.errors import FieldViolation, SlcolmError, TextTooLong
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance, Guided, Outcome
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem, PromptOptions
from slcolm_services.guidance.revisions import Revision, RevisionKind
from slcolm_services.guidance.usage import Usage
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import (
    check_batch,
    document_from_wire,
    entity_to_wire,
    schema_from_wire,
    triple_to_wire,
)

_MARGIN_SECONDS = 0.25
"""Kept of the caller's deadline, so that the answers that are there still reach the caller."""

_NO_DEADLINE_SECONDS = 600.0

_KINDS = {
    RevisionKind.KEPT: guidance_pb2.REVISION_KIND_KEPT,
    RevisionKind.DROPPED: guidance_pb2.REVISION_KIND_DROPPED,
    RevisionKind.RELABELLED: guidance_pb2.REVISION_KIND_RELABELLED,
    RevisionKind.ADDED: guidance_pb2.REVISION_KIND_ADDED,
}


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
            options=_options(request.options),
            run_id=request.run_id,
        )
        return guidance_pb2.GuideResponse(
            results=[
                guidance_pb2.GuideResult(id=item.prediction.id, error=status_of(outcome))
                if isinstance(outcome, SlcolmError)
                else guidance_pb2.GuideResult(
                    id=item.prediction.id, guided=self._guided(outcome, item.prediction.text)
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
        outcomes: list[Outcome] = await self._guidance.annotate(
            documents,
            [
                document_from_wire(message, f"demonstrations[{index}]")
                for index, message in enumerate(request.demonstrations)
            ],
            schema_from_wire(request.schema),
            timeout_seconds=_remaining(context.time_remaining()),
            provider=request.provider,
            style=request.style or "standard",
            run_id=request.run_id,
        )
        return guidance_pb2.AnnotateResponse(
            results=[
                guidance_pb2.AnnotateResult(id=document.id, error=status_of(outcome))
                if isinstance(outcome, SlcolmError)
                else guidance_pb2.AnnotateResult(
                    id=document.id, annotation=self._guided(outcome, document.text)
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
            items, schema_from_wire(request.schema), request.provider, _options(request.options)
        )
        return guidance_pb2.RenderPromptResponse(
            prompts=[
                guidance_pb2.RenderedPrompt(
                    id=item.prediction.id,
                    messages=[
                        guidance_pb2.Message(role=message.role, content=message.content)
                        for message in prompt.messages
                    ],
                    prompt_digest=digest,
                    prompt_tokens=prompt.tokens,
                    cost=info.prices.cost(
                        prompt=prompt.tokens, completion=info.window.answer_tokens
                    ),
                    currency=info.prices.currency,
                    shortened=prompt.shortened,
                )
                for item, (prompt, digest) in zip(items, rendered, strict=True)
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
        response = guidance_pb2.GetUsageResponse(usage=self._usage(spending.usage))
        if spending.since is not None:
            response.since_time.FromDatetime(spending.since)
        return response

    def _items(self, messages: Sequence[guidance_pb2.GuideItem]) -> list[GuideItem]:
        documents = self._documents([item.prediction for item in messages], "items", "prediction")
        return [
            GuideItem(
                prediction=document,
                demonstrations=tuple(
                    _demonstration(example, f"items[{index}].demonstrations[{place}]")
                    for place, example in enumerate(message.demonstrations)
                ),
                candidates=tuple(
                    Candidate(candidate.type, candidate.score, tuple(candidate.triggers))
                    for candidate in message.candidates
                ),
            )
            for index, (message, document) in enumerate(zip(messages, documents, strict=True))
        ]

    def _documents(
        self, messages: Sequence[common_pb2.Document], field: str, inner: str = ""
    ) -> list[Document]:
        check_batch([message.id for message in messages], field=field, limit=self._config.max_items)
        documents = []
        for index, message in enumerate(messages):
            place = f"{field}[{index}]" + (f".{inner}" if inner else "")
            if len(message.text) > self._config.max_text_chars:
                limit = self._config.max_text_chars
                raise TextTooLong(
                    f"{message.id!r} has {len(message.text)} characters, at most {limit} are taken",
                    violations=[FieldViolation(f"{place}.text", f"at most {limit} characters")],
                    metadata={"id": message.id, "limit": str(limit)},
                )
            documents.append(document_from_wire(message, place))
        return documents

    def _guided(self, guided: Guided, text: str) -> guidance_pb2.Guided:
        parsed = guided.parsed
        return guidance_pb2.Guided(
            triples=[triple_to_wire(triple) for triple in parsed.triples],
            entities=[entity_to_wire(entity, text) for entity in parsed.entities],
            revisions=[_revision(revision) for revision in guided.revisions],
            explanation=parsed.explanation,
            usable=parsed.usable,
            repairs=parsed.repairs,
            dropped=parsed.dropped,
            origin=guidance_pb2.AnswerOrigin(
                provider=guided.provider.name,
                model=guided.model,
                prompt_digest=guided.prompt_digest,
                offline_rules=guided.provider.offline_rules,
                replayed=guided.provider.replayed,
                usage=self._usage(guided.usage),
            ),
            offset_unit=common_pb2.OFFSET_UNIT_UNICODE_CODE_POINTS,
        )

    def _usage(self, usage: Usage) -> guidance_pb2.Usage:
        return guidance_pb2.Usage(
            calls=usage.calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            cost=usage.cost,
            currency=self._config.currency,
        )


def _demonstration(message: common_pb2.Demonstration, field: str) -> Demonstration:
    return Demonstration(
        gold=document_from_wire(message.gold, f"{field}.gold"),
        prediction=document_from_wire(message.prediction, f"{field}.prediction")
        if message.HasField("prediction")
        else None,
    )


def _options(message: guidance_pb2.PromptOptions) -> PromptOptions:
    return PromptOptions(
        template=message.template,
        omit_definitions=message.omit_definitions,
        omit_demonstrations=message.omit_demonstrations,
        omit_prediction=message.omit_prediction,
    )


def _revision(revision: Revision) -> guidance_pb2.Revision:
    return guidance_pb2.Revision(
        kind=_KINDS[revision.kind],
        triple=triple_to_wire(revision.triple),
        previous_type=revision.previous_type or "",
    )


def _remaining(seconds: float | None) -> float:
    return (_NO_DEADLINE_SECONDS if seconds is None else seconds) - _MARGIN_SECONDS
