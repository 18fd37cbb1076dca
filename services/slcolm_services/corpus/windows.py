"""Windows of a long text: nothing is cut off, and what crosses a window's end is in the next."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

# A sentence ends after its punctuation and the quotes and brackets that close with it. A full stop
# ends one only before white space, for it stands in numbers and abbreviations too.
_SENTENCE_END = re.compile(r"(?:[。！？；!?;…]+|\.+(?=\s))[”’」』）)\"']*\s*|\n+")
_CLAUSE_END = re.compile(r"[，、：,:]+|\s+")


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open range [start, end) of a text, in code points unless it says otherwise."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where a text may be cut, as ascending places; the unit is that of whoever asks.

    Attributes:
        sentences: Ends of sentences.
        clauses: Ends of clauses and words, for sentences that fit no window.
    """

    sentences: Sequence[int]
    clauses: Sequence[int]


def breaks(text: str) -> Breaks:
    """Ends of sentences and clauses, in code points."""
    return Breaks(
        [match.end() for match in _SENTENCE_END.finditer(text)],
        [match.end() for match in _CLAUSE_END.finditer(text)],
    )


def windows(text: str, max_chars: int, overlap_chars: int) -> list[Window]:
    """Split a text into overlapping windows, at sentence ends wherever there are any.

    Args:
        text: The text.
        max_chars: Code points in a window at most.
        overlap_chars: Code points that two neighbours share at most; less than `max_chars`.

    Returns:
        Windows from left to right; every code point lies in at least one. None for an empty text.

    Raises:
        ValueError: `max_chars` is less than 1, or `overlap_chars` is not in [0, max_chars).
    """
    if max_chars < 1:
        raise ValueError(f"max_chars must be at least 1, got {max_chars}")
    if not 0 <= overlap_chars < max_chars:
        raise ValueError(f"overlap_chars must be in [0, {max_chars}), got {overlap_chars}")
    return split(len(text), breaks(text), longest=max_chars, overlap=overlap_chars)


def split(
    length: int, places: Breaks, *, longest: int, overlap: int, least_overlap: int = 0
) -> list[Window]:
    """Split [0, length) into overlapping windows, in any unit: code points, tokens.

    A window is as long as it can be. The next one begins at most `overlap` before its end: at the
    first sentence that fits whole. A sentence longer than a window is cut at a clause, or anywhere
    where there is none, and there the overlap is as long as it may be.

    Args:
        length: Of the text.
        places: Where to cut rather than elsewhere, in the same unit.
        longest: Length of a window at most.
        overlap: What two neighbours share at most; less than `longest`.
        least_overlap: What they share at least; at most `overlap`. Whatever is no longer than one
            more than this lies whole in a window.
    """
    found: list[Window] = []
    start = 0
    while length - start > longest:
        # Every window must end beyond the overlap, or the next would begin where it began.
        low, high = start + overlap + 1, start + longest
        end = _last(places.sentences, low, high) or _last(places.clauses, low, high) or high
        found.append(Window(start, end))
        low, high = end - overlap, end - least_overlap
        start = (
            _first(places.sentences, low, high)
            or _first(places.clauses, low, min(high, end - 1))
            or low
        )
    if start < length:
        found.append(Window(start, length))
    return found


def _last(places: Sequence[int], low: int, high: int) -> int | None:
    """The last place in [low, high]."""
    at = bisect.bisect_right(places, high) - 1
    return places[at] if at >= 0 and places[at] >= low else None


def _first(places: Sequence[int], low: int, high: int) -> int | None:
    """The first place in [low, high]."""
    at = bisect.bisect_left(places, low)
    return places[at] if at < len(places) and places[at] <= high else None
