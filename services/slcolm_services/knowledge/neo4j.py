"""A graph as CSV files for `neo4j-admin database import`.

Everything that is text is quoted, and quotes are doubled; what is not there is an empty field
without quotes, which becomes no property at all. Lists are separated by U+001F, the character made
for that: a semicolon, Neo4j's own default, may stand in the id of a document.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from slcolm_services.corpus.files import replacing_folder
from slcolm_services.corpus.predictions import Answer
from slcolm_services.errors import InvalidInput
from slcolm_services.knowledge.graph import KnowledgeGraph

NODES, RELATIONSHIPS = "nodes.csv", "relationships.csv"
SEPARATOR = "\x1f"
"""Stands between the items of a list: `--array-delimiter=U+001F`."""

NODE_HEADER = ("key:ID", "text:string", "type:string", "documents:string[]", ":LABEL")
RELATIONSHIP_HEADER = (
    ":START_ID",
    ":END_ID",
    ":TYPE",
    "document:string",
    "probability:double",
    "sources:string[]",
    "rule:string",
    "explanation:string",
    "provider:string",
    "model:string",
    "offline_rules:boolean",
)

_Cell = str | float | bool | None


def write_neo4j(path: str | os.PathLike[str], graph: KnowledgeGraph) -> None:
    """Write `nodes.csv` and `relationships.csv` into a folder; both appear, or none.

    Raises:
        InvalidInput: The folder cannot be written or holds something else, or a name that goes
            into a list holds U+001F.
    """
    with replacing_folder(path, (NODES, RELATIONSHIPS)) as create:
        for name, rows in ((NODES, _nodes(graph)), (RELATIONSHIPS, _relationships(graph))):
            with create(name) as file:
                file.writelines(rows)


def _nodes(graph: KnowledgeGraph) -> Iterator[str]:
    yield ",".join(NODE_HEADER) + "\n"
    for node, documents in graph.nodes.items():
        labels = dict.fromkeys(["Entity", node.type] if node.type else ["Entity"])
        kind = node.type or None
        yield _row(node.key, node.text, kind, _list(documents), _list(labels))


def _relationships(graph: KnowledgeGraph) -> Iterator[str]:
    yield ",".join(RELATIONSHIP_HEADER) + "\n"
    for edge in graph.edges:
        answer = edge.source.answer or Answer()
        yield _row(
            edge.head.key,
            edge.tail.key,
            edge.type,
            edge.source.id,
            edge.probability,
            _list(edge.lineage.sources),
            edge.lineage.rule or None,
            edge.source.explanation or None,
            answer.provider or None,
            answer.model or None,
            answer.offline_rules if edge.source.answer else None,
        )


def _row(*cells: _Cell) -> str:
    return ",".join(map(_cell, cells)) + "\n"


def _cell(value: _Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return '"' + value.replace('"', '""') + '"'


def _list(items: Iterable[str]) -> str | None:
    names = list(items)
    for name in names:
        if SEPARATOR in name:
            raise InvalidInput(
                f"{name!r} holds the character U+001F, which separates the items of a list here"
            )
    return SEPARATOR.join(names) or None
