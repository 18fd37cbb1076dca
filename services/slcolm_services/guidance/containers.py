"""From the text of an answer to the values in it: the ladder.

Every rung is tried in turn, from strict JSON to repair by guesswork. The parser takes the first
whose values hold relations, so that a gentle reading is never replaced by a rougher one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import json_repair

from slcolm_services.guidance.literals import Unreadable, Value, object_of, read_value

MAX_ANSWER_CHARS = 200_000
"""Longest answer that is read; the rest is cut."""

_MAX_FAILURES = 64
_MAX_REPAIR_CHARS = 4_000
"""What json_repair is given: its time grows with the square of the quotation marks."""

_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read an answer.

    Attributes:
        values: Top-level values in the order in which they stand.
        outside: What stands around them.
        repairs: What had to be repaired, by name.
    """

    values: tuple[Value, ...]
    outside: str = ""
    repairs: Counter[str] = field(default_factory=Counter)


def readings(answer: str) -> Iterator[Reading]:
    """Ways to read `answer`, the strictest first. Never raises, whatever the text."""
    text = answer[:MAX_ANSWER_CHARS]
    cut = Counter({"cut_to_limit": 1}) if len(answer) > len(text) else Counter[str]()
    yield from _strict(text, text, cut)
    body = "\n".join(_FENCE.findall(text))
    if body:
        fenced = cut + Counter({"code_fence": 1})
        yield from _strict(body, _FENCE.sub("", text), fenced)
    else:
        fenced = cut
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        around = text[:first] + "\n" + text[last + 1 :]
        yield from _strict(
            text[first : last + 1], around, fenced + Counter({"surrounding_text": 1})
        )
    yield from _objects(text, fenced)
    yield from _objects(text, fenced, unfinished=True)
    if first >= 0:
        yield from _guessed(text[first:], fenced)


def _strict(text: str, whole: str, repairs: Counter[str]) -> Iterator[Reading]:
    found = Counter(repairs)
    try:
        value: Value = json.loads(text, object_pairs_hook=lambda pairs: object_of(pairs, found))
    except (ValueError, RecursionError):
        return
    yield Reading((value,), "" if whole is text else whole, found)


def _objects(text: str, repairs: Counter[str], *, unfinished: bool = False) -> Iterator[Reading]:
    """Every object that can be cut out of the text, outermost first."""
    found = Counter(repairs)
    values: list[Value] = []
    outside: list[str] = []
    position = failures = 0
    while failures < _MAX_FAILURES and (start := text.find("{", position)) >= 0:
        outside.append(text[position:start])
        try:
            value, position, needed = read_value(text, start, unfinished=unfinished)
        except Unreadable:
            position = start + 1
            failures += 1
            continue
        values.append(value)
        found += needed
    outside.append(text[position:])
    if not values:
        return
    if len(values) > 1:
        found["several_objects"] += 1
    if failures:
        found["cut_out"] += 1
    yield Reading(tuple(values), "".join(outside), found)


def _guessed(text: str, repairs: Counter[str]) -> Iterator[Reading]:
    try:
        value = cast(Value, json_repair.loads(text[:_MAX_REPAIR_CHARS], skip_json_loads=True))
    except Exception:  # noqa: BLE001  a guesser on arbitrary text: that it gave up is all we need
        return
    yield Reading((value,), "", repairs + Counter({"json_repair": 1}))
