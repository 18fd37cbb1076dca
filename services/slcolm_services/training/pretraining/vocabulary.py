"""Characters by frequency, and text as ids through one table look-up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.script import fold
from slcolm_services.training.vocabulary import SPECIAL_TOKENS, UNKNOWN_ID

_CODE_POINTS = 0x110000
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))


@dataclass(frozen=True)
class Vocabulary:
    """Folded characters that have an id; script variants share the id of their standard form.

    Attributes:
        characters: In the order of their ids, which begin after those of the special tokens.
    """

    characters: Sequence[str]

    def __len__(self) -> int:
        return len(SPECIAL_TOKENS) + len(self.characters)

    def encode(self, text: str) -> NDArray[np.uint16]:
        """Ids of the characters of a text, uint16[len(text)]."""
        return self._table[_code_points(text)]

    @cached_property
    def _table(self) -> NDArray[np.uint16]:
        table = np.full(_CODE_POINTS, UNKNOWN_ID, np.uint16)
        first = len(SPECIAL_TOKENS)
        ids = {character: first + index for index, character in enumerate(self.characters)}
        everything = "".join(chr(code) for code in range(_CODE_POINTS))
        for code, folded in enumerate(fold(everything)):
            if folded in ids:
                table[code] = ids[folded]
        return table


@dataclass(frozen=True)
class CharacterCounts:
    """How often each code point occurs.

    Attributes:
        counts: int64[0x110000], by code point, as written.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> CharacterCounts:
        """Count the characters of texts."""
        counts = np.zeros(_CODE_POINTS, np.int64)
        for text in texts:
            np.add.at(counts, _code_points(text), 1)
        return cls(counts)

    @property
    def total(self) -> int:
        """Characters."""
        return int(self.counts.sum())

    @property
    def han(self) -> int:
        """Chinese characters."""
        return int(sum(self.counts[first : last + 1].sum() for first, last in _HAN))

    def vocabulary(self, size: int) -> Vocabulary:
        """The most frequent characters, folded; of two as frequent ones the lower code point."""
        folded: dict[str, int] = {}
        for code in np.flatnonzero(self.counts).tolist():
            standard = fold(chr(code))
            folded[standard] = folded.get(standard, 0) + int(self.counts[code])
        ranked = sorted(folded, key=lambda character: (-folded[character], character))
        return Vocabulary(ranked[: size - len(SPECIAL_TOKENS)])


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
