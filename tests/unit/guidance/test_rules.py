"""The offline rules drop and add for a stated reason, and answer in an LLM's form."""

from __future__ import annotations

import asyncio
import dataclasses

from slcolm_services.corpus.documents import Document, Entity, Relation, Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem, Prompt
from slcolm_services.guidance.parse import parse_answer
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.providers.base import Request
from slcolm_services.guidance.providers.offline import MODEL, OfflineProvider
from slcolm_services.guidance.rules import revise

FATHER_BY_SON = Demonstration(
    Document("d", "丙子丁。", (Entity("PER", 0, 1), Entity("PER", 2, 3)), (Relation("父", 0, 1),))
)
SON_BEFORE_FATHER = Demonstration(
    Document("d", "丁，丙子。", (Entity("PER", 0, 1), Entity("PER", 2, 3)), (Relation("父", 1, 0),))
)


def text(words: str, *relations: Relation, **entities: str) -> Document:
    found = [
        Entity(kind, words.index(mention), words.index(mention) + len(mention), 0.9)
        for mention, kind in entities.items()
    ]
    return Document("q", words, tuple(found), relations)


def test_drops_what_is_impossible_or_improbable_and_not_proposed(schema: TaskSchema) -> None:
    document = text(
        "甲为某官，攻乙，乙败。",
        Relation("任职", 0, 1, 0.3),
        Relation("攻伐", 0, 2, 0.3),
        Relation("父", 0, 1, 0.9),
        甲="PER",
        某官="OFI",
        乙="PER",
    )
    office, attack = Triple("甲", "某官", "任职"), Triple("甲", "乙", "攻伐")
    item = GuideItem(document, (), (Candidate("任职"),))
    revised = revise(item, schema, min_probability=0.5)
    assert revised.triples == (office,)
    assert {(finding.rule, finding.triple.type) for finding in revised.dropped} == {
        ("unsupported", "攻伐"),
        ("impossible", "父"),
    }
    assert revise(item, schema, min_probability=0.2).triples == (office, attack)
    assert revise(GuideItem(document), schema, min_probability=0.5).triples == (office, attack)


def test_wording_counts_only_where_there_is_no_prediction(schema: TaskSchema) -> None:
    """Mentions come from the examples then."""
    words = "昔丙子丁守之。"
    revised = revise(GuideItem(Document("q", words), (FATHER_BY_SON,)), schema, min_probability=0.5)
    assert revised.triples == (Triple("丙", "丁", "父"),)
    assert revised.added[0].rule == "wording"
    assert revised.added[0].evidence == "子"
    silent = text(words, 丙="PER", 丁="PER")
    assert not revise(GuideItem(silent, (FATHER_BY_SON,)), schema, min_probability=0.5).triples


def test_adds_what_a_trigger_word_between_two_mentions_shows(schema: TaskSchema) -> None:
    document = text("甲攻乙。丙在某地。", 甲="PER", 乙="PER", 丙="PER", 某地="LOC")
    item = GuideItem(
        document, (), (Candidate("攻伐", 1.0, ("攻",)), Candidate("其他", 0.5, ("在",)))
    )
    revised = revise(item, schema, min_probability=0.5)
    assert revised.triples == (Triple("甲", "乙", "攻伐"),)


def test_examples_teach_which_mention_is_the_head(schema: TaskSchema) -> None:
    document = text("甲者，乙之子。", 甲="PER", 乙="PER")
    candidate = (Candidate("父", 1.0, ("者",)),)
    plain = revise(GuideItem(document, (), candidate), schema, min_probability=0.5)
    taught = revise(
        GuideItem(document, (SON_BEFORE_FATHER,), candidate), schema, min_probability=0.5
    )
    assert plain.triples == (Triple("甲", "乙", "父"),)
    assert taught.triples == (Triple("乙", "甲", "父"),)


def test_leaves_pairs_that_the_small_model_has_judged_alone(schema: TaskSchema) -> None:
    document = text("甲攻乙。", Relation("父", 0, 1, 0.9), 甲="PER", 乙="PER")
    item = GuideItem(document, (), (Candidate("攻伐", 1.0, ("攻",)),))
    assert revise(item, schema, min_probability=0.5).triples == (Triple("甲", "乙", "父"),)


def test_nothing_is_joined_across_the_end_of_a_sentence(schema: TaskSchema) -> None:
    document = text("甲攻。乙", 甲="PER", 乙="PER")
    item = GuideItem(document, (), (Candidate("攻伐", 1.0, ("攻",)),))
    assert revise(item, schema, min_probability=0.5).triples == ()


def test_answers_like_an_llm_and_says_that_it_is_none(schema: TaskSchema) -> None:
    provider = OfflineProvider("offline", Window(8000, 1000), 0.5)
    item = GuideItem(text("甲子乙。", 甲="PER", 乙="PER"), (), (Candidate("父", 1.0, ("子",)),))
    for language, words in (("lzh", "离线规则（不是语言模型）"), ("en", "no language model")):
        task = dataclasses.replace(schema, language=language)
        request = Request(Prompt((), 0), item, task)
        completion = asyncio.run(provider.complete(request, deadline=0.0))
        parsed = parse_answer(completion.answer.text, "甲子乙。", task)
        assert parsed.triples == (Triple("甲", "乙", "父"),)
        assert len(parsed.entities) == 2
        assert not parsed.repairs
        assert words in parsed.explanation
        assert completion.answer.model == MODEL
    assert provider.info.offline_rules
