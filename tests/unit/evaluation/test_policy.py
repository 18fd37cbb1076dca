"""A policy survives its file, and refuses what it cannot mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.errors import DataInvalid, InvalidInput
from slcolm_services.evaluation.calibration import Calibration
from slcolm_services.evaluation.confidence import Confidence
from slcolm_services.evaluation.features import FEATURES
from slcolm_services.evaluation.policy import (
    ENTITY_FILTERS,
    PLAIN_MODES,
    Mode,
    Policy,
    default_policy,
)
from slcolm_services.evaluation.policy_file import read_policy, write_policy
from slcolm_services.evaluation.weak_types import weak_types
from slcolm_services.evaluation.wire_policy import policy_from_wire, policy_to_wire
from slcolm_services.scoring.counts import tally

SCHEMA = TaskSchema("t", "en", (), (RelationType("a"), RelationType("b")))

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
calibrations = st.one_of(
    st.none(),
    st.just(Calibration()),
    st.builds(Calibration, method=st.just("temperature"), temperature=st.floats(0.1, 10)),
    st.just(Calibration("isotonic", from_probabilities=(0.2, 0.5), to_probabilities=(0.1, 0.9))),
)
confidences = st.one_of(
    st.none(),
    st.builds(
        Confidence,
        sources=st.lists(names, max_size=2).map(tuple),
        intercept=st.floats(-5, 5),
        weights=st.dictionaries(st.sampled_from([*FEATURES, "vote:llm-1"]), st.floats(-5, 5)),
        threshold=st.floats(0, 1),
    ),
)
policies = st.builds(
    Policy,
    mode=st.sampled_from(PLAIN_MODES),
    threshold=st.floats(0, 1),
    weak_types=st.frozensets(names, max_size=4),
    rare_below=st.integers(0, 10_000),
    training_counts=st.dictionaries(names, st.integers(0, 10_000), max_size=4),
    entity_filter=st.sampled_from(ENTITY_FILTERS),
    provenance=names,
    quorum=st.floats(0, 1),
    calibration=calibrations,
    confidence=confidences,
    task=names,
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
        ('{"mode": "slm", "rare_below": 9999999999}', "rare_below"),
        ('{"mode": "slm", "training_counts": {"a": 9999999999}}', "training_counts['a']"),
        ('{"mode": "slm", "weak_types": [1]}', "weak_types[0]"),
        ('{"mode": "slm", "training_counts": {"a": "b"}}', "training_counts['a']"),
        ('{"mode": "slm", "entity_filter": "none"}', "entity_filter"),
        ('{"mode": "slm", "k": 1}', "k"),
        ('{"mode": "slm", "digest": 5}', "digest"),
        ('{"mode": "slm", "quorum": 2}', "quorum"),
        ('{"mode": "slm", "task": 1}', "task"),
        ('{"mode": "learned"}', "confidence"),
        ('{"mode": "slm", "calibration": {"method": "best"}}', "calibration.method"),
        ('{"mode": "slm", "calibration": {"knots": []}}', "calibration.knots"),
        ('{"mode": "slm", "calibration": {"temperature": "hot"}}', "calibration.temperature"),
        (
            '{"mode": "slm", "calibration": {"from_probabilities": ["a"]}}',
            "calibration.from_probabilities[0]",
        ),
        ('{"mode": "slm", "confidence": []}', "confidence"),
        ('{"mode": "slm", "confidence": {"weights": {"luck": 1}}}', "confidence.weights['luck']"),
        ('{"mode": "slm", "confidence": {"weights": {"slm": "1"}}}', "confidence.weights['slm']"),
        ('{"mode": "slm", "fit": 1}', "fit"),
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


def test_a_file_from_before_several_answers_is_still_read_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(
        """{"mode": "gate", "threshold": 0.7, "weak_types": ["a", "b"], "rare_below": 60,
        "training_counts": {"a": 3, "b": 70}, "entity_filter": "text", "provenance": "as fitted",
        "digest": "4e0bf64c55e8cd05ce3dfd24d6e60723e296b93aa78125dfe6fcaf3934e19e83"}"""
    )
    policy = read_policy(path)
    assert (policy.mode, policy.quorum, policy.calibration, policy.confidence, policy.task) == (
        Mode.GATE,
        0.0,
        None,
        None,
        "",
    )


def test_figures_of_the_fit_are_in_the_file_and_shape_nothing(tmp_path: Path) -> None:
    path, policy = tmp_path / "policy.json", default_policy({"a": 1})
    write_policy(path, policy, {"sentences": 3})
    content = json.loads(path.read_text())
    assert content["fit"] == {"sentences": 3}
    path.write_text(json.dumps({**content, "fit": {"sentences": 4}}))
    assert read_policy(path) == policy


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        (Policy(Mode.SLM, task="other"), ["policy.task"]),
        (Policy(Mode.SLM, training_counts={"a": 1, "c": 2}), ["policy.training_counts"]),
        (Policy(Mode.SLM, weak_types=frozenset({"c"})), ["policy.weak_types"]),
        (Policy(Mode.SLM, task="t", training_counts={"a": 1}, weak_types=frozenset({"b"})), []),
        (Policy(Mode.SLM), []),
    ],
)
def test_a_policy_for_another_task_is_refused(policy: Policy, fields: list[str]) -> None:
    found = []
    try:
        policy.check_task(SCHEMA, "policy.")
    except InvalidInput as error:
        found = [violation.field for violation in error.violations]
    assert found == fields
