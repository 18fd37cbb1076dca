r"""A graph as GraphML, for networkx, Gephi and yEd.

GraphML has no lists, so lists are JSON. XML cannot hold every character that a text may have, and
its readers turn a carriage return into a line feed: such characters are written as `\uXXXX`, and
`unescape` gives them back.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import networkx as nx
from networkx.readwrite.graphml import GraphMLWriter

from slcolm_services.corpus.files import replacing
from slcolm_services.knowledge.graph import Edge, KnowledgeGraph

# A backslash is written so only where the text itself looks like what we write.
_ESCAPED = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|\\\\(?=u[0-9a-f]{4})")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


def write_graphml(path: str | os.PathLike[str], graph: KnowledgeGraph) -> None:
    """Write a graph with any number of edges between two nodes; whole or not at all.

    Raises:
        InvalidInput: The file cannot be written.
    """
    content = BytesIO()
    writer = _Writer()
    writer.add_graph_element(_networkx(graph))
    writer.dump(content)
    with replacing(path) as file:
        file.write(content.getvalue().decode("utf-8") + "\n")


def escape(text: str) -> str:
    r"""A text that XML can hold: `\uXXXX` in the place of each character that it cannot."""
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def unescape(written: str) -> str:
    """The text that `escape` was given."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), written)


class _Writer(GraphMLWriter):  # type: ignore[misc]  # networkx has no types
    """networkx's, with booleans as XML has them and not as Python prints them."""

    def add_data(self, name: Any, element_type: Any, value: Any, *rest: Any, **more: Any) -> Any:
        """The element of an attribute."""
        element = super().add_data(name, element_type, value, *rest, **more)
        if element_type is bool:
            element.text = str(value).lower()
        return element


def _networkx(graph: KnowledgeGraph) -> nx.MultiDiGraph:
    made = nx.MultiDiGraph()
    ids = {node: f"n{index}" for index, node in enumerate(graph.nodes)}
    for node, documents in graph.nodes.items():
        made.add_node(
            ids[node], **_known(text=node.text, type=node.type, documents=_list(documents))
        )
    for index, edge in enumerate(graph.edges):
        made.add_edge(ids[edge.head], ids[edge.tail], key=f"e{index}", **_attributes(edge))
    return made


def _attributes(edge: Edge) -> dict[str, str | float | bool]:
    said = _known(
        type=edge.type,
        document=edge.source.id,
        sources=_list(edge.lineage.sources),
        rule=edge.lineage.rule,
        explanation=edge.source.explanation,
    )
    if edge.probability is not None:
        said["probability"] = edge.probability
    if edge.source.answer is not None:
        answer = edge.source.answer
        said |= _known(provider=answer.provider, model=answer.model)
        said["offline_rules"] = answer.offline_rules
    return said


def _known(**texts: str) -> dict[str, str | float | bool]:
    """Attributes that are there; readers take an empty one for none."""
    return {name: escape(text) for name, text in texts.items() if text}


def _list(items: Iterable[str]) -> str:
    names = list(items)
    return json.dumps(names, ensure_ascii=False) if names else ""
