"""Rows of a corpus: one text each, read one by one, also those that are wrong in themselves."""

from __future__ import annotations

import codecs
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from slcolm_services.corpus.jsonfields import SURROGATE, BrokenJson, load_json
from slcolm_services.corpus.records import Findings
from slcolm_services.errors import DataInvalid

MARK_BYTES = 1024 * 1024
Marks: TypeAlias = tuple[int, ...]
"""How many lines end before each multiple of `MARK_BYTES` of a file, from its beginning on."""


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row has no extraction.

    Attributes:
        code: Name of the gRPC status code.
        reason: What happened, for programs.
        message: What happened, for people.
    """

    code: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input.

    Attributes:
        file: Name of its file, without folders.
        number: Its place in that file, counted from 1; the line's number in a file of lines.
        id: The caller's name for it; FILE:NUMBER where it has none.
        text: Its text; empty where there is none.
        error: What is wrong with the row itself; None where it can be asked about.
    """

    file: str
    number: int
    id: str
    text: str
    error: RowError | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a row's parts stand in an object or a table.

    Attributes:
        text: Name of the text's field or column.
        id: That of the id's, which a row need not have.
    """

    text: str = "text"
    id: str = "id"


def text_rows(path: Path, start: int = 0, marks: Marks = ()) -> Iterator[Row]:
    """Each line of a UTF-8 file as a text, blank lines too.

    Args:
        path: The file.
        start: Lines to pass over.
        marks: Its marks; without them, lines are passed over one by one.

    Raises:
        DataInvalid: The file cannot be read.
    """
    for number, raw in _lines(path, start, marks):
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            yield wrong(path.name, number, _no_utf8(error))
        else:
            yield row_of(path.name, number, None, text)


def json_rows(path: Path, fields: Fields, start: int = 0, marks: Marks = ()) -> Iterator[Row]:
    """Each line of a JSONL file, which should hold an object.

    Args:
        path: The file.
        fields: Where a row's parts stand.
        start: Lines to pass over.
        marks: Its marks; without them, lines are passed over one by one.

    Raises:
        DataInvalid: The file cannot be read.
    """
    for number, raw in _lines(path, start, marks):
        found = Findings(number)
        try:
            value = load_json(raw.decode(), found)
        except UnicodeDecodeError as error:
            yield wrong(path.name, number, _no_utf8(error))
        except BrokenJson as error:
            yield wrong(path.name, number, f"the line {error}")
        else:
            problems = found.record(None).problems
            yield _json_row(
                path.name, number, value, fields, [str(p.violation()) for p in problems]
            )


def row_of(file: str, number: int, name: object, text: object, field: str = "text") -> Row:
    """A row of values that may be of any type, with what is wrong with them.

    Args:
        file: Name of its file.
        number: Its place there.
        name: Its id, a string or a whole number; None where it has none.
        text: Its text.
        field: Where the text stood, for messages.
    """
    known = f"{file}:{number}" if name is None or name == "" else name
    if isinstance(known, bool) or not isinstance(known, str | int):
        return wrong(file, number, "the id must be a string or a whole number")
    known = str(known)
    if SURROGATE.search(known):
        return wrong(file, number, "the id is no Unicode text: it holds half of a surrogate pair")
    if not isinstance(text, str):
        problem = "is missing" if text is None else f"must be a string, not {type(text).__name__}"
        return wrong(file, number, f"{field!r} {problem}", known)
    if SURROGATE.search(text):
        problem = "is no Unicode text: it holds half of a surrogate pair"
        return wrong(file, number, f"{field!r} {problem}", known)
    return Row(file, number, known, text)


def wrong(file: str, number: int, problem: str, name: str = "") -> Row:
    """A row that cannot be asked about."""
    error = RowError(DataInvalid.code, DataInvalid.reason, problem)
    return Row(file, number, name or f"{file}:{number}", "", error)


def unreadable(path: Path, error: OSError) -> DataInvalid:
    """What a file is refused with that cannot be read to its end."""
    return DataInvalid(f"{path} cannot be read: {error.strerror or error}")


def _json_row(file: str, number: int, value: Any, fields: Fields, problems: list[str]) -> Row:
    if not isinstance(value, dict):
        return wrong(file, number, "the line must be an object")
    if problems:
        # Which of two texts is meant, nobody can say.
        return wrong(file, number, _readable("; ".join(problems)))
    return row_of(file, number, value.get(fields.id), value.get(fields.text), fields.text)


def _lines(path: Path, start: int, marks: Marks) -> Iterator[tuple[int, bytes]]:
    """Lines without their ends. A line feed ends a line, alone or after a carriage return."""
    # The last mark before which fewer lines end: the line that is sought begins behind it.
    mark = max(0, bisect_left(marks, start) - 1)
    passed = marks[mark] if marks else 0
    try:
        with path.open("rb") as file:
            file.seek(mark * MARK_BYTES)
            for number, raw in islice(enumerate(file, passed + 1), start - passed, None):
                line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
                yield number, line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise unreadable(path, error) from error


def _no_utf8(error: UnicodeDecodeError) -> str:
    return f"the line is not UTF-8 at its byte {error.start}: {error.reason}"


def _readable(message: str) -> str:
    """A message that can be encoded, whatever key it quotes."""
    return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", message)
