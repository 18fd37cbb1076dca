"""A tokenizer's normalizer that folds script variants, with offsets that stay right.

`tokenizers` has one normalizer that maps thousands of characters in one pass: SentencePiece's
precompiled map, a double array of UTF-8 bytes (Darts-clone) with the replacements behind it. It is
built here for the map of `corpus.script`, one character to one character.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator

from tokenizers import normalizers

from slcolm_services.corpus.script import fold

# Darts-clone: what the 32 bits of a unit mean.
_HAS_VALUE = 1 << 8
_OFFSET_SHIFT = 10
_IS_VALUE = 1 << 31
_STRETCH = 256
_LONGEST_SEARCH = _STRETCH
"""How far back the search for a free place begins; holes behind that are left alone."""
_SURROGATES = range(0xD800, 0xE000)


def folding_normalizer() -> normalizers.Normalizer:
    """Folds every script variant to its standard form."""
    return normalizers.Precompiled(character_map(variants()))


def variants() -> Iterator[tuple[str, str]]:
    """Every character that folding changes, with its standard form."""
    # Surrogates stand for no character and have no bytes in UTF-8.
    codes = (code for code in range(sys.maxunicode + 1) if code not in _SURROGATES)
    everything = "".join(map(chr, codes))
    for character, standard in zip(everything, fold(everything), strict=True):
        if character != standard:
            yield character, standard


def character_map(pairs: Iterable[tuple[str, str]]) -> bytes:
    """A SentencePiece character map.

    Args:
        pairs: Characters with what replaces them; no character twice.
    """
    replacements = bytearray()
    places: dict[str, int] = {}
    values: dict[bytes, int] = {}
    for character, standard in pairs:
        if standard not in places:
            places[standard] = len(replacements)
            replacements += standard.encode() + b"\0"
        values[character.encode()] = places[standard]
    units = _DoubleArray(values).units
    array = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(array)) + array + bytes(replacements)


class _DoubleArray:
    """A trie in one array: the child of a node by a byte stands at `base of node ^ byte`.

    A child knows its parent by its byte alone, hence no two nodes may have the same base.

    Args:
        values: What each key leads to, at least one; no key is the beginning of another.
    """

    def __init__(self, values: dict[bytes, int]) -> None:
        self.units: list[int] = []
        self._taken: list[bool] = []
        self._bases: set[int] = set()
        self._first = 1
        self._grow(1)
        self._taken[0] = True
        self._place(0, sorted(values.items()), 0)

    def _place(self, node: int, items: list[tuple[bytes, int]], depth: int) -> None:
        """Lay out what is below a node, whose own place is known."""
        if len(items[0][0]) == depth:
            base = self._base([0])
            self.units[node] |= _HAS_VALUE | (node ^ base) << _OFFSET_SHIFT
            self._taken[base] = True
            self.units[base] = _IS_VALUE | items[0][1]
            return
        children: dict[int, list[tuple[bytes, int]]] = {}
        for key, value in items:
            children.setdefault(key[depth], []).append((key, value))
        base = self._base(list(children))
        self.units[node] |= (node ^ base) << _OFFSET_SHIFT
        for byte in children:
            self._taken[base ^ byte] = True
            self.units[base ^ byte] = byte
        for byte, below in children.items():
            self._place(base ^ byte, below, depth + 1)

    def _base(self, bytes_: list[int]) -> int:
        """A low base at which all children find a free place; it is then used."""
        base = self._first
        while True:
            self._grow((base | 0xFF) + 1)
            if base not in self._bases and not any(self._taken[base ^ byte] for byte in bytes_):
                self._bases.add(base)
                return base
            base += 1
            # Searching full stretches again and again would take a minute.
            if base - self._first > _LONGEST_SEARCH:
                self._first += _STRETCH

    def _grow(self, size: int) -> None:
        missing = max(0, size - len(self.units))
        missing += -(len(self.units) + missing) % 256
        self.units.extend([0] * missing)
        self._taken.extend([False] * missing)
