"""Which relation types are proposed, and in what order."""

from __future__ import annotations

import pytest

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.retrieval.candidates import Candidate, Neighbour, choose
from slcolm_services.retrieval.triggers import Trigger

SCHEMA = TaskSchema(
    "t",
    "lzh",
    (EntityType("PER", "人物"), EntityType("LOC", "地点"), EntityType("OFI", "职官")),
    (
        RelationType("父", "", ("PER",), ("PER",)),
        RelationType("到达", "", ("PER",), ("LOC",)),
        RelationType("任职", "", ("PER",), ("OFI",)),
        RelationType("其他"),
    ),
    fallback_relation="其他",
)
BARE = Document("q", "甲子乙")


def neighbour(score: float, *types: str) -> Neighbour:
    return Neighbour(frozenset(types), score)


def trigger(type_: str, probability: float, text: str = "子") -> dict[str, list[Trigger]]:
    return {type_: [Trigger(text, type_, probability, 2)]}


def names(candidates: list[Candidate]) -> list[str]:
    return [candidate.type for candidate in candidates]


def test_similar_sentences_vote_by_their_score() -> None:
    voters = [neighbour(3.0, "到达"), neighbour(1.0, "父", "到达"), neighbour(4.0, "任职")]
    found = choose(SCHEMA, BARE, voters, {}, 12)
    assert {c.type: c.score for c in found} == pytest.approx(
        {"到达": 0.5, "任职": 0.5, "父": 0.125}
    )
    assert names(found)[-1] == "父"
    assert all(c.from_similar and c.triggers == () for c in found)


def test_a_trigger_and_votes_are_independent_witnesses() -> None:
    voters = [neighbour(1.0, "父"), neighbour(1.0)]
    (found,) = choose(SCHEMA, BARE, voters, trigger("父", 0.75), 12)
    assert found == Candidate("父", 0.875, ("子",), from_similar=True)


def test_a_trigger_alone_makes_a_candidate() -> None:
    (found,) = choose(SCHEMA, BARE, [], trigger("父", 0.75), 12)
    assert found == Candidate("父", 0.75, ("子",), from_similar=False)


def test_a_type_without_a_reason_is_not_proposed() -> None:
    assert choose(SCHEMA, BARE, [], {}, 12) == []


def test_a_type_that_the_entities_cannot_form_is_left_out() -> None:
    document = Document("q", "甲至某地", (Entity("PER", 0, 1), Entity("LOC", 2, 4)))
    voters = [neighbour(1.0, "父", "到达", "任职")]
    # Where the SLM found one person there may be two: 父 stays.
    assert set(names(choose(SCHEMA, document, voters, {}, 12))) == {"父", "到达"}
    assert set(names(choose(SCHEMA, document.without_annotations(), voters, {}, 12))) == {
        "父",
        "到达",
        "任职",
    }


def test_the_fallback_takes_no_other_types_place() -> None:
    voters = [neighbour(5.0, "其他"), neighbour(1.0, "父"), neighbour(1.0, "到达")]
    assert names(choose(SCHEMA, BARE, voters, {}, 2)) == ["父", "到达"]
    assert names(choose(SCHEMA, BARE, voters, {}, 3)) == ["父", "到达", "其他"]


def test_types_outside_the_schema_are_not_proposed() -> None:
    assert choose(SCHEMA, BARE, [neighbour(1.0, "新")], trigger("旧", 0.9), 12) == []


def test_equal_scores_keep_the_order_of_the_schema() -> None:
    voters = [neighbour(1.0, "任职", "到达", "父")]
    assert names(choose(SCHEMA, BARE, voters, {}, 12)) == ["父", "到达", "任职"]
