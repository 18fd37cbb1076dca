"""What a part of the answers buys: figures along an order, and the best that any order can do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.evaluation.evidence import LLM, Evidence
from slcolm_services.evaluation.policy import Mode, Policy
from slcolm_services.evaluation.spending import Purchase, purchase

SCHEMA = TaskSchema("t", "lzh", (), (RelationType("多", ""), RelationType("少", "")))
POLICY = Policy(mode=Mode.LLM, training_counts={"多": 500, "少": 2})
PAIRS = st.sets(
    st.builds(
        Triple,
        st.sampled_from("甲乙"),
        st.sampled_from("丙丁"),
        st.sampled_from(["多", "少"]),
    ),
    max_size=4,
)
SENTENCES = st.lists(st.tuples(PAIRS, PAIRS, PAIRS), min_size=1, max_size=5)


def _purchase(sentences: list[tuple[set[Triple], set[Triple], set[Triple]]]) -> Purchase:
    return purchase(
        {str(place): tuple(gold) for place, (gold, _, _) in enumerate(sentences)},
        [
            Evidence(tuple(Triple(t.head, t.tail, t.type, 0.5) for t in slm), {LLM: tuple(answer)})
            for _, slm, answer in sentences
        ],
        POLICY,
        SCHEMA,
    )


@given(SENTENCES)
def test_every_order_begins_with_the_slm_and_ends_with_everything(
    sentences: list[tuple[set[Triple], set[Triple], set[Triple]]],
) -> None:
    bought = _purchase(sentences)
    order = list(range(len(sentences)))

    forwards, backwards = bought.along(order), bought.along(order[::-1])

    for name in ("micro", "macro", "tail"):
        assert forwards[name][0] == backwards[name][0]
        assert forwards[name][-1] == pytest.approx(backwards[name][-1])


@given(SENTENCES)
def test_the_bound_is_the_best_of_all_sets(
    sentences: list[tuple[set[Triple], set[Triple], set[Triple]]],
) -> None:
    """Compared with every set of every size, tried one by one."""
    bought = _purchase(sentences)
    bound = bought.upper_bound()

    for size in range(len(sentences) + 1):
        tried = [bought.along([*chosen]) for chosen in combinations(range(len(sentences)), size)]
        for name in ("micro", "tail"):
            assert bound[name][size] == pytest.approx(max(one[name][-1] for one in tried))


def test_a_right_answer_is_worth_its_triple() -> None:
    right, wrong = Triple("甲", "丙", "少"), Triple("乙", "丁", "少")
    bought = _purchase([({right}, set(), {right}), ({right}, set(), {wrong})])

    assert bought.along([0, 1])["tail"].tolist() == [0.0, pytest.approx(2 / 3), 0.5]
    assert bought.along([1, 0])["tail"].tolist() == [0.0, 0.0, 0.5]


def test_random_orders_are_the_same_for_a_seed_and_lie_between_their_ends() -> None:
    right = Triple("甲", "丙", "多")
    bought = _purchase([({right}, set(), {right}), ({right}, set(), set())] * 4)

    first, second = bought.at_random(50, 7)["micro"], bought.at_random(50, 7)["micro"]

    assert np.array_equal(first, second)
    mean, low, high = first
    assert (low <= mean + 1e-9).all()
    assert (mean <= high + 1e-9).all()
    assert mean[0] == 0.0
    assert mean[-1] == pytest.approx(2 / 3)
