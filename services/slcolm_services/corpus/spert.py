"""SpERT's JSON: a list of documents with tokens, entities in tokens, relations between entities.

    [{"tokens": ["John", "Booth", …], "orig_id": 5178,
      "entities": [{"type": "Peop", "start": 0, "end": 2}, …],
      "relations": [{"type": "Kill", "head": 0, "tail": 1}]}, …]

The text is the tokens joined by one space; offsets become code points of it.

The published ChisRE files bend the form; each bend is put right and counted, never silently:

- `tokens` is a string: the text, a token a character;
- a label is long, with a space between its characters: `任 职 & 爵 位 & 谥 号`;
- `span` repeats a mention in traditional characters beside a simplified text;
- the id is a key: `"17": "orig_id"`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.files import obstacle
from slcolm_services.corpus.jsonfields import BrokenJson, JsonFields, load_json_list
from slcolm_services.corpus.labels import normalise_label, short_label
from slcolm_services.corpus.records import (
    Findings,
    Record,
    Repairs,
    check_annotations,
    documents_of,
    failed,
    shown,
)
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.script import fold

STRING_TOKENS = "tokens given as a string"
ID_AS_KEY = "id given as a key"
LONG_LABEL = "label brought to its short form"
OTHER_SCRIPT = "mention repeated in another script"


def read_spert(
    path: str | os.PathLike[str], schema: TaskSchema | None = None
) -> tuple[list[Document], Repairs]:
    """Read a SpERT file.

    Args:
        path: The file.
        schema: The task; None takes any label.

    Returns:
        The documents in order, and what was put right. The id is `orig_id`, else the file's name
        without its extension and the number of the document, counted from 0.

    Raises:
        DataInvalid: Anything is wrong that is not put right.
    """
    return documents_of(path, scan(path, schema))


def scan(path: str | os.PathLike[str], schema: TaskSchema | None = None) -> Iterator[Record]:
    """Go through a SpERT file; the whole file is in memory."""
    problem = obstacle(path)
    if problem is not None:
        yield failed(None, "file", problem)
        return
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield failed(None, "file", f"is not UTF-8: {error.reason} at byte offset {error.start}")
        return
    try:
        for index, value, found in load_json_list(text):
            name = f"{Path(path).stem}-{index:05d}"
            yield found.record(_document(value, name, schema, found))
    except BrokenJson as error:
        yield failed(None, "json", str(error))


def _document(
    value: Any, default_id: str, schema: TaskSchema | None, found: Findings
) -> Document | None:
    fields = JsonFields.of(value, "document", found)
    if fields is None:
        return None
    name = found.id = _id(fields, found) or default_id
    tokens = fields.raw("tokens")
    if isinstance(tokens, str):
        found.repaired(STRING_TOKENS)
        text = fields.string("tokens")
        starts = list(range(len(tokens)))
        ends = [start + 1 for start in starts]
    else:
        words = fields.strings("tokens")
        text = None if words is None else " ".join(words)
        ends = list(
            itertools.accumulate((len(word) for word in words or []), lambda a, b: a + 1 + b)
        )
        starts = [end - len(word) for end, word in zip(ends, words or [], strict=True)]
    if text is None:
        return None
    if not text.strip():
        found.error("tokens", "must not be empty")
    entities = [
        _entity(item, f"entities[{index}]", text, (starts, ends), found)
        for index, item in enumerate(fields.objects("entities"))
    ]
    relations = [_relation(item, schema, found) for item in fields.objects("relations")]
    check_annotations(entities, relations, text_length=len(text), schema=schema, found=found)
    return Document(
        name,
        text,
        tuple(entity for entity in entities if entity is not None),
        tuple(relation for relation in relations if relation is not None),
    )


def _id(fields: JsonFields, found: Findings) -> str | None:
    name = None
    for key in fields.keys():  # noqa: SIM118  not a dict
        value = fields.raw(key)
        if key == "orig_id":
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                name = fields.string(key) if isinstance(value, str) else str(value)
            else:
                found.error("orig_id", "must be a string or an integer")
        elif value == "orig_id" and key.isdecimal():
            found.repaired(ID_AS_KEY)
            name = key
        elif key not in ("tokens", "entities", "relations"):
            found.warning(shown(key), "is not read")
    return name


def _entity(
    fields: JsonFields | None,
    path: str,
    text: str,
    bounds: tuple[list[int], list[int]],
    found: Findings,
) -> Entity | None:
    if fields is None:
        return None
    kind, start, end = fields.string("type"), fields.integer("start"), fields.integer("end")
    if kind is None or start is None or end is None:
        return None
    starts, ends = bounds
    if not 0 <= start < end <= len(starts):
        found.error(path, f"range [{start}, {end}) is not inside {len(starts)} tokens")
        return None
    entity = Entity(kind, starts[start], ends[end - 1])
    span = fields.raw("span")
    mention = text[entity.start : entity.end]
    if isinstance(span, str) and span != mention:
        if fold(span) == fold(mention):
            found.repaired(OTHER_SCRIPT)
        else:
            found.warning(
                f"{path}.span",
                f"{shown(repr(span))} is not what stands at the offsets: {shown(repr(mention))}",
            )
    return entity


def _relation(
    fields: JsonFields | None, schema: TaskSchema | None, found: Findings
) -> Relation | None:
    if fields is None:
        return None
    raw, head, tail = fields.string("type"), fields.integer("head"), fields.integer("tail")
    if raw is None or head is None or tail is None:
        return None
    label = short_label(raw) if schema is None else normalise_label(raw, schema) or raw
    if label != raw:
        found.repaired(LONG_LABEL)
    return Relation(label, head, tail)
