"""Nothing is learned from sentences that a policy is tried on, and trials count as scores do."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import InvalidInput
from slcolm_services.evaluation.evidence import Evidence, Mention
from slcolm_services.evaluation.fit import fit
from slcolm_services.evaluation.learning import (
    FOLDS,
    DevSentence,
    fold_of,
    learn_out_of_fold,
)
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import ALL, ANY, MAJORITY, Mode
from slcolm_services.evaluation.systems import crossvalidate, results
from slcolm_services.evaluation.trials import Dev
from slcolm_services.scoring.strict import DEFAULT_SEED, Matcher, Sentence, count_strict

SCHEMA = TaskSchema(
    "t",
    "en",
    (EntityType("PER", "PER"),),
    (RelationType("common"), RelationType("rare"), RelationType("kin", symmetric=True)),
)
COUNTS = {"common": 500, "rare": 5, "kin": 60}
MENTIONS = {name: Mention(frozenset({"PER"}), 0.9) for name in "abcd"}
SOURCES = ("one", "two", "three")
PAIRS = [(head, tail) for head in "abcd" for tail in "abcd"]


def made_up(count: int = 150, sources: Sequence[str] = SOURCES) -> list[DevSentence]:
    """Sources that say about every second true triple, and some others."""
    draw = random.Random(8)
    every = [Triple(head, tail, kind) for head, tail in PAIRS for kind in COUNTS]

    def said(gold: Sequence[Triple]) -> tuple[Triple, ...]:
        wrong = draw.sample(every, 1)
        found = dict.fromkeys([*(t for t in gold if draw.random() < 0.6), *wrong])
        return tuple(found)

    dev = []
    for index in range(count):
        gold = tuple(t for t in draw.sample(every, 3) if t.head != t.tail)
        slm = tuple(replace(t, prob=draw.uniform(0.3, 1)) for t in said(gold))
        answers = {source: said(gold) for source in sources if draw.random() < 0.9}
        dev.append(DevSentence(str(index), gold, {"slm": Evidence(slm, answers, MENTIONS)}))
    return dev


def test_gold_of_a_fold_does_not_change_what_is_learned_for_it() -> None:
    dev = made_up()
    folds = fold_of(len(dev), seed=1)
    before = learn_out_of_fold(dev, SCHEMA, COUNTS, seed=1)
    for fold in range(FOLDS):
        here = [index for index in range(len(dev)) if folds[index] == fold]
        changed = list(dev)
        for index, other in zip(here, here[1:] + here[:1], strict=True):
            changed[index] = replace(dev[index], gold=dev[other].gold)
        after = learn_out_of_fold(changed, SCHEMA, COUNTS, seed=1)
        assert after[fold] == before[fold]
        assert after[(fold + 1) % FOLDS] != before[(fold + 1) % FOLDS]


def test_gold_of_a_fold_does_not_change_the_policy_that_is_applied_to_it() -> None:
    dev = made_up(60)
    before = crossvalidate(dev, SCHEMA, COUNTS, folds=2, samples=10)
    policies = set()
    for fold in range(2):
        here = [index for index, line in enumerate(dev) if line.id in held_out(dev, fold)]
        changed = list(dev)
        for index, other in zip(here, here[1:] + here[:1], strict=True):
            changed[index] = replace(dev[index], gold=dev[other].gold)
        after = crossvalidate(changed, SCHEMA, COUNTS, folds=2, samples=10)
        assert after.policies[fold] == before.policies[fold]
        policies.add(after.policies[1 - fold] == before.policies[1 - fold])
    assert policies == {False}


def held_out(dev: Sequence[DevSentence], fold: int) -> set[str]:
    """Ids of a fold, found from outside: sentences whose gold the fold's policy ignores."""
    order = np.random.default_rng(DEFAULT_SEED + 1).permutation(len(dev))
    return {dev[index].id for index in order[fold::2]}


def test_folds_are_of_equal_size_and_the_same_each_time() -> None:
    folds = fold_of(52, seed=3)
    sizes = [int((folds == fold).sum()) for fold in range(FOLDS)]
    assert max(sizes) - min(sizes) <= 1
    assert folds.tolist() == fold_of(52, seed=3).tolist()
    assert folds.tolist() != fold_of(52, seed=4).tolist()


def test_a_trial_counts_as_the_strict_protocol_does() -> None:
    """Counts made from columns are those of merging sentence by sentence, then scoring."""
    dev = made_up()
    answered = [line for line in dev if line.sources]
    folds = fold_of(len(dev), DEFAULT_SEED)
    learned = learn_out_of_fold(dev, SCHEMA, COUNTS, DEFAULT_SEED)
    tried_on = Dev(dev, SCHEMA, COUNTS, DEFAULT_SEED)
    gold = [Sentence(line.id, line.gold) for line in answered]
    trials = fit(dev, SCHEMA, COUNTS).trials
    assert {trial.policy.mode for trial in trials} == set(Mode)
    assert {trial.policy.quorum for trial in trials} == {ANY, MAJORITY, ALL}
    for trial in trials[::7]:
        merged = []
        for line in answered:
            policy = learned[int(folds[int(line.id)])].shape(trial.policy)
            found = merge(line.evidence["slm"], policy, SCHEMA)
            merged.append(Sentence(line.id, tuple(item.triple for item in found)))
        expected = count_strict(gold, merged, SCHEMA).matrix.by_type()
        found_counts = {item.type: item.counts for item in trial.scores.per_type}
        assert found_counts == {name: c for name, c in expected.items() if c.gold or c.predicted}
    assert tried_on.learns("slm")


def test_what_is_chosen_is_no_worse_than_the_slm_or_the_llms() -> None:
    fitted = fit(made_up(), SCHEMA, COUNTS)
    assert fitted.chosen is not None
    sources = [t.objective for t in fitted.trials if t.policy.mode in (Mode.SLM, Mode.LLM)]
    assert fitted.chosen.objective >= max(sources)


def test_every_final_triple_has_a_probability_where_an_answer_and_a_confidence_are() -> None:
    dev = made_up()
    policy = fit(dev, SCHEMA, COUNTS).policy
    assert policy.confidence is not None
    for mode in Mode:
        for line in dev:
            evidence = line.evidence["slm"]
            for item in merge(evidence, policy.with_mode(mode), SCHEMA):
                assert item.triple.prob is not None
                assert 0 <= item.triple.prob <= 1
    unanswered = Evidence(dev[0].evidence["slm"].slm)
    assert policy.calibration is not None
    for item in merge(unanswered, policy, SCHEMA):
        assert item.slm_probability is not None
        expected = policy.calibration.apply(np.array([item.slm_probability]))[0]
        assert item.triple.prob == pytest.approx(expected)


def test_modes_can_be_restricted() -> None:
    fitted = fit(made_up(), SCHEMA, COUNTS, modes=[Mode.LEARNED])
    assert fitted.policy.mode is Mode.LEARNED
    assert {trial.policy.mode for trial in fitted.trials} == {Mode.LEARNED}


def test_a_mode_that_cannot_be_learned_is_refused() -> None:
    with pytest.raises(InvalidInput, match="modes"):
        fit(made_up(30, ["one"]), SCHEMA, COUNTS, modes=[Mode.LEARNED])


def test_counts_of_unknown_types_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        fit(made_up(), SCHEMA, {**COUNTS, "likes": 3})
    assert [violation.field for violation in caught.value.violations] == ["training_counts"]


def keys(triples: Iterable[Triple]) -> set[object]:
    return {Matcher(SCHEMA).item(triple) for triple in triples}


def test_systems_are_each_source_alone_the_votes_and_every_mode() -> None:
    dev = made_up()
    policy = fit(dev, SCHEMA, COUNTS).policy
    evidence = [line.evidence["slm"] for line in dev]
    found = results(evidence, policy, SCHEMA, SOURCES)
    assert {"merged", "slm", *SOURCES, "llm any", "llm majority", "llm all", "gate"} <= set(found)
    for index, item in enumerate(evidence):
        if "one" in item.answers:
            assert keys(found["one"][index]) == keys(item.answers["one"])
        assert keys(found["slm"][index]) == keys(item.slm)


@pytest.mark.parametrize("folds", [1, 151])
def test_a_number_of_folds_that_means_nothing_is_refused(folds: int) -> None:
    with pytest.raises(InvalidInput, match="folds"):
        crossvalidate(made_up(), SCHEMA, COUNTS, folds=folds)
