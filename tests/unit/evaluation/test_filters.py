"""Which LLM triples are let through, and what their mentions become."""

from __future__ import annotations

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import RelationType, TaskSchema
from slcolm_services.evaluation.filters import filter_llm_triples

SCHEMA = TaskSchema("t", "lzh", (), (RelationType("任职"), RelationType("其他")))
TEXT = "郞中令锺繇为尙书"


def test_a_triple_between_two_slm_entities_passes() -> None:
    found = filter_llm_triples(TEXT, ["锺繇", "尙书"], [Triple("锺繇", "尙书", "任职")], SCHEMA)
    assert (found.triples, found.dropped) == ((Triple("锺繇", "尙书", "任职"),), {})


def test_mentions_in_another_script_become_those_of_the_text() -> None:
    said = [Triple("鍾繇", "尚書", "任职")]
    for entity_filter in ("slm", "text"):
        found = filter_llm_triples(TEXT, ["锺繇", "尙书"], said, SCHEMA, entity_filter)
        assert found.triples == (Triple("锺繇", "尙书", "任职"),)
    assert filter_llm_triples(TEXT, [], said, SCHEMA, "text").triples == found.triples


def test_labels_are_normalised() -> None:
    said = [Triple("锺繇", "尙书", "任 职&爵 位")]
    assert filter_llm_triples(TEXT, ["锺繇", "尙书"], said, SCHEMA).triples[0].type == "任职"


def test_everything_dropped_has_its_reason() -> None:
    said = [
        Triple("锺繇", "尙书", "任职"),
        Triple("鍾繇", "尚书", "任职"),
        Triple("锺繇", "尙书", "父子"),
        Triple("锺繇", "太守", "任职"),
        Triple("锺繇", "郞中令", "任职"),
        Triple("锺繇", "鍾繇", "其他"),
        Triple("锺繇", "", "其他"),
    ]
    found = filter_llm_triples(TEXT, ["锺繇", "尙书"], said, SCHEMA)
    assert found.triples == (Triple("锺繇", "尙书", "任职"),)
    assert found.dropped == {
        "repeated": 1,
        "off_schema": 1,
        "not_in_text": 2,
        "not_an_slm_entity": 1,
        "same_mention": 1,
    }


def test_the_text_filter_needs_no_entities() -> None:
    said = [Triple("锺繇", "郞中令", "任职")]
    assert filter_llm_triples(TEXT, [], said, SCHEMA, "text").triples == tuple(said)
