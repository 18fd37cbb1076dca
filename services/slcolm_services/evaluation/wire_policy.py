"""Policies and merged triples between `slcolm.evaluation.v1` and the types of this room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from slcolm.evaluation.v1 import evaluation_pb2
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput
from slcolm_services.evaluation.calibration import Calibration, Method
from slcolm_services.evaluation.confidence import Confidence
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.policy import ENTITY_FILTERS, EntityFilter, Mode, Policy
from slcolm_services.evaluation.trials import Trial
from slcolm_services.evaluation.wire_scores import scores_to_wire
from slcolm_services.runtime.wire import triple_to_wire

_MODES: Mapping[Mode, evaluation_pb2.MergeMode] = {
    Mode.SLM: evaluation_pb2.MERGE_MODE_SLM,
    Mode.LLM: evaluation_pb2.MERGE_MODE_LLM,
    Mode.UNION: evaluation_pb2.MERGE_MODE_UNION,
    Mode.THRESHOLD: evaluation_pb2.MERGE_MODE_THRESHOLD,
    Mode.REPLACE_WEAK: evaluation_pb2.MERGE_MODE_REPLACE_WEAK,
    Mode.SLM_FIRST: evaluation_pb2.MERGE_MODE_SLM_FIRST,
    Mode.GATE: evaluation_pb2.MERGE_MODE_GATE,
    Mode.LEARNED: evaluation_pb2.MERGE_MODE_LEARNED,
}
_MODES_BY_NUMBER = {number: mode for mode, number in _MODES.items()}


def entity_filter_of(name: str, field: str) -> EntityFilter:
    """The filter called `name`; empty means `slm`.

    Raises:
        InvalidInput: There is no such filter.
    """
    for known in ENTITY_FILTERS:
        if name == known:
            return known
    if name:
        raise _invalid(field, f"must be slm or text, got {name!r}")
    return "slm"


def policy_to_wire(policy: Policy) -> evaluation_pb2.Policy:
    """Write a policy with its digest."""
    return evaluation_pb2.Policy(
        mode=_MODES[policy.mode],
        threshold=policy.threshold,
        weak_types=sorted(policy.weak_types),
        rare_below=policy.rare_below,
        training_counts=policy.training_counts,
        entity_filter=policy.entity_filter,
        provenance=policy.provenance,
        digest=policy.digest,
        quorum=policy.quorum,
        calibration=None
        if policy.calibration is None
        else _calibration_to_wire(policy.calibration),
        confidence=None if policy.confidence is None else _confidence_to_wire(policy.confidence),
        task=policy.task,
    )


def _calibration_to_wire(calibration: Calibration) -> evaluation_pb2.Calibration:
    return evaluation_pb2.Calibration(
        method=calibration.method,
        temperature=calibration.temperature,
        from_probabilities=calibration.from_probabilities,
        to_probabilities=calibration.to_probabilities,
    )


def _confidence_to_wire(confidence: Confidence) -> evaluation_pb2.Confidence:
    return evaluation_pb2.Confidence(
        sources=confidence.sources,
        intercept=confidence.intercept,
        weights=confidence.weights,
        threshold=confidence.threshold,
    )


def policy_from_wire(message: evaluation_pb2.Policy) -> Policy:
    """Read a policy.

    Raises:
        InvalidInput: The mode is not set or unknown, a value is outside its range, or a digest is
            given and is not that of the other fields.
    """
    if message.mode not in _MODES_BY_NUMBER:
        raise _invalid("policy.mode", f"must be one of {', '.join(Mode)}")
    with _at("policy."):
        policy = Policy(
            mode=_MODES_BY_NUMBER[message.mode],
            threshold=message.threshold,
            weak_types=frozenset(message.weak_types),
            rare_below=message.rare_below,
            training_counts=dict(message.training_counts),
            entity_filter=entity_filter_of(message.entity_filter, "policy.entity_filter"),
            provenance=message.provenance,
            quorum=message.quorum,
            calibration=_calibration_from_wire(message),
            confidence=_confidence_from_wire(message),
            task=message.task,
        )
    if message.digest and message.digest != policy.digest:
        raise _invalid(
            "policy.digest", "is not that of the other fields; leave it out to change them"
        )
    return policy


def _calibration_from_wire(message: evaluation_pb2.Policy) -> Calibration | None:
    if not message.HasField("calibration"):
        return None
    calibration = message.calibration
    with _at("policy.calibration."):
        return Calibration(
            method=cast("Method", calibration.method or "none"),
            temperature=calibration.temperature or 1.0,
            from_probabilities=tuple(calibration.from_probabilities),
            to_probabilities=tuple(calibration.to_probabilities),
        )


def _confidence_from_wire(message: evaluation_pb2.Policy) -> Confidence | None:
    if not message.HasField("confidence"):
        return None
    confidence = message.confidence
    with _at("policy.confidence."):
        return Confidence(
            sources=tuple(confidence.sources),
            intercept=confidence.intercept,
            weights=dict(confidence.weights),
            threshold=confidence.threshold,
        )


@contextmanager
def _at(prefix: str) -> Iterator[None]:
    """Name the fields of invalid data by their paths in the request."""
    try:
        yield
    except DataInvalid as error:
        raise InvalidInput(
            error.message,
            violations=[
                FieldViolation(f"{prefix}{violation.field}", violation.problem)
                for violation in error.violations
            ],
        ) from error


def merged_triple_to_wire(merged: MergedTriple) -> evaluation_pb2.MergedTriple:
    """Write a final triple with its lineage."""
    return evaluation_pb2.MergedTriple(
        triple=triple_to_wire(merged.triple),
        sources=merged.sources,
        slm_probability=merged.slm_probability,
        rule=merged.rule,
    )


def trial_to_wire(trial: Trial) -> evaluation_pb2.PolicyTrial:
    """Write a policy that was tried."""
    return evaluation_pb2.PolicyTrial(
        policy=policy_to_wire(trial.policy),
        dev_scores=scores_to_wire(trial.scores),
        objective=trial.objective,
        objective_standard_error=trial.standard_error,
        gap=trial.gap,
        gap_standard_error=trial.gap_standard_error,
    )


def _invalid(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{field} {problem}", violations=[FieldViolation(field, problem)])
