"""From the value of a relation type to tuples of mentions, whatever shape the LLM chose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from slcolm_services.guidance.literals import Unreadable, Value, read_value

_MAX_DEPTH = 6
_PAIR = 2
_SEPARATOR = re.compile(r"\s*(?:->|→|—|,|，|、|;|；|(?<![A-Za-z0-9])-|-(?![A-Za-z0-9]))\s*")
_PROBABILITY = re.compile(r"\s*(?:[01](?:\.\d*)?|\.\d+)\s*")
_HEADS = ("head", "subject", "source", "主体", "头实体", "主语", "实体1")
_TAILS = ("tail", "object", "target", "客体", "尾实体", "宾语", "实体2")
_PIECES = ("pieces", "fragments", "spans", "片段")
_MAX_PIECES = 8
TYPES = ("type", "relation", "predicate", "label", "关系", "关系类型", "类型")
"""Keys under which an object that stands for a triple names its type."""


def tuples(value: Value, repairs: Counter[str], depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Tuples of mention texts in the value of one relation type.

    Args:
        value: A pair, a list of pairs, [pair, probability], {head, tail}, {head: tail}, a flat list
            of 2n mentions, or a string that holds one of these.
        repairs: Counts what had to be repaired.
        depth: How deep this value stands.

    Yields:
        Tuples of any length: whoever knows the mentions decides on those that are not pairs.
    """
    if depth > _MAX_DEPTH:
        repairs["too_deep"] += 1
    elif isinstance(value, dict):
        yield from _from_object(value, repairs, depth)
    elif isinstance(value, list):
        yield from _from_list(value, repairs, depth)
    elif isinstance(value, str) and value.strip():
        yield from _from_string(value, repairs, depth)


def role(value: dict[str, Value], names: tuple[str, ...]) -> Value:
    """The value under the first of `names` that the object has, or None."""
    lowered = {key.strip().lower(): item for key, item in value.items()}
    return next((lowered[name] for name in names if name in lowered), None)


def head_and_tail(value: dict[str, Value]) -> tuple[str, str] | None:
    """Head and tail of an object that stands for one triple; None for any other object."""
    head, tail = role(value, _HEADS), role(value, _TAILS)
    return (head, tail) if isinstance(head, str) and isinstance(tail, str) else None


def pieces(value: dict[str, Value]) -> tuple[str, ...]:
    """Pieces of an object that stands for a mention in several pieces; empty for any other."""
    found = role(value, _PIECES)
    if not isinstance(found, list) or not 0 < len(found) <= _MAX_PIECES:
        return ()
    texts = tuple(piece for piece in found if isinstance(piece, str) and piece.strip())
    return texts if len(texts) == len(found) else ()


def _from_object(
    value: dict[str, Value], repairs: Counter[str], depth: int
) -> Iterator[tuple[str, ...]]:
    repairs["object_pair"] += 1
    pair = head_and_tail(value)
    if pair:
        yield pair
        return
    for head, tail in value.items():
        for mention in tail if isinstance(tail, list) else [tail]:
            if isinstance(mention, str):
                yield head, mention
            elif isinstance(mention, list | dict):
                yield from tuples(mention, repairs, depth + 1)


def _from_list(value: list[Value], repairs: Counter[str], depth: int) -> Iterator[tuple[str, ...]]:
    items = _without_probabilities(value, repairs)
    mentions = [item for item in items if isinstance(item, str)]
    nested = [item for item in items if isinstance(item, list | dict)]
    if len(mentions) == 1 and len(nested) == 1 and _all_text(nested[0]):
        # One head with a list of its tails.
        repairs["nested_tails"] += 1
        yield from ((mentions[0], str(tail)) for tail in nested[0])
        return
    if not nested and len(mentions) == 1 and depth == 0:
        # A string in place of the list of pairs, inside a list.
        yield from _from_string(mentions[0], repairs, depth)
        return
    if mentions:
        yield from _from_mentions(mentions, repairs, depth)
    for item in nested:
        yield from tuples(item, repairs, depth + 1)


def _from_mentions(
    mentions: list[str], repairs: Counter[str], depth: int
) -> Iterator[tuple[str, ...]]:
    if depth > 0:
        yield tuple(mentions)
        return
    repairs["flat_list"] += 1
    if len(mentions) % _PAIR:
        yield tuple(mentions)
        return
    yield from zip(mentions[::2], mentions[1::2], strict=True)


def _split(value: str) -> tuple[str, ...]:
    """The mentions of a string such as `甲-某官`; a hyphen inside a Latin word parts nothing."""
    return tuple(part for part in _SEPARATOR.split(value.strip()) if part)


def _without_probabilities(value: list[Value], repairs: Counter[str]) -> list[Value]:
    """The list without the probabilities that stand beside mentions or pairs."""
    kept: list[Value] = [item for item in value if not isinstance(item, float | int | None)]
    if len(kept) > _PAIR or any(isinstance(item, list | dict) for item in kept):
        kept = [
            item for item in kept if not (isinstance(item, str) and _PROBABILITY.fullmatch(item))
        ]
    if len(kept) < len(value):
        repairs["probability_in_pair"] += 1
    return kept


def _all_text(value: Value) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _from_string(value: str, repairs: Counter[str], depth: int) -> Iterator[tuple[str, ...]]:
    if "[" not in value and "{" not in value and "(" not in value:
        repairs["text_for_pairs"] += 1
        yield tuple(
            part for part in re.split(r"\s*(?:->|→|[-—,，、;；])\s*", value.strip()) if part
        )
        return
    repairs["list_as_string"] += 1
    try:
        parsed, _, needed = read_value(f"[{value}]")
    except Unreadable:
        repairs["unreadable_value"] += 1
        return
    repairs.update(needed)
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    if not isinstance(parsed, str):
        yield from tuples(parsed, repairs, depth + 1 if depth else 0)
