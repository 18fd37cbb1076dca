"""JSON values, read with their types checked and every problem named by its field."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, Self

from slcolm_services.corpus.records import Findings, shown

_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


class BrokenJson(ValueError):
    """The text is not JSON; the message says why and in which column."""


def load_json(text: str, found: Findings) -> Any:
    """Parse JSON strictly: no NaN, no Infinity; a key that stands twice in an object is reported.

    Raises:
        BrokenJson: The text is not JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            keys = [key for key, _ in pairs]
            for key in sorted({key for key in keys if keys.count(key) > 1}):
                found.error(shown(key), "stands twice in one object")
        return value

    def refuse(constant: str) -> NoReturn:
        raise BrokenJson(f"{constant} is not a JSON number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}"
        if "\n" in text.rstrip("\n"):
            place = f"line {error.lineno}, {place}"
        raise BrokenJson(f"is not JSON: {error.msg} at {place}") from error
    except RecursionError as error:
        raise BrokenJson("is nested too deeply") from error
    except BrokenJson:
        raise
    except ValueError as error:
        raise BrokenJson(f"cannot be read: {error}") from error


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
        surrogate = _SURROGATE.search(value or "")
        if surrogate:
            self._found.error(
                self._field(key),
                f"holds the lone surrogate U+{ord(surrogate[0]):04X} at offset "
                f"{surrogate.start()}, which is no character",
            )
            return None
        return value

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
    return _NAMES.get(type(value)) or f"the number {shown(str(value))}"
