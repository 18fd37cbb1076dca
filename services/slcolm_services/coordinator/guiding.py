"""Stages that bring in the LLM: guide, fit, merge."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.context import (
    GUIDED_SPLITS,
    StageContext,
    Tools,
    demonstration_count,
)
from slcolm_services.coordinator.records import StageResult
from slcolm_services.errors import AnswerNotRecorded, RemoteError, SlcolmError


def guide(tools: Tools, context: StageContext) -> StageResult:
    """Ask the LLM about dev, for fitting, then about test."""
    guidance = pipeline.Guidance(
        index_revision=context.values["index_revision"],
        provider=context.spec.provider,
        demonstration_count=demonstration_count(context.spec),
        run_id=context.run_id,
    )
    extractions = {
        split: [
            result.extraction
            for result in tools.predictions(context, split)
            if result.WhichOneof("outcome") == "extraction"
        ]
        for split in GUIDED_SPLITS
    }

    def ask(
        part: Sequence[extraction_pb2.Extraction], on_done: pipeline.OnDone
    ) -> list[guidance_pb2.GuideResult]:
        return pipeline.guide(
            tools.peers,
            part,
            context.spec.schema,
            guidance,
            batch_documents=tools.config.guide_batch_documents,
            calls_in_flight=tools.config.guide_calls_in_flight,
            on_done=on_done,
        )

    # An endpoint that is down is found out by one batch, not by a whole corpus of retries. What
    # this batch costs is not paid again: its answers are in the ledger.
    probe = extractions[GUIDED_SPLITS[0]][: tools.config.guide_batch_documents]
    _raise_if_unanswered(ask(probe, lambda _: None))

    total = sum(len(part) for part in extractions.values())
    done = 0
    artifacts, results = {}, []
    for split, part in extractions.items():

        def count(finished: int, split: str = split) -> None:
            nonlocal done
            done += finished
            context.progress(done, total, split)

        answers = ask(part, count)
        results += answers
        artifacts[f"answers-{split}.binpb"] = tools.records.put_file(
            guidance_pb2.GuideResponse(results=answers).SerializeToString(deterministic=True)
        )
    _raise_if_unanswered(results)
    answered = sum(map(pipeline.has_answer, results))
    return StageResult(
        message=f"{answered} of {total} texts have a usable answer",
        done=total,
        artifacts=artifacts,
        reusable=not _failures_that_may_pass(results),
    )


def fit(tools: Tools, context: StageContext) -> StageResult:
    """Choose the merge policy on dev."""
    gold = tools.datasets.load(context.spec.dev_dataset)
    items = tools.merge_items(context, "dev")
    response = tools.peers.invoke(
        "evaluation",
        tools.peers.evaluation.FitPolicy,
        evaluation_pb2.FitPolicyRequest(
            gold=gold,
            items=items,
            schema=context.spec.schema,
            training_counts=tools.datasets.training_counts(context.spec.train_dataset),
        ),
    )
    policy = response.policy
    return StageResult(
        message=policy.provenance.splitlines()[0] if policy.provenance else "",
        done=sum(item.has_llm_answer for item in items),
        artifacts={
            "fit.binpb": tools.records.put_file(response.SerializeToString(deterministic=True))
        },
        values={"policy_digest": policy.digest},
    )


def merge(tools: Tools, context: StageContext) -> StageResult:
    """Merge test by the policy; beside it the LLM alone, for the report."""
    items = tools.merge_items(context, "test")
    policies = {
        "merged": tools.policy(context.artifacts),
        "llm": evaluation_pb2.Policy(
            mode=evaluation_pb2.MERGE_MODE_LLM,
            entity_filter=tools.policy(context.artifacts).entity_filter,
        ),
    }
    artifacts = {}
    done, total = 0, len(items) * len(policies)

    def count(finished: int) -> None:
        nonlocal done
        done += finished
        context.progress(done, total, "texts merged")

    for name, policy in policies.items():
        # What the LLM alone says is scored as said: a text without an answer has no triples.
        chosen = items if name == "merged" else [i for i in items if i.has_llm_answer]
        results = pipeline.merge(
            tools.peers,
            chosen,
            context.spec.schema,
            policy,
            batch_documents=tools.config.batch_documents,
            on_done=count,
        )
        artifacts[f"{name}.binpb"] = tools.records.put_file(
            evaluation_pb2.MergeResponse(results=results).SerializeToString(deterministic=True)
        )
    return StageResult(message=f"{len(items)} texts", done=len(items), artifacts=artifacts)


def _failures_that_may_pass(
    results: Sequence[guidance_pb2.GuideResult],
) -> list[guidance_pb2.GuideResult]:
    """Items that failed, save those that nothing is recorded for: that will not change."""
    return [
        item
        for item in results
        if item.WhichOneof("outcome") == "error"
        and _reason(item.error.details) != AnswerNotRecorded.reason
    ]


def _raise_if_unanswered(results: Sequence[guidance_pb2.GuideResult]) -> None:
    """Raise the first failure when there is no answer at all, and one might have been had."""
    failures = _failures_that_may_pass(results)
    if failures and not any(map(pipeline.has_answer, results)):
        raise _error_from(failures[0].error)


def _reason(details: Sequence[any_pb2.Any]) -> str:
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _error_from(status: Status) -> SlcolmError:
    code = code_pb2.Code.Name(status.code)
    return RemoteError(
        f"guidance: no text got an answer; the first failed with: {status.message}",
        code=code,
        reason=_reason(status.details) or code,
    )
