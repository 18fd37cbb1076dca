"""Asking LLMs about texts: who is asked, with what, and the calls to retrieval and guidance."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from google.rpc.status_pb2 import Status

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm_services.coordinator.peers import Peers
from slcolm_services.coordinator.pipeline import OnDone, batches
from slcolm_services.errors import (
    BatchUnsupported,
    BudgetExhausted,
    FieldViolation,
    InvalidInput,
    ProviderNotFound,
    RemoteError,
)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Answers: TypeAlias = Mapping[str, guidance_pb2.GuideResult]
"""Answers to one text by the name of their source; every source that was asked is there."""

_DEFAULT_DEMONSTRATIONS = 2


@dataclass(frozen=True, slots=True)
class Source:
    """Whom an answer comes from: a provider, and which of its answers.

    Attributes:
        name: `provider` for its first answer, `provider#2` for the second, and so on.
        provider: Name of a provider of the guidance service.
        sample: Which answer, counted from 0.
    """

    name: str
    provider: str
    sample: int


@dataclass(frozen=True, slots=True)
class Guidance:
    """What LLMs are asked with.

    Attributes:
        index_revision: Index that demonstrations and candidates come from.
        sources: Who is asked, in order.
        schema: The task.
        run_id: Run that the spending is booked on.
        demonstration_count: Demonstrations to choose for each prompt.
        random_demonstrations: Draw them at random instead of by similarity.
        options: How prompts are made.
    """

    index_revision: str
    sources: tuple[Source, ...]
    schema: common_pb2.TaskSchema
    run_id: str
    demonstration_count: int = _DEFAULT_DEMONSTRATIONS
    random_demonstrations: bool = False
    options: guidance_pb2.PromptOptions = field(default_factory=guidance_pb2.PromptOptions)


@dataclass(frozen=True, slots=True)
class Question:
    """A text with what retrieval chose for it.

    Attributes:
        item: What the guidance service is sent.
        error: Why retrieval could choose nothing; None where it could.
    """

    item: guidance_pb2.GuideItem
    error: Status | None = None

    @property
    def id(self) -> str:
        """Id of the text."""
        return str(self.item.prediction.id)


def providers_of(peers: Peers, spec: coordinator_pb2.RunSpec) -> tuple[guidance_pb2.Provider, ...]:
    """The providers that a run asks, as the guidance service has them, in order.

    Raises:
        ProviderNotFound: The guidance service has no provider of a name.
        InvalidInput: One is named twice.
        BatchUnsupported: The run wants batches, and one takes none.
    """
    response: guidance_pb2.ListProvidersResponse = peers.invoke(
        "guidance", peers.guidance.ListProviders, guidance_pb2.ListProvidersRequest(page_size=1000)
    )
    known = {provider.name: provider for provider in response.providers}
    default = next((name for name, provider in known.items() if provider.default), "")
    names = [name or default for name in (spec.provider, *spec.other_providers)]
    for name in names:
        if name not in known:
            raise ProviderNotFound(
                f"the guidance service has no provider {name!r}; it has: {', '.join(known)}",
                metadata={"provider": name},
            )
        if names.count(name) > 1:
            problem = f"{name!r} is named twice; for several of its answers, set samples"
            raise InvalidInput(
                f"spec.other_providers: {problem}",
                violations=[FieldViolation("spec.other_providers", problem)],
            )
        if spec.batch and not known[name].batch:
            raise BatchUnsupported(
                f"provider {name!r} takes no batches", metadata={"provider": name}
            )
    return tuple(known[name] for name in names)


def guidance_of(
    spec: coordinator_pb2.RunSpec,
    providers: Iterable[guidance_pb2.Provider],
    *,
    index_revision: str,
    run_id: str,
) -> Guidance:
    """What a run asks LLMs with."""
    return Guidance(
        index_revision=index_revision,
        sources=tuple(
            Source(_source_name(provider.name, sample), provider.name, sample)
            for provider in providers
            for sample in range(_samples(provider, spec))
        ),
        schema=spec.schema,
        run_id=run_id,
        demonstration_count=demonstration_count(spec),
        random_demonstrations=spec.random_demonstrations,
        options=spec.prompt,
    )


def demonstration_count(spec: coordinator_pb2.RunSpec) -> int:
    """Demonstrations per prompt."""
    if spec.HasField("demonstration_count"):
        return spec.demonstration_count
    return _DEFAULT_DEMONSTRATIONS


class Asker:
    """Asks with one `Guidance`. Thread-safe.

    Args:
        peers: The other services.
        guidance: Who is asked, and with what.
        batch_documents: Texts per call.
        calls_in_flight: Calls at once.
    """

    def __init__(
        self, peers: Peers, guidance: Guidance, *, batch_documents: int, calls_in_flight: int
    ) -> None:
        self._peers = peers
        self._guidance = guidance
        self._batch_documents = batch_documents
        self._calls_in_flight = calls_in_flight

    @property
    def sources(self) -> tuple[Source, ...]:
        """Who is asked."""
        return self._guidance.sources

    def select(
        self, extractions: Sequence[extraction_pb2.Extraction], on_done: OnDone
    ) -> list[retrieval_pb2.SelectResult]:
        """Choose demonstrations and candidates; results in the order given."""

        def one(batch: Sequence[extraction_pb2.Extraction]) -> list[retrieval_pb2.SelectResult]:
            response = self._peers.invoke(
                "retrieval",
                self._peers.retrieval.Select,
                retrieval_pb2.SelectRequest(
                    index_revision=self._guidance.index_revision,
                    queries=[
                        retrieval_pb2.SelectQuery(document=item.document, vector=item.vector)
                        for item in batch
                    ],
                    demonstration_count=self._guidance.demonstration_count,
                    random=self._guidance.random_demonstrations,
                ),
            )
            on_done(len(batch))
            return list(response.results)

        parts = self._in_parallel(one, extractions, self._calls_in_flight)
        return [result for part in parts for result in part]

    def ask(
        self,
        questions: Sequence[Question],
        on_done: OnDone,
        *,
        budget: guidance_pb2.Budget | None = None,
    ) -> list[Answers]:
        """Ask every source about every text; answers in the order given.

        Args:
            questions: With a budget the first ones are asked first, and every source about a text
                before anyone about the next; without one the order does not matter.
            on_done: Called as texts are done.
            budget: What the run may spend in all, as far as it goes for these texts.

        Returns:
            An answer or an error of every source for every text. A question with an error has this
            error for an answer.
        """

        def one(batch: Sequence[Question]) -> list[Answers]:
            results: list[dict[str, guidance_pb2.GuideResult]] = [{} for _ in batch]
            for source in self._guidance.sources:
                answered = self._guide(source, batch, budget)
                for question, found in zip(batch, results, strict=True):
                    found[source.name] = answered.get(question.id) or guidance_pb2.GuideResult(
                        id=question.id, error=question.error
                    )
            on_done(len(batch))
            return list(results)

        # Calls in flight at once would share what is left of a budget in no order.
        parts = self._in_parallel(one, questions, 1 if budget else self._calls_in_flight)
        return [answers for part in parts for answers in part]

    def submit(
        self,
        questions: Sequence[Question],
        source: Source,
        budget: guidance_pb2.Budget | None = None,
    ) -> list[guidance_pb2.Batch]:
        """Have a provider answer questions in its own time: as many of the first as are allowed.

        A batch is accepted as a whole or not at all, so what does not fit into the budget is
        halved until it does.

        Returns:
            The batches; none where everything is answered already, or nothing fits.
        """
        items = [question.item for question in questions if question.error is None]
        found, _ = self._submit(items, source, budget)
        return found

    def _submit(
        self,
        items: Sequence[guidance_pb2.GuideItem],
        source: Source,
        budget: guidance_pb2.Budget | None,
    ) -> tuple[list[guidance_pb2.Batch], bool]:
        """The batches, and whether all of `items` are in them or answered."""
        if not items:
            return [], True
        try:
            response = self._peers.invoke(
                "guidance",
                self._peers.guidance.SubmitBatch,
                guidance_pb2.SubmitBatchRequest(**self._fields(items, source, budget)),
            )
        except RemoteError as error:
            if budget is None or error.reason != BudgetExhausted.reason:
                raise
            if len(items) == 1:
                return [], False
            middle = len(items) // 2
            found, complete = self._submit(items[:middle], source, budget)
            if complete:
                more, complete = self._submit(items[middle:], source, budget)
                found += more
            return found, complete
        return ([response.batch] if response.HasField("batch") else []), True

    def _guide(
        self, source: Source, batch: Sequence[Question], budget: guidance_pb2.Budget | None
    ) -> dict[str, guidance_pb2.GuideResult]:
        items = [question.item for question in batch if question.error is None]
        if not items:
            return {}
        response = self._peers.invoke(
            "guidance",
            self._peers.guidance.Guide,
            guidance_pb2.GuideRequest(**self._fields(items, source, budget)),
        )
        return {result.id: result for result in response.results}

    def _fields(
        self,
        items: Sequence[guidance_pb2.GuideItem],
        source: Source,
        budget: guidance_pb2.Budget | None,
    ) -> dict[str, Any]:
        """What is asked: the same for a batch as for a call that is to find its answers."""
        return {
            "items": items,
            "schema": self._guidance.schema,
            "provider": source.provider,
            "options": self._guidance.options,
            "run_id": self._guidance.run_id,
            "sample": source.sample,
            "budget": budget,
        }

    def _in_parallel(
        self, one: Callable[[Sequence[ItemT]], ResultT], items: Sequence[ItemT], calls: int
    ) -> list[ResultT]:
        with ThreadPoolExecutor(calls, thread_name_prefix="guide") as pool:
            # Each with what is bound here: the threads log, and call, for the same run.
            jobs = [
                partial(contextvars.copy_context().run, one, batch)
                for batch in batches(items, self._batch_documents)
            ]
            return list(pool.map(lambda job: job(), jobs))


def questions(
    extractions: Iterable[extraction_pb2.Extraction],
    selected: Iterable[retrieval_pb2.SelectResult],
) -> list[Question]:
    """Texts with what retrieval chose for each, both in the same order."""
    return [
        Question(
            guidance_pb2.GuideItem(
                prediction=extraction.document,
                demonstrations=result.selection.demonstrations,
                candidates=result.selection.candidates,
            ),
            result.error if result.WhichOneof("outcome") == "error" else None,
        )
        for extraction, result in zip(extractions, selected, strict=True)
    ]


def _samples(provider: guidance_pb2.Provider, spec: coordinator_pb2.RunSpec) -> int:
    """Answers to ask a provider for: rules give the same one every time."""
    return 1 if provider.kind == "offline" else spec.samples or 1


def _source_name(provider: str, sample: int) -> str:
    return f"{provider}#{sample + 1}" if sample else provider
