"""Script variants are equal when folded, and offsets never move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.script import find_mention, fold

# Half of the characters are Chinese, or folding would hardly ever change anything.
CHARACTERS = (
    st.characters() | st.characters(min_codepoint=0x3400, max_codepoint=0x9FFF)
    | st.characters(min_codepoint=0xF900, max_codepoint=0xFFEF)
    | st.characters(min_codepoint=0x20000, max_codepoint=0x2FA1F)
)  # fmt: skip
TEXTS = st.text(CHARACTERS)


@given(TEXTS)
def test_folding_keeps_the_length(text: str) -> None:
    assert len(fold(text)) == len(text)


@given(TEXTS)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS, TEXTS)
def test_folding_goes_character_by_character(a: str, b: str) -> None:
    assert fold(a + b) == fold(a) + fold(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("孫權", "孙权"),
        ("尙書", "尚书"),
        ("鍾繇", "锺繇"),
        ("鍾繇", "钟繇"),
        ("郞中", "郎中"),
        ("隷屬", "隶属"),
        ("餘杭", "馀杭"),
        ("蒲阪", "蒲坂"),
        ("鉅鹿", "钜鹿"),
        ("ＡＢＣ１２，", "ABC12,"),
        ("\u3000", " "),
        ("\uf900", "豈"),  # a compatibility ideograph
    ],
)
def test_variants_are_equal(a: str, b: str) -> None:
    assert fold(a) == fold(b)


@pytest.mark.parametrize(("a", "b"), [("孙", "权"), ("未", "末"), ("己", "已"), ("ﬁ", "fi")])
def test_different_words_stay_different(a: str, b: str) -> None:
    assert fold(a) != fold(b)


def test_a_mention_is_found_in_the_other_script() -> None:
    text = "5孙权自公安徙都鄂，孙权更名"

    assert find_mention(text, "孫權") == [(1, 3), (10, 12)]


def test_a_mention_written_as_in_the_text_is_not_mixed_with_its_variants() -> None:
    """`钟` and `锺` are two names where a text writes both."""
    assert find_mention("锺繇与钟会", "钟") == [(3, 4)]
    assert find_mention("锺繇与钟会", "鍾") == [(0, 1), (3, 4)]


def test_overlapping_occurrences_are_all_found() -> None:
    assert find_mention("哈哈哈", "哈哈") == [(0, 2), (1, 3)]


def test_nothing_is_found_for_nothing() -> None:
    assert find_mention("孙权", "") == []
    assert find_mention("", "孙权") == []


@given(TEXTS, st.data())
def test_what_stands_in_a_text_is_found_where_it_stands(text: str, data: st.DataObject) -> None:
    if not text:
        return
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))

    assert (start, end) in find_mention(text, text[start:end])
    assert (start, end) in find_mention(fold(text), text[start:end])
