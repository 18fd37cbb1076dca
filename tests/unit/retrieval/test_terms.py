"""Terms of Chinese and of spaced scripts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.retrieval.terms import ngrams, sparse_vector, tokenize


def forms(text: str) -> list[list[str]]:
    return [[token.form for token in run] for run in tokenize(text)]


def terms(text: str, length: int) -> set[str]:
    return {term for run in tokenize(text) for term, _, _ in ngrams(run, length)}


def test_characters_of_an_unspaced_script_and_words_of_others_are_tokens() -> None:
    assert forms("周瑜為Duke of 吳。") == [["周", "瑜", "为", "duke", "of", "吴"]]


def test_punctuation_parts_runs_and_white_space_does_not() -> None:
    assert forms("张 三，李四") == [["张", "三"], ["李", "四"]]


def test_words_are_joined_by_a_space_and_characters_by_nothing() -> None:
    assert terms("born in Paris", 2) == {"born", "in", "paris", "born in", "in paris"}
    assert terms("生 于", 2) == {"生", "于", "生于"}
    assert terms("卒 in", 2) == {"卒", "in", "卒 in"}


def test_script_variants_have_one_sparse_vector() -> None:
    assert sparse_vector("尙書郞") == sparse_vector("尚书郎")


def test_a_repeated_term_weighs_more_but_not_twice_as_much() -> None:
    (once,) = set(sparse_vector("杀").values())
    twice = max(sparse_vector("杀，杀").values())
    assert once < twice < 2 * once


def test_a_text_of_punctuation_has_no_terms() -> None:
    assert sparse_vector("，。「」 _") == {}


@given(st.text())
def test_tokens_lie_in_the_text_in_order_and_do_not_overlap(text: str) -> None:
    tokens = [token for run in tokenize(text) for token in run]
    ends = [0, *(token.end for token in tokens)]
    for token, previous in zip(tokens, ends, strict=False):
        assert previous <= token.start < token.end <= len(text)


@given(st.text())
def test_any_text_has_a_sparse_vector_that_qdrant_takes(text: str) -> None:
    vector = sparse_vector(text)
    assert all(0 <= index < 2**32 for index in vector)
    assert all(value >= 1.0 for value in vector.values())
