"""A knowledge graph of predictions: mentions by text and type, and the relations between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from slcolm_services.corpus.documents import Document, Triple
from slcolm_services.corpus.predictions import Answer, Lineage, Prediction
from slcolm_services.corpus.records import MAX_VIOLATIONS, shown
from slcolm_services.errors import DataInvalid, FieldViolation


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A node: all mentions with this text and this type, in whatever document.

    Attributes:
        text: The characters, as they stand in the texts.
        type: Entity type; empty where no document says it.
    """

    text: str
    type: str

    @property
    def key(self) -> str:
        """A name of the node in ASCII, the same in every graph: `PER:%E7%94%B2`.

        The colon is in neither part, so that two nodes never share a key.
        """
        return f"{quote(self.type, safe='')}:{quote(self.text, safe='')}"


@dataclass(frozen=True, slots=True)
class Source:
    """A document that edges come from.

    Attributes:
        id: Name of the document.
        explanation: What the LLM said of its answer; may be empty.
        answer: Who gave that answer; None where there was none.
    """

    id: str
    explanation: str = ""
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A relation as one document has it; another document's is an edge of its own.

    Attributes:
        head: Where it starts.
        type: Relation type.
        tail: Where it ends.
        source: The document.
        probability: Calibrated probability in [0, 1]; None where the file does not say.
        lineage: Who said it, and why the merge took it.
    """

    head: Mention
    type: str
    tail: Mention
    source: Source
    probability: float | None
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class KnowledgeGraph:
    """Nodes and edges, in the order in which the files have them.

    Attributes:
        nodes: Each mention with the ids of the documents where it stands.
        edges: Relations; of head, type, tail and document together there is one edge each.
        sources: All documents, those without a relation too.
    """

    nodes: dict[Mention, tuple[str, ...]]
    edges: tuple[Edge, ...]
    sources: tuple[Source, ...]


def graph_of(predictions: Sequence[Prediction]) -> KnowledgeGraph:
    """The graph of predictions with different ids.

    A triple goes between the entities that a relation of its document joins; without such a
    relation, between the mentions with its texts, of the type that all entities with that text
    have in the document. Where they have several, or there is none, the type stays empty.

    Raises:
        DataInvalid: A triple has an empty head, tail or type, which no graph can hold.
    """
    _check_named(predictions)
    nodes: dict[Mention, dict[str, None]] = {}
    edges: dict[tuple[Mention, str, Mention, str], Edge] = {}
    sources = []
    for prediction in predictions:
        source = Source(prediction.id, prediction.explanation, prediction.answer)
        sources.append(source)
        if prediction.document is not None:
            for entity in _mentions(prediction.document):
                nodes.setdefault(entity, {})[source.id] = None
        for edge in _edges(prediction, source):
            for end in (edge.head, edge.tail):
                nodes.setdefault(end, {})[source.id] = None
            key = (edge.head, edge.type, edge.tail, source.id)
            seen = edges.get(key)
            if seen is None or (edge.probability or 0.0) > (seen.probability or 0.0):
                edges[key] = edge
    return KnowledgeGraph(
        {node: tuple(documents) for node, documents in nodes.items()},
        tuple(edges.values()),
        tuple(sources),
    )


def _edges(prediction: Prediction, source: Source) -> Iterator[Edge]:
    for triple, lineage in zip(prediction.triples, prediction.lineage, strict=True):
        for head, tail in _ends(triple, prediction.document):
            yield Edge(head, triple.type, tail, source, triple.prob, lineage)


def _ends(triple: Triple, document: Document | None) -> Iterable[tuple[Mention, Mention]]:
    """The nodes that a triple joins: several pairs where its texts are of several types."""
    if document is None:
        return [(Mention(triple.head, ""), Mention(triple.tail, ""))]
    mentions = _mentions(document)
    joined = {
        (head, tail): None
        for relation in document.relations
        if relation.type == triple.type
        and (head := mentions[relation.head]).text == triple.head
        and (tail := mentions[relation.tail]).text == triple.tail
    }
    return joined or [(_known(triple.head, mentions), _known(triple.tail, mentions))]


def _mentions(document: Document) -> list[Mention]:
    return [
        Mention(document.mention(index), entity.type)
        for index, entity in enumerate(document.entities)
    ]


def _known(text: str, mentions: Iterable[Mention]) -> Mention:
    types = {mention.type for mention in mentions if mention.text == text}
    return Mention(text, types.pop() if len(types) == 1 else "")


def _check_named(predictions: Iterable[Prediction]) -> None:
    empty = [
        FieldViolation(f"{shown(prediction.id)!r}: triples[{index}].{name}", "must not be empty")
        for prediction in predictions
        for index, triple in enumerate(prediction.triples)
        for name, value in (("head", triple.head), ("tail", triple.tail), ("type", triple.type))
        if not (value.strip() if name == "type" else value)
    ]
    if empty:
        raise DataInvalid(
            "what has no name cannot be part of a graph", violations=empty[:MAX_VIOLATIONS]
        )
