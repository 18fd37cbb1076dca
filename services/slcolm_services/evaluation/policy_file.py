"""Policies as JSON files: the policy, its digest, and the figures of its choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slcolm_services.corpus.files import read_bytes, replacing
from slcolm_services.corpus.jsonfields import BrokenJson, load_json_file
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.evaluation.calibration import Calibration
from slcolm_services.evaluation.confidence import Confidence
from slcolm_services.evaluation.policy import Mode, Policy, policy_fields

_Kinds = Mapping[str, tuple[type, ...]]

_NUMBER = (int, float)


def policy_json(policy: Policy, figures: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A policy with its digest as JSON holds it.

    Args:
        policy: The policy.
        figures: What dev said when it was chosen, as JSON. They shape no merge: the digest does not
            cover them, and they are not read back.
    """
    content = {**policy_fields(policy), "digest": policy.digest}
    return content if figures is None else {**content, "fit": figures}


def write_policy(path: Path, policy: Policy, figures: Mapping[str, Any] | None = None) -> None:
    """Write a policy as JSON, whole or not at all; see `policy_json`."""
    with replacing(path) as file:
        content = policy_json(policy, figures)
        file.write(json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def read_policy(path: Path) -> Policy:
    """Read a policy that `write_policy` wrote.

    Raises:
        DataInvalid: The file cannot be read, is not a policy, or its digest is not that of its
            fields.
    """
    try:
        content = load_json_file(read_bytes(path))
    except BrokenJson as error:
        raise _invalid(path, [FieldViolation("file", str(error))]) from error
    if not isinstance(content, dict):
        raise _invalid(path, [FieldViolation("file", "must be one JSON object")])
    violations = _violations(content)
    if violations:
        raise _invalid(path, violations)
    digest = content.pop("digest", None)
    content.pop("fit", None)
    policy = _policy(path, content)
    if digest is not None and digest != policy.digest:
        problem = "is not that of the other fields; remove it if you changed them on purpose"
        raise _invalid(path, [FieldViolation("digest", problem)])
    return policy


_POLICY: _Kinds = {
    "mode": (str,),
    "threshold": _NUMBER,
    "weak_types": (list,),
    "rare_below": (int,),
    "training_counts": (dict,),
    "entity_filter": (str,),
    "provenance": (str,),
    "quorum": _NUMBER,
    "calibration": (dict,),
    "confidence": (dict,),
    "task": (str,),
    "digest": (str,),
    "fit": (dict,),
}
_CALIBRATION: _Kinds = {
    "method": (str,),
    "temperature": _NUMBER,
    "from_probabilities": (list,),
    "to_probabilities": (list,),
}
_CONFIDENCE: _Kinds = {
    "sources": (list,),
    "intercept": _NUMBER,
    "weights": (dict,),
    "threshold": _NUMBER,
}
_MEMBERS: _Kinds = {
    "weak_types": (str,),
    "training_counts": (int,),
    "calibration.from_probabilities": _NUMBER,
    "calibration.to_probabilities": _NUMBER,
    "confidence.sources": (str,),
    "confidence.weights": _NUMBER,
}
"""What lists and maps hold, by the path of the field."""


def _violations(content: Mapping[str, Any]) -> list[FieldViolation]:
    violations = _object_violations(content, _POLICY, "")
    if content.get("mode") not in list(Mode):
        violations.append(FieldViolation("mode", f"must be one of {', '.join(Mode)}"))
    for name, kinds in (("calibration", _CALIBRATION), ("confidence", _CONFIDENCE)):
        if isinstance(content.get(name), dict):
            violations += _object_violations(content[name], kinds, f"{name}.")
    return violations


def _object_violations(
    content: Mapping[str, Any], kinds: _Kinds, prefix: str
) -> list[FieldViolation]:
    found = [
        FieldViolation(f"{prefix}{key}", "is not a field of a policy")
        for key in content
        if key not in kinds
    ]
    for key in kinds.keys() & content.keys():
        path, value = f"{prefix}{key}", content[key]
        if not _is(value, kinds[key]):
            found.append(FieldViolation(path, f"has the wrong type: {value!r:.40}"))
        elif path in _MEMBERS:
            members = value.items() if isinstance(value, dict) else enumerate(value)
            found += [
                FieldViolation(f"{path}[{place!r}]", f"has the wrong type: {member!r:.40}")
                for place, member in members
                if not _is(member, _MEMBERS[path])
            ]
    return found


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether a JSON value is of a kind; true and false are no numbers."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _policy(path: Path, content: dict[str, Any]) -> Policy:
    values = {**content, "mode": Mode(content["mode"])}
    if "weak_types" in values:
        values["weak_types"] = frozenset(values["weak_types"])
    makers: Mapping[str, Callable[..., object]] = {
        "calibration": Calibration,
        "confidence": Confidence,
    }
    for name, make in makers.items():
        if name in values:
            parts = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values[name].items()
            }
            values[name] = _made(path, f"{name}.", make, parts)
    policy: Policy = _made(path, "", Policy, values)
    return policy


def _made(path: Path, prefix: str, make: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    try:
        return make(**values)
    except DataInvalid as error:
        violations = [
            FieldViolation(f"{prefix}{violation.field}", violation.problem)
            for violation in error.violations
        ]
        raise _invalid(path, violations) from error


def _invalid(path: Path, violations: list[FieldViolation]) -> DataInvalid:
    return DataInvalid(f"{path} is not a merge policy", violations=violations)
