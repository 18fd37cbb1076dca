"""Native data files: what is read is what was written, and every mistake is named by its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import (
    format_line,
    parse_line,
    read_documents,
    write_documents,
)
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid, InvalidInput

PERSON: dict[str, object] = {"type": "PER", "start": 0, "end": 1}
OFFICE: dict[str, object] = {"type": "OFI", "start": 2, "end": 4}
HOLDS: dict[str, object] = {"type": "任职", "head": 0, "tail": 1}
GOOD: dict[str, object] = {
    "id": "a",
    "text": "裕为太尉",
    "entities": [PERSON, OFFICE],
    "relations": [HOLDS],
}


def _with(**changes: object) -> str:
    return json.dumps(GOOD | changes, ensure_ascii=False)


def _entity(**changes: object) -> str:
    return _with(entities=[PERSON | changes, OFFICE])


def _relation(**changes: object) -> str:
    return _with(relations=[HOLDS | changes])


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ('{"id": "a", "text": }', "json", "column 21"),
        ('{"id": "a"} x', "json", "column 13"),
        ('{"id": NaN}', "json", "NaN"),
        ('{"id": "a", "text": Infinity}', "json", "Infinity"),
        ("[" * 100_000, "json", "nested"),
        ('{"id": ' + "9" * 5000 + "}", "json", "holds a number of 5000 digits; at most 4300"),
        ('{"id": -' + "9" * 5000 + "}", "json", "holds a number of 5000 digits; at most 4300"),
        ("[]", "document", "a list"),
        ('"text"', "document", "a string"),
        ("12", "document", "the number 12"),
        ('{"text": "裕"}', "id", "missing"),
        ('{"id": "a"}', "text", "missing"),
        ('{"id": "a", "id": "b", "text": "裕"}', "id", "twice"),
        (_with(id=3), "id", "must be a string, not the number 3"),
        (_with(id=" "), "id", "empty"),
        (_with(id=None), "id", "null"),
        (_with(text=""), "text", "empty"),
        (_with(text=["裕"]), "text", "must be a string, not a list"),
        ('{"id": "a", "text": "裕\\ud800"}', "text", "U+D800 at offset 1"),
        (_entity(type=" "), "entities[0].type", "empty"),
        (_relation(type=""), "relations[0].type", "empty"),
        (_with(meta={}), "meta", "not known"),
        (_with(entities={}), "entities", "must be a list"),
        (_with(entities=[7]), "entities[0]", "must be an object"),
        (_entity(type="LOC"), "entities[0].type", "'LOC' is no entity type"),
        (_entity(type=None), "entities[0].type", "null"),
        (_entity(start=True), "entities[0].start", "must be an integer, not a boolean"),
        (_entity(start=0.0), "entities[0].start", "must be an integer"),
        (_entity(start="0"), "entities[0].start", "must be an integer, not a string"),
        (_entity(start=-1), "entities[0].start", "outside the text of 4"),
        (_entity(end=5), "entities[0].end", "outside the text of 4"),
        (_entity(end=0), "entities[0].end", "greater than start"),
        (_entity(prob=1.5), "entities[0].prob", "not in [0, 1]"),
        (_entity(prob=True), "entities[0].prob", "must be a number"),
        (_entity(text="裕"), "entities[0].text", "not known"),
        (_relation(type="母"), "relations[0].type", "'母' is no relation type"),
        (_relation(tail=2), "relations[0].tail", "not one of 2 entities"),
        (_relation(head=-1), "relations[0].head", "not one of 2 entities"),
        (_relation(tail=0), "relations[0].tail", "is the head too"),
        (_relation(tail=False), "relations[0].tail", "a boolean"),
        (_relation(type="\ud800"), "relations[0].type", "U+D800"),
    ],
)
def test_a_wrong_line_is_named_by_its_field(
    line: str, field: str, words: str, schema: TaskSchema
) -> None:
    with pytest.raises(DataInvalid) as caught:
        parse_line(line, schema)

    matching = [v.problem for v in caught.value.violations if v.field == field]
    assert any(words in problem for problem in matching), caught.value.violations


def test_a_good_line_is_read_whole(schema: TaskSchema) -> None:
    document = parse_line(_relation(prob=0.25), schema)

    assert document == Document(
        "a",
        "裕为太尉",
        (Entity("PER", 0, 1), Entity("OFI", 2, 4)),
        (Relation("任职", 0, 1, 0.25),),
    )


def test_annotations_may_be_left_out() -> None:
    assert parse_line('{"id": "a", "text": "裕"}') == Document("a", "裕")


def test_offsets_count_code_points() -> None:
    """A character outside the basic plane is one, not two."""
    line = '{"id": "a", "text": "𠮷裕", "entities": [{"type": "PER", "start": 1, "end": 2}]}'

    assert parse_line(line).mention(0) == "裕"


def test_all_problems_of_a_file_are_named_by_line(tmp_path: Path, schema: TaskSchema) -> None:
    path = tmp_path / "data.jsonl"
    lines = [_with(id="x"), "", "{", _relation(type="母"), _with(id="x"), _entity(start=9)]
    path.write_text("\n".join(lines), encoding="utf-8")

    with pytest.raises(DataInvalid) as caught:
        read_documents(path, schema)

    assert [violation.field for violation in caught.value.violations] == [
        "line 3: json",
        "line 4: relations[0].type",
        "line 5: id",
        "line 6: entities[0].end",
        "line 6: entities[0].start",
        "line 6: id",
    ]
    assert "line 1" in caught.value.violations[2].problem


def test_a_repeated_id_is_named_whatever_else_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f"{_with(text=3)}\n{_with(text=3)}\n{_with()}", encoding="utf-8")

    with pytest.raises(DataInvalid) as caught:
        read_documents(path)

    repeated = [(v.field, v.problem) for v in caught.value.violations if "id" in v.field]
    assert repeated == [
        ("line 2: id", "'a' names line 1 too"),
        ("line 3: id", "'a' names line 1 too"),
    ]


def test_an_error_names_a_hundred_problems_and_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("{\n" * 130, encoding="utf-8")

    with pytest.raises(DataInvalid, match="130 problems") as caught:
        read_documents(path)

    assert len(caught.value.violations) == 101
    assert caught.value.violations[-1].problem == "30 more problems"


def test_repeated_annotations_are_read_as_they_stand() -> None:
    """Published corpora repeat relations; reading changes nothing."""
    line = _with(relations=[HOLDS, HOLDS])

    assert len(parse_line(line).relations) == 2


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"", "file", "holds no document"),
        (b"\n\n", "file", "holds no document"),
        (b"\xef\xbb\xbf" + _with().encode(), "line 1: file", "byte order mark"),
        (_with().encode() + b"\n\xff", "line 2: file", "byte offset "),
    ],
)
def test_broken_files_are_named(content: bytes, place: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)

    with pytest.raises(DataInvalid) as caught:
        read_documents(path)

    assert caught.value.violations[0].field == place
    assert words in caught.value.violations[0].problem


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("name", ["data.jsonl", "data.json", "data.iob2", "data"])
def test_another_encoding_is_one_problem_whatever_the_format(
    encoding: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text("\n".join([_with()] * 3), encoding=encoding)

    with pytest.raises(DataInvalid) as caught:
        read_any(path)

    (violation,) = caught.value.violations
    assert violation.field == "file"
    assert "save it as UTF-8" in violation.problem


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_tells_where_zeros_do_not(encoding: str, tmp_path: Path) -> None:
    """Chinese characters have no zero bytes in UTF-16."""
    path = tmp_path / "data.iob2"
    path.write_text("\ufeff裕 B-PER\n", encoding=encoding)

    with pytest.raises(DataInvalid) as caught:
        read_any(path)

    assert "save it as UTF-8" in caught.value.violations[0].problem


def test_a_byte_offset_points_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    first = _with().encode() + b"\r\n"
    path.write_bytes(first + b'{"id": "b", "text": "\xff"}')

    with pytest.raises(DataInvalid) as caught:
        read_documents(path)

    assert f"byte 0xff at byte offset {len(first) + 21} " in caught.value.violations[0].problem


@pytest.mark.parametrize(
    ("make", "words"), [(Path.mkdir, "is a folder"), (lambda path: None, "does not exist")]
)
def test_what_is_no_file_is_named(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    make(path)

    with pytest.raises(DataInvalid) as caught:
        read_documents(path)

    assert words in caught.value.violations[0].problem


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    write_documents(path, [Document("a", "裕")])
    before = path.read_bytes()

    with pytest.raises(DataInvalid) as caught:
        write_documents(path, [Document("b", "裕"), Document("c", "裕", (Entity("PER", 0, 2),))])

    assert caught.value.violations[0].field == "line 2: entities[0].end"
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["data.jsonl"]


def test_documents_of_one_id_are_not_written(tmp_path: Path) -> None:
    """They could not be read back."""
    with pytest.raises(DataInvalid, match="has 1 problem"):
        write_documents(tmp_path / "data.jsonl", [Document("a", "裕"), Document("a", "尉")])

    assert not list(tmp_path.iterdir())


def test_writing_to_a_folder_is_an_error_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="folder"):
        write_documents(tmp_path, [Document("a", "裕")])


def test_chinese_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.jsonl"
    write_documents(path, [Document("a", "裕")])

    assert "裕" in path.read_text(encoding="utf-8")


# Any character that UTF-8 can carry, line ends that are none among them.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
PROBABILITIES = st.none() | st.floats(0, 1)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    ranges = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(
        lambda pair: pair[0] < pair[1]
    )
    entities = tuple(
        Entity(draw(TEXTS), start, end, draw(PROBABILITIES))
        for start, end in draw(st.lists(ranges, max_size=3))
    )
    pairs = [(a, b) for a in range(len(entities)) for b in range(len(entities)) if a != b]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
    relations = tuple(Relation(draw(TEXTS), a, b, draw(PROBABILITIES)) for a, b in chosen)
    return Document(draw(TEXTS), text, entities, relations)


@given(documents())
def test_a_document_is_read_back_as_it_was_written(document: Document) -> None:
    assert parse_line(format_line(document)) == document


@given(st.lists(documents(), min_size=1, max_size=3, unique_by=lambda doc: doc.id))
def test_a_file_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, docs: list[Document]
) -> None:
    path = tmp_path_factory.mktemp("roundtrip") / "data.jsonl"
    write_documents(path, docs)

    assert read_documents(path) == docs
