"""A graph as RDF in Turtle: each relation as a triple, and as a statement that has its lineage.

IRIs are ASCII: names are percent-encoded after the base IRI and a word for what they are, as in
`<BASE>entity:PER:%E7%94%B2`. Colons stand in no name, so that two things never share an IRI.
"""

from __future__ import annotations

import hashlib
import os
import re
from decimal import Decimal
from io import BytesIO
from urllib.parse import quote

from rdflib import Graph, Literal, Namespace, URIRef
from rdflib.namespace import DCTERMS, PROV, RDF, RDFS, XSD
from rdflib.plugins.serializers.turtle import TurtleSerializer
from rdflib.term import Node

from slcolm_services.corpus.files import replacing
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.knowledge.graph import Edge, KnowledgeGraph, Mention, Source

DEFAULT_BASE = "urn:slcolm:data:"
SLCOLM = Namespace("urn:slcolm:")
"""The terms that no common vocabulary has; docs/graphs.md lists them."""

# A scheme, then what an IRI may hold (RFC 3987), then a character that ends a namespace.
_BASE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\x00-\x20<>\"{}|\\^`\x7f-\x9f]*(?<=[/#:])")


def write_turtle(
    path: str | os.PathLike[str], graph: KnowledgeGraph, base_iri: str = DEFAULT_BASE
) -> None:
    """Write a graph; the file appears whole or not at all.

    Args:
        path: The file.
        graph: What to write.
        base_iri: What the IRIs of nodes, types, documents and statements begin with.

    Raises:
        InvalidInput: The base is no absolute IRI that ends in `/`, `#` or `:`, or the file cannot
            be written.
    """
    if not _BASE.fullmatch(base_iri):
        problem = f"{base_iri!r} is no absolute IRI that ends in /, # or :"
        raise InvalidInput(
            "the base IRI cannot be used", violations=[FieldViolation("base_iri", problem)]
        )
    written = _Writer(base_iri).turtle(graph)
    with replacing(path) as file:
        file.write(written)


class _Serializer(TurtleSerializer):
    """rdflib's, without the prefixes that it makes up: they can end in half of a `%E7`.

    It looks for a prefix whenever an IRI is written, which takes most of its time; here, once.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._names: dict[Node, str | None] = {}

    def get_pname(self, uri: Node, gen_prefix: bool = True) -> str | None:
        """A name with a prefix that is bound; None where there is none."""
        del gen_prefix
        if uri not in self._names:
            self._names[uri] = super().get_pname(uri, gen_prefix=False)
        return self._names[uri]


class _Writer:
    """Makes the RDF graph."""

    def __init__(self, base_iri: str) -> None:
        self._base = base_iri
        self._graph = Graph(bind_namespaces="none")
        for prefix, namespace in (
            ("rdf", RDF),
            ("rdfs", RDFS),
            ("xsd", XSD),
            ("prov", PROV),
            ("dcterms", DCTERMS),
            ("slcolm", SLCOLM),
        ):
            self._graph.bind(prefix, namespace)

    def turtle(self, graph: KnowledgeGraph) -> str:
        for source in graph.sources:
            self._source(source)
        for node, documents in graph.nodes.items():
            self._node(node, documents)
        for edge in graph.edges:
            self._edge(edge)
        content = BytesIO()
        _Serializer(self._graph).serialize(content)
        return content.getvalue().decode("utf-8")

    def _source(self, source: Source) -> None:
        document = self._iri("document", source.id)
        self._add(document, RDF.type, PROV.Entity)
        self._add(document, DCTERMS.identifier, Literal(source.id))
        if not source.explanation and source.answer is None:
            return
        guiding = self._iri("guiding", source.id)
        self._add(guiding, RDF.type, PROV.Activity)
        self._add(guiding, PROV.used, document)
        if source.explanation:
            self._add(guiding, SLCOLM.explanation, Literal(source.explanation))
        if source.answer is not None:
            agent = self._iri("model", source.answer.provider, source.answer.model)
            self._add(guiding, PROV.wasAssociatedWith, agent)
            self._add(agent, RDF.type, PROV.SoftwareAgent)
            self._add(agent, RDFS.label, Literal(source.answer.model or source.answer.provider))
            self._add(guiding, SLCOLM.offlineRules, Literal(source.answer.offline_rules))
            if source.answer.prompt_digest:
                self._add(guiding, SLCOLM.promptDigest, Literal(source.answer.prompt_digest))

    def _node(self, node: Mention, documents: tuple[str, ...]) -> None:
        entity = self._entity(node)
        self._add(entity, RDF.type, SLCOLM.Entity)
        self._add(entity, RDFS.label, Literal(node.text))
        if node.type:
            kind = self._iri("type", node.type)
            self._add(entity, RDF.type, kind)
            self._add(kind, RDF.type, RDFS.Class)
            self._add(kind, RDFS.label, Literal(node.type))
        for document in documents:
            self._add(entity, SLCOLM.standsIn, self._iri("document", document))

    def _edge(self, edge: Edge) -> None:
        head, tail = self._entity(edge.head), self._entity(edge.tail)
        relation = self._iri("relation", edge.type)
        self._add(relation, RDF.type, RDF.Property)
        self._add(relation, RDFS.label, Literal(edge.type))
        self._add(head, relation, tail)
        parts = (edge.head.key, edge.type, edge.tail.key, edge.source.id)
        digest = hashlib.sha256("\0".join(quote(part, safe="") for part in parts).encode())
        statement = self._iri("statement", digest.hexdigest()[:32])
        for kind in (RDF.Statement, PROV.Entity):
            self._add(statement, RDF.type, kind)
        self._add(statement, RDF.subject, head)
        self._add(statement, RDF.predicate, relation)
        self._add(statement, RDF.object, tail)
        self._add(statement, PROV.wasDerivedFrom, self._iri("document", edge.source.id))
        if edge.probability is not None:
            # rdflib writes a double with seven digits; a decimal keeps them all.
            value = format(Decimal(repr(edge.probability)), "f")
            self._add(statement, SLCOLM.probability, Literal(value, datatype=XSD.decimal))
        for name in edge.lineage.sources:
            self._add(statement, SLCOLM.source, Literal(name))
        if edge.lineage.rule:
            self._add(statement, SLCOLM.rule, Literal(edge.lineage.rule))
        if any(name != "slm" for name in edge.lineage.sources) and edge.source.answer is not None:
            self._add(statement, PROV.wasGeneratedBy, self._iri("guiding", edge.source.id))

    def _entity(self, node: Mention) -> URIRef:
        return URIRef(f"{self._base}entity:{node.key}")

    def _iri(self, kind: str, *names: str) -> URIRef:
        return URIRef(self._base + ":".join([kind, *(quote(name, safe="") for name in names)]))

    def _add(self, subject: URIRef, predicate: URIRef, value: URIRef | Literal) -> None:
        self._graph.add((subject, predicate, value))
