"""Stages that put SLM and LLMs together: fit, merge."""

from __future__ import annotations

from slcolm.evaluation.v1 import evaluation_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.context import StageContext, Tools
from slcolm_services.coordinator.records import StageResult


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
        done=sum(map(pipeline.is_answered, items)),
        artifacts={
            "fit.binpb": tools.records.put_file(response.SerializeToString(deterministic=True))
        },
        values={"policy_digest": policy.digest},
    )


def merge(tools: Tools, context: StageContext) -> StageResult:
    """Merge test by the policy; beside it the LLM alone, for the report."""
    items = tools.merge_items(context, "test")
    policy = tools.policy(context.artifacts)
    policies = {
        "merged": policy,
        "llm": evaluation_pb2.Policy(
            mode=evaluation_pb2.MERGE_MODE_LLM,
            entity_filter=policy.entity_filter,
            quorum=policy.quorum,
        ),
    }
    artifacts = {}
    done, total = 0, len(items) * len(policies)

    def count(finished: int) -> None:
        nonlocal done
        done += finished
        context.progress(done, total, "texts merged")

    for name, chosen in policies.items():
        # What the LLM alone says is scored as said: a text without an answer has no triples.
        merged = items if name == "merged" else list(filter(pipeline.is_answered, items))
        results = pipeline.merge(
            tools.peers,
            merged,
            context.spec.schema,
            chosen,
            batch_documents=tools.config.batch_documents,
            on_done=count,
        )
        artifacts[f"{name}.binpb"] = tools.records.put_file(
            evaluation_pb2.MergeResponse(results=results).SerializeToString(deterministic=True)
        )
    return StageResult(message=f"{len(items)} texts", done=len(items), artifacts=artifacts)
