"""The algebra of the merge modes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.errors import InvalidInput
from slcolm_services.evaluation.evidence import LLM, Evidence
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.merge import merge as merge_evidence
from slcolm_services.evaluation.policy import PLAIN_MODES, Mode, Policy

COUNTS = {"common": 500, "rare": 5}
WEAK = frozenset({"rare"})

mentions = st.sampled_from("abc")
types = st.sampled_from(["common", "rare", "unseen"])
slm_triples = st.lists(st.builds(Triple, mentions, mentions, types, st.floats(0, 1)), max_size=6)
llm_triples = st.lists(st.builds(Triple, mentions, mentions, types), max_size=6)


SCHEMA = TaskSchema("t", "en", (), tuple(RelationType(n) for n in ("common", "rare", "unseen")))


def merge(slm: list[Triple], llm: list[Triple] | None, policy: Policy) -> tuple[MergedTriple, ...]:
    """Merge with one answer or none."""
    answers = {} if llm is None else {LLM: tuple(llm)}
    return merge_evidence(Evidence(tuple(slm), answers), policy, SCHEMA)


def result(slm: list[Triple], llm: list[Triple] | None, policy: Policy) -> set[Triple]:
    return {item.triple for item in merge(slm, llm, policy)}


def policy(mode: Mode, threshold: float = 0.6, rare_below: int = 40) -> Policy:
    return Policy(mode, threshold, WEAK, rare_below, COUNTS)


@given(slm_triples, llm_triples)
def test_slm_and_llm_are_themselves_and_union_is_both(s: list[Triple], l_: list[Triple]) -> None:
    assert result(s, l_, policy(Mode.SLM)) == set(s)
    assert result(s, l_, policy(Mode.LLM)) == set(l_)
    assert result(s, l_, policy(Mode.UNION)) == set(s) | set(l_)


@given(slm_triples, llm_triples, st.sampled_from(PLAIN_MODES), st.floats(0, 1), st.integers(0, 600))
def test_every_mode_stays_within_the_union_and_says_why(
    s: list[Triple], l_: list[Triple], mode: Mode, threshold: float, rare_below: int
) -> None:
    merged = merge(s, l_, policy(mode, threshold, rare_below))
    assert len({item.triple for item in merged}) == len(merged)
    for item in merged:
        assert item.rule
        assert ("slm" in item.sources) == (item.triple in set(s))
        assert ("llm" in item.sources) == (item.triple in set(l_))
        assert (item.triple.prob is None) == ("slm" not in item.sources)


@given(slm_triples, llm_triples)
def test_the_modes_that_add_keep_the_llm_whole(s: list[Triple], l_: list[Triple]) -> None:
    for mode in (Mode.UNION, Mode.THRESHOLD):
        assert set(l_) <= result(s, l_, policy(mode))


@given(slm_triples, llm_triples)
def test_a_threshold_of_nothing_gives_the_union_and_of_everything_the_llm(
    s: list[Triple], l_: list[Triple]
) -> None:
    certain = [Triple(t.head, t.tail, t.type, max(t.prob or 0, 0.01)) for t in s]
    assert result(certain, l_, policy(Mode.THRESHOLD, 0.0)) == set(s) | set(l_)
    assert result(certain, l_, policy(Mode.THRESHOLD, 1.0)) == set(l_)


@given(slm_triples, llm_triples, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_lets_more_in(
    s: list[Triple], l_: list[Triple], first: float, second: float
) -> None:
    low, high = sorted((first, second))
    for mode in (Mode.THRESHOLD, Mode.GATE):
        assert result(s, l_, policy(mode, high)) <= result(s, l_, policy(mode, low))


@given(slm_triples, llm_triples)
def test_replacing_no_type_is_slm_first(s: list[Triple], l_: list[Triple]) -> None:
    none_weak = Policy(Mode.REPLACE_WEAK, weak_types=frozenset(), training_counts=COUNTS)
    assert result(s, l_, none_weak) == result(s, l_, policy(Mode.SLM_FIRST))


@given(slm_triples, llm_triples)
def test_replacing_every_type_is_the_llm(s: list[Triple], l_: list[Triple]) -> None:
    all_weak = Policy(Mode.REPLACE_WEAK, weak_types=frozenset({"common", "rare", "unseen"}))
    assert result(s, l_, all_weak) == set(l_)


@given(slm_triples, llm_triples)
def test_a_gate_where_every_type_is_rare_is_the_union(s: list[Triple], l_: list[Triple]) -> None:
    assert result(s, l_, policy(Mode.GATE, 1.0, rare_below=1000)) == set(s) | set(l_)


@given(slm_triples, llm_triples)
def test_a_gate_where_no_type_is_rare_never_adds_to_the_slm(
    s: list[Triple], l_: list[Triple]
) -> None:
    assert result(s, l_, policy(Mode.GATE, 0.0, rare_below=0)) == set(s)
    certain_of_nothing = [Triple(t.head, t.tail, t.type, (t.prob or 0) / 2) for t in s]
    confirmed = result(certain_of_nothing, l_, policy(Mode.GATE, 1.0, rare_below=0))
    assert confirmed == set(s) & set(l_)


@given(slm_triples, st.sampled_from(PLAIN_MODES))
def test_without_an_answer_every_mode_keeps_the_slm(s: list[Triple], mode: Mode) -> None:
    assert result(s, None, policy(mode)) == set(s)


def test_an_empty_answer_is_an_answer() -> None:
    assert result([Triple("a", "b", "common", 0.9)], [], policy(Mode.LLM)) == set()


def test_the_gate_by_example() -> None:
    sure, unsure = Triple("a", "b", "common", 0.6), Triple("b", "a", "common", 0.59)
    confirmed = Triple("a", "c", "common", 0.1)
    rare, added, refused = (
        Triple("a", "b", "rare", 0.1),
        Triple("b", "c", "rare"),
        Triple("c", "b", "common"),
    )
    merged = merge([sure, unsure, confirmed, rare], [confirmed, added, refused], policy(Mode.GATE))
    assert {item.triple: item.rule for item in merged} == {
        sure: "slm: p >= 0.60",
        confirmed: "slm: confirmed by the llm",
        rare: "slm: type with n < 40",
        added: "llm: type with n < 40",
    }


def test_replace_weak_by_example() -> None:
    strong, dropped = Triple("a", "b", "common", 0.2), Triple("a", "b", "rare", 0.9)
    weak, new, refused = (
        Triple("b", "c", "rare"),
        Triple("b", "c", "unseen"),
        Triple("b", "c", "common"),
    )
    merged = merge([strong, dropped], [weak, new, refused], policy(Mode.REPLACE_WEAK))
    assert {item.triple: item.rule for item in merged} == {
        strong: "slm: not a weak type",
        weak: "llm: weak type",
        new: "llm: type not predicted by the slm",
    }


def test_of_equal_triples_the_most_probable_stands() -> None:
    merged = merge(
        [Triple("a", "b", "common", 0.2), Triple("a", "b", "common", 0.7)], [], policy(Mode.GATE)
    )
    assert [item.triple.prob for item in merged] == [0.7]


@pytest.mark.parametrize("mode", [Mode.THRESHOLD, Mode.GATE])
def test_a_missing_probability_is_refused_where_it_is_needed(mode: Mode) -> None:
    with pytest.raises(InvalidInput, match="probability of every triple: common of 'a' and 'b'"):
        merge([Triple("a", "b", "common")], [], policy(mode))


KIN = TaskSchema("t", "en", (), (RelationType("kin", symmetric=True), RelationType("common")))


def test_of_a_symmetric_type_both_directions_are_one_triple() -> None:
    evidence = Evidence(
        (Triple("a", "b", "kin", 0.3), Triple("a", "b", "common", 0.3)),
        {LLM: (Triple("b", "a", "kin"), Triple("b", "a", "common"))},
    )
    union = merge_evidence(evidence, Policy(Mode.UNION), KIN)
    assert [(item.triple, item.sources) for item in union] == [
        (Triple("a", "b", "kin"), ("slm", "llm")),
        (Triple("a", "b", "common"), ("slm",)),
        (Triple("b", "a", "common"), ("llm",)),
    ]
    gate = merge_evidence(evidence, Policy(Mode.GATE, 0.9, rare_below=0), KIN)
    assert [(item.triple, item.rule) for item in gate] == [
        (Triple("a", "b", "kin"), "slm: confirmed by the llm")
    ]


def test_a_quorum_counts_a_symmetric_type_in_both_directions() -> None:
    answers = {"x": (Triple("b", "a", "kin"),), "y": (Triple("a", "b", "kin"),), "z": ()}
    majority = Policy(Mode.LLM, quorum=0.5)
    (found,) = merge_evidence(Evidence((), answers), majority, KIN)
    assert (found.triple, found.sources) == (Triple("b", "a", "kin"), ("x", "y"))
