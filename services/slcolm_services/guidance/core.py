"""Guides batches: prompt, answer, parsed answer; an item that fails costs itself only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import FieldViolation, ProviderNotFound, SlcolmError
from slcolm_services.guidance.budget import Budget
from slcolm_services.guidance.exchange import Exchange, request_digest
from slcolm_services.guidance.items import Demonstration, GuideItem, Prompt, PromptOptions
from slcolm_services.guidance.ledger import Ledger, Spending
from slcolm_services.guidance.parse import ParsedAnswer, parse_answer
from slcolm_services.guidance.prompt import Window, build_annotate, build_guide
from slcolm_services.guidance.providers.base import Provider, ProviderInfo, Request
from slcolm_services.guidance.revisions import Revision, compare
from slcolm_services.guidance.usage import Usage

_log = structlog.get_logger(__name__)

_CUT_OFF = "length"


@dataclass(frozen=True, slots=True)
class Guided:
    """An answer, read.

    Attributes:
        parsed: What it says.
        revisions: What it did to the prediction; empty where it could not be read.
        provider: Who answered.
        model: Model name as the endpoint reported it.
        prompt_digest: SHA-256 over the provider and the messages.
        usage: What this answer cost now; all zero when it was in the ledger.
    """

    parsed: ParsedAnswer
    revisions: tuple[Revision, ...]
    provider: ProviderInfo
    model: str
    prompt_digest: str
    usage: Usage


Outcome = Guided | SlcolmError
"""What comes out for one item."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One item: what is shown of it, how its prompt is made, and what its answer is compared to."""

    item: GuideItem
    build: Callable[[Window], Prompt]
    predicted: Document


class Guidance:
    """Guidance over a set of providers and one ledger.

    Args:
        providers: By name, not yet open.
        default: Name of the provider that requests without one get.
        ledger: Where paid answers are kept.
        max_cost: Spending limit over everything in the ledger; 0: none.
    """

    def __init__(
        self, providers: Mapping[str, Provider], default: str, ledger: Ledger, *, max_cost: float
    ) -> None:
        self._providers = dict(providers)
        self._default = default
        self._ledger = ledger
        self._budget = Budget(max_cost)
        self._exchange = Exchange(ledger, self._budget)

    async def open(self) -> None:
        """Open the ledger and every provider."""
        await self._ledger.open()
        self._budget.spent = (await self._ledger.spending()).usage.cost
        for provider in self._providers.values():
            await provider.open()

    async def close(self) -> None:
        """Wait for calls that are paid for already, then close everything."""
        await self._exchange.settle()
        for provider in self._providers.values():
            await provider.close()
        await self._ledger.close()

    def providers(self) -> list[ProviderInfo]:
        """Every provider, the default one first."""
        names = sorted(self._providers, key=lambda name: (name != self._default, name))
        return [self._providers[name].info for name in names]

    def provider(self, name: str = "") -> ProviderInfo:
        """A provider by name; the default one for the empty name.

        Raises:
            ProviderNotFound: There is none of that name.
        """
        return self._find(name).info

    async def spending(self, run_id: str = "") -> Spending:
        """What was spent on a run, or on everything."""
        return await self._ledger.spending(run_id)

    async def render(
        self, items: Sequence[GuideItem], schema: TaskSchema, provider: str, options: PromptOptions
    ) -> list[tuple[Prompt, str]]:
        """Prompts and their digests, in order; nothing is sent.

        Raises:
            ProviderNotFound: There is no such provider.
            InvalidInput: There is no such template.
            PromptTooLong: A prompt does not fit the model's window.
        """
        info = self._find(provider).info

        def build() -> list[tuple[Prompt, str]]:
            prompts = [build_guide(item, schema, options, info.window) for item in items]
            return [(prompt, request_digest(info, prompt)) for prompt in prompts]

        return await asyncio.to_thread(build)

    async def guide(
        self,
        items: Sequence[GuideItem],
        schema: TaskSchema,
        *,
        timeout_seconds: float,
        provider: str = "",
        options: PromptOptions | None = None,
        run_id: str = "",
    ) -> list[Outcome]:
        """Have each item's prediction revised.

        Args:
            items: What to guide.
            schema: The task.
            timeout_seconds: Items without an answer by then come out as errors.
            provider: Name of a provider; empty: the default one.
            options: How prompts are made.
            run_id: Run that the spending is booked on.

        Returns:
            An answer or an error per item, in order.

        Raises:
            ProviderNotFound: There is no such provider.
        """
        how = options or PromptOptions()

        def job(item: GuideItem) -> _Job:
            return _Job(
                item=_shown(item, how),
                build=lambda window: build_guide(item, schema, how, window),
                predicted=item.prediction,
            )

        jobs = [job(item) for item in items]
        return await self._batch(jobs, schema, self._find(provider), run_id, timeout_seconds)

    async def annotate(
        self,
        documents: Sequence[Document],
        demonstrations: Sequence[Document],
        schema: TaskSchema,
        *,
        timeout_seconds: float,
        provider: str = "",
        style: str = "standard",
        run_id: str = "",
    ) -> list[Outcome]:
        """Have each text annotated without an SLM; see `guide`.

        Args:
            documents: Their texts are annotated.
            demonstrations: Solved examples shown in every prompt.
            schema: The task.
            timeout_seconds: Items without an answer by then come out as errors.
            provider: Name of a provider; empty: the default one.
            style: `standard` or `cot`.
            run_id: Run that the spending is booked on.
        """
        examples = tuple(Demonstration(gold) for gold in demonstrations)

        def job(document: Document) -> _Job:
            bare = document.without_annotations()
            return _Job(
                item=GuideItem(bare, examples),
                build=lambda window: build_annotate(bare, demonstrations, schema, style, window),
                predicted=bare,
            )

        jobs = [job(document) for document in documents]
        return await self._batch(jobs, schema, self._find(provider), run_id, timeout_seconds)

    def _find(self, name: str) -> Provider:
        found = self._providers.get(name or self._default)
        if found is None:
            known = ", ".join(self._providers)
            raise ProviderNotFound(
                f"no provider {name!r} is configured",
                violations=[FieldViolation("provider", f"must be one of {known}")],
                metadata={"provider": name},
            )
        return found

    async def _batch(
        self,
        jobs: Sequence[_Job],
        schema: TaskSchema,
        provider: Provider,
        run_id: str,
        timeout_seconds: float,
    ) -> list[Outcome]:
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        return await asyncio.gather(
            *(self._outcome(job, schema, provider, run_id, deadline) for job in jobs)
        )

    async def _outcome(
        self, job: _Job, schema: TaskSchema, provider: Provider, run_id: str, deadline: float
    ) -> Outcome:
        try:
            return await self._guide(job, schema, provider, run_id, deadline)
        except SlcolmError as error:
            return error
        except Exception:  # noqa: BLE001  as the comment below says
            # A defect of ours costs one item; what it was stands in the log and nowhere else.
            _log.exception("guidance_item_failed", id=job.predicted.id)
            return SlcolmError("internal error; the service's log has it under the item's id")

    async def _guide(
        self, job: _Job, schema: TaskSchema, provider: Provider, run_id: str, deadline: float
    ) -> Guided:
        info = provider.info
        prompt = await asyncio.to_thread(job.build, info.window)
        completion = await self._exchange.answer(
            provider, Request(prompt, job.item, schema), run_id=run_id, deadline=deadline
        )
        answer = completion.answer
        parsed = await asyncio.to_thread(parse_answer, answer.text, job.predicted.text, schema)
        if answer.finish_reason == _CUT_OFF:
            parsed.repairs["cut_off"] += 1
        revisions = compare(job.predicted.triples(), parsed.triples) if parsed.usable else ()
        return Guided(
            parsed=parsed,
            revisions=revisions,
            provider=info,
            model=answer.model,
            prompt_digest=request_digest(info, prompt),
            usage=completion.usage,
        )


def _shown(item: GuideItem, options: PromptOptions) -> GuideItem:
    """What the prompt options leave of an item, for providers that read items."""
    return replace(
        item,
        prediction=item.prediction.without_annotations()
        if options.omit_prediction
        else item.prediction,
        demonstrations=() if options.omit_demonstrations else item.demonstrations,
    )
