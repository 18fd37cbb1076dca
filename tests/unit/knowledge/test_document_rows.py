"""Rows of files become documents: in order, whole, and every problem with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.predictions import Lineage
from slcolm_services.errors import DataInvalid
from slcolm_services.knowledge.document_rows import Grouping, read_documents

PERSONS = [{"type": "PER", "start": 0, "end": 1}, {"type": "PER", "start": 1, "end": 2}]


def line(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "text": "甲乙"} | fields


def write(path: Path, rows: Sequence[object]) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    return path


def problems(path: Path, *args: Any) -> list[str]:
    with pytest.raises(DataInvalid) as caught:
        list(read_documents([path], *args))
    assert str(path) in caught.value.message
    return [str(violation) for violation in caught.value.violations]


@given(st.lists(st.lists(st.sampled_from("pqr"), max_size=6), min_size=1, max_size=3))
def test_every_row_is_in_one_document_in_order(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    files = [names for names in files if names] or [["p"]]
    paths = []
    for number, names in enumerate(files):
        rows = [line(id=f"{number}.{place}", doc=name) for place, name in enumerate(names)]
        paths.append(write(folder / f"{number}.jsonl", rows))
    flat = [
        (name, f"{n}.{place}") for n, names in enumerate(files) for place, name in enumerate(names)
    ]
    together = [(name, list(rows)) for name, rows in groupby(flat, lambda row: row[0])]

    read = read_documents(paths, Grouping("doc"))
    if len({name for name, _ in together}) < len(together):
        with pytest.raises(DataInvalid, match="do not stand together"):
            list(read)
        return
    assert [(name, [row.id for row in rows]) for name, rows in read] == [
        (name, [of for _, of in rows]) for name, rows in together
    ]


def test_without_grouping_each_row_is_a_document_also_where_ids_repeat(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(), line(), line(id="b")])

    assert [(name, len(rows)) for name, rows in read_documents([path])] == [
        ("a", 1),
        ("a", 1),
        ("b", 1),
    ]


def test_a_document_is_named_by_any_field_or_a_part_of_it(tmp_path: Path) -> None:
    rows = [line(id="x-1", origin={"file": "f", "row": 1}), line(id="x-2", origin={"file": "f"})]
    path = write(tmp_path / "a.jsonl", [*rows, line(id="y-1", origin={"file": 7})])

    def names(field: str, pattern: str | None = None) -> list[str]:
        grouping = Grouping(field, re.compile(pattern) if pattern else None)
        return [name for name, _ in read_documents([path], grouping)]

    assert names("origin.file") == ["f", "7"]
    assert names("id", r"(.+)-\d+") == ["x", "y"]
    assert names("id", r".-\d") == ["x-1", "x-2", "y-1"]


def test_a_row_that_failed_stays_in_its_document(tmp_path: Path) -> None:
    error = {"code": "INVALID_ARGUMENT", "reason": "TEXT_TOO_LONG", "message": "m"}
    rows = [line(doc=1), {"id": "b", "error": error, "doc": 1}, line(id="c", error="away", doc=1)]

    ((_, read),) = read_documents([write(tmp_path / "a.jsonl", rows)], Grouping("doc"))

    assert [(row.id, row.document is None, row.error) for row in read] == [
        ("a", False, ""),
        ("b", True, "TEXT_TOO_LONG"),
        ("c", True, "away"),
    ]


def test_lineage_is_read_with_the_triples(tmp_path: Path) -> None:
    triple = {"head": "甲", "tail": "乙", "type": "父", "sources": ["llm"], "rule": "llm_only"}
    relation = {"type": "父", "head": 0, "tail": 1}
    row = line(entities=PERSONS, relations=[relation], triples=[triple], explanation="…")

    ((_, (read,)),) = read_documents([write(tmp_path / "a.jsonl", [row])])

    assert list(read.lineage.values()) == [Lineage(("llm",), "llm_only")]


def test_every_problem_has_its_line_and_field(tmp_path: Path) -> None:
    relation = {"type": "父", "head": 0, "tail": 1}
    triple = {"head": "甲", "tail": "丙", "type": "父"}
    path = write(
        tmp_path / "a.jsonl",
        [
            "{",
            line(doc="p"),
            line(),
            line(doc="p", entities=[{"type": "PER", "start": 0, "end": 9}]),
            line(doc=True),
            line(doc="p", entities=PERSONS, relations=[relation]),
            line(doc="p", entities=PERSONS, triples=[triple]),
            {"id": "a", "doc": "p", "triples": [triple]},
            "[]",
            line(doc="q"),
        ],
    )

    found = problems(path, Grouping("doc", re.compile("p")), {"子"})

    assert found == [
        "line 1: json: is not JSON: Expecting property name enclosed in double quotes at column 2",
        "line 3: doc: is missing; it names the document",
        "line 4: entities[0].end: 9 is outside the text of 2",
        "line 5: doc: must be a string or a whole number; it names the document",
        "line 6: relations[0].type: '父' is no relation type of the task",
        "line 7: triples[0]: has no relation with offsets on this line",
        "line 8: triples[0]: has no relation with offsets on this line",
        "line 9: row: must be an object, not a list",
        "line 10: doc: 'q' does not match 'p'",
    ]


def test_a_document_that_comes_back_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(doc="p"), line(doc="q"), line(doc="p")])

    assert problems(path, Grouping("doc")) == [
        "line 3: doc: 'p' has ended before; sort the rows by it"
    ]


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    assert problems(write(tmp_path / "a.jsonl", ["", " "])) == ["file: holds no row"]
    assert problems(tmp_path / "none.jsonl") == ["file: does not exist"]
