"""What windows find apart is found once in the text, by the window that sees it best."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.windows import Window
from slcolm_services.extraction.long_texts import Joiner, token_windows
from slcolm_services.model.tokenization import Encoded

TEXT = "0123456789" * 3
WINDOWS = [Window(0, 20), Window(10, 30)]


def part(*entities: Entity, relations: tuple[Relation, ...] = ()) -> Document:
    return Document("d", TEXT, entities, relations)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("PER", "LOC", {12: "PER", 16: "LOC"}),
        ("PER", None, {12: "PER"}),
        (None, "LOC", {16: "LOC"}),
    ],
)
def test_of_two_windows_the_one_counts_in_which_a_mention_is_farther_from_the_border(
    first: str | None, second: str | None, expected: dict[int, str]
) -> None:
    """At 12 the first window sees 7 code points beyond, at 16 the second window 6 before."""
    parts = [
        part(*(Entity(kind, place, place + 1) for place in (12, 16) if kind))
        for kind in (first, second)
    ]
    found = Joiner(WINDOWS).join(parts)
    assert {entity.start: entity.type for entity in found.entities} == expected


def test_a_mention_that_only_one_window_holds_is_taken_from_it() -> None:
    parts = [part(Entity("PER", 2, 4), Entity("PER", 18, 20)), part(Entity("LOC", 25, 30))]
    found = Joiner(WINDOWS).join(parts)
    assert [(entity.start, entity.end) for entity in found.entities] == [(2, 4), (25, 30)]


def test_a_relation_is_the_word_of_the_window_that_sees_the_pair_best() -> None:
    pair = (Entity("PER", 12, 13), Entity("LOC", 14, 15))
    far = Entity("PER", 29, 30)
    parts = [
        part(*pair, relations=(Relation("knows", 0, 1, 0.5),)),
        part(*pair, far, relations=(Relation("lives_in", 0, 1, 0.9), Relation("knows", 2, 1))),
    ]
    found = Joiner(WINDOWS).join(parts)
    assert found.entities == (*pair, far)
    assert found.relations == (Relation("knows", 0, 1, 0.5), Relation("knows", 2, 1))


def test_a_relation_is_taken_from_the_window_that_found_both_its_mentions() -> None:
    """The first window sees the pair best but missed the place, which the second sees better."""
    parts = [
        part(Entity("PER", 13, 14)),
        part(Entity("PER", 13, 14), Entity("LOC", 16, 17), relations=(Relation("lives_in", 0, 1),)),
    ]
    found = Joiner(WINDOWS).join(parts)
    assert [(entity.start, entity.type) for entity in found.entities] == [(13, "PER"), (16, "LOC")]
    assert found.relations == (Relation("lives_in", 0, 1),)


@pytest.mark.parametrize(
    ("overlapping", "kept"), [(True, {(12, 15), (14, 19)}), (False, {(14, 19)})]
)
def test_windows_that_see_overlapping_entities_best_agree_where_entities_do_not_overlap(
    overlapping: bool, kept: set[tuple[int, int]]
) -> None:
    """The relation of the one that gives way goes with it."""
    first, second = Entity("PER", 12, 15, 0.6), Entity("PER", 14, 19, 0.9)
    far = Entity("LOC", 2, 3, 0.9)
    parts = [part(far, first, relations=(Relation("lives_in", 1, 0, 0.9),)), part(second)]
    found = Joiner(WINDOWS, overlapping_entities=overlapping).join(parts)
    assert {(entity.start, entity.end) for entity in found.entities} == {(2, 3), *kept}
    assert len(found.relations) == int(overlapping)


def test_a_relation_falls_with_a_mention_that_does_not_stand() -> None:
    parts = [
        part(),
        part(Entity("PER", 11, 12), Entity("LOC", 25, 26), relations=(Relation("lives_in", 0, 1),)),
    ]
    found = Joiner(WINDOWS).join(parts)
    assert [entity.start for entity in found.entities] == [25]
    assert found.relations == ()


@st.composite
def windows_and_entities(draw: st.DrawFn) -> tuple[list[Window], list[Entity]]:
    steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=6))
    starts = list(itertools.accumulate((step for step, _ in steps), initial=0))
    ends = list(itertools.accumulate((step for _, step in steps), initial=10))
    pairs = draw(st.lists(st.tuples(st.integers(0, 70), st.integers(1, 5)), max_size=12))
    return (
        [Window(start, max(start + 1, end)) for start, end in zip(starts, ends, strict=True)],
        [Entity("PER", start, start + length) for start, length in pairs],
    )


@given(windows_and_entities())
def test_unseen_pairs_are_those_that_no_window_holds(
    case: tuple[list[Window], list[Entity]],
) -> None:
    windows, entities = case
    windows = [window for window in windows if window.start < window.end]
    held = [
        entity
        for entity in entities
        if any(window.start <= entity.start and entity.end <= window.end for window in windows)
    ]
    apart = sum(
        not any(
            window.start <= min(one.start, other.start) and max(one.end, other.end) <= window.end
            for window in windows
        )
        for one, other in itertools.permutations(held, 2)
    )
    assert Joiner(windows).unseen_pairs(held) == apart


def test_the_vector_is_the_mean_by_length_and_of_length_one() -> None:
    joiner = Joiner([Window(0, 30), Window(20, 30)])
    vectors = [np.array([1.0, 0.0], dtype=np.float32), np.array([0.0, 1.0], dtype=np.float32)]
    assert joiner.vector(vectors) == pytest.approx(np.array([3, 1]) / np.sqrt(10))


@given(
    st.text(st.sampled_from("甲乙丙。，\n a"), min_size=1, max_size=120),
    st.integers(2, 30),
    st.data(),
)
def test_token_windows_cover_the_text_and_hold_every_span_whole(
    text: str, longest: int, data: st.DataObject
) -> None:
    """Tokens of two code points, so that places in tokens are not places in the text."""
    starts = np.arange(0, len(text), 2)
    tokens = Encoded(starts, starts, np.minimum(starts + 2, len(text)))
    overlap = data.draw(st.integers(0, longest - 1))
    least = data.draw(st.integers(0, overlap))
    found = token_windows(text, tokens, longest=longest, overlap=overlap, least_overlap=least)
    assert (found[0][0].start, found[-1][0].end) == (0, len(text))
    for window, part in found:
        assert len(part) <= longest
        assert window == Window(int(part.starts[0]), int(part.ends[-1]))
    held = [set(part.starts.tolist()) for _, part in found]
    for first in range(len(tokens)):
        span = set(tokens.starts[first : first + least + 1].tolist())
        assert any(span <= window for window in held)
