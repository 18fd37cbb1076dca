"""Every format, written and read back by its own reader, holds the same triples."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rdflib import DCTERMS, PROV, RDF, RDFS, Graph, URIRef
from rdflib.term import Node

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.predictions import Answer, Lineage, Prediction
from slcolm_services.errors import InvalidInput
from slcolm_services.knowledge.graph import KnowledgeGraph, graph_of
from slcolm_services.knowledge.graphml import escape, unescape, write_graphml
from slcolm_services.knowledge.neo4j import SEPARATOR, write_neo4j
from slcolm_services.knowledge.turtle import SLCOLM, write_turtle

Row = tuple[Any, ...]

# Every character but half of a surrogate pair, which no file in UTF-8 holds.
CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from('\r\n\t\0\x0b\x85\u2028"\\,;<&%:\ufffe'),
)
TEXT = st.text(CHARACTERS, min_size=1, max_size=12)
NAME = TEXT.filter(str.strip)
LISTED = NAME.filter(lambda name: SEPARATOR not in name)
PROBABILITY = st.none() | st.floats(0, 1)


@st.composite
def predictions(draw: st.DrawFn) -> list[Prediction]:
    return [
        draw(prediction(name))
        for name in draw(st.lists(LISTED, min_size=1, max_size=3, unique=True))
    ]


@st.composite
def prediction(draw: st.DrawFn, name: str) -> Prediction:
    text = draw(TEXT)
    entities = []
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text) - 1))
        entities.append(Entity(draw(LISTED), start, draw(st.integers(start + 1, len(text)))))
    ends = st.integers(0, len(entities) - 1)
    relations = [
        Relation(draw(NAME), draw(ends), draw(ends), draw(PROBABILITY))
        for _ in range(draw(st.integers(0, 3)) if entities else 0)
    ]
    document = Document(name, text, tuple(entities), tuple(relations))
    triples = document.triples()
    lineage = tuple(
        Lineage(tuple(draw(st.lists(LISTED, max_size=2, unique=True))), draw(st.just("") | NAME))
        for _ in triples
    )
    answer = draw(st.none() | st.builds(Answer, TEXT, TEXT, TEXT, offline_rules=st.booleans()))
    explanation = draw(st.just("") | TEXT)
    return Prediction(name, text, triples, document, lineage, explanation, answer)


AWKWARD = [
    Prediction(
        'a;b,"c"\r\n\\u000d',
        None,
        triples=document.triples(),
        document=document,
        lineage=(Lineage(("slm", "llm"), "agreed"),),
        explanation="因为“𠀀”\0\x0b\ufffe\r\n\\u0000 \\",
        answer=Answer("p", "m", "d", offline_rules=True),
    )
    for document in [
        Document(
            'a;b,"c"\r\n\\u000d',
            '𠀀"\r\0é',
            (Entity('P;"', 0, 3), Entity("", 3, 6)),
            (Relation('父\r"', 0, 1, 0.123456789012345678),),
        )
    ]
]


def nodes_of(graph: KnowledgeGraph) -> set[Row]:
    return {(node.text, node.type, documents) for node, documents in graph.nodes.items()}


def edges_of(graph: KnowledgeGraph) -> set[Row]:
    return {
        (
            *(edge.head.text, edge.head.type, edge.type, edge.tail.text, edge.tail.type),
            *(edge.source.id, edge.probability, edge.lineage.sources, edge.lineage.rule),
            *(edge.source.explanation, edge.source.answer and edge.source.answer.offline_rules),
        )
        for edge in graph.edges
    }


def written(write: Callable[[Path, KnowledgeGraph], None], graph: KnowledgeGraph) -> dict[str, str]:
    """The text of each file that a writer leaves; line ends stay as they are."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / "out", graph)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {path.name: path.read_bytes().decode("utf-8") for path in files}


@example(AWKWARD)
@given(predictions())
def test_neo4j(found: list[Prediction]) -> None:
    graph = graph_of(found)

    files = written(write_neo4j, graph)

    nodes = _rows(files["nodes.csv"])
    assert {_ends(row["key:ID"]) for row in nodes} == {
        (node.type, node.text) for node in graph.nodes
    }
    assert {
        (row["text:string"], row["type:string"], _list(row["documents:string[]"])) for row in nodes
    } == nodes_of(graph)
    assert all(_list(row[":LABEL"])[0] == "Entity" for row in nodes)
    edges = set()
    for row in _rows(files["relationships.csv"]):
        (head_type, head), (tail_type, tail) = _ends(row[":START_ID"]), _ends(row[":END_ID"])
        probability = row["probability:double"]
        rules = {"true": True, "false": False, "": None}[row["offline_rules:boolean"]]
        edges.add(
            (
                *(head, head_type, row[":TYPE"], tail, tail_type, row["document:string"]),
                float(probability) if probability else None,
                _list(row["sources:string[]"]),
                *(row["rule:string"], row["explanation:string"], rules),
            )
        )
    assert edges == edges_of(graph)


def _rows(content: str) -> list[dict[str, str]]:
    # A list of lines that end in nothing but line feeds, as the file has them.
    lines = content.split("\n")
    return list(csv.DictReader((line + "\n" for line in lines[:-1]), strict=True))


def _ends(key: str) -> tuple[str, ...]:
    return tuple(map(unquote, key.split(":")))


def _list(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(SEPARATOR)) if cell else ()


@example(AWKWARD)
@given(predictions())
def test_graphml(found: list[Prediction]) -> None:
    graph = graph_of(found)

    content = written(write_graphml, graph)["out"]

    ET.fromstring(content)
    read = nx.parse_graphml(content, force_multigraph=True)
    assert read.is_directed()

    def node(name: str) -> Row:
        data = read.nodes[name]
        return _text(data, "text"), _text(data, "type"), _json(data, "documents")

    assert {node(name) for name in read.nodes} == nodes_of(graph)
    edges = set()
    for head, tail, data in read.edges(data=True):
        edges.add(
            (
                *(*node(head)[:2], _text(data, "type"), *node(tail)[:2], _text(data, "document")),
                *(data.get("probability"), _json(data, "sources"), _text(data, "rule")),
                *(_text(data, "explanation"), data.get("offline_rules")),
            )
        )
    assert edges == edges_of(graph)


def _text(data: dict[str, Any], name: str) -> str:
    return unescape(data.get(name, ""))


def _json(data: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(json.loads(_text(data, name) or "[]"))


@example(AWKWARD)
@given(predictions())
def test_turtle(found: list[Prediction]) -> None:
    graph = graph_of(found)

    content = written(write_turtle, graph)["out"]

    assert "\r" not in content
    read = Graph().parse(data=content.encode(), format="turtle")
    assert all(term.isascii() for triple in read for term in triple if isinstance(term, URIRef))
    documents = {iri: str(name) for iri, name in read.subject_objects(DCTERMS.identifier)}
    assert set(documents.values()) == {source.id for source in graph.sources}
    nodes = {}
    for iri in read.subjects(RDF.type, SLCOLM.Entity):
        types = [
            _label(read, kind) for kind in read.objects(iri, RDF.type) if kind != SLCOLM.Entity
        ]
        places = {documents[place] for place in read.objects(iri, SLCOLM.standsIn)}
        nodes[iri] = (_label(read, iri), types[0] if types else "", frozenset(places))
    assert set(nodes.values()) == {
        (text, kind, frozenset(places)) for text, kind, places in nodes_of(graph)
    }
    edges = set()
    for statement in read.subjects(RDF.type, RDF.Statement):
        head, relation, tail = (
            _value(read, statement, part) for part in (RDF.subject, RDF.predicate, RDF.object)
        )
        assert (head, relation, tail) in read
        probability = read.value(statement, SLCOLM.probability)
        edges.add(
            (
                *(*nodes[head][:2], _label(read, relation), *nodes[tail][:2]),
                documents[_value(read, statement, PROV.wasDerivedFrom)],
                None if probability is None else float(Decimal(str(probability))),
                frozenset(str(name) for name in read.objects(statement, SLCOLM.source)),
                str(read.value(statement, SLCOLM.rule) or ""),
            )
        )
    assert edges == {(*row[:7], frozenset(row[7]), row[8]) for row in edges_of(graph)}
    explained = {
        (documents[_value(read, guiding, PROV.used)], str(text))
        for guiding, text in read.subject_objects(SLCOLM.explanation)
    }
    assert explained == {
        (source.id, source.explanation) for source in graph.sources if source.explanation
    }


def _value(graph: Graph, subject: Node, predicate: Node) -> Node:
    (value,) = graph.objects(subject, predicate)
    return value


def _label(graph: Graph, iri: Node) -> str:
    return str(_value(graph, iri, RDFS.label))


@given(st.lists(CHARACTERS | st.sampled_from(["\\", "u", "0", "\\u000b"])).map("".join))
def test_what_is_escaped_for_xml_comes_back(text: str) -> None:
    assert unescape(escape(text)) == text


def test_graphml_has_booleans_as_xml_has_them() -> None:
    content = written(write_graphml, graph_of(AWKWARD))["out"]

    assert ">true</data>" in content


def test_an_ordinary_backslash_stays_as_it_is() -> None:
    assert escape("C:\\users \\u00 \t\n𠀀") == "C:\\users \\u00 \t\n𠀀"


def test_a_name_that_would_be_two_in_a_list_is_refused_and_nothing_written(tmp_path: Path) -> None:
    document = Document("a\x1fb", "甲", (Entity("PER", 0, 1),))
    graph = graph_of([Prediction("a\x1fb", "甲", (), document, ())])

    with pytest.raises(InvalidInput, match="U\\+001F"):
        write_neo4j(tmp_path / "out", graph)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "base", ["", "annals/", "https://my.org/annals", "https://my.org/a b/", "1:/"]
)
def test_a_base_that_makes_no_iris_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        write_turtle(tmp_path / "out", graph_of([]), base)

    assert [violation.field for violation in caught.value.violations] == ["base_iri"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("base", ["https://my.org/annals/", "https://my.org/annals#", "urn:my:"])
def test_iris_begin_with_the_base(base: str, tmp_path: Path) -> None:
    document = Document("a 1", "甲", (Entity("PER", 0, 1),))

    write_turtle(tmp_path / "out", graph_of([Prediction("a 1", "甲", (), document, ())]), base)

    content = (tmp_path / "out").read_text(encoding="utf-8")
    assert f"<{base}entity:PER:%E7%94%B2> a " in content
    assert f"<{base}document:a%201>" in content
