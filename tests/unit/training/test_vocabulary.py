"""Which tokens an encoder from scratch reads, and that they can name every mention."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.extraction import extract

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.model.tokenization import TextTokenizer, align
from slcolm_services.training.choice import RANDOM
from slcolm_services.training.options import TrainOptions
from slcolm_services.training.train import train
from slcolm_services.training.vocabulary import has_spaces, sub_word_tokenizer

_PEOPLE = ("Alexandra Montgomery-Harrington", "O'Neill", "Bartholomew Featherstone", "Ann Li")
_PLACES = ("the United Kingdom of Great Britain", "U.S.", "Paris", "São Tomé and Príncipe")
_SCHEMA = TaskSchema(
    "travel",
    "en",
    (EntityType("PER", "person"), EntityType("LOC", "place")),
    (RelationType("lives in"),),
)


def _documents(count: int, seed: int) -> list[Document]:
    rng = random.Random(seed)
    documents = []
    for index in range(count):
        person, place = rng.choice(_PEOPLE), rng.choice(_PLACES)
        verb, relations = rng.choice(
            [(" lives in ", (Relation("lives in", 0, 1),)), (" left ", ())]
        )
        start = len(person) + len(verb)
        entities = (Entity("PER", 0, len(person)), Entity("LOC", start, start + len(place)))
        text = f"{person}{verb}{place}."
        documents.append(Document(f"{seed}-{index}", text, entities, relations))
    return documents


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Anna lives in Paris."], True),
        (["Анна живёт в Париже."], True),
        (["안나는 파리에 산다."], True),
        (["王甲字子乙，琅邪人也。以功封侯，食邑三百户。", "太守 卒。"], False),
        (["アンナはパリに住んでいる。"], False),
        ([], False),
    ],
)
def test_spaces_between_words_are_told_from_spaces_now_and_then(
    texts: list[str], expected: bool
) -> None:
    assert has_spaces(texts) == expected


def test_the_same_texts_give_the_same_vocabulary() -> None:
    texts = [document.text for document in _documents(50, 0)]
    assert sub_word_tokenizer(texts).to_str() == sub_word_tokenizer(texts).to_str()


@given(words=st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=8))
def test_every_character_is_read_and_a_mention_may_end_at_any_punctuation_mark(
    words: list[str],
) -> None:
    tokenizer = TextTokenizer(sub_word_tokenizer([document.text for document in _documents(9, 0)]))
    encoded = tokenizer.encode(" ".join([*words, "(Ann", "Li).", *words]))
    start = len(" ".join([*words, ""])) + 1
    assert align(encoded, start, start + len("Ann Li")) is not None
    assert 1 not in encoded.ids.tolist(), "no character is unknown"


def test_long_names_of_a_language_with_spaces_are_learned_from_scratch(tmp_path: Path) -> None:
    model = train(
        _documents(160, 0),
        _documents(30, 1),
        _SCHEMA,
        TrainOptions(encoder=RANDOM, epochs=8, learning_rate=3e-3),
        work_dir=tmp_path / "work",
        output=tmp_path / "model",
    )
    card = json.loads((model.folder / "card.json").read_bytes())
    assert card["encoder"] == "sub-word encoder from scratch"
    assert card["data"]["left_out"] == {"train": {}, "dev": {}}
    assert model.dev_scores["entity_f1"] > 0.9
    engine = Engine.load(model.folder, EngineConfig(threads=1))
    gold = _documents(30, 2)
    people = {(d.id, e.start, e.end) for d in gold for e in d.entities if e.type == "PER"}
    outputs = extract(engine, [replace(one, entities=(), relations=()) for one in gold])
    found = [output.document for output in outputs if isinstance(output, Extraction)]
    spans = {(d.id, e.start, e.end) for d in found for e in d.entities if e.type == "PER"}
    assert len(people & spans) > 0.9 * len(people)
