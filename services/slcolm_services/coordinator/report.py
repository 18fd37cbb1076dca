"""`report.json`: the figures of a run, for people and programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.asking import Answers
from slcolm_services.coordinator.figures import (
    average_precision_to_json,
    comparison_to_json,
    curve_to_json,
    policy_to_json,
    reliability_to_json,
    scores_to_json,
    spans_to_json,
)
from slcolm_services.coordinator.outcomes import has_answer, is_beyond_budget

SYSTEMS = ("slm", "llm", "merged")
_RUNNERS_UP = 10


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was measured on test.

    Attributes:
        strict: Strict scores of `slm`, `llm` and `merged`.
        calibrated: Strict scores of the SLM with the policy's calibrated probabilities.
        spans: Scores by offsets of `slm` and `merged`; an LLM names mentions without offsets.
        comparisons: `merged` against `slm` and against `llm`, by name of the baseline.
        leakage: What the splits share, as `corpus.leakage.leakage_json` writes it.
        clean: Strict scores of the test sentences that share nothing with train or dev, by system.
            Empty where none leaks, or none is left.
        clean_sentences: How many those are.
    """

    strict: Mapping[str, evaluation_pb2.Scores]
    calibrated: evaluation_pb2.Scores
    spans: Mapping[str, evaluation_pb2.Scores]
    comparisons: Mapping[str, evaluation_pb2.CompareResponse]
    leakage: Sequence[Mapping[str, Any]]
    clean: Mapping[str, evaluation_pb2.Scores]
    clean_sentences: int


def build_report(
    *,
    run_id: str,
    spec: coordinator_pb2.RunSpec,
    values: Mapping[str, str],
    training_counts: Mapping[str, int],
    judgement: Judgement,
    fit: evaluation_pb2.FitPolicyResponse,
    answers: Mapping[str, Mapping[str, Answers]],
    usage: guidance_pb2.Usage,
) -> dict[str, Any]:
    """The report of a run as a JSON object. It holds no times: the same work gives the same report.

    Args:
        run_id: The run.
        spec: What it did.
        values: Revisions and digests of its model, index and policy.
        training_counts: Instances in training data by relation type.
        judgement: What was measured on test.
        fit: The policy with the runners-up.
        answers: LLM answers by split, text and source.
        usage: What the run had spent when it had its answers.
    """
    report: dict[str, Any] = {
        "run_id": run_id,
        "task": spec.schema.name,
        "datasets": {
            "train": spec.train_dataset,
            "dev": spec.dev_dataset,
            "test": spec.test_dataset,
        },
    }
    for name in SYSTEMS:
        report[name] = {"strict": scores_to_json(judgement.strict[name])}
        if name in judgement.spans:
            report[name]["spans"] = spans_to_json(judgement.spans[name])
    for name, comparison in judgement.comparisons.items():
        report[f"merged_minus_{name}"] = comparison_to_json(comparison)
    return report | {
        "training_counts": {
            kind.name: training_counts.get(kind.name, 0) for kind in spec.schema.relation_types
        },
        "calibration": {
            "method": fit.policy.calibration.method or "none",
            "before": reliability_to_json(judgement.strict["slm"]),
            "after": reliability_to_json(judgement.calibrated),
            "merged": reliability_to_json(judgement.strict["merged"]),
        },
        "precision_recall": {
            name: curve_to_json(judgement.strict[name].precision_recall)
            for name in ("slm", "merged")
        },
        "average_precision": {
            name: average_precision_to_json(judgement.strict[name]) for name in ("slm", "merged")
        },
        "leakage": {
            "splits": list(judgement.leakage),
            "clean_test": {
                "sentences": judgement.clean_sentences,
                **{
                    name: {"strict": scores_to_json(scores)}
                    for name, scores in judgement.clean.items()
                },
            },
        },
        "policy": policy_to_json(fit, _RUNNERS_UP),
        "answers": {split: _coverage(list(part.values())) for split, part in answers.items()},
        "spending": _usage(usage) | {"currency": usage.currency, "budget": _budget(spec)},
        "revisions": dict(values),
    }


def report_bytes(report: Mapping[str, Any]) -> bytes:
    """The report as it is written to `report.json`."""
    return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()


def _coverage(texts: Sequence[Answers]) -> dict[str, Any]:
    """Who answered about how many texts: all sources together, then each."""
    return {
        "texts": len(texts),
        "usable": sum(any(map(has_answer, text.values())) for text in texts),
        "failed": sum(all(map(_has_failed, text.values())) for text in texts),
        "not_asked": sum(all(map(is_beyond_budget, text.values())) for text in texts),
        **_told_of([answer for text in texts for answer in text.values()]),
        "sources": {
            source: _coverage_of([text[source] for text in texts])
            for source in (texts[0] if texts else ())
        },
    }


def _coverage_of(answers: Sequence[guidance_pb2.GuideResult]) -> dict[str, Any]:
    return {
        "usable": sum(map(has_answer, answers)),
        "failed": sum(map(_has_failed, answers)),
        "not_asked": sum(map(is_beyond_budget, answers)),
        **_told_of(answers),
    }


def _has_failed(answer: guidance_pb2.GuideResult) -> bool:
    return answer.WhichOneof("outcome") == "error" and not is_beyond_budget(answer)


def _told_of(answers: Sequence[guidance_pb2.GuideResult]) -> dict[str, Any]:
    guided = [answer.guided for answer in answers if answer.WhichOneof("outcome") == "guided"]
    repairs: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for item in guided:
        repairs.update(item.repairs)
        dropped.update(item.dropped)
    return {
        "offline_rules": any(item.origin.offline_rules for item in guided),
        "models": sorted({item.origin.model for item in guided if item.origin.model}),
        "repairs": dict(repairs.most_common()),
        "dropped": dict(dropped.most_common()),
    }


def _budget(spec: coordinator_pb2.RunSpec) -> dict[str, Any] | None:
    if not spec.HasField("budget"):
        return None
    budget = spec.budget
    return {
        "max_calls": budget.max_calls,
        "max_tokens": budget.max_tokens,
        "max_cost": budget.max_cost,
    }


def _usage(usage: guidance_pb2.Usage) -> dict[str, Any]:
    return {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": usage.cost,
    }
