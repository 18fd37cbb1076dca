"""Terms: the n-grams that sparse vectors and trigger words are made of.

A token is one character of a script written without spaces (Chinese, Japanese, Thai, ...) or one
word of any other script, so that one rule serves both kinds of language. Script variants and case
are folded; n-grams never cross punctuation.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

from slcolm_services.corpus.script import fold

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3100-\u312f"  # radicals, marks, Kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_SPACED_TOKEN = re.compile(rf"[^{_UNSPACED}]")

SPARSE_TERM_LENGTH = 2
"""Longest n-gram of a sparse vector. Longer ones find no better neighbours on ChisRE dev (recall of
gold types 0.82 with trigrams, 0.83 without) and make the embedded search slower."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token: the half-open range [start, end) of the text, and its folded form."""

    form: str
    start: int
    end: int


def tokenize(text: str) -> list[list[Token]]:
    """Split a text into runs of tokens with nothing but white space between them.

    Args:
        text: Any text; offsets of the tokens count its Unicode code points.
    """
    runs: list[list[Token]] = []
    folded = fold(text)
    previous_end = None
    for match in _TOKEN.finditer(folded):
        start, end = match.span()
        if previous_end is None or folded[previous_end:start].strip():
            runs.append([])
        runs[-1].append(Token(match.group().casefold(), start, end))
        previous_end = end
    return runs


def ngrams(run: Sequence[Token], max_length: int) -> Iterator[tuple[str, Token, Token]]:
    """N-grams of a run of 1 to `max_length` tokens, each with its first and last token."""
    for first in range(len(run)):
        term = ""
        for token in run[first : first + max_length]:
            term = _join(term, token.form)
            yield term, run[first], token


def _join(left: str, right: str) -> str:
    """Words are joined by a space, characters of unspaced scripts by nothing."""
    if left and (_SPACED_TOKEN.match(left[-1]) or _SPACED_TOKEN.match(right[0])):
        return f"{left} {right}"
    return left + right


def sparse_vector(text: str) -> dict[int, float]:
    """Sparse vector of a text: 1 + ln(term frequency) of its terms, by the CRC-32 of the term.

    32 bits need no dictionary that an index would have to keep; among 100,000 distinct terms one
    pair is expected to collide. The inverse document frequency is Qdrant's part (`Modifier.IDF`).
    """
    counts = Counter(
        zlib.crc32(term.encode())
        for run in tokenize(text)
        for term, _, _ in ngrams(run, SPARSE_TERM_LENGTH)
    )
    return {index: 1.0 + log(count) for index, count in counts.items()}
