"""Windows lose nothing, are never too long, and end where sentences end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.windows import Window, windows

TEXTS = st.text(st.sampled_from("甲乙丙丁。！，」\n a."), max_size=200)


@st.composite
def limits(draw: st.DrawFn) -> tuple[int, int]:
    max_chars = draw(st.integers(1, 60))
    return max_chars, draw(st.integers(0, max_chars - 1))


@given(TEXTS, limits())
def test_every_character_is_in_a_window_and_no_window_is_too_long(
    text: str, limit: tuple[int, int]
) -> None:
    max_chars, overlap_chars = limit
    found = windows(text, max_chars, overlap_chars)

    covered = {place for window in found for place in range(window.start, window.end)}
    assert covered == set(range(len(text)))
    assert all(0 < window.end - window.start <= max_chars for window in found)


@given(TEXTS, limits())
def test_neighbours_move_on_and_share_no_more_than_they_may(
    text: str, limit: tuple[int, int]
) -> None:
    found = windows(text, *limit)

    for before, after in itertools.pairwise(found):
        assert before.start < after.start
        assert before.end < after.end
        assert 0 <= before.end - after.start <= limit[1]


@given(TEXTS, limits())
def test_a_text_that_fits_is_one_window(text: str, limit: tuple[int, int]) -> None:
    max_chars, overlap_chars = limit
    if 0 < len(text) <= max_chars:
        assert windows(text, max_chars, overlap_chars) == [Window(0, len(text))]


@given(st.lists(st.text("甲乙丙，", min_size=1, max_size=18), min_size=1), st.integers(0, 10))
def test_sentences_that_fit_are_never_cut(sentences: list[str], overlap_chars: int) -> None:
    """A sentence of up to half of what a window adds is whole in some window."""
    ended = [f"{sentence}。" for sentence in sentences]
    found = windows("".join(ended), 20 + overlap_chars, overlap_chars)

    start = 0
    for sentence in ended:
        end = start + len(sentence)
        assert any(window.start <= start and end <= window.end for window in found)
        start = end


def test_windows_end_after_the_quote_that_closes_a_sentence() -> None:
    text = "帝曰：「善。」遂从之。"

    assert windows(text, 8, 0) == [Window(0, 7), Window(7, 11)]


def test_the_overlap_holds_whole_sentences() -> None:
    text = "甲一。乙二。丙三。丁四。"

    assert windows(text, 7, 4) == [Window(0, 6), Window(3, 9), Window(6, 12)]


def test_a_long_sentence_is_cut_at_a_clause_and_overlaps() -> None:
    text = "甲乙丙丁，戊己庚辛，壬癸子丑"

    assert windows(text, 11, 5) == [Window(0, 10), Window(5, 14)]


def test_a_full_stop_inside_a_number_ends_nothing() -> None:
    text = "It rose 3.14 percent. Then it fell."

    assert windows(text, 25, 0) == [Window(0, 22), Window(22, 35)]


def test_an_empty_text_has_no_window() -> None:
    assert windows("", 10, 0) == []


@pytest.mark.parametrize(("max_chars", "overlap_chars"), [(0, 0), (5, 5), (5, -1), (5, 9)])
def test_limits_that_cannot_work_are_refused(max_chars: int, overlap_chars: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        windows("甲", max_chars, overlap_chars)
