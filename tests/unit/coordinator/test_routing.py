"""Routing: who is asked about first, and that nothing else decides."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.coordinator.routing import Outlook, expected_gain, features, route
from slcolm_services.corpus.documents import Triple

COUNTS = {"任职": 900, "兄弟": 3}
PROBABILITY = st.floats(0, 1)
OUTLOOKS = st.lists(
    st.builds(
        Outlook,
        triples=st.lists(st.tuples(st.sampled_from(["任职", "兄弟"]), PROBABILITY), max_size=4),
        lone_entities=st.integers(0, 9),
        candidates=st.dictionaries(st.sampled_from(["任职", "兄弟", "新"]), PROBABILITY),
    ),
    max_size=12,
)
NOTHING = Outlook(triples=[], lone_entities=0, candidates={})


@given(OUTLOOKS)
def test_the_order_is_a_permutation_by_expected_gain(outlooks: list[Outlook]) -> None:
    order = route(outlooks, COUNTS)

    assert sorted(order) == list(range(len(outlooks)))
    gains = [expected_gain(outlooks[place], COUNTS) for place in order]
    assert gains == sorted(gains, reverse=True)


@given(OUTLOOKS, st.randoms(use_true_random=False))
def test_what_a_text_is_worth_does_not_depend_on_the_others(
    outlooks: list[Outlook], shuffler: random.Random
) -> None:
    shuffled = outlooks.copy()
    shuffler.shuffle(shuffled)

    first, second = (
        [expected_gain(texts[place], COUNTS) for place in route(texts, COUNTS)]
        for texts in (outlooks, shuffled)
    )

    assert first == second


def test_of_equals_the_first_comes_first() -> None:
    assert route([NOTHING] * 4, COUNTS) == [0, 1, 2, 3]


def test_doubt_lone_entities_and_rare_candidates_come_before_certainty() -> None:
    certain = Outlook(triples=[("任职", 1.0)], lone_entities=0, candidates={"任职": 1.0})
    doubtful = Outlook(triples=[("任职", 0.5)], lone_entities=0, candidates={})
    lone = Outlook(triples=[], lone_entities=2, candidates={})
    rare = Outlook(triples=[], lone_entities=0, candidates={"兄弟": 0.5})

    assert route([certain, doubtful, lone, rare], COUNTS) == [3, 2, 1, 0]


def test_a_rare_type_that_the_slm_predicted_is_no_candidate_any_more() -> None:
    outlook = Outlook(triples=[("兄弟", 0.9)], lone_entities=0, candidates={"兄弟": 0.7, "新": 0.2})

    assert features(outlook, COUNTS).rare_candidates == 0.2


def test_a_mention_is_lone_by_its_wording() -> None:
    """A name in a triple is not lone where it stands a second time."""
    triples = [Triple("甲", "太守", "任职", 0.9), Triple("甲", "太守", "任职")]

    outlook = Outlook.of(["甲", "甲", "太守", "云泽", "云泽"], triples, {"驻守": 0.4})

    assert outlook == Outlook([("任职", 0.9), ("任职", 0.0)], 1, {"驻守": 0.4})
