"""Any file can be checked: whatever stands in it, the answer is documents or named problems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.formats import (
    Format,
    check_file,
    convert,
    detect_format,
    read_any,
)
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid

NATIVE = '{"id": "a", "text": "裕", "entities": [], "relations": []}\n'
SPERT = '[{"tokens": "裕为太尉", "entities": [{"type": "PER", "start": 0, "end": 1}]}]'
IOB2 = "Rome B-LOC\n"

# JSON of about the right shape, with every value possibly wrong.
VALUES = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=5)
ITEMS = st.dictionaries(
    st.sampled_from(["type", "start", "end", "head", "tail", "prob", "span", "x"]), VALUES
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["id", "text", "tokens", "entities", "relations", "orig_id", "1"]),
    VALUES | st.lists(ITEMS | VALUES, max_size=3),
)


@given(st.binary(max_size=300), st.sampled_from(["jsonl", "spert", "iob2", None]))
@example(b"\xef\xbb\xbf", "spert")
@example(b'{"id": "\\ud800", "\\udfff": "\\ud8', "jsonl")
@example(b"[[[[", "jsonl")
@example(b"a\x85b B-\xc2\x85", "iob2")
def test_any_bytes_are_checked(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: Format | None
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "data"
    path.write_bytes(content)

    report = check_file(path, None, kind)

    assert report.documents or report.errors
    assert all(problem.field and problem.problem for problem in report.problems)


@given(st.lists(DOCUMENTS, max_size=3), st.booleans(), st.booleans())
def test_a_file_can_be_read_if_and_only_if_its_check_finds_no_error(
    tmp_path_factory: pytest.TempPathFactory,
    schema: TaskSchema,
    documents: list[dict[str, object]],
    as_list: bool,
    with_schema: bool,
) -> None:
    path = tmp_path_factory.mktemp("json") / ("data.json" if as_list else "data.jsonl")
    lines = [json.dumps(document) for document in documents]
    path.write_text(f"[{','.join(lines)}]" if as_list else "\n".join(lines), encoding="utf-8")
    task = schema if with_schema else None

    report = check_file(path, task)
    if report.errors:
        with pytest.raises(DataInvalid) as caught:
            read_any(path, task)
        assert caught.value.violations[0] == report.errors[0].violation()
    else:
        assert len(read_any(path, task)) == report.documents


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", SPERT, "jsonl"),
        ("a.json", SPERT, "spert"),
        ("a.json", NATIVE, "jsonl"),
        ("a.conll", "[ O\n", "iob2"),
        ("a.IOB2", IOB2, "iob2"),
        ("a.txt", NATIVE, "jsonl"),
        ("a.txt", "\ufeff \n" + SPERT, "spert"),
        ("a", IOB2, "iob2"),
    ],
)
def test_the_format_is_told_by_extension_then_by_content(
    name: str, content: str, expected: Format, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")

    assert detect_format(path) == expected


@pytest.mark.parametrize("name", ["absent.jsonl", "absent.json", "absent.iob2", "absent", "."])
def test_a_missing_file_is_a_problem_like_any_other(name: str, tmp_path: Path) -> None:
    report = check_file(tmp_path / name)

    assert [problem.field for problem in report.errors] == ["file"]


def test_relations_between_types_that_the_schema_rules_out_are_warnings(
    tmp_path: Path, schema: TaskSchema
) -> None:
    person, office = Entity("PER", 0, 1), Entity("OFI", 2, 4)
    relations = (Relation("任职", 0, 1), Relation("任职", 1, 0), Relation("其他", 1, 0))
    path = tmp_path / "data.jsonl"
    write_documents(path, [Document("a", "裕为太尉", (person, office), relations)])

    (warning,) = check_file(path, schema).warnings

    assert (warning.line, warning.field) == (1, "relations[1]")
    assert "'任职' joins OFI and PER" in warning.problem


def test_repeated_annotations_are_warnings(tmp_path: Path) -> None:
    """Published corpora have them; a file that holds some can still be read."""
    entity = {"type": "PER", "start": 0, "end": 1}
    relation = {"type": "父", "head": 0, "tail": 1}
    document = {"id": "a", "text": "裕", "entities": [entity] * 2, "relations": [relation] * 2}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(document), encoding="utf-8")

    report = check_file(path)

    assert not report.errors
    assert [(problem.line, problem.field) for problem in report.warnings] == [
        (1, "entities[1]"),
        (1, "relations[1]"),
    ]


def test_what_is_put_right_is_logged_without_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(SPERT, encoding="utf-8")

    with capture_logs() as logs:
        read_any(path)

    (entry,) = logs
    assert entry["repairs"] == {"tokens given as a string": 1}
    assert "裕" not in str(entry)


def test_a_converted_file_is_native_and_holds_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "a.json", tmp_path / "b.jsonl"
    source.write_text(SPERT, encoding="utf-8")

    count, repairs = convert(source, target)

    assert (count, dict(repairs)) == (1, {"tokens given as a string": 1})
    assert read_documents(target) == read_any(source)


def test_a_failed_conversion_writes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text("[{}]", encoding="utf-8")

    with pytest.raises(DataInvalid):
        convert(source, tmp_path / "b.jsonl")

    assert list(tmp_path.iterdir()) == [source]
