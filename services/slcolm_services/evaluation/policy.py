"""A policy: a merge mode with everything needed to apply it, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args

from slcolm_services.corpus.files import read_bytes, replacing
from slcolm_services.errors import DataInvalid, FieldViolation

EntityFilter = Literal["slm", "text"]
"""Where the mentions of an LLM triple must stand: among the SLM's entities, or in the text."""

ENTITY_FILTERS: tuple[EntityFilter, ...] = get_args(EntityFilter)

DEFAULT_THRESHOLD = 0.6
DEFAULT_RARE_BELOW = 40
WEAK_TYPE_COUNT = 10
"""Size of K, as in the paper."""


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
        provenance: How it was chosen, in words, with the figures on dev.
    """

    mode: Mode
    threshold: float = DEFAULT_THRESHOLD
    weak_types: frozenset[str] = frozenset()
    rare_below: int = DEFAULT_RARE_BELOW
    training_counts: Mapping[str, int] = field(default_factory=dict)
    entity_filter: EntityFilter = "slm"
    provenance: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            DataInvalid: A value is outside its range.
        """
        violations = []
        if not 0 <= self.threshold <= 1:
            violations.append(FieldViolation("threshold", f"{self.threshold} is not in [0, 1]"))
        if self.rare_below < 0:
            violations.append(FieldViolation("rare_below", f"{self.rare_below} is negative"))
        if self.entity_filter not in ENTITY_FILTERS:
            violations.append(
                FieldViolation("entity_filter", f"{self.entity_filter!r} is not slm or text")
            )
        violations += [
            FieldViolation(f"training_counts[{name!r}]", f"{count} is negative")
            for name, count in self.training_counts.items()
            if count < 0
        ]
        if violations:
            raise DataInvalid("this is not a valid merge policy", violations=violations)

    def is_rare(self, relation_type: str) -> bool:
        """Whether a type has fewer than T training instances."""
        return self.training_counts.get(relation_type, 0) < self.rare_below

    def with_mode(self, mode: Mode) -> Policy:
        """The same thresholds in another mode."""
        return replace(self, mode=mode)

    def with_training_counts(self, counts: Mapping[str, int]) -> Policy:
        """The same policy for other training data."""
        return replace(self, training_counts=dict(counts))

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, as 64 hexadecimal digits."""
        text = json.dumps(_fields(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
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


def policy_json(policy: Policy) -> dict[str, Any]:
    """A policy with its digest as JSON holds it."""
    return {**_fields(policy), "digest": policy.digest}


def write_policy(path: Path, policy: Policy) -> None:
    """Write a policy as JSON, whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(policy_json(policy), ensure_ascii=False, indent=2) + "\n")


def read_policy(path: Path) -> Policy:
    """Read a policy that `write_policy` wrote.

    Raises:
        DataInvalid: The file cannot be read, is not a policy, or its digest is not that of its
            fields.
    """
    try:
        content = json.loads(read_bytes(path))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _invalid(path, FieldViolation("file", f"not JSON: {error}")) from error
    if not isinstance(content, dict):
        raise _invalid(path, FieldViolation("file", "must be one JSON object"))
    digest = content.pop("digest", None)
    policy = _policy(path, content)
    if digest is not None and digest != policy.digest:
        problem = "is not that of the other fields; remove it if you changed them on purpose"
        raise _invalid(path, FieldViolation("digest", problem))
    return policy


_KINDS: Mapping[str, tuple[type, ...]] = {
    "mode": (str,),
    "threshold": (int, float),
    "weak_types": (list,),
    "rare_below": (int,),
    "training_counts": (dict,),
    "entity_filter": (str,),
    "provenance": (str,),
}


def _policy(path: Path, content: dict[str, Any]) -> Policy:
    violations = [
        FieldViolation(key, "is not a field of a policy") for key in content if key not in _KINDS
    ]
    violations += [
        FieldViolation(key, f"has the wrong type: {content[key]!r:.40}")
        for key, kinds in _KINDS.items()
        if key in content and (not isinstance(content[key], kinds) or content[key] is True)
    ]
    if content.get("mode") not in list(Mode):
        violations.append(FieldViolation("mode", f"must be one of {', '.join(Mode)}"))
    violations += _member_violations(content)
    if violations:
        raise _invalid(path, *violations)
    values = {**content, "mode": Mode(content["mode"])}
    if "weak_types" in values:
        values["weak_types"] = frozenset(values["weak_types"])
    return Policy(**values)


def _member_violations(content: dict[str, Any]) -> list[FieldViolation]:
    weak, counts = content.get("weak_types"), content.get("training_counts")
    return [
        FieldViolation(f"weak_types[{index}]", "must be a string")
        for index, name in enumerate(weak if isinstance(weak, list) else [])
        if not isinstance(name, str)
    ] + [
        FieldViolation(f"training_counts[{name!r}]", "must be an integer")
        for name, count in (counts if isinstance(counts, dict) else {}).items()
        if not isinstance(count, int) or isinstance(count, bool)
    ]


def _invalid(path: Path, *violations: FieldViolation) -> DataInvalid:
    return DataInvalid(f"{path} is not a merge policy", violations=violations)


def _fields(policy: Policy) -> dict[str, Any]:
    """Every field as JSON holds it, in a fixed order."""
    return {
        "mode": policy.mode.value,
        "threshold": float(policy.threshold),
        "weak_types": sorted(policy.weak_types),
        "rare_below": policy.rare_below,
        "training_counts": dict(sorted(policy.training_counts.items())),
        "entity_filter": policy.entity_filter,
        "provenance": policy.provenance,
    }
