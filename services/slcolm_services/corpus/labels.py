"""Relation labels as data files and LLMs write them, brought to the names of the task schema.

The ChisRE files write a label with a space between its characters and with its near synonyms
(`任 职 & 爵 位 & 谥 号`); prompts and scores use the short form (`任职`). LLMs answer with either.
"""

from __future__ import annotations

import re

from slcolm_services.corpus.schema import TaskSchema

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
"""A Chinese character, as labels have them."""

_DROPPED = re.compile(r"[\s（）()]")
_ALIASES = {"其他关系": "其他"}


def short_label(raw: str) -> str:
    """Shorten a label: what stands before the first `&`, without brackets and spaces.

    Only labels with Chinese characters have such long forms; of others nothing but the white space
    around them is removed.
    """
    if not HAN.search(raw):
        return raw.strip()
    head = re.split("[&＆]", raw, maxsplit=1)[0]
    short = _DROPPED.sub("", head)
    return _ALIASES.get(short, short)


def normalise_label(raw: str, schema: TaskSchema) -> str | None:
    """Find the relation type that a label means.

    Long forms, spaces, brackets and `其他关系` are understood, on the label as on the schema's own
    names. Nothing is guessed beyond that.

    Args:
        raw: A label as it was written.
        schema: The task.

    Returns:
        The name of a relation type, or None where the label is outside the schema.
    """
    if raw in schema.relations_by_name:
        return raw
    short = short_label(raw)
    if short in schema.relations_by_name:
        return short
    matches = [name for name in schema.relations_by_name if short_label(name) == short]
    return matches[0] if len(matches) == 1 else None
