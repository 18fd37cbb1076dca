"""The algebra of merging with the answers of several LLMs, or several samples of one."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.evaluation.evidence import LLM, Evidence
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import ALL, ANY, MAJORITY, PLAIN_MODES, Mode, Policy

SCHEMA = TaskSchema("t", "en", (), (RelationType("common"), RelationType("rare")))
COUNTS = {"common": 500, "rare": 5}

triples = st.builds(
    Triple, st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from(["common", "rare"])
)
slm_triples = st.lists(triples, max_size=5).map(
    lambda found: tuple(Triple(t.head, t.tail, t.type, 0.5) for t in found)
)
answers = st.dictionaries(
    st.sampled_from(["one", "two", "three#1", "three#2"]),
    st.lists(triples, max_size=5, unique=True).map(tuple),
    min_size=1,
)
shares = st.one_of(st.sampled_from([ANY, MAJORITY, ALL]), st.floats(0, 1))


def result(
    slm: tuple[Triple, ...],
    said: Mapping[str, tuple[Triple, ...]],
    mode: Mode = Mode.LLM,
    quorum: float = ANY,
) -> set[Triple]:
    policy = Policy(mode, training_counts=COUNTS, quorum=quorum)
    return {item.triple for item in merge(Evidence(slm, said), policy, SCHEMA)}


@given(slm_triples, answers, shares, shares)
def test_a_higher_quorum_never_lets_more_of_the_llms_in(
    slm: tuple[Triple, ...], said: dict[str, tuple[Triple, ...]], first: float, second: float
) -> None:
    low, high = sorted((first, second))
    for mode in (Mode.LLM, Mode.UNION, Mode.SLM_FIRST, Mode.GATE):
        assert result(slm, said, mode, high) <= result(slm, said, mode, low)


@given(answers)
def test_any_is_the_union_of_the_answers_and_all_their_intersection(
    said: dict[str, tuple[Triple, ...]],
) -> None:
    sets = [set(answer) for answer in said.values()]
    assert result((), said, quorum=ANY) == set.union(*sets)
    assert result((), said, quorum=ALL) == set.intersection(*sets)


@given(answers)
def test_a_majority_is_more_than_half_of_the_answers(said: dict[str, tuple[Triple, ...]]) -> None:
    every = {triple for answer in said.values() for triple in answer}
    expected = {t for t in every if 2 * sum(t in answer for answer in said.values()) > len(said)}
    assert result((), said, quorum=MAJORITY) == expected


def test_one_of_two_is_no_majority_and_one_of_one_is() -> None:
    triple = Triple("a", "b", "common")
    assert result((), {"one": (triple,), "two": ()}, quorum=MAJORITY) == set()
    assert result((), {"one": (triple,)}, quorum=MAJORITY) == {triple}


@given(slm_triples, answers, st.sampled_from(PLAIN_MODES), shares)
def test_lineage_names_every_source_that_holds_a_triple(
    slm: tuple[Triple, ...], said: dict[str, tuple[Triple, ...]], mode: Mode, quorum: float
) -> None:
    policy = Policy(mode, training_counts=COUNTS, quorum=quorum)
    for item in merge(Evidence(slm, said), policy, SCHEMA):
        holders = [source for source, answer in said.items() if item.triple in answer]
        assert list(item.sources) == ["slm"] * (item.triple in slm) + holders
        assert (item.slm_probability is not None) == (item.triple in slm)


@given(slm_triples, st.lists(triples, max_size=5).map(tuple), st.sampled_from(PLAIN_MODES), shares)
def test_one_answer_is_the_same_whatever_its_source_and_the_quorum(
    slm: tuple[Triple, ...], said: tuple[Triple, ...], mode: Mode, quorum: float
) -> None:
    assert result(slm, {"any name": said}, mode, quorum) == result(slm, {LLM: said}, mode)


@given(slm_triples, answers, st.sampled_from(PLAIN_MODES))
def test_answers_that_agree_are_one_answer(
    slm: tuple[Triple, ...], said: dict[str, tuple[Triple, ...]], mode: Mode
) -> None:
    first = next(iter(said.values()))
    same = dict.fromkeys(said, first)
    for quorum in (ANY, MAJORITY, ALL):
        assert result(slm, same, mode, quorum) == result(slm, {LLM: first}, mode)
