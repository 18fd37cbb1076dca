"""What becomes a node, what becomes an edge, and what neither can be."""

from __future__ import annotations

import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.predictions import Answer, Lineage, Prediction
from slcolm_services.errors import DataInvalid
from slcolm_services.knowledge.graph import Edge, Mention, Source, graph_of

NONE = Lineage()
LLM = Lineage(("llm",), "llm_only")


def prediction(
    name: str,
    text: str,
    entities: tuple[Entity, ...] = (),
    relations: tuple[Relation, ...] = (),
    *,
    triples: tuple[Triple, ...] | None = None,
    lineage: Lineage = NONE,
) -> Prediction:
    document = Document(name, text, entities, relations)
    found = document.triples() if triples is None else triples
    return Prediction(name, text, found, document, (lineage,) * len(found))


PERSONS = (Entity("PER", 0, 1), Entity("PER", 2, 3))


def test_a_mention_is_one_node_in_all_documents_and_a_relation_an_edge_in_each() -> None:
    graph = graph_of(
        [
            prediction("a", "甲父乙", PERSONS, (Relation("父", 0, 1, 0.9),)),
            prediction("b", "甲和乙", PERSONS, (Relation("父", 0, 1, 0.5),)),
        ]
    )

    one, other = Mention("甲", "PER"), Mention("乙", "PER")
    assert graph.nodes == {one: ("a", "b"), other: ("a", "b")}
    assert graph.edges == (
        Edge(one, "父", other, Source("a"), 0.9, NONE),
        Edge(one, "父", other, Source("b"), 0.5, NONE),
    )


def test_the_same_text_of_another_type_is_another_node() -> None:
    entities = (Entity("PER", 0, 1), Entity("LOC", 2, 3))

    graph = graph_of([prediction("a", "甲和甲", entities)])

    assert list(graph.nodes) == [Mention("甲", "PER"), Mention("甲", "LOC")]


def test_a_document_without_anything_is_a_source_all_the_same() -> None:
    graph = graph_of([prediction("a", "无")])

    assert (graph.nodes, graph.edges, graph.sources) == ({}, (), (Source("a"),))


def test_a_triple_without_a_relation_goes_where_the_only_type_of_its_text_is() -> None:
    triples = (Triple("甲", "丙", "父", 0.4),)

    graph = graph_of([prediction("a", "甲乙丙", PERSONS[:1], triples=triples, lineage=LLM)])

    (edge,) = graph.edges
    assert (edge.head, edge.tail) == (Mention("甲", "PER"), Mention("丙", ""))
    assert (edge.probability, edge.lineage) == (0.4, LLM)


def test_nothing_is_guessed_where_a_text_has_several_types() -> None:
    entities = (Entity("PER", 0, 1), Entity("LOC", 0, 1))
    triples = (Triple("甲", "丙", "父"),)

    graph = graph_of([prediction("a", "甲乙丙", entities, triples=triples)])

    assert graph.edges[0].head == Mention("甲", "")


def test_the_relations_of_a_document_tell_the_types_and_may_be_several() -> None:
    entities = (Entity("PER", 0, 1), Entity("LOC", 0, 1), Entity("PER", 2, 3))
    relations = (Relation("父", 0, 2), Relation("父", 1, 2), Relation("子", 0, 2))
    triples = (Triple("甲", "丙", "父"),)

    graph = graph_of([prediction("a", "甲乙丙", entities, relations, triples=triples)])

    tail = Mention("丙", "PER")
    assert [(edge.head, edge.type, edge.tail) for edge in graph.edges] == [
        (Mention("甲", "PER"), "父", tail),
        (Mention("甲", "LOC"), "父", tail),
    ]


def test_of_the_same_triple_twice_in_a_document_the_most_probable_stands() -> None:
    triples = (Triple("甲", "乙", "父", 0.2), Triple("甲", "乙", "父", 0.7))

    graph = graph_of([prediction("a", "甲父乙", PERSONS, triples=triples)])

    assert [edge.probability for edge in graph.edges] == [0.7]


def test_triples_alone_have_nodes_without_a_type() -> None:
    triple = Triple("甲", "乙", "父")
    answer = Answer("p", "m", "d", offline_rules=True)

    graph = graph_of([Prediction("a", None, (triple,), None, (LLM,), "因为", answer)])

    assert list(graph.nodes) == [Mention("甲", ""), Mention("乙", "")]
    assert graph.edges[0].source == Source("a", "因为", answer)


def test_what_has_no_name_is_named_and_refused() -> None:
    triples = (Triple("甲", "", "父"), Triple("甲", "乙", " "))

    with pytest.raises(DataInvalid) as caught:
        graph_of([prediction("a", "甲父乙", PERSONS, triples=triples)])

    assert [str(violation) for violation in caught.value.violations] == [
        "'a': triples[0].tail: must not be empty",
        "'a': triples[1].type: must not be empty",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Mention("b", "a:"), Mention(":b", "a")),
        (Mention("a", ""), Mention("", "a")),
        (Mention("%3A", "a"), Mention(":", "a")),
    ],
)
def test_two_nodes_never_share_a_key(one: Mention, other: Mention) -> None:
    assert one.key != other.key
    assert one.key.isascii()
