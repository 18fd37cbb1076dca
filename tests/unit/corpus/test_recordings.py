"""Recordings are read whole, and what is wrong is named by line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.recordings import RecordedEntity, first_answers, read_recordings
from slcolm_services.errors import DataInvalid

LINE: dict[str, Any] = {
    "id": "1",
    "occurrence": 1,
    "text": "甲父乙",
    "gold_entities": [{"text": "甲", "type": "人物"}],
    "gold_triples": [{"head": "甲", "tail": "乙", "type": "父"}],
    "slm_entities": [{"text": "甲", "type": "人物", "prob": 1}],
    "slm_triples": [{"head": "甲", "tail": "乙", "type": "父", "prob": 0.5}],
    "llm_raw": "{}",
    "llm_entities_parsed": {"人物": ["甲"]},
    "llm_relations_parsed": {"父": [["甲", "乙"]]},
    "strict_llm_triples": [["甲", "乙", "父"]],
}


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_a_full_line_is_read(tmp_path: Path) -> None:
    (found,) = read_recordings(write(tmp_path / "r.jsonl", LINE))
    assert (found.id, found.occurrence, found.llm_raw) == ("1", 1, "{}")
    assert found.slm_entities == (RecordedEntity("甲", "人物", 1.0),)
    assert [triple.prob for triple in found.slm_triples] == [0.5]
    assert found.strict_llm_triples == (Triple("甲", "乙", "父"),)
    assert found.llm_relations == {"父": [["甲", "乙"]]}
    assert not found.answer_is_object


def test_a_bare_line_is_enough_for_replay(tmp_path: Path) -> None:
    (found,) = read_recordings(
        write(tmp_path / "r.jsonl", {"id": "1", "text": "甲", "llm_raw": "…"})
    )
    assert (found.occurrence, found.gold_triples, found.strict_llm_triples) == (0, None, None)


def test_what_a_line_does_not_say_is_not_what_it_says_is_empty(tmp_path: Path) -> None:
    bare = {"id": "1", "text": "甲", "llm_raw": "…"}
    lines = [bare, bare | {"gold_triples": None}, bare | {"gold_triples": []}]
    found = read_recordings(write(tmp_path / "r.jsonl", *lines))
    assert [line.gold_triples for line in found] == [None, None, ()]
    assert [line.line for line in found] == [1, 2, 3]


def test_a_text_that_nobody_answered_has_a_line_that_says_so(tmp_path: Path) -> None:
    (found,) = read_recordings(write(tmp_path / "r.jsonl", LINE | {"llm_raw": None}))
    assert found.llm_raw is None


def test_a_recorded_object_becomes_text(tmp_path: Path) -> None:
    line = LINE | {"llm_raw": {"真实的关系": {}}}
    (found,) = read_recordings(write(tmp_path / "r.jsonl", line))
    assert found.answer_is_object
    assert found.llm_raw == '{"真实的关系": {}}'


def test_the_first_answer_to_a_sentence_stands(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", LINE | {"llm_raw": "a"}, LINE | {"llm_raw": "b"})
    assert [line.llm_raw for line in first_answers(read_recordings(path))] == ["a"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": None}, "line 2: id"),
        ({"text": 1}, "line 2: text"),
        ({"occurrence": True}, "line 2: occurrence"),
        ({"llm_raw": []}, "line 2: llm_raw"),
        ({"llm_raw": True}, "line 2: llm_raw"),
        ({"gold_triples": {}}, "line 2: gold_triples"),
        ({"slm_triples": [{"head": "甲", "tail": "乙"}]}, "line 2: slm_triples[0].type"),
        (
            {"slm_entities": [{"text": "甲", "type": "人物", "prob": "1"}]},
            "line 2: slm_entities[0].prob",
        ),
        (
            {"slm_triples": [{"head": "甲", "tail": "乙", "type": "父", "prob": 1.5}]},
            "line 2: slm_triples[0].prob",
        ),
        (
            {"slm_entities": [{"text": "甲", "type": "人物", "prob": 10**400}]},
            "line 2: slm_entities[0].prob",
        ),
        ({"strict_llm_triples": [["甲", "乙"]]}, "line 2: strict_llm_triples[0]"),
        ({"llm_relations_parsed": []}, "line 2: llm_relations_parsed"),
    ],
)
def test_a_broken_field_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = write(tmp_path / "r.jsonl", LINE, LINE | change)
    with pytest.raises(DataInvalid) as caught:
        read_recordings(path)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_line_must_say_what_was_answered_or_that_nobody_did(tmp_path: Path) -> None:
    line = {key: value for key, value in LINE.items() if key != "llm_raw"}
    with pytest.raises(DataInvalid) as caught:
        read_recordings(write(tmp_path / "r.jsonl", line))
    assert [violation.field for violation in caught.value.violations] == ["line 1: llm_raw"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"id": "\xff"}'])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataInvalid):
        read_recordings(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid):
        read_recordings(tmp_path / "none.jsonl")
