"""Predictions: native documents, lines with triples, and what is wrong with either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.predictions import Answer, Lineage, read_predictions
from slcolm_services.errors import DataInvalid

NATIVE: dict[str, Any] = {
    "id": "1",
    "text": "甲父乙",
    "entities": [
        {"type": "PER", "start": 0, "end": 1, "prob": 0.9},
        {"type": "PER", "start": 2, "end": 3, "prob": 0.9},
    ],
    "relations": [{"type": "父", "head": 0, "tail": 1, "prob": 0.8}],
}
TRIPLES = [{"head": "乙", "tail": "甲", "type": "子", "sources": ["llm"], "rule": "llm"}]


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_a_native_line_gives_the_triples_of_its_relations(tmp_path: Path) -> None:
    (found,) = read_predictions(write(tmp_path / "p.jsonl", NATIVE))
    assert found.triples == (Triple("甲", "乙", "父"),)
    assert found.document is not None


def test_the_triples_of_a_line_come_before_its_relations(tmp_path: Path) -> None:
    line = NATIVE | {"triples": TRIPLES, "explanation": "…"}
    (found,) = read_predictions(write(tmp_path / "p.jsonl", line))
    assert found.triples == (Triple("乙", "甲", "子"),)
    assert found.document is not None


def test_triples_alone_are_enough(tmp_path: Path) -> None:
    (found,) = read_predictions(write(tmp_path / "p.jsonl", {"id": "1", "triples": TRIPLES}))
    assert (found.triples, found.document) == ((Triple("乙", "甲", "子"),), None)


def test_lineage_is_read_where_a_line_has_it(tmp_path: Path) -> None:
    answer = {"provider": "p", "model": "m", "prompt_digest": "d", "offline_rules": True}
    line = NATIVE | {"triples": TRIPLES, "explanation": "因为", "answer": answer}
    unanswered = line | {"id": "2", "answer": {"missing": "refused"}, "explanation": None}
    found, bare, native = read_predictions(
        write(tmp_path / "p.jsonl", line, unanswered, NATIVE | {"id": "3"})
    )
    assert found.lineage == (Lineage(("llm",), "llm"),)
    assert (found.explanation, found.answer) == (
        "因为",
        Answer("p", "m", "d", offline_rules=True),
    )
    assert (bare.explanation, bare.answer) == ("", None)
    assert (native.lineage, native.answer) == ((Lineage(),), None)


def test_lineage_that_is_none_is_named(tmp_path: Path) -> None:
    line = {
        "id": "1",
        "triples": [{"head": "甲", "tail": "乙", "type": "父", "sources": "slm", "rule": 1}],
        "explanation": ["因为"],
        "answer": {"model": 3, "offline_rules": "no"},
    }
    with pytest.raises(DataInvalid) as caught:
        read_predictions(write(tmp_path / "p.jsonl", line))
    assert [violation.field for violation in caught.value.violations] == [
        "line 1: triples[0].sources",
        "line 1: triples[0].rule",
        "line 1: explanation",
        "line 1: answer.offline_rules",
        "line 1: answer.model",
    ]


def test_everything_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl",
        {"id": "1", "triples": [{"head": "甲", "tail": "乙"}]},
        NATIVE | {"relations": [{"type": "父", "head": 0, "tail": 7}]},
        {"id": "3"},
        [],
    )
    with pytest.raises(DataInvalid) as caught:
        read_predictions(path)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == [
        "line 1: triples[0].type",
        "line 2: relations[0].tail",
        "line 3: text",
        "line 4: prediction",
    ]


def test_an_id_that_stands_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    line = {"id": "1", "triples": TRIPLES}
    path = write(tmp_path / "p.jsonl", line, {"id": "2", "triples": []}, line)
    with pytest.raises(DataInvalid) as caught:
        read_predictions(path)
    assert [str(violation) for violation in caught.value.violations] == [
        "line 3: id: '1' names line 1 too"
    ]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid):
        read_predictions(tmp_path / "none.jsonl")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_a_prediction_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(DataInvalid) as caught:
        read_predictions(path)

    assert [str(violation) for violation in caught.value.violations] == [
        "file: holds no prediction"
    ]
