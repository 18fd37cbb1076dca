"""Fitting finds the policy that made the data, and prefers the simple one when in doubt."""

from __future__ import annotations

import random

import pytest

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.errors import InvalidInput
from slcolm_services.evaluation.evidence import LLM, Evidence
from slcolm_services.evaluation.fit import MIN_ANSWERS, fit
from slcolm_services.evaluation.learning import DevSentence
from slcolm_services.evaluation.policy import PLAIN_MODES, EntityFilter, Mode

SCHEMA = TaskSchema("t", "en", (), tuple(RelationType(name) for name in ("common", "rare")))
COUNTS = {"common": 500, "rare": 5}


def dev(
    count: int = 120,
    *,
    slm: dict[str, float],
    llm: dict[str, float] | None,
    llm_false: float = 0.0,
) -> list[DevSentence]:
    """Sentences where each model finds a share of the true triples of each type."""
    draw = random.Random(5)
    sentences = []
    for index in range(count):
        gold = tuple(Triple("a", f"b{index}", kind) for kind in ("common", "rare"))
        false = tuple(Triple("c", "d", "common") for _ in range(draw.random() < llm_false))
        ours = tuple(
            Triple(t.head, t.tail, t.type, 0.95) for t in gold if draw.random() < slm[t.type]
        )
        theirs = None
        if llm is not None:
            theirs = tuple(t for t in gold if draw.random() < llm[t.type]) + false
        sentences.append(sentence(str(index), gold, ours, theirs))
    return sentences


def sentence(
    name: str,
    gold: tuple[Triple, ...],
    slm: tuple[Triple, ...],
    llm: tuple[Triple, ...] | None,
    text_llm: tuple[Triple, ...] | None = None,
) -> DevSentence:
    """A dev sentence; with `text_llm`, what the looser filter leaves of the answer."""
    evidence: dict[EntityFilter, Evidence] = {
        "slm": Evidence(slm, {} if llm is None else {LLM: llm})
    }
    if text_llm is not None:
        evidence["text"] = Evidence(slm, {LLM: text_llm})
    return DevSentence(name, gold, evidence)


def llm_of(line: DevSentence) -> tuple[Triple, ...]:
    return line.evidence["slm"].answers[LLM]


def test_an_llm_that_knows_more_wins_alone() -> None:
    found = fit(dev(slm={"common": 0.5, "rare": 0.1}, llm={"common": 1, "rare": 1}), SCHEMA, COUNTS)
    assert found.policy.mode is Mode.LLM


def test_an_slm_that_knows_more_wins_alone() -> None:
    lines = dev(slm={"common": 1, "rare": 1}, llm={"common": 0.3, "rare": 0.3}, llm_false=0.9)
    assert fit(lines, SCHEMA, COUNTS).policy.mode is Mode.SLM


def test_an_llm_that_knows_rare_types_only_is_let_in_for_those() -> None:
    lines = dev(slm={"common": 0.9, "rare": 0.0}, llm={"common": 0.1, "rare": 0.9}, llm_false=0.9)
    policy = fit(lines, SCHEMA, COUNTS).policy
    assert policy.mode is Mode.GATE
    assert policy.has_default_thresholds, "many thresholds do as well: the documented ones stand"
    assert COUNTS["rare"] < policy.rare_below <= COUNTS["common"]


def test_two_models_that_say_the_same_leave_the_simplest_mode() -> None:
    lines = [
        sentence(line.id, line.gold, line.slm, line.slm)
        for line in dev(slm={"common": 0.6, "rare": 0.6}, llm=None)
    ]
    assert fit(lines, SCHEMA, COUNTS).policy.mode is Mode.SLM


def test_too_few_answers_leave_the_default() -> None:
    lines = dev(slm={"common": 0.6, "rare": 0.1}, llm={"common": 1, "rare": 1})
    few = [
        line if index < MIN_ANSWERS - 1 else sentence(line.id, line.gold, line.slm, None)
        for index, line in enumerate(lines)
    ]
    found = fit(few, SCHEMA, COUNTS)
    assert (found.policy.mode, found.policy.threshold, found.policy.rare_below) == (
        Mode.GATE,
        0.6,
        40,
    )
    assert found.trials == ()
    assert found.policy.provenance == (
        "default: 29 of 120 dev sentences have LLM answers; it takes 30 to choose by"
    )
    assert found.policy.weak_types == {"common", "rare"}


def test_without_true_triples_nothing_is_chosen() -> None:
    ours = (Triple("a", "b", "common", 0.9),)
    lines = [sentence(str(index), (), ours, ours) for index in range(MIN_ANSWERS)]
    found = fit(lines, SCHEMA, COUNTS)
    assert (found.policy.mode, found.trials) == (Mode.GATE, ())
    assert "no true triples" in found.policy.provenance


def test_the_same_data_gives_the_same_policy_and_trials_in_order() -> None:
    lines = dev(slm={"common": 0.8, "rare": 0.2}, llm={"common": 0.6, "rare": 0.6})
    first, second = fit(lines, SCHEMA, COUNTS), fit(lines, SCHEMA, COUNTS)
    assert first.policy.digest == second.policy.digest
    gaps = [trial.gap for trial in first.trials]
    assert gaps == sorted(gaps)
    assert gaps[0] == 0
    assert {trial.policy.mode for trial in first.trials} >= set(PLAIN_MODES)


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(InvalidInput):
        fit([], SCHEMA, COUNTS)


def test_the_looser_filter_wins_only_where_it_is_better() -> None:
    """An LLM whose mentions the SLM misses is worth the looser filter; else it is not taken."""
    lines = dev(slm={"common": 0.3, "rare": 0.1}, llm={"common": 0.3, "rare": 0.3})
    same = [sentence(o.id, o.gold, o.slm, llm_of(o), llm_of(o)) for o in lines]
    better = [sentence(o.id, o.gold, o.slm, llm_of(o), o.gold) for o in lines]

    strict = fit(same, SCHEMA, COUNTS, entity_filters=("slm", "text")).policy
    loose = fit(better, SCHEMA, COUNTS, entity_filters=("slm", "text")).policy

    assert strict.entity_filter == "slm"
    assert loose.entity_filter == "text"
    assert loose.mode is Mode.LLM
