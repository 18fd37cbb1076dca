"""Several answers to a text made one, and how well each annotation is borne out."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.tiers import Answer, at_least, combine
from slcolm_services.errors import DataInvalid

TEXT = "甲为太守，乙从之。"
JIA, YI = Entity("PER", 0, 1), Entity("PER", 5, 6)


def said(*entities: Entity, relations: tuple[Relation, ...] = ()) -> Document:
    return Document("d", TEXT, entities, relations)


def tiers(document: Document) -> list[str]:
    return [entity.tier for entity in document.entities]


def test_one_answer_alone_is_borne_out_by_nothing() -> None:
    assert tiers(combine([Answer(said(JIA))])) == ["B"]


def test_another_answer_bears_out_what_both_have() -> None:
    combined = combine([Answer(said(JIA, YI)), Answer(said(JIA, YI)), Answer(said(JIA))])
    assert [(one.start, one.tier, one.prob) for one in combined.entities] == [
        (0, "A", 1.0),
        (5, "B", pytest.approx(2 / 3)),
    ]


def test_what_a_minority_says_is_left_out() -> None:
    combined = combine([Answer(said(JIA)), Answer(said(JIA, YI)), Answer(said(JIA))])
    assert len(combined.entities) == 1


def test_a_small_model_bears_out_and_speaks_against() -> None:
    combined = combine([Answer(said(JIA, YI))], said(JIA))
    assert tiers(combined) == ["A", "B"]
    combined = combine([Answer(said(JIA)), Answer(said(JIA))], said())
    assert tiers(combined) == ["B"]


def test_a_mention_in_other_words_is_the_lowest_tier_and_so_are_its_relations() -> None:
    relations = (Relation("从", 1, 0),)
    answers = [Answer(said(JIA, YI, relations=relations), frozenset({"甲"}))] * 2
    combined = combine(answers, said(JIA, YI, relations=relations))
    assert tiers(combined) == ["C", "A"]
    assert [relation.tier for relation in combined.relations] == ["C"]


def test_relations_have_tiers_by_their_own_witnesses() -> None:
    answer = said(JIA, YI, relations=(Relation("从", 1, 0),))
    assert [one.tier for one in combine([Answer(answer)], answer).relations] == ["A"]
    other = said(JIA, YI, relations=(Relation("从", 0, 1),))
    assert [one.tier for one in combine([Answer(answer)], other).relations] == ["B"]


def test_documents_are_kept_or_left_out_as_a_whole(tmp_path: Path) -> None:
    good = Document("good", TEXT, (Entity("PER", 0, 1, 1.0, "A"),))
    mixed = Document("mixed", TEXT, (Entity("PER", 0, 1, 1.0, "A"), Entity("PER", 5, 6, 1.0, "C")))
    bare = Document("bare", TEXT)
    assert at_least([good, mixed, bare], "A") == [good, bare]
    assert at_least([good, mixed, bare], "C") == [good, mixed, bare]
    path = tmp_path / "annotated.jsonl"
    write_documents(path, [good, mixed, bare], {"good": {"model": "m"}})
    again = read_documents(path)
    assert [tiers(document) for document in again] == [["A"], ["A", "C"], []]
    assert '"origin": {"model": "m"}' in path.read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize("entity", ['"tier": "D"', '"tier": 1', '"tier": ""'])
def test_a_tier_that_is_none_is_named_by_its_place(tmp_path: Path, entity: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(
        '{"id": "a", "text": "甲", "entities": [{"type": "PER", "start": 0, "end": 1, '
        + entity
        + "}]}\n",
        encoding="utf-8",
    )
    with pytest.raises(DataInvalid) as caught:
        read_documents(path)
    assert caught.value.violations[0].field == "line 1: entities[0].tier"
