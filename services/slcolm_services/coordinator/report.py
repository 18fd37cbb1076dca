"""What a run leaves for people and programs: `report.json` and `merged.jsonl`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.pipeline import has_answer

_RUNNERS_UP = 10


def build_report(
    *,
    run_id: str,
    spec: coordinator_pb2.RunSpec,
    values: Mapping[str, str],
    scores: Mapping[str, evaluation_pb2.Scores],
    comparison: evaluation_pb2.CompareResponse,
    fit: evaluation_pb2.FitPolicyResponse,
    answers: Mapping[str, Sequence[guidance_pb2.GuideResult]],
) -> dict[str, Any]:
    """The report of a run as a JSON object.

    Args:
        run_id: The run.
        spec: What it did.
        values: Revisions and digests of its model, index and policy.
        scores: Strict scores on test of `slm`, `llm` and `merged`.
        comparison: `merged` against `slm`.
        fit: The policy with the runners-up.
        answers: LLM answers by split.
    """
    return {
        "run_id": run_id,
        "task": spec.schema.name,
        "datasets": {
            "train": spec.train_dataset,
            "dev": spec.dev_dataset,
            "test": spec.test_dataset,
        },
        **{name: {"strict": scores_to_json(system)} for name, system in scores.items()},
        "merged_minus_slm": {
            "micro_f1": _difference(comparison.micro_f1),
            "macro_f1_pr": _difference(comparison.macro_f1_pr),
        },
        "policy": {
            **policy_to_json(fit.policy),
            "runners_up": [_trial(trial) for trial in fit.trials[:_RUNNERS_UP]],
        },
        "answers": {split: _coverage(part) for split, part in answers.items()},
        "revisions": dict(values),
    }


def report_bytes(report: Mapping[str, Any]) -> bytes:
    """The report as it is written to `report.json`."""
    return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()


def scores_to_json(scores: evaluation_pb2.Scores) -> dict[str, Any]:
    """Scores as they stand in `report.json`; figures in [0, 1]."""
    return {
        "micro": _prf(scores.micro),
        "macro": _macro(scores.macro),
        "counts": _counts(scores.counts),
        "by_frequency": {
            bucket.bucket: {
                **_prf(bucket.micro),
                "macro": _macro(bucket.macro),
                "counts": _counts(bucket.counts),
                "types": bucket.type_count,
            }
            for bucket in scores.by_frequency
        },
        "per_relation": {
            item.type: {
                **_prf(item.scores),
                "counts": _counts(item.counts),
                "training_count": item.training_count,
            }
            for item in scores.per_type
        },
        "without_gold": scores.without_gold,
        "off_schema": scores.off_schema,
        "same_mention": scores.same_mention,
    }


def policy_to_json(policy: evaluation_pb2.Policy) -> dict[str, Any]:
    """A policy as it stands in `report.json`."""
    return {
        "mode": mode_name(policy.mode),
        "threshold": policy.threshold,
        "weak_types": list(policy.weak_types),
        "rare_below": policy.rare_below,
        "entity_filter": policy.entity_filter,
        "provenance": policy.provenance,
        "digest": policy.digest,
    }


def mode_name(mode: evaluation_pb2.MergeMode) -> str:
    """Name of a mode as people write it, for example `slm-first`."""
    name = evaluation_pb2.MergeMode.Name(mode)
    return name.removeprefix("MERGE_MODE_").lower().replace("_", "-")


def merged_lines(
    documents: Sequence[common_pb2.Document],
    predictions: Sequence[extraction_pb2.ExtractResult],
    merged: Sequence[evaluation_pb2.MergeResult],
    answers: Mapping[str, guidance_pb2.GuideResult],
) -> bytes:
    """`merged.jsonl`: native JSONL with triples, their lineage, revisions and the explanation.

    Every document has a line, in the order of the data set. One that failed says why, in `error`.
    """
    results = {result.id: result for result in merged}
    every: list[extraction_pb2.ExtractResult | evaluation_pb2.MergeResult] = [*predictions, *merged]
    failures = {
        result.id: result.error.message
        for result in every
        if result.WhichOneof("outcome") == "error"
    }
    lines = [
        _merged_line(document, results.get(document.id), answers.get(document.id), failures)
        for document in documents
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _merged_line(
    document: common_pb2.Document,
    result: evaluation_pb2.MergeResult | None,
    answer: guidance_pb2.GuideResult | None,
    failures: Mapping[str, str],
) -> dict[str, Any]:
    line: dict[str, Any] = {"id": document.id, "text": document.text}
    if document.id in failures or result is None:
        error = failures.get(document.id, "no result")
        return line | {"entities": [], "relations": [], "triples": [], "error": error}
    line["entities"] = [
        _without_none(type=e.type, start=e.start, end=e.end, prob=_probability(e))
        for e in result.merged.document.entities
    ]
    line["relations"] = [
        _without_none(type=r.type, head=r.head, tail=r.tail, prob=_probability(r))
        for r in result.merged.document.relations
    ]
    line["triples"] = [
        _without_none(
            head=item.triple.head,
            tail=item.triple.tail,
            type=item.triple.type,
            prob=_probability(item.triple),
            sources=list(item.sources),
            rule=item.rule,
        )
        for item in result.merged.triples
    ]
    if answer is not None and has_answer(answer):
        line["revisions"] = [
            _without_none(
                kind=_revision_name(revision.kind),
                head=revision.triple.head,
                tail=revision.triple.tail,
                type=revision.triple.type,
                previous_type=revision.previous_type or None,
            )
            for revision in answer.guided.revisions
        ]
        line["explanation"] = answer.guided.explanation
        line["answer"] = _origin(answer.guided.origin)
    elif answer is not None:
        line["answer"] = {"missing": answer.error.message or "the answer could not be read"}
    return line


def _revision_name(kind: guidance_pb2.RevisionKind) -> str:
    return guidance_pb2.RevisionKind.Name(kind).removeprefix("REVISION_KIND_").lower()


def _origin(origin: guidance_pb2.AnswerOrigin) -> dict[str, Any]:
    return {
        "provider": origin.provider,
        "model": origin.model,
        "prompt_digest": origin.prompt_digest,
        "offline_rules": origin.offline_rules,
        "replayed": origin.replayed,
    }


def _coverage(answers: Sequence[guidance_pb2.GuideResult]) -> dict[str, Any]:
    guided = [answer.guided for answer in answers if answer.WhichOneof("outcome") == "guided"]
    repairs: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for item in guided:
        repairs.update(item.repairs)
        dropped.update(item.dropped)
    return {
        "texts": len(answers),
        "usable": sum(map(has_answer, answers)),
        "failed": len(answers) - len(guided),
        "offline_rules": any(item.origin.offline_rules for item in guided),
        "models": sorted({item.origin.model for item in guided if item.origin.model}),
        "repairs": dict(repairs.most_common()),
        "dropped": dict(dropped.most_common()),
        "usage": _usage([item.origin.usage for item in guided]),
    }


def _usage(parts: Sequence[guidance_pb2.Usage]) -> dict[str, Any]:
    return {
        "calls": sum(part.calls for part in parts),
        "prompt_tokens": sum(part.prompt_tokens for part in parts),
        "completion_tokens": sum(part.completion_tokens for part in parts),
        "cost": sum(part.cost for part in parts),
    }


def _trial(trial: evaluation_pb2.PolicyTrial) -> dict[str, Any]:
    return {
        "mode": mode_name(trial.policy.mode),
        "threshold": trial.policy.threshold,
        "rare_below": trial.policy.rare_below,
        "objective": trial.objective,
        "objective_standard_error": trial.objective_standard_error,
        "dev_micro_f1": trial.dev_scores.micro.f1,
        "dev_macro_f1_pr": trial.dev_scores.macro.f1_pr,
    }


def _difference(value: evaluation_pb2.Difference) -> dict[str, float]:
    numbers: dict[str, float] = MessageToDict(
        value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return numbers


def _prf(value: evaluation_pb2.Prf) -> dict[str, Any]:
    figures: dict[str, Any] = {"p": value.precision, "r": value.recall, "f": value.f1}
    if value.HasField("f1_low"):
        figures["f_interval"] = [value.f1_low, value.f1_high]
    return figures


def _macro(value: evaluation_pb2.MacroPrf) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "p": value.precision,
        "r": value.recall,
        "f1_pr": value.f1_pr,
        "f1_mean": value.f1_mean,
    }
    if value.HasField("f1_pr_low"):
        figures["f1_pr_interval"] = [value.f1_pr_low, value.f1_pr_high]
        figures["f1_mean_interval"] = [value.f1_mean_low, value.f1_mean_high]
    return figures


def _counts(value: evaluation_pb2.Counts) -> list[int]:
    return [value.correct, value.predicted, value.gold]


def _probability(
    message: common_pb2.Entity | common_pb2.Relation | common_pb2.Triple,
) -> float | None:
    return round(message.probability, 4) if message.HasField("probability") else None


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
