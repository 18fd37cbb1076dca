"""Leakage between two sets is found whatever the script and punctuation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.duplicates import SharedRun, dedup_key, shared_runs, unit_of


def test_script_spaces_and_punctuation_make_no_difference() -> None:
    assert dedup_key("孫權曰：「善。」\n") == dedup_key("孙权 曰，善！") == "孙权曰善"


def test_placeholders_of_rare_characters_stay() -> None:
    """Private-use characters are characters of the text."""
    assert dedup_key("甲\ue000乙") == "甲\ue000乙"


def test_the_same_sentence_and_a_shared_run_are_found() -> None:
    train = ["晋陶侃为荆州刺史，镇武昌。", "孫權自公安徙都鄂"]
    test = ["孙权自公安徙都鄂。", "是岁，陶侃为荆州刺史，卒。", "曹操还许"]

    assert shared_runs(test, train, length=7) == [
        SharedRun(0, 1, "孙权自公安徙都鄂", same=True),
        SharedRun(1, 0, "陶侃为荆州刺史", same=False),
    ]


def test_texts_shorter_than_a_run_count_when_they_are_the_same() -> None:
    assert shared_runs(["卒。", "薨。"], ["卒"], length=12) == [SharedRun(0, 0, "卒", same=True)]


def test_the_first_text_that_shares_is_named() -> None:
    assert shared_runs(["策遂与吕范", "帝崩"], ["与吕范", "遂与吕范", "帝崩", "帝崩"], 3) == [
        SharedRun(0, 1, "遂与吕", same=False),
        SharedRun(1, 2, "帝崩", same=True),
    ]
    assert shared_runs(["与吕范行"], ["与吕范", "遂与吕范"], 3)[0].b == 0


def test_punctuation_alone_is_nothing_to_share() -> None:
    assert shared_runs(["……", "。"], ["。", ""]) == []


def test_a_run_of_no_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        shared_runs([], [], length=0)


def test_words_are_compared_as_words() -> None:
    """Twelve letters say nothing where words have spaces; case and punctuation say nothing too."""
    train = ["The President of the United States, Mr. Lincoln, was born in Kentucky."]
    test = [
        "the president of the united states mr lincoln was shot",
        "the president of the united states is elected",
        "The president of the United States, Mr Lincoln, was born in Kentucky",
    ]

    assert shared_runs(test, train, unit="words") == [
        SharedRun(0, 0, "the president of the united states mr lincoln", same=False),
        SharedRun(
            2, 0, "the president of the united states mr lincoln was born in kentucky", same=True
        ),
    ]
    assert [hit.a for hit in shared_runs(test, train, unit="characters")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (["裕为太尉，镇丹徒之京口里"], "characters"),
        (["かれは東京へ行った", "เขาไปกรุงเทพ"], "characters"),
        (["Ann of Bonn"], "words"),
        (["Анна из Бонна", "서울에 갔다"], "words"),
        (["the character 京 means capital"], "words"),
        (["高祖 (Gaozu) 起兵於沛縣"], "characters"),
        ([], "characters"),
        (["…"], "characters"),
    ],
)
def test_the_unit_is_that_of_most_letters(texts: list[str], unit: str) -> None:
    assert unit_of(texts) == unit


SMALL = st.lists(st.text("甲乙丙，", max_size=12), max_size=6)


@given(SMALL, SMALL, st.integers(1, 5))
def test_the_same_texts_are_found_as_by_comparing_every_pair(
    a_texts: list[str], b_texts: list[str], length: int
) -> None:
    def share(a: str, b: str) -> bool:
        runs = {a[start : start + length] for start in range(len(a) - length + 1)}
        return bool(a) and (a == b or any(run in b for run in runs))

    expected = [
        index
        for index, a in enumerate(a_texts)
        if any(share(dedup_key(a), dedup_key(b)) for b in b_texts)
    ]

    found = shared_runs(a_texts, b_texts, length)

    assert [hit.a for hit in found] == expected
    assert all(hit.run in dedup_key(b_texts[hit.b]) for hit in found)
    assert all(hit.run in dedup_key(a_texts[hit.a]) for hit in found)
