"""Guides batches: prompt, answer, parsed answer; an item that fails costs itself only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import (
    DeadlineTooShort,
    FieldViolation,
    ProviderNotFound,
    SlcolmError,
)
from slcolm_services.guidance.answer_form import AnswerForm
from slcolm_services.guidance.batch_store import Batch
from slcolm_services.guidance.batches import Batches
from slcolm_services.guidance.entries import Spending
from slcolm_services.guidance.exchange import Exchange, request_digest
from slcolm_services.guidance.items import GuideItem, Prompt, PromptOptions
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.measures import GuidanceMeasures
from slcolm_services.guidance.outcome import Guided, Outcome, read_answer
from slcolm_services.guidance.prompt import (
    Window,
    annotate_form,
    build_annotate,
    build_guide,
    guide_form,
)
from slcolm_services.guidance.providers.base import Provider, ProviderInfo, Request
from slcolm_services.guidance.providers.batch import BatchProvider
from slcolm_services.guidance.rendering import Rendered, rendered
from slcolm_services.guidance.usage import RunBudget

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """One item: what is shown of it, how its prompt is made, and what its answer is compared to."""

    item: GuideItem
    build: Callable[[Window], Prompt]
    predicted: Document

    @classmethod
    def guide(cls, item: GuideItem, schema: TaskSchema, how: PromptOptions) -> _Job:
        return cls(
            item=how.shown(item),
            build=lambda window: build_guide(item, schema, how, window),
            predicted=item.prediction,
        )

    @classmethod
    def annotate(cls, item: GuideItem, schema: TaskSchema, form: AnswerForm) -> _Job:
        bare = item.prediction.without_annotations()
        examples = [demonstration.gold for demonstration in item.demonstrations]
        return cls(
            item=GuideItem(bare, item.demonstrations),
            build=lambda window: build_annotate(bare, examples, schema, form, window),
            predicted=bare,
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the items of a request have in common."""

    schema: TaskSchema
    form: AnswerForm
    answer_schema: Mapping[str, Any]
    provider: Provider
    sample: int
    run_id: str
    budget: RunBudget | None
    deadline: float


class Guidance:
    """Guidance over a set of providers and one ledger.

    Args:
        providers: By name, not yet open.
        default: Name of the provider that requests without one get.
        ledger: Where paid answers are kept.
        batch_providers: Those of the providers that take batches, by name.
        measures: Where the work is counted.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        default: str,
        ledger: Ledger,
        batch_providers: Mapping[str, BatchProvider] | None = None,
        measures: GuidanceMeasures | None = None,
    ) -> None:
        self._providers = dict(providers)
        self._default = default
        self._ledger = ledger
        self._measures = measures or GuidanceMeasures()
        self._exchange = Exchange(ledger, self._measures)
        self.batches = Batches(
            ledger, self._exchange, batch_providers or {}, measures=self._measures
        )

    async def open(self) -> None:
        """Open the ledger and every provider."""
        await self._ledger.open()
        for provider in self._providers.values():
            await provider.open()

    async def close(self) -> None:
        """Wait for calls that are paid for already, then close everything."""
        await self.batches.settle()
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

    async def check_ledger(self) -> None:
        """Go on where paid answers can be written down.

        Raises:
            Unavailable: They cannot.
        """
        self._ledger.check()

    async def check_provider(self, name: str) -> None:
        """Go on where a provider is not known to fail.

        Raises:
            ProviderUnavailable: It is.
            ProviderNotFound: There is none of that name.
        """
        await self._find(name).check()

    async def spending(self, run_id: str = "") -> Spending:
        """What was spent on a run, or on everything."""
        return await self._ledger.spending(run_id)

    async def render(
        self,
        items: Sequence[GuideItem],
        schema: TaskSchema,
        provider: str,
        options: PromptOptions,
        *,
        sample: int = 0,
    ) -> list[Rendered]:
        """Prompts of `guide` in order; nothing is sent.

        Raises:
            ProviderNotFound: There is no such provider.
            InvalidInput: There is no such template.
            PromptTooLong: A prompt does not fit the model's window.
        """
        builds = [_Job.guide(item, schema, options).build for item in items]
        return await rendered(builds, self._find(provider).info, self._ledger, sample=sample)

    async def render_annotate(
        self,
        items: Sequence[GuideItem],
        schema: TaskSchema,
        *,
        provider: str = "",
        style: str = "standard",
        entities_only: bool = False,
        sample: int = 0,
    ) -> list[Rendered]:
        """Prompts of `annotate` in order; nothing is sent.

        Raises:
            ProviderNotFound: There is no such provider.
            InvalidInput: There is no such style.
            PromptTooLong: A prompt does not fit the model's window.
        """
        form = annotate_form(schema, style, entities_only=entities_only)
        builds = [_Job.annotate(item, schema, form).build for item in items]
        return await rendered(builds, self._find(provider).info, self._ledger, sample=sample)

    async def guide(
        self,
        items: Sequence[GuideItem],
        schema: TaskSchema,
        *,
        timeout_seconds: float,
        provider: str = "",
        options: PromptOptions | None = None,
        sample: int = 0,
        run_id: str = "",
        budget: RunBudget | None = None,
        on_done: Callable[[], None] = lambda: None,
    ) -> list[Outcome]:
        """Have each item's prediction revised.

        Args:
            items: What to guide.
            schema: The task.
            timeout_seconds: Items without an answer by then come out as errors.
            provider: Name of a provider; empty: the default one.
            options: How prompts are made.
            sample: Which answer to the same prompt: 0 is the first one.
            run_id: Run that the spending is booked on.
            budget: What the run may spend in all.
            on_done: Called when an item is done, on the event loop.

        Returns:
            An answer or an error per item, in order.

        Raises:
            ProviderNotFound: There is no such provider.
            InvalidInput: There is no such template.
        """
        how = options or PromptOptions()
        form = guide_form(schema, how)
        batch = self._batch_of(
            schema,
            form,
            provider=provider,
            sample=sample,
            run_id=run_id,
            budget=budget,
            timeout_seconds=timeout_seconds,
        )
        jobs = [_Job.guide(item, schema, how) for item in items]
        return await self._outcomes(jobs, batch, on_done)

    async def annotate(
        self,
        items: Sequence[GuideItem],
        schema: TaskSchema,
        *,
        timeout_seconds: float,
        provider: str = "",
        style: str = "standard",
        entities_only: bool = False,
        sample: int = 0,
        run_id: str = "",
        budget: RunBudget | None = None,
        on_done: Callable[[], None] = lambda: None,
    ) -> list[Outcome]:
        """Have each text annotated without an SLM; see `guide`.

        Args:
            items: Their texts are annotated, and their demonstrations shown; predictions are not.
            schema: The task.
            timeout_seconds: Items without an answer by then come out as errors.
            provider: Name of a provider; empty: the default one.
            style: `standard` or `cot`.
            entities_only: Whether no relations are asked for.
            sample: Which answer to the same prompt: 0 is the first one.
            run_id: Run that the spending is booked on.
            budget: What the run may spend in all.
            on_done: Called when an item is done, on the event loop.

        Raises:
            ProviderNotFound: There is no such provider.
            InvalidInput: There is no such style.
        """
        form = annotate_form(schema, style, entities_only=entities_only)
        batch = self._batch_of(
            schema,
            form,
            provider=provider,
            sample=sample,
            run_id=run_id,
            budget=budget,
            timeout_seconds=timeout_seconds,
        )
        jobs = [_Job.annotate(item, schema, form) for item in items]
        return await self._outcomes(jobs, batch, on_done)

    async def submit_batch(
        self,
        items: Sequence[GuideItem],
        schema: TaskSchema,
        *,
        timeout_seconds: float,
        provider: str = "",
        options: PromptOptions | None = None,
        sample: int = 0,
        run_id: str = "",
        budget: RunBudget | None = None,
    ) -> Batch | None:
        """Have the provider answer what `guide` would ask, in its own time; see `Batches.submit`.

        Raises:
            ProviderNotFound: There is no such provider.
            InvalidInput: There is no such template.
            PromptTooLong: A prompt does not fit the model's window.
        """
        how = options or PromptOptions()
        batch = self._batch_of(
            schema,
            guide_form(schema, how),
            provider=provider,
            sample=sample,
            run_id=run_id,
            budget=budget,
            timeout_seconds=timeout_seconds,
        )
        window = batch.provider.info.window

        def build() -> list[Request]:
            return [
                Request(
                    build_guide(item, schema, how, window),
                    how.shown(item),
                    schema,
                    sample,
                    batch.answer_schema,
                )
                for item in items
            ]

        requests = await asyncio.to_thread(build)
        with self._measures.counting_refusals():
            return await self.batches.submit(
                batch.provider, requests, run_id=run_id, budget=budget, deadline=batch.deadline
            )

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

    def _batch_of(
        self,
        schema: TaskSchema,
        form: AnswerForm,
        *,
        provider: str,
        sample: int,
        run_id: str,
        budget: RunBudget | None,
        timeout_seconds: float,
    ) -> _Batch:
        return _Batch(
            schema=schema,
            form=form,
            answer_schema=form.json_schema(schema),
            provider=self._find(provider),
            sample=sample,
            run_id=run_id,
            budget=budget,
            deadline=asyncio.get_running_loop().time() + timeout_seconds,
        )

    async def _outcomes(
        self, jobs: Sequence[_Job], batch: _Batch, on_done: Callable[[], None] = lambda: None
    ) -> list[Outcome]:
        # Twice what is called at once: a slot never waits for a prompt, and no more prompts and
        # claims on budgets are held than that, however many items there are.
        places = asyncio.Semaphore(2 * batch.provider.info.concurrency)

        async def outcome(job: _Job) -> Outcome:
            done = await self._outcome(job, batch, places)
            self._measures.ended(batch.provider.info.name, done)
            on_done()
            return done

        return await asyncio.gather(*(outcome(job) for job in jobs))

    async def _outcome(self, job: _Job, batch: _Batch, places: asyncio.Semaphore) -> Outcome:
        try:
            async with asyncio.timeout_at(batch.deadline):
                await places.acquire()
        except TimeoutError:
            return DeadlineTooShort("the item's turn did not come before the caller's deadline")
        try:
            return await self._guide(job, batch)
        except SlcolmError as error:
            return error
        except Exception:  # noqa: BLE001  as the comment below says
            # A defect of ours costs one item; what it was stands in the log and nowhere else.
            _log.exception("guidance_item_failed", id=job.predicted.id)
            return SlcolmError("internal error; the service's log has it under the item's id")
        finally:
            places.release()

    async def _guide(self, job: _Job, batch: _Batch) -> Guided:
        provider = batch.provider
        prompt = await asyncio.to_thread(job.build, provider.info.window)
        completion = await self._exchange.answer(
            provider,
            Request(prompt, job.item, batch.schema, batch.sample, batch.answer_schema),
            run_id=batch.run_id,
            deadline=batch.deadline,
            budget=batch.budget,
        )
        return await asyncio.to_thread(
            read_answer,
            completion,
            job.predicted,
            batch.schema,
            provider.info,
            request_digest(provider.info, prompt, batch.sample),
            entities_only=not batch.form.relations,
        )
