"""SpERT's JSON: token offsets become code points, and what is put right is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.spert import (
    ID_AS_KEY,
    LONG_LABEL,
    OTHER_SCRIPT,
    STRING_TOKENS,
    read_spert,
    scan,
)
from slcolm_services.errors import DataInvalid


def _write(folder: Path, documents: Any) -> Path:
    path = folder / "part_train.json"
    path.write_text(json.dumps(documents, ensure_ascii=False), encoding="utf-8")
    return path


def test_token_offsets_become_code_points(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        [
            {
                "tokens": ["John", "W.", "Booth", "in", "Zürich"],
                "entities": [
                    {"type": "Peop", "start": 0, "end": 3},
                    {"type": "Loc", "start": 4, "end": 5},
                ],
                "relations": [{"type": "Live_In", "head": 0, "tail": 1}],
                "orig_id": 5178,
            },
            {"tokens": ["Rain"]},
        ],
    )

    documents, repairs = read_spert(path)

    assert documents == [
        Document(
            "5178",
            "John W. Booth in Zürich",
            (Entity("Peop", 0, 13), Entity("Loc", 17, 23)),
            (Relation("Live_In", 0, 1),),
        ),
        Document("part_train-00001", "Rain"),
    ]
    assert not repairs


def test_the_bends_of_the_chisre_files_are_put_right_and_counted(
    tmp_path: Path, schema: TaskSchema
) -> None:
    path = _write(
        tmp_path,
        [
            {
                "17": "orig_id",
                "tokens": "孙权为将军",
                "entities": [
                    {"type": "PER", "start": 0, "end": 2, "span": "孫權"},
                    {"type": "OFI", "start": 3, "end": 5, "span": "將軍"},
                ],
                "relations": [
                    {"type": "任 职 & 爵 位", "head": 0, "tail": 1, "head_span": "孫權"},
                ],
            }
        ],
    )

    documents, repairs = read_spert(path, schema)

    assert documents == [
        Document(
            "17",
            "孙权为将军",
            (Entity("PER", 0, 2), Entity("OFI", 3, 5)),
            (Relation("任职", 0, 1),),
        )
    ]
    assert repairs == {ID_AS_KEY: 1, STRING_TOKENS: 1, OTHER_SCRIPT: 2, LONG_LABEL: 1}


def test_a_span_that_is_another_word_is_a_warning(tmp_path: Path) -> None:
    entity = {"type": "PER", "start": 0, "end": 2, "span": "曹操"}
    (record,) = scan(_write(tmp_path, [{"tokens": "孙权", "entities": [entity]}]))

    (problem,) = record.problems
    assert (problem.severity, problem.field) == ("warning", "[0].entities[0].span")
    assert OTHER_SCRIPT not in record.repairs


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ([], "[0].document", "a list"),
        ({}, "[0].tokens", "missing"),
        ({"tokens": []}, "[0].tokens", "empty"),
        ({"tokens": ""}, "[0].tokens", "empty"),
        ({"tokens": 3}, "[0].tokens", "a list"),
        ({"tokens": ["a", ""]}, "[0].tokens[1]", "empty"),
        ({"tokens": ["a", 3]}, "[0].tokens[1]", "the number 3"),
        ({"tokens": ["a", "\ud800"]}, "[0].tokens[1]", "U+D800"),
        ({"tokens": ["a"], "orig_id": None}, "[0].orig_id", "string or an integer"),
        (
            {"tokens": ["a"], "entities": [{"type": "PER", "start": 0, "end": 2}]},
            "[0].entities[0]",
            "not inside 1 tokens",
        ),
        (
            {"tokens": ["a"], "entities": [{"type": "PER", "start": 1, "end": 1}]},
            "[0].entities[0]",
            "not inside 1 tokens",
        ),
        (
            {"tokens": ["a"], "entities": [{"type": "X", "start": 0, "end": 1}]},
            "[0].entities[0].type",
            "no entity type",
        ),
        (
            {"tokens": ["a"], "relations": [{"type": "父 母", "head": 0, "tail": 1}]},
            "[0].relations[0].type",
            "'父 母' is no relation type",
        ),
    ],
)
def test_a_mistake_is_named_by_its_field(
    document: Any, field: str, words: str, tmp_path: Path, schema: TaskSchema
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([document]), encoding="utf-8")

    with pytest.raises(DataInvalid) as caught:
        read_spert(path, schema)

    matching = [v.problem for v in caught.value.violations if v.field == f"line 1: {field}"]
    assert any(words in problem for problem in matching), caught.value.violations


def test_problems_have_the_line_of_their_document(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('[\n {"tokens": ["a"]},\n\n {"tokens": [""]},\n {"tokens": 1}\n]\n')

    with pytest.raises(DataInvalid) as caught:
        read_spert(path)

    assert [violation.field for violation in caught.value.violations] == [
        "line 4: [1].tokens[0]",
        "line 5: [2].tokens",
    ]


def test_a_repeated_id_is_named_by_its_place_in_the_list(tmp_path: Path) -> None:
    path = _write(tmp_path, [{"tokens": ["a"], "orig_id": name} for name in (1, 2, "1")])

    with pytest.raises(DataInvalid) as caught:
        read_spert(path)

    (violation,) = caught.value.violations
    assert str(violation) == "line 1: [2].id: '1' names [0] too"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "must be a JSON list"),
        (b"[", "column 2"),
        (b'[{"tokens": ["a"]} {}]', "`,` or `]` is missing at column 20"),
        (b'[{"tokens": ["a"]},]', "column 20"),
        (b'[{"tokens": ["a"]}] x', "follows its end at column 21"),
        (b'[{"tokens": ["a"]},\n{"tokens": }]', "line 2, column 12"),
        (b"[]", "no document"),
        (b"\xff[]", "byte offset 0"),
    ],
)
def test_a_broken_file_is_named_with_the_place(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(content)

    with pytest.raises(DataInvalid) as caught:
        read_spert(path)

    assert any(words in violation.problem for violation in caught.value.violations)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1).filter(
        lambda tokens: bool(" ".join(tokens).strip())
    ),
    st.data(),
)
def test_an_entity_is_its_tokens_joined(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[str], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(tokens) - 1))
    end = data.draw(st.integers(start + 1, len(tokens)))
    entity = {"type": "X", "start": start, "end": end}
    path = _write(tmp_path_factory.mktemp("spert"), [{"tokens": tokens, "entities": [entity]}])

    ((document,), _) = read_spert(path)

    assert document.mention(0) == " ".join(tokens[start:end])
