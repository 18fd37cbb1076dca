"""Repeated and overlapping texts: what would let a test sentence leak out of the training set."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from slcolm_services.corpus.script import fold


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A run of characters that two texts share.

    Attributes:
        a: Index of the text in the first collection.
        b: Index of a text in the second collection; the first that shares a run.
        run: The first shared run, folded and without spaces and punctuation. The whole text where
            the two are the same.
    """

    a: int
    b: int
    run: str


def dedup_key(text: str) -> str:
    """The text as a key: script variants folded, spaces and punctuation removed.

    A text of punctuation alone has the empty key.
    """
    return "".join(character for character in fold(text) if not _is_separator(character))


def _is_separator(character: str) -> bool:
    # Private-use and unassigned code points stay: old texts write rare characters with them.
    category = unicodedata.category(character)
    return category[0] in "PZ" or category in {"Cc", "Cf"}


def shared_runs(
    a_texts: Sequence[str], b_texts: Sequence[str], length: int = 12
) -> list[SharedRun]:
    """Find the texts of `a_texts` that share a run of characters with a text of `b_texts`.

    Texts are compared by their `dedup_key`. Shorter texts count when the whole key is the same.
    Time and memory grow with the characters in both collections, not with the pairs of texts.

    Args:
        a_texts: For example the test sentences.
        b_texts: For example the training sentences.
        length: Characters in a run, at least 1.

    Returns:
        For each text of `a_texts` that shares anything its first run, in the order of `a_texts`.

    Raises:
        ValueError: `length` is less than 1.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    whole: dict[str, int] = {}
    runs: dict[str, int] = {}
    for index, text in enumerate(b_texts):
        key = dedup_key(text)
        whole.setdefault(key, index)
        for start in range(len(key) - length + 1):
            runs.setdefault(key[start : start + length], index)
    found = []
    for index, text in enumerate(a_texts):
        key = dedup_key(text)
        if key and key in whole:
            found.append(SharedRun(index, whole[key], key))
            continue
        for start in range(len(key) - length + 1):
            run = key[start : start + length]
            if run in runs:
                found.append(SharedRun(index, runs[run], run))
                break
    return found
