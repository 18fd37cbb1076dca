"""Policies and merged triples between `slcolm.evaluation.v1` and the types of this room."""

from __future__ import annotations

from collections.abc import Mapping

from slcolm.evaluation.v1 import evaluation_pb2
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput
from slcolm_services.evaluation.fit import Trial
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.policy import ENTITY_FILTERS, EntityFilter, Mode, Policy
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
    )


def policy_from_wire(message: evaluation_pb2.Policy) -> Policy:
    """Read a policy.

    Raises:
        InvalidInput: The mode is not set or unknown, a value is outside its range, or a digest is
            given and is not that of the other fields.
    """
    if message.mode not in _MODES_BY_NUMBER:
        raise _invalid("policy.mode", f"must be one of {', '.join(Mode)}")
    try:
        policy = Policy(
            mode=_MODES_BY_NUMBER[message.mode],
            threshold=message.threshold,
            weak_types=frozenset(message.weak_types),
            rare_below=message.rare_below,
            training_counts=dict(message.training_counts),
            entity_filter=entity_filter_of(message.entity_filter, "policy.entity_filter"),
            provenance=message.provenance,
        )
    except DataInvalid as error:
        raise InvalidInput(
            error.message,
            violations=[
                FieldViolation(f"policy.{violation.field}", violation.problem)
                for violation in error.violations
            ],
        ) from error
    if message.digest and message.digest != policy.digest:
        raise _invalid(
            "policy.digest", "is not that of the other fields; leave it out to change them"
        )
    return policy


def merged_triple_to_wire(merged: MergedTriple) -> evaluation_pb2.MergedTriple:
    """Write a final triple with its lineage."""
    return evaluation_pb2.MergedTriple(
        triple=triple_to_wire(merged.triple),
        sources=merged.sources,
        slm_probability=merged.triple.prob,
        rule=merged.rule,
    )


def trial_to_wire(trial: Trial) -> evaluation_pb2.PolicyTrial:
    """Write a policy that was tried."""
    return evaluation_pb2.PolicyTrial(
        policy=policy_to_wire(trial.policy),
        dev_scores=scores_to_wire(trial.scores),
        objective=trial.objective,
        objective_standard_error=trial.standard_error,
    )


def _invalid(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{field} {problem}", violations=[FieldViolation(field, problem)])
