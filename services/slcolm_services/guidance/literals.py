"""Reads values that are almost JSON: what LLMs write when they are asked for JSON.

One reader takes JSON and Python literals alike, merges repeated keys, and forgives quotes inside
strings, trailing and missing commas. It builds dicts, lists and strings only: nothing is evaluated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

Value: TypeAlias = "dict[str, Value] | list[Value] | str | float | bool | None"

MAX_DEPTH = 32
"""Deepest nesting that is read."""

_MAX_STRAY_QUOTES = 200
_SPACE = re.compile(r"[\s\ufeff]*")
_NUMBER = re.compile(r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_WORD = re.compile(r"\w+")
_CLOSING = {"[": "]", "(": ")"}
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
_PLAIN = {quote: re.compile(rf"[^\\{quote}]+") for quote in _QUOTES.values()}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_AFTER_STRING = re.compile(r"[\s\ufeff]*(?:[,:\]})，：]|$)")


class Unreadable(ValueError):
    """No value can be read at this place."""


class _Ended(Unreadable):
    """The text ends inside a value."""


def merge(first: Value, second: Value) -> Value:
    """Two values of one key as one: objects by key, everything else as a list."""
    if isinstance(first, dict) and isinstance(second, dict):
        merged = dict(first)
        for key, value in second.items():
            merged[key] = merge(merged[key], value) if key in merged else value
        return merged
    if first == second:
        return first
    return [*_as_list(first), *_as_list(second)]


def _as_list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


def object_of(pairs: Iterable[tuple[str, Value]], repairs: Counter[str]) -> dict[str, Value]:
    """An object in which repeated keys are merged; fits `json.loads(object_pairs_hook=...)`."""
    merged: dict[str, Value] = {}
    for key, value in pairs:
        if key in merged:
            repairs["repeated_key"] += 1
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def read_value(
    text: str, start: int = 0, *, unfinished: bool = False
) -> tuple[Value, int, Counter[str]]:
    """Read the value that begins at `start`.

    Args:
        text: The text.
        start: Offset of the value's first character.
        unfinished: Whether objects and lists that the text's end cuts off are given as far as they
            go, without the member that was cut.

    Returns:
        The value, the offset one past its end, and the repairs that were needed, by name. A style
        of writing (`python_literal`, `typographic_quotes`) counts once a value.

    Raises:
        Unreadable: There is no value here, it does not end, or it is nested too deeply.
    """
    reader = _Reader(text, start, unfinished=unfinished)
    value = reader.value(0)
    return value, reader.position, reader.repairs


class _Reader:
    """Recursive descent over one text."""

    def __init__(self, text: str, start: int, *, unfinished: bool) -> None:
        self.text = text
        self.unfinished = unfinished
        self.position = start
        self.repairs: Counter[str] = Counter()

    def value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        character = self._peek()
        if character == "{":
            return self._object(depth)
        if character in _CLOSING:
            return self._list(depth)
        if character in _QUOTES:
            return self._string()
        if number := _NUMBER.match(self.text, self.position):
            self.position = number.end()
            return float(number[0])
        if (word := _WORD.match(self.text, self.position)) and word[0] in _WORDS:
            self.position = word.end()
            if word[0][0].isupper():
                self.repairs["python_literal"] = 1
            return _WORDS[word[0]]
        raise Unreadable(f"no value at {self.position}")

    def _object(self, depth: int) -> dict[str, Value]:
        self.position += 1
        pairs: list[tuple[str, Value]] = []
        try:
            while self._peek() != "}":
                if self._peek() not in _QUOTES:
                    raise Unreadable(f"no key at {self.position}")
                key = self._string()
                if self._peek() not in (":", "："):
                    raise Unreadable(f"no colon at {self.position}")
                self.position += 1
                pairs.append((key, self.value(depth + 1)))
                self._comma("}")
            self.position += 1
        except _Ended:
            if not self.unfinished:
                raise
            self.repairs["unfinished"] = 1
        return object_of(pairs, self.repairs)

    def _list(self, depth: int) -> list[Value]:
        closing = _CLOSING[self.text[self.position]]
        if closing == ")":
            self.repairs["python_literal"] = 1
        self.position += 1
        items: list[Value] = []
        try:
            while self._peek() != closing:
                items.append(self.value(depth + 1))
                self._comma(closing)
            self.position += 1
        except _Ended:
            if not self.unfinished:
                raise
            self.repairs["unfinished"] = 1
        return items

    def _comma(self, closing: str) -> None:
        following = self._peek()
        if following in (",", "，"):
            self.position += 1
            if self._peek() == closing:
                self.repairs["trailing_comma"] += 1
        elif following in _QUOTES or following in ("{", "["):
            self.repairs["missing_comma"] += 1
        elif following != closing:
            raise Unreadable(f"no comma at {self.position}")

    def _string(self) -> str:
        opening = self.text[self.position]
        closing = _QUOTES[opening]
        if opening != '"':
            self.repairs["python_literal" if opening == "'" else "typographic_quotes"] = 1
        self.position += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN[closing].match(self.text, self.position)
            if plain:
                parts.append(plain[0])
                self.position = plain.end()
            character = self._take()
            if character == "\\":
                parts.append(self._escape())
            elif _AFTER_STRING.match(self.text, self.position):
                return "".join(parts)
            else:
                # A quotation mark that nothing structural follows belongs to the text.
                self.repairs["stray_quote"] += 1
                if self.repairs["stray_quote"] > _MAX_STRAY_QUOTES:
                    raise Unreadable("more quotation marks than text")
                parts.append(character)

    def _escape(self) -> str:
        character = self._take()
        if character == "u":
            digits = self.text[self.position : self.position + 4]
            try:
                decoded = chr(int(digits, 16))
            except ValueError:
                return character
            self.position += 4
            return decoded
        return _ESCAPES.get(character, character)

    def _take(self) -> str:
        if self.position >= len(self.text):
            raise _Ended("the text ends inside a value")
        character = self.text[self.position]
        self.position += 1
        return character

    def _peek(self) -> str:
        space = _SPACE.match(self.text, self.position)
        self.position = space.end() if space else self.position
        if self.position >= len(self.text):
            raise _Ended("the text ends inside a value")
        return self.text[self.position]
