"""Repeated and overlapping texts: what would let a test sentence leak out of the training set.

Texts are compared by their tokens: script variants folded, spaces and punctuation removed. A token
is a character where the script puts no spaces between words, as Chinese does; elsewhere, where
twelve letters say nothing, it is a word in lower case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slcolm_services.corpus.script import fold

Unit = Literal["characters", "words"]
"""What a run is counted in."""

RUN_LENGTHS: dict[Unit, int] = {"characters": 12, "words": 8}
"""Tokens in a run that two texts seldom share by chance."""

_Tokens = str | tuple[str, ...]
"""Tokens in order: a string is the sequence of its characters. Slices of both can be keys."""

# Han, kana, Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af]"
)
_WORD_CHARACTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A run of tokens that two texts share.

    Attributes:
        a: Index of the text in the first collection.
        b: Index of a text in the second collection; the first that shares a run.
        run: The first shared run, its tokens as they are compared. All of the text where the two
            are the same.
        same: Whether the two texts are the same, token by token.
    """

    a: int
    b: int
    run: str
    same: bool


def dedup_key(text: str) -> str:
    """The text as a key: script variants folded, spaces and punctuation removed.

    A text of punctuation alone has the empty key.
    """
    return "".join(character for character in fold(text) if not _is_separator(character))


def unit_of(texts: Iterable[str]) -> Unit:
    """The unit that texts are compared in: words where most letters are of a script with spaces.

    Texts without letters count in characters.
    """
    unspaced = letters = 0
    for text in texts:
        unspaced += len(_UNSPACED.findall(text))
        letters += len(_WORD_CHARACTER.findall(text))
    return "words" if 2 * unspaced < letters else "characters"


def shared_runs(
    a_texts: Sequence[str],
    b_texts: Sequence[str],
    length: int | None = None,
    unit: Unit = "characters",
) -> list[SharedRun]:
    """Find the texts of `a_texts` that share a run of tokens with a text of `b_texts`.

    Shorter texts count when they are the same. Time grows with the tokens in both collections, not
    with the pairs of texts; memory with those of `a_texts`.

    Args:
        a_texts: For example the test sentences.
        b_texts: For example the training sentences.
        length: Tokens in a run, at least 1; None for 12 characters or 8 words.
        unit: What a token is; `unit_of` tells which fits.

    Returns:
        For each text of `a_texts` that shares anything its first run, in the order of `a_texts`.

    Raises:
        ValueError: `length` is less than 1.
    """
    length = RUN_LENGTHS[unit] if length is None else length
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    keys = [_tokens(text, unit) for text in a_texts]
    whole: dict[_Tokens, int | None] = dict.fromkeys(keys)
    runs: dict[_Tokens, int | None] = dict.fromkeys(
        run for key in keys for run in _runs(key, length)
    )
    for index, text in enumerate(b_texts):
        key = _tokens(text, unit)
        _first(whole, key, index)
        for run in _runs(key, length):
            _first(runs, run, index)
    found = []
    for index, key in enumerate(keys):
        same = whole[key] if key else None
        if same is not None:
            found.append(SharedRun(index, same, _written(key), same=True))
            continue
        for run in _runs(key, length):
            other = runs[run]
            if other is not None:
                found.append(SharedRun(index, other, _written(run), same=False))
                break
    return found


def _runs(tokens: _Tokens, length: int) -> Iterator[_Tokens]:
    return (tokens[start : start + length] for start in range(len(tokens) - length + 1))


def _first(places: dict[_Tokens, int | None], tokens: _Tokens, index: int) -> None:
    """Note where tokens that are looked for stand first."""
    if tokens in places and places[tokens] is None:
        places[tokens] = index


def _tokens(text: str, unit: Unit) -> _Tokens:
    """Tokens in order."""
    if unit == "characters":
        return dedup_key(text)
    spaced = "".join(" " if _is_separator(character) else character for character in fold(text))
    return tuple(spaced.casefold().split())


def _written(tokens: _Tokens) -> str:
    return tokens if isinstance(tokens, str) else " ".join(tokens)


def _is_separator(character: str) -> bool:
    # Private-use and unassigned code points stay: old texts write rare characters with them.
    category = unicodedata.category(character)
    return category[0] in "PZ" or category in {"Cc", "Cf"}
