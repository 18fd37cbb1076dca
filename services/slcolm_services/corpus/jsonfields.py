"""JSON values, read with their types checked and every problem named by its field."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Self

from slcolm_services.corpus.records import Findings, shown

MAX_DEPTH = 100
"""Deepest nesting of objects and lists that is read, wherever it is read from. Python's own limit
depends on who calls, and would be met again by whoever prints or writes the value."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which JSON can write and no encoding can carry."""

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


class BrokenJson(ValueError):
    """The text is not JSON; the message says why and in which column."""


def load_json(text: str, found: Findings) -> Any:
    """Parse JSON strictly: no NaN, no Infinity; a key that stands twice in an object is reported.

    Lone surrogates pass: their reader knows in which field they stand.

    Raises:
        BrokenJson: The text is not JSON.
    """
    value, end = load_json_at(text, _skip_space(text, 0), found)
    end = _skip_space(text, end)
    if end < len(text):
        raise BrokenJson(f"is not JSON: something follows its end at {_place(text, end)}")
    return value


def load_json_at(text: str, start: int, found: Findings) -> tuple[Any, int]:
    """Parse the JSON value that begins at `start`, likewise.

    Returns:
        The value, and the offset of what follows it.

    Raises:
        BrokenJson: No JSON value begins there.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            repeated = (key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
            for key in repeated:
                found.error(shown(key), "stands twice in one object")
        return value

    def refuse(constant: str) -> NoReturn:
        raise BrokenJson(f"{constant} is not a JSON number")

    decoder = json.JSONDecoder(object_pairs_hook=unique, parse_constant=refuse, parse_int=_integer)
    try:
        value, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise BrokenJson(
            f"is not JSON: {error.msg.removesuffix(' at')} at {_place(text, error.pos)}"
        ) from error
    except RecursionError as error:
        raise BrokenJson(_TOO_DEEP) from error
    if _is_too_deep(value, text, start, end):
        raise BrokenJson(_TOO_DEEP)
    return value, end


def load_json_file(content: bytes) -> Any:
    """Parse a file that is one JSON value, written by a program: nothing is put up with.

    Raises:
        BrokenJson: It is no UTF-8 or no JSON, a key stands twice in an object, or a string holds
            half of a surrogate pair.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BrokenJson(f"is not UTF-8: {error.reason} at byte offset {error.start}") from error
    found = Findings(None)
    value = load_json(text, found)
    for problem in found.record(None).problems:
        raise BrokenJson(f"is not JSON to rely on: {problem.field} {problem.problem}")
    # Only an escape can have made one: UTF-8 has none.
    if "\\u" in text and SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise BrokenJson("holds half of a surrogate pair, which is no character")
    return value


def load_json_list(text: str) -> Iterator[tuple[int, Any, Findings]]:
    """Parse a JSON list item by item, so that each is known with its line.

    Yields:
        Index, value, and findings that name the item's line and index.

    Raises:
        BrokenJson: The text is not a JSON list; the items before the break have been yielded.
    """
    position = _skip_space(text, 0)
    if text[position : position + 1] != "[":
        raise BrokenJson(f"must be a JSON list: `[` is missing at {_place(text, position)}")
    position = _skip_space(text, position + 1)
    index, line, counted = 0, 1, 0
    closed = text[position : position + 1] == "]"
    while not closed:
        line += text.count("\n", counted, position)
        counted = position
        found = Findings(line, f"[{index}].")
        value, position = load_json_at(text, position, found)
        yield index, value, found
        position = _skip_space(text, position)
        separator = text[position : position + 1]
        if separator not in (",", "]") or not separator:
            raise BrokenJson(f"is not JSON: `,` or `]` is missing at {_place(text, position)}")
        closed = separator == "]"
        index += 1
        position = position if closed else _skip_space(text, position + 1)
    end = _skip_space(text, position + 1)
    if end < len(text):
        raise BrokenJson(f"is not JSON: something follows its end at {_place(text, end)}")


_TOO_DEEP = f"is nested too deeply: at most {MAX_DEPTH} objects and lists in each other are read"


def _is_too_deep(value: Any, text: str, start: int, end: int) -> bool:
    if text.count("[", start, end) + text.count("{", start, end) <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _integer(literal: str) -> int:
    try:
        return int(literal)
    except ValueError as error:
        # Python's own message is advice to the programmer.
        limit = sys.get_int_max_str_digits()
        raise BrokenJson(
            f"holds a number of {len(literal.lstrip('-'))} digits; at most {limit} are read"
        ) from error


def _skip_space(text: str, start: int) -> int:
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start


def _place(text: str, offset: int) -> str:
    """Column of an offset, with the line where the text has several."""
    line = text.count("\n", 0, offset) + 1
    column = f"column {offset - text.rfind(chr(10), 0, offset)}"
    return column if "\n" not in text.rstrip() else f"line {line}, {column}"


class JsonFields:
    """The fields of one JSON object.

    Args:
        value: The object.
        path: Its path in the document, empty for the document itself.
        found: Where problems go.
    """

    def __init__(self, value: dict[str, Any], path: str, found: Findings) -> None:
        self._value = value
        self._path = path
        self._found = found

    @classmethod
    def of(cls, value: Any, name: str, found: Findings, *, path: str = "") -> Self | None:
        """The fields of `value`; None, and a problem, where it is no object."""
        if isinstance(value, dict):
            return cls(value, path, found)
        found.error(path or name, f"must be an object, not {_kind(value)}")
        return None

    def keys(self) -> list[str]:
        """The keys in order."""
        return list(self._value)

    def raw(self, key: str) -> Any:
        """The value as it stands, of any type; None where it is absent."""
        return self._value.get(key)

    def only(self, *known: str) -> None:
        """Report every key that is not one of `known`."""
        for key in self._value:
            if key not in known:
                self._found.error(
                    self._field(shown(key)), f"is not known here; known: {', '.join(known)}"
                )

    def string(self, key: str) -> str | None:
        """A string that must be there."""
        value = self._required(key)
        if value is not None and not isinstance(value, str):
            self._found.error(self._field(key), f"must be a string, not {_kind(value)}")
            return None
        return value if value is None or self._is_text(value, self._field(key)) else None

    def strings(self, key: str) -> list[str] | None:
        """A list of strings, none of them empty, that must be there."""
        items = self._required(key)
        if items is None:
            return None
        if not isinstance(items, list):
            self._found.error(self._field(key), f"must be a list, not {_kind(items)}")
            return None
        good = [self._is_item(item, f"{self._field(key)}[{at}]") for at, item in enumerate(items)]
        return items if all(good) else None

    def integer(self, key: str) -> int | None:
        """An integer that must be there; `true` and `1.0` are none."""
        value = self._required(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            self._found.error(self._field(key), f"must be an integer, not {_kind(value)}")
            return None
        return value

    def probability(self, key: str) -> float | None:
        """A number in [0, 1] that may be absent or null."""
        value = self._value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._found.error(self._field(key), f"must be a number, not {_kind(value)}")
            return None
        if not 0 <= value <= 1:
            self._found.error(self._field(key), f"{shown(str(value))} is not in [0, 1]")
            return None
        return float(value)

    def one_of(self, key: str, known: Sequence[str]) -> str:
        """One of the known strings; the empty string where it is absent, null or wrong."""
        value = self._value.get(key)
        if value is None or value in known:
            return value or ""
        self._found.error(self._field(key), f"must be one of {', '.join(known)}")
        return ""

    def object(self, key: str) -> JsonFields | None:
        """An object that must be there."""
        value = self._required(key)
        if value is None:
            return None
        return JsonFields.of(value, key, self._found, path=self._field(key))

    def objects(self, key: str) -> list[JsonFields | None]:
        """A list of objects that may be absent; None stands for each item that is no object."""
        value = self._value.get(key, [])
        if not isinstance(value, list):
            self._found.error(self._field(key), f"must be a list, not {_kind(value)}")
            return []
        return [
            JsonFields.of(item, key, self._found, path=f"{self._field(key)}[{index}]")
            for index, item in enumerate(value)
        ]

    def _is_item(self, item: Any, path: str) -> bool:
        if not isinstance(item, str) or not item:
            self._found.error(path, f"must be a string that is not empty, not {_kind(item)}")
            return False
        return self._is_text(item, path)

    def _is_text(self, value: str, path: str) -> bool:
        surrogate = SURROGATE.search(value)
        if surrogate:
            self._found.error(
                path,
                f"holds the lone surrogate U+{ord(surrogate[0]):04X} at offset "
                f"{surrogate.start()}, which is no character",
            )
        return surrogate is None

    def _required(self, key: str) -> Any:
        if key not in self._value:
            self._found.error(self._field(key), "is missing")
            return None
        value = self._value[key]
        if value is None:
            self._found.error(self._field(key), "must not be null")
        return value

    def _field(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _kind(value: Any) -> str:
    """What a value is, in JSON's words, with the value itself where it is a number."""
    if value == "":
        return "the empty string"
    return _NAMES.get(type(value)) or f"the number {shown(str(value))}"
