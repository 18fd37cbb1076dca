"""Leakage between splits is found for every pair, with the sentences that leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.leakage import LeakedSentence, find_leakage, leakage_json

TRAIN = [Document("t1", "晋陶侃为荆州刺史，镇武昌。"), Document("t2", "孫權自公安徙都鄂")]
DEV = [Document("d1", "孙权自公安徙都鄂。"), Document("d2", "曹操还许")]
TEST = [Document("e1", "是岁，陶侃为荆州刺史，卒。"), Document("e2", "曹操還許。")]


def test_every_pair_is_compared_test_first() -> None:
    leaks = find_leakage({"train": TRAIN, "dev": DEV, "test": TEST}, run_length=7)

    assert [(leak.split, leak.other, leak.sentences, leak.ids) for leak in leaks] == [
        ("test", "train", 2, ("e1",)),
        ("test", "dev", 2, ("e2",)),
        ("dev", "train", 2, ("d1",)),
    ]
    in_train, in_dev, _ = leaks
    assert in_train.sharing == (LeakedSentence("e1", "t1", "陶侃为荆州刺史"),)
    assert in_train.same == ()
    assert in_dev.same == (LeakedSentence("e2", "d2", "曹操还许"),)
    assert (in_dev.unit, in_dev.run_length) == ("characters", 7)


def test_one_split_has_nothing_to_leak_from() -> None:
    assert find_leakage({"train": TRAIN}) == []
    assert find_leakage({}) == []


def test_an_empty_split_leaks_nothing() -> None:
    (leak,) = find_leakage({"train": [], "test": TEST})

    assert (leak.sentences, leak.ids) == (2, ())


def test_texts_of_words_are_compared_by_words() -> None:
    train = [Document("a", "He was born in the old town of Bonn in 1833.")]
    test = [Document("b", "She was born in the old town of Bonn in 1901, he said.")]

    (leak,) = find_leakage({"train": train, "test": test})

    assert (leak.unit, leak.run_length) == ("words", 8)
    assert leak.sharing == (LeakedSentence("b", "a", "was born in the old town of bonn"),)


def test_as_json_all_ids_are_there_and_some_examples() -> None:
    train = [Document("t", "策遂与汝南吕范")]
    test = [Document(str(number), f"策遂与汝南吕范{number}") for number in range(9)]

    (told,) = leakage_json(find_leakage({"train": train, "test": test}, 7), examples=2)

    assert told["same"] == {"count": 0, "ids": [], "examples": []}
    assert (told["sharing"]["count"], len(told["sharing"]["ids"])) == (9, 9)
    assert told["sharing"]["examples"][1] == {"id": "1", "other_id": "t", "run": "策遂与汝南吕范"}


def test_a_run_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        find_leakage({"train": TRAIN, "test": TEST}, run_length=0)


@pytest.mark.shared_data
def test_the_known_leakage_of_chisre_is_found(shared: Path) -> None:
    """Of the 54 test sentences that are known to share 12 characters with train, 26 are here."""
    splits = {
        name: read_any(shared / f"chisre/{file}.jsonl")
        for name, file in (("train", "train"), ("dev", "dev"), ("test", "test_a"))
    }

    leaks = find_leakage(splits)

    assert [
        (leak.split, leak.other, leak.unit, len(leak.same), len(leak.sharing)) for leak in leaks
    ] == [
        ("test", "train", "characters", 0, 26),
        ("test", "dev", "characters", 0, 4),
        ("dev", "train", "characters", 0, 45),
    ]


@pytest.mark.shared_data
def test_repeated_sentences_of_conll04_are_found(shared: Path) -> None:
    train, dev = (read_any(shared / f"conll04/{name}.json") for name in ("train", "dev"))

    (leak,) = find_leakage({"train": train, "dev": dev})

    assert (leak.unit, len(leak.same), len(leak.sharing)) == ("words", 15, 14)
