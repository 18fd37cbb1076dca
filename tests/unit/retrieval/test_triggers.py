"""Mining and finding trigger words."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.retrieval.config import TriggerConfig
from slcolm_services.retrieval.triggers import TriggerLexicon, log_likelihood_ratio, mine

CONFIG = TriggerConfig(min_log_likelihood_ratio=3.84)


def sentence(text: str, type_: str | None, *mentions: str) -> Document:
    """A sentence whose first two mentions stand in the relation."""
    entities = tuple(
        Entity("PER", text.index(mention), text.index(mention) + len(mention))
        for mention in mentions
    )
    relations = (Relation(type_, 0, 1),) if type_ else ()
    return Document(text, text, entities, relations)


TRAINING = [
    sentence("甲乙杀丙丁", "杀", "甲乙", "丙丁"),
    sentence("戊己遂杀庚辛", "杀", "戊己", "庚辛"),
    sentence("子丑与寅卯战，杀寅卯", "杀", "子丑", "寅卯"),
    sentence("甲乙子丙丁立", "父", "甲乙", "丙丁"),
    sentence("戊己之子庚辛", "父", "戊己", "庚辛"),
    sentence("子丑至寅卯", None, "子丑", "寅卯"),
    sentence("甲乙，丙丁", None, "甲乙", "丙丁"),
]


def test_a_word_that_stands_near_one_type_is_its_trigger() -> None:
    lexicon = mine(TRAINING, CONFIG)
    found = {(trigger.text, trigger.type) for trigger in lexicon.triggers}
    assert ("杀", "杀") in found
    assert ("子", "父") in found
    assert ("杀", "父") not in found


def test_words_inside_mentions_are_no_triggers() -> None:
    lexicon = mine(TRAINING, CONFIG)
    assert not {"甲", "甲乙", "丙"} & {trigger.text for trigger in lexicon.triggers}
    # 子 is a trigger of 父, and here a part of a name.
    assert "父" in lexicon.find(Document("q", "某子某"))
    assert lexicon.find(Document("q", "某子某", (Entity("PER", 1, 3),))) == {}


def test_words_far_from_the_relation_are_no_triggers() -> None:
    far = [
        sentence(f"{a}杀{b}，一二三四五六七八九十遂叛", "杀", a, b)
        for a, b in (("甲", "乙"), ("丙", "丁"), ("戊", "己"))
    ]
    others = [sentence(f"{a}至{b}", None, a, b) for a, b in (("甲", "乙"), ("丙", "丁"))]
    near = replace(CONFIG, window_tokens=2, max_length=1)
    assert {t.text for t in mine([*far, *others], near).triggers} == {"杀", "一", "二"}


def test_a_word_seen_once_is_not_enough() -> None:
    assert all(trigger.support >= 2 for trigger in mine(TRAINING, CONFIG).triggers)


def test_a_word_that_is_everywhere_speaks_for_nothing() -> None:
    common = [sentence(f"{d.text}也", None, "甲") for d in TRAINING if "甲" in d.text]
    lexicon = mine([*TRAINING, *common], CONFIG)
    assert "也" not in {trigger.text for trigger in lexicon.triggers}


def test_script_variants_find_the_trigger() -> None:
    assert "杀" in mine(TRAINING, CONFIG).find(Document("q", "某殺某"))


def test_word_ngrams_serve_spaced_scripts() -> None:
    english = [
        sentence("Ann was born in Oslo", "born", "Ann", "Oslo"),
        sentence("Bob was born in Rome", "born", "Bob", "Rome"),
        sentence("Cid was born in Nice", "born", "Cid", "Nice"),
        sentence("Dan works in Bonn", "works", "Dan", "Bonn"),
        sentence("Eve works in Kyiv", "works", "Eve", "Kyiv"),
        sentence("Fay works in Lima", "works", "Fay", "Lima"),
    ]
    found = mine(english, CONFIG).find(Document("q", "Where was she BORN in May?"))
    assert "born in" in {trigger.text for trigger in found["born"]}
    assert "works" not in found


def test_the_most_probable_trigger_comes_first() -> None:
    for triggers in mine(TRAINING, CONFIG).find(Document("q", "某杀某之子")).values():
        probabilities = [trigger.probability for trigger in triggers]
        assert probabilities == sorted(probabilities, reverse=True)


def test_a_lexicon_survives_json() -> None:
    lexicon = mine(TRAINING, CONFIG)
    again = TriggerLexicon.from_json(json.loads(json.dumps(lexicon.to_json())))
    assert len(again) == len(lexicon) > 0
    assert again.triggers == lexicon.triggers
    query = Document("q", "某杀某之子")
    assert again.find(query) == lexicon.find(query)


def test_no_sentences_give_an_empty_lexicon() -> None:
    lexicon = mine([], CONFIG)
    assert len(lexicon) == 0
    assert lexicon.find(Document("q", "甲杀乙")) == {}


def test_the_ratio_is_dunnings() -> None:
    """A value worked out by hand: -2 ln(lambda) = 2 sum of k ln(k N / (row column))."""
    expected = 2 * (
        8 * math.log(8 * 100 / (10 * 10)) + 2 * math.log(2 * 100 / (10 * 90)) * 2
        + 88 * math.log(88 * 100 / (90 * 90))
    )  # fmt: skip
    assert log_likelihood_ratio(8, 10, 10, 100) == pytest.approx(expected)


def test_the_ratio_of_independent_events_is_zero() -> None:
    assert log_likelihood_ratio(1, 10, 10, 100) == pytest.approx(0.0, abs=1e-9)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(st.text(alphabet="杀父子殺 ab，。", min_size=2, max_size=12))
    spans = st.integers(0, len(text) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(text)))
    )
    entities = [Entity("X", *span) for span in draw(st.lists(spans, min_size=1, max_size=3))]
    index = st.integers(0, len(entities) - 1)
    relations = draw(st.lists(st.builds(Relation, st.sampled_from("PQ"), index, index), max_size=3))
    return Document("d", text, tuple(entities), tuple(relations))


@given(st.lists(documents(), max_size=8))
def test_every_trigger_is_a_probability_and_is_found_where_it_was_mined(
    training: list[Document],
) -> None:
    lexicon = mine(training, replace(CONFIG, min_support=1, min_log_likelihood_ratio=0.0))
    found = [lexicon.find(document) for document in training]
    for trigger in lexicon.triggers:
        assert 0.0 < trigger.probability <= 1.0
        holding = [here for here in found if trigger in here.get(trigger.type, ())]
        assert len(holding) >= trigger.support >= 1
