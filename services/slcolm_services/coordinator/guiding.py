"""Stages that bring in LLMs: what they are shown, who is asked about what, and in which order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.asking import (
    Asker,
    Question,
    guidance_of,
    providers_of,
    questions,
)
from slcolm_services.coordinator.context import (
    GUIDED_SPLITS,
    SOURCES,
    StageContext,
    Tools,
    answers_name,
)
from slcolm_services.coordinator.outcomes import (
    failures_that_may_pass,
    has_answer,
    is_beyond_budget,
    raise_if_unanswered,
)
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.routing import Outlook, route
from slcolm_services.coordinator.waiting import of_run, wait_for_batches
from slcolm_services.corpus.documents import Triple

DEV_SHARE = 1 / 3
"""Part of a budget that dev may take, so that there is something to choose a policy by."""

USAGE = "usage.binpb"
"""Artifact: what the run had spent when the stage ended."""


def select(tools: Tools, context: StageContext) -> StageResult:
    """Choose demonstrations and candidates for dev and test.

    A stage of its own, because prompts are made of what it leaves: a run that goes on after a crash
    must ask the very same, or it would pay twice. A search may break ties anew.
    """
    asker = _asker(tools, context)
    extractions = {split: tools.extractions(context, split) for split in GUIDED_SPLITS}
    total = sum(len(part) for part in extractions.values())
    done = 0
    artifacts = {}
    failed = 0
    for split, part in extractions.items():

        def count(finished: int, split: str = split) -> None:
            nonlocal done
            done += finished
            context.progress(done, total, split)

        results = asker.select(part, count)
        failed += sum(result.WhichOneof("outcome") == "error" for result in results)
        response = retrieval_pb2.SelectResponse(results=results)
        artifacts[f"selection-{split}.binpb"] = tools.records.put_file(
            response.SerializeToString(deterministic=True)
        )
    return StageResult(
        message=f"{total} texts" + (f", {failed} failed" if failed else ""),
        done=total,
        artifacts=artifacts,
        reusable=not failed,
    )


def guide(tools: Tools, context: StageContext) -> StageResult:
    """Ask LLMs about dev, for fitting, then about test.

    With a budget, dev is asked about in random order until its share is spent, then test by
    expected gain until all is spent; what is left over stands on the SLM.
    """
    return _Guide(tools, context).run()


class _Guide:
    def __init__(self, tools: Tools, context: StageContext) -> None:
        self._tools, self._context = tools, context
        self._asker = _asker(tools, context)
        self._budgets = _budgets(context)
        self._extractions = {split: tools.extractions(context, split) for split in GUIDED_SPLITS}
        self._total = sum(len(part) for part in self._extractions.values())
        self._done = 0

    def run(self) -> StageResult:
        asked = {split: self._in_order(split, self._questions(split)) for split in GUIDED_SPLITS}
        if self._context.spec.batch:
            self._wait_for_batches(asked)
        else:
            self._probe(asked)
        answers = {split: self._ask(split, part) for split, part in asked.items()}
        every = [answer for part in answers.values() for one in part.values() for answer in one]
        self._raise_if_unanswered(every)
        artifacts = {
            SOURCES: self._put(json.dumps([source.name for source in self._asker.sources])),
            USAGE: self._put(self._usage().SerializeToString(deterministic=True)),
        }
        for split, part in answers.items():
            for source, results in part.items():
                response = guidance_pb2.GuideResponse(results=results)
                artifacts[answers_name(split, source)] = self._put(
                    response.SerializeToString(deterministic=True)
                )
        return StageResult(
            message=_told(answers),
            done=self._total,
            artifacts=artifacts,
            reusable=not failures_that_may_pass(every),
        )

    def _questions(self, split: str) -> list[Question]:
        data = self._tools.records.get_file(self._context.artifacts[f"selection-{split}.binpb"])
        selected = retrieval_pb2.SelectResponse.FromString(data).results
        return questions(self._extractions[split], selected)

    def _probe(self, asked: Mapping[str, Sequence[Question]]) -> None:
        """Find out by one batch, not by a whole corpus of retries, that an endpoint is down.

        What this batch costs is not paid again: its answers are in the ledger.
        """
        split = GUIDED_SPLITS[0]
        some = asked[split][: self._tools.config.guide_batch_documents]
        answers = self._asker.ask(some, lambda _: None, budget=self._budgets[split])
        self._raise_if_unanswered([answer for part in answers for answer in part.values()])

    def _in_order(self, split: str, every: list[Question]) -> list[Question]:
        """Whom to ask first. Without a budget everyone is asked, and the order is of no account."""
        if self._budgets[split] is None:
            return every
        if split == "dev":
            # A sample that says something of all of dev; the same one whenever the run goes on.
            return sorted(every, key=lambda item: hashlib.sha256(item.id.encode()).digest())
        counts = self._tools.datasets.training_counts(self._context.spec.train_dataset)
        return [every[place] for place in route([_outlook(one) for one in every], counts)]

    def _wait_for_batches(self, asked: Mapping[str, Sequence[Question]]) -> None:
        # What an earlier attempt has sent is with the provider, or answered.
        wait_for_batches(self._tools, self._context, of_run(self._tools, self._context.run_id))
        submitted = [
            batch
            for split, part in asked.items()
            for source in self._asker.sources
            for some in pipeline.batches(part, self._tools.config.submit_documents)
            for batch in self._asker.submit(some, source, self._budgets[split])
        ]
        wait_for_batches(self._tools, self._context, submitted)

    def _ask(
        self, split: str, asked: Sequence[Question]
    ) -> dict[str, list[guidance_pb2.GuideResult]]:
        """Results by source, each in the order of the split."""

        def count(finished: int) -> None:
            self._done += finished
            self._context.progress(self._done, self._total, split)

        found = self._asker.ask(asked, count, budget=self._budgets[split])
        by_id = {question.id: one for question, one in zip(asked, found, strict=True)}
        return {
            source.name: [by_id[item.document.id][source.name] for item in self._extractions[split]]
            for source in self._asker.sources
        }

    def _raise_if_unanswered(self, results: Sequence[guidance_pb2.GuideResult]) -> None:
        raise_if_unanswered(results, limited=self._context.spec.HasField("budget"))

    def _usage(self) -> guidance_pb2.GetUsageResponse:
        response: guidance_pb2.GetUsageResponse = self._tools.peers.invoke(
            "guidance",
            self._tools.peers.guidance.GetUsage,
            guidance_pb2.GetUsageRequest(run_id=self._context.run_id),
        )
        return response

    def _put(self, data: bytes | str) -> str:
        return self._tools.records.put_file(data.encode() if isinstance(data, str) else data)


def _asker(tools: Tools, context: StageContext) -> Asker:
    guidance = guidance_of(
        context.spec,
        providers_of(tools.peers, context.spec),
        index_revision=context.values["index_revision"],
        run_id=context.run_id,
    )
    return Asker(
        tools.peers,
        guidance,
        batch_documents=tools.config.guide_batch_documents,
        calls_in_flight=tools.config.guide_calls_in_flight,
    )


def _budgets(context: StageContext) -> dict[str, guidance_pb2.Budget | None]:
    """What may have been spent, on everything, when each split has been asked about."""
    if not context.spec.HasField("budget"):
        return dict.fromkeys(GUIDED_SPLITS)
    whole = context.spec.budget
    # At least 1 of each, because 0 would be no limit.
    part = guidance_pb2.Budget(
        max_calls=whole.max_calls and max(1, int(DEV_SHARE * whole.max_calls)),
        max_tokens=whole.max_tokens and max(1, int(DEV_SHARE * whole.max_tokens)),
        max_cost=DEV_SHARE * whole.max_cost,
    )
    return {"dev": part, "test": whole}


def _outlook(question: Question) -> Outlook:
    document = question.item.prediction
    wordings = [entity.text for entity in document.entities]
    return Outlook.of(
        wordings,
        [
            Triple(wordings[one.head], wordings[one.tail], one.type, one.probability)
            for one in document.relations
        ],
        {item.type: item.score for item in question.item.candidates},
    )


def _told(answers: Mapping[str, Mapping[str, Sequence[guidance_pb2.GuideResult]]]) -> str:
    """How many texts have an answer, and how many the budget left out."""
    usable: Counter[str] = Counter()
    for split, part in answers.items():
        for texts in zip(*part.values(), strict=True):
            usable["texts"] += 1
            usable["answered"] += any(map(has_answer, texts))
            usable[split] += all(is_beyond_budget(result) for result in texts)
    told = f"{usable['answered']} of {usable['texts']} texts have a usable answer"
    left_out = [f"{usable[split]} of {split}" for split in answers if usable[split]]
    return told + (f"; the budget left out {' and '.join(left_out)}" if left_out else "")
