"""Native data files: a JSON object a line.

    {"id": "a1", "text": "策遂与汝南吕范…",
     "entities": [{"type": "PER", "start": 0, "end": 1}, …],
     "relations": [{"type": "其他", "head": 0, "tail": 1}]}

Offsets are code points of the text, half-open; head and tail are indexes into the entities.
`entities` and `relations` may be left out. Either may carry `prob`, a probability in [0, 1], and
`tier`, the quality of an LLM's annotation. A line may carry `origin`, an object that says where its
annotation comes from: it is for people, and passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.files import replacing
from slcolm_services.corpus.jsonfields import BrokenJson, JsonFields, load_json
from slcolm_services.corpus.lines import scan_lines
from slcolm_services.corpus.records import (
    Findings,
    Record,
    check_annotations,
    data_invalid,
    documents_of,
    failed,
)
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.tiers import TIERS


def read_documents(
    path: str | os.PathLike[str], schema: TaskSchema | None = None
) -> list[Document]:
    """Read a native data file.

    Args:
        path: The file.
        schema: The task; None takes any label.

    Returns:
        The documents in the order of the file. Repeated annotations stay as they are.

    Raises:
        DataInvalid: Anything is wrong; `violations` names each problem by line and field.
    """
    documents, _ = documents_of(path, scan(path, schema))
    return documents


def write_documents(
    path: str | os.PathLike[str],
    docs: Iterable[Document],
    origins: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write a native data file; it appears whole or not at all, an old one is replaced.

    Args:
        path: The file.
        docs: The documents.
        origins: Where annotations come from, by the document's id.

    Raises:
        DataInvalid: `read_documents` would refuse the file: an id is repeated, an offset or index
            is out of range, a text is empty or there is none. Nothing is written.
        InvalidInput: The path is a folder, or nothing can be written there.
    """
    with replacing(path) as file:

        def written() -> Iterator[Record]:
            for number, doc in enumerate(docs, 1):
                line = format_line(doc, (origins or {}).get(doc.id))
                record = _record(line, number, None)
                if record.document is not None:
                    file.write(line + "\n")
                yield record

        documents_of(path, written())


def parse_line(line: str, schema: TaskSchema | None = None) -> Document:
    """Read one line of a native data file.

    Raises:
        DataInvalid: Anything is wrong; `violations` names each field.
    """
    record = _record(line, None, schema)
    if record.document is None:
        raise data_invalid("the line", [p for p in record.problems if p.severity == "error"])
    return record.document


def format_line(doc: Document, origin: Mapping[str, Any] | None = None) -> str:
    """Write one document as a line, without the line's end; Chinese stays as it is."""
    value: dict[str, Any] = {
        "id": doc.id,
        "text": doc.text,
        "entities": [
            {"type": entity.type, "start": entity.start, "end": entity.end} | _quality(entity)
            for entity in doc.entities
        ],
        "relations": [
            {"type": relation.type, "head": relation.head, "tail": relation.tail}
            | _quality(relation)
            for relation in doc.relations
        ],
    }
    if origin is not None:
        value["origin"] = dict(origin)
    return json.dumps(value, ensure_ascii=False)


def scan(path: str | os.PathLike[str], schema: TaskSchema | None = None) -> Iterator[Record]:
    """Go through a native data file, a line in memory at a time. Blank lines are passed over."""
    for line in scan_lines(path):
        if line.problem:
            yield failed(line.number, "file", line.problem)
        elif line.text.strip():
            yield _record(line.text, line.number, schema)


def _record(line: str, number: int | None, schema: TaskSchema | None) -> Record:
    found = Findings(number)
    try:
        value = load_json(line, found)
    except BrokenJson as error:
        return failed(number, "json", str(error))
    return found.record(_document(value, schema, found))


def _document(value: Any, schema: TaskSchema | None, found: Findings) -> Document | None:
    fields = JsonFields.of(value, "document", found)
    if fields is None:
        return None
    fields.only("id", "text", "entities", "relations", "origin")
    if fields.raw("origin") is not None:
        fields.object("origin")
    name = fields.string("id")
    text = fields.string("text")
    entities = [_entity(item) for item in fields.objects("entities")]
    relations = [_relation(item) for item in fields.objects("relations")]
    if name is not None:
        if name.strip():
            found.id = name
        else:
            found.error("id", "must not be empty")
    if text is not None:
        if not text.strip():
            found.error("text", "must not be empty")
        check_annotations(entities, relations, text_length=len(text), schema=schema, found=found)
    if name is None or text is None:
        return None
    return Document(
        name,
        text,
        tuple(entity for entity in entities if entity is not None),
        tuple(relation for relation in relations if relation is not None),
    )


def _entity(fields: JsonFields | None) -> Entity | None:
    if fields is None:
        return None
    fields.only("type", "start", "end", "prob", "tier")
    kind, start, end = fields.string("type"), fields.integer("start"), fields.integer("end")
    prob, tier = fields.probability("prob"), fields.one_of("tier", TIERS)
    if kind is None or start is None or end is None:
        return None
    return Entity(kind, start, end, prob, tier)


def _relation(fields: JsonFields | None) -> Relation | None:
    if fields is None:
        return None
    fields.only("type", "head", "tail", "prob", "tier")
    kind, head, tail = fields.string("type"), fields.integer("head"), fields.integer("tail")
    prob, tier = fields.probability("prob"), fields.one_of("tier", TIERS)
    if kind is None or head is None or tail is None:
        return None
    return Relation(kind, head, tail, prob, tier)


def _quality(annotation: Entity | Relation) -> dict[str, float | str]:
    """Probability and tier, where there are any."""
    prob: dict[str, float | str] = {} if annotation.prob is None else {"prob": annotation.prob}
    return prob | ({"tier": annotation.tier} if annotation.tier else {})
