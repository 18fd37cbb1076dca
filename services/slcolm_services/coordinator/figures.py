"""Figures of the evaluation service as they stand in `report.json`; all in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slcolm.evaluation.v1 import evaluation_pb2


def scores_to_json(scores: evaluation_pb2.Scores) -> dict[str, Any]:
    """Strict scores."""
    return {
        "micro": prf_to_json(scores.micro),
        "macro": _macro(scores.macro),
        "counts": _counts(scores.counts),
        "by_frequency": {
            bucket.bucket: {
                **prf_to_json(bucket.micro),
                "macro": _macro(bucket.macro),
                "counts": _counts(bucket.counts),
                "types": bucket.type_count,
            }
            for bucket in scores.by_frequency
        },
        "per_relation": {
            item.type: {
                **prf_to_json(item.scores),
                "counts": _counts(item.counts),
                "training_count": item.training_count,
            }
            for item in scores.per_type
        },
        "without_gold": scores.without_gold,
        "off_schema": scores.off_schema,
        "same_mention": scores.same_mention,
    }


def spans_to_json(scores: evaluation_pb2.Scores) -> dict[str, Any]:
    """Scores of the span protocol: entities and relations by offsets, each scheme by its name."""
    return {name: prf_to_json(scores.spans[name]) for name in sorted(scores.spans)}


def comparison_to_json(comparison: evaluation_pb2.CompareResponse) -> dict[str, Any]:
    """Differences of two systems with their intervals."""
    return {
        name: {"value": part.value, "low": part.low, "high": part.high}
        for name, part in (
            ("micro_f1", comparison.micro_f1),
            ("macro_f1_pr", comparison.macro_f1_pr),
            ("macro_f1_mean", comparison.macro_f1_mean),
        )
    }


def reliability_to_json(scores: evaluation_pb2.Scores) -> dict[str, Any] | None:
    """How well probabilities meet the truth; None where predictions have none."""
    if not scores.HasField("reliability"):
        return None
    reliability = scores.reliability
    return {
        "count": reliability.count,
        "expected_calibration_error": reliability.expected_calibration_error,
        "brier_score": reliability.brier_score,
        "bins": [
            {
                "low": item.low,
                "high": item.high,
                "count": item.count,
                "mean_probability": item.mean_probability,
                "fraction_right": item.fraction_right,
            }
            for item in reliability.bins
        ],
    }


def curve_to_json(
    points: Sequence[evaluation_pb2.PrecisionRecallPoint],
) -> list[dict[str, float]]:
    """A precision-recall curve, the most certain point first."""
    return [
        {"threshold": point.threshold, "p": point.precision, "r": point.recall} for point in points
    ]


def average_precision_to_json(scores: evaluation_pb2.Scores) -> float | None:
    """Area under the precision-recall curve; None where there is no curve."""
    return scores.average_precision if scores.HasField("average_precision") else None


def policy_to_json(fit: evaluation_pb2.FitPolicyResponse, runners_up: int) -> dict[str, Any]:
    """The policy that was chosen, with at most so many of those that were tried."""
    policy = fit.policy
    return {
        "mode": mode_name(policy.mode),
        "threshold": policy.threshold,
        "weak_types": list(policy.weak_types),
        "rare_below": policy.rare_below,
        "entity_filter": policy.entity_filter,
        "quorum": policy.quorum,
        "provenance": policy.provenance,
        "digest": policy.digest,
        "calibration": (
            _calibration(policy.calibration) if policy.HasField("calibration") else None
        ),
        "confidence": _confidence(policy.confidence) if policy.HasField("confidence") else None,
        "runners_up": [_trial(trial) for trial in fit.trials[:runners_up]],
    }


def mode_name(mode: evaluation_pb2.MergeMode) -> str:
    """Name of a mode as people write it, for example `slm-first`."""
    name = evaluation_pb2.MergeMode.Name(mode)
    return name.removeprefix("MERGE_MODE_").lower().replace("_", "-")


def _calibration(calibration: evaluation_pb2.Calibration) -> dict[str, Any]:
    value: dict[str, Any] = {"method": calibration.method}
    if calibration.method == "temperature":
        value["temperature"] = calibration.temperature
    if calibration.method == "isotonic":
        value["from_probabilities"] = list(calibration.from_probabilities)
        value["to_probabilities"] = list(calibration.to_probabilities)
    return value


def _confidence(confidence: evaluation_pb2.Confidence) -> dict[str, Any]:
    return {
        "sources": list(confidence.sources),
        "intercept": confidence.intercept,
        "weights": {name: confidence.weights[name] for name in sorted(confidence.weights)},
        "threshold": confidence.threshold,
    }


def _trial(trial: evaluation_pb2.PolicyTrial) -> dict[str, Any]:
    policy = trial.policy
    learned = policy.mode == evaluation_pb2.MERGE_MODE_LEARNED
    return {
        "mode": mode_name(policy.mode),
        "threshold": policy.confidence.threshold if learned else policy.threshold,
        "rare_below": policy.rare_below,
        "entity_filter": policy.entity_filter,
        "objective": trial.objective,
        "objective_standard_error": trial.objective_standard_error,
        "gap": trial.gap,
        "gap_standard_error": trial.gap_standard_error,
        "dev_micro_f1": trial.dev_scores.micro.f1,
        "dev_macro_f1_pr": trial.dev_scores.macro.f1_pr,
    }


def prf_to_json(value: evaluation_pb2.Prf) -> dict[str, Any]:
    """Precision, recall and F1."""
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
