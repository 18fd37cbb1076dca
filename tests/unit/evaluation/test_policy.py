"""A policy survives its file, and refuses what it cannot mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.errors import DataInvalid
from slcolm_services.evaluation.policy import (
    ENTITY_FILTERS,
    PLAIN_MODES,
    Policy,
    default_policy,
)
from slcolm_services.evaluation.policy_file import read_policy, write_policy
from slcolm_services.evaluation.weak_types import weak_types
from slcolm_services.evaluation.wire_policy import policy_from_wire, policy_to_wire
from slcolm_services.scoring.counts import tally

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
policies = st.builds(
    Policy,
    mode=st.sampled_from(PLAIN_MODES),
    threshold=st.floats(0, 1),
    weak_types=st.frozensets(names, max_size=4),
    rare_below=st.integers(0, 10_000),
    training_counts=st.dictionaries(names, st.integers(0, 10_000), max_size=4),
    entity_filter=st.sampled_from(ENTITY_FILTERS),
    provenance=names,
)


@given(policies)
def test_a_policy_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, policy: Policy
) -> None:
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    write_policy(path, policy)
    assert read_policy(path) == policy


@given(policies)
def test_a_policy_crosses_the_wire(policy: Policy) -> None:
    assert policy_from_wire(policy_to_wire(policy)) == policy


@given(policies, policies)
def test_only_equal_policies_have_equal_digests(first: Policy, second: Policy) -> None:
    assert (first == second) == (first.digest == second.digest)


def test_a_policy_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy(path, default_policy({"a": 1}))
    changed = json.loads(path.read_text()) | {"threshold": 0.9}
    path.write_text(json.dumps(changed))
    with pytest.raises(DataInvalid) as caught:
        read_policy(path)
    assert [violation.field for violation in caught.value.violations] == ["digest"]
    del changed["digest"]
    path.write_text(json.dumps(changed))
    assert read_policy(path).threshold == 0.9


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("{", "file"),
        ("[]", "file"),
        ("{}", "mode"),
        ('{"mode": "best"}', "mode"),
        ('{"mode": "slm", "threshold": "high"}', "threshold"),
        ('{"mode": "slm", "threshold": 1.5}', "threshold"),
        ('{"mode": "slm", "rare_below": true}', "rare_below"),
        ('{"mode": "slm", "rare_below": -1}', "rare_below"),
        ('{"mode": "slm", "weak_types": [1]}', "weak_types[0]"),
        ('{"mode": "slm", "training_counts": {"a": "b"}}', "training_counts['a']"),
        ('{"mode": "slm", "entity_filter": "none"}', "entity_filter"),
        ('{"mode": "slm", "k": 1}', "k"),
        ('{"mode": "slm", "digest": 5}', "digest"),
    ],
)
def test_a_broken_policy_is_refused_by_its_field(tmp_path: Path, content: str, field: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(content)
    with pytest.raises(DataInvalid) as caught:
        read_policy(path)
    assert field in [violation.field for violation in caught.value.violations]


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid):
        read_policy(tmp_path / "none.json")


def test_the_weakest_types_have_the_lowest_f1_then_the_fewest_training_instances() -> None:
    gold = [[("good", 1), ("bad", 1), ("bad", 2)]]
    predicted = [[("good", 1), ("bad", 1)]]
    matrix = tally(gold, predicted, ["good", "bad", "none", "few"])
    counts = {"good": 1, "bad": 1, "none": 9, "few": 3}
    assert weak_types(matrix, counts, 1) == {"few"}
    assert weak_types(matrix, counts, 2) == {"few", "none"}
    assert weak_types(matrix, counts, 3) == {"few", "none", "bad"}
    assert weak_types(matrix, counts, 9) == set(counts)
