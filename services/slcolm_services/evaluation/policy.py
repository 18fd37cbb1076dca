"""A policy: a merge mode with everything needed to apply it, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, get_args

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput
from slcolm_services.evaluation.calibration import Calibration
from slcolm_services.evaluation.confidence import Confidence

EntityFilter = Literal["slm", "text"]
"""Where the mentions of an LLM triple must stand: among the SLM's entities, or in the text."""

ENTITY_FILTERS: tuple[EntityFilter, ...] = get_args(EntityFilter)

DEFAULT_THRESHOLD = 0.6
DEFAULT_RARE_BELOW = 40
MAX_COUNT = 2**31 - 1
"""Of training instances: what the wire can carry."""

WEAK_TYPE_COUNT = 10
"""Size of K, as in the paper."""

ANY, MAJORITY, ALL = 0.0, 0.5, 1.0
"""Quorums: a triple is in L if more than this share of the answers hold it, or all of them."""


class Mode(StrEnum):
    """How the SLM's triples S and the LLM's triples L of a sentence become one set.

    In order of simplicity: the earlier of two equally good modes is to be preferred.
    """

    SLM = "slm"
    LLM = "llm"
    UNION = "union"
    SLM_FIRST = "slm-first"
    THRESHOLD = "threshold"
    REPLACE_WEAK = "replace-weak"
    GATE = "gate"
    LEARNED = "learned"


PLAIN_MODES = tuple(mode for mode in Mode if mode is not Mode.LEARNED)
"""The modes that need nothing but thresholds."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A merge that can be applied.

    Attributes:
        mode: What to do with S and L.
        threshold: h: the SLM's probability above which a triple is trusted.
        weak_types: K: the relation types on which the SLM is weakest on dev.
        rare_below: T: a type with fewer training instances is rare.
        training_counts: Training instances by relation type; a type not named has none.
        entity_filter: Which mentions an LLM triple may have.
        provenance: How it was chosen, in words.
        quorum: A triple is in L if more than this share of the sentence's answers hold it, or all
            of them: 0 asks for one answer, 0.5 for more than half, 1 for all.
        calibration: Of the SLM's probabilities; None leaves them as they are. Thresholds of modes
            look at the probabilities as the SLM gave them.
        confidence: Gives every final triple its probability; mode `learned` decides by it.
        task: Name of the task schema that it was fitted for; empty means any.
    """

    mode: Mode
    threshold: float = DEFAULT_THRESHOLD
    weak_types: frozenset[str] = frozenset()
    rare_below: int = DEFAULT_RARE_BELOW
    training_counts: Mapping[str, int] = field(default_factory=dict)
    entity_filter: EntityFilter = "slm"
    provenance: str = ""
    quorum: float = ANY
    calibration: Calibration | None = None
    confidence: Confidence | None = None
    task: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            DataInvalid: A value is outside its range.
        """
        violations = []
        if not 0 <= self.threshold <= 1:
            violations.append(FieldViolation("threshold", f"{self.threshold} is not in [0, 1]"))
        if not 0 <= self.quorum <= 1:
            violations.append(FieldViolation("quorum", f"{self.quorum} is not in [0, 1]"))
        if self.mode is Mode.LEARNED and self.confidence is None:
            violations.append(FieldViolation("confidence", f"mode {self.mode} needs one"))
        if not 0 <= self.rare_below <= MAX_COUNT:
            problem = f"{self.rare_below} is not from 0 to {MAX_COUNT}"
            violations.append(FieldViolation("rare_below", problem))
        if self.entity_filter not in ENTITY_FILTERS:
            violations.append(
                FieldViolation("entity_filter", f"{self.entity_filter!r} is not slm or text")
            )
        violations += [
            FieldViolation(f"training_counts[{name!r}]", f"{count} is not from 0 to {MAX_COUNT}")
            for name, count in self.training_counts.items()
            if not 0 <= count <= MAX_COUNT
        ]
        if violations:
            raise DataInvalid("this is not a valid merge policy", violations=violations)

    def with_mode(self, mode: Mode) -> Policy:
        """The same thresholds in another mode."""
        return replace(self, mode=mode)

    @property
    def has_default_thresholds(self) -> bool:
        """Whether h and T, as far as its mode looks at them, are the documented defaults."""
        seen: list[tuple[float, float]] = []
        if self.mode in (Mode.THRESHOLD, Mode.GATE):
            seen.append((self.threshold, DEFAULT_THRESHOLD))
        if self.mode in (Mode.GATE, Mode.LEARNED):
            seen.append((self.rare_below, DEFAULT_RARE_BELOW))
        return all(value == default for value, default in seen)

    @property
    def confidence_threshold(self) -> float:
        """Of its confidence; 1 where it has none."""
        return 1.0 if self.confidence is None else self.confidence.threshold

    def with_training_counts(self, counts: Mapping[str, int]) -> Policy:
        """The same policy for other training data."""
        return replace(self, training_counts=dict(counts))

    def check_task(self, schema: TaskSchema, prefix: str = "") -> None:
        """Check that it can be applied to a task.

        Args:
            schema: The task.
            prefix: Path of the policy in a request, for errors.

        Raises:
            InvalidInput: It was fitted for another task, or names relation types that this one
                does not have.
        """
        violations = []
        if self.task and self.task != schema.name:
            problem = f"fitted for {self.task!r}, this task is {schema.name!r}"
            violations.append(FieldViolation(f"{prefix}task", problem))
        violations += [
            FieldViolation(f"{prefix}{name}", f"{kind!r} is not a relation type of {schema.name!r}")
            for name, kinds in (
                ("training_counts", self.training_counts),
                ("weak_types", self.weak_types),
            )
            for kind in sorted(set(kinds) - set(schema.relations_by_name))
        ]
        if violations:
            raise InvalidInput(
                f"this policy is not for task {schema.name!r}", violations=violations
            )

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, as 64 hexadecimal digits."""
        text = json.dumps(
            policy_fields(self), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()


def default_policy(
    training_counts: Mapping[str, int], weak_types: frozenset[str] = frozenset()
) -> Policy:
    """The policy for when there are no LLM answers on dev to choose by.

    The gate lets the LLM speak on rare types and lets the SLM keep what it is sure of. With three
    recorded LLMs it was the only mode that kept the SLM's micro F1 and raised macro F1. A strong
    LLM deserves better: have it answer dev, and fit.
    """
    return Policy(
        mode=Mode.GATE,
        weak_types=weak_types,
        training_counts=dict(training_counts),
        provenance="default: no LLM answers on dev to choose by",
    )


def policy_fields(policy: Policy) -> dict[str, Any]:
    """Every field but the digest as JSON holds it, in a fixed order.

    Of the fields that came later (from `quorum` on) those are left out that say nothing, so that
    the digest of an earlier policy stays what it was.
    """
    later = {
        "quorum": float(policy.quorum),
        "calibration": None if policy.calibration is None else _calibration(policy.calibration),
        "confidence": None if policy.confidence is None else _confidence(policy.confidence),
        "task": policy.task,
    }
    return {
        "mode": policy.mode.value,
        "threshold": float(policy.threshold),
        "weak_types": sorted(policy.weak_types),
        "rare_below": policy.rare_below,
        "training_counts": dict(sorted(policy.training_counts.items())),
        "entity_filter": policy.entity_filter,
        "provenance": policy.provenance,
        **{name: value for name, value in later.items() if value not in (None, "", ANY)},
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    return {
        "method": calibration.method,
        "temperature": float(calibration.temperature),
        "from_probabilities": [float(value) for value in calibration.from_probabilities],
        "to_probabilities": [float(value) for value in calibration.to_probabilities],
    }


def _confidence(confidence: Confidence) -> dict[str, Any]:
    return {
        "sources": list(confidence.sources),
        "intercept": float(confidence.intercept),
        "weights": {name: float(weight) for name, weight in sorted(confidence.weights.items())},
        "threshold": float(confidence.threshold),
    }
