"""The files of a corpus: found by pattern, known by their bytes, read in order."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slcolm_services.batch.rows import (
    MARK_BYTES,
    Fields,
    Marks,
    Row,
    json_rows,
    text_rows,
    unreadable,
)
from slcolm_services.corpus.files import obstacle
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput

FORMATS = ("jsonl", "text", "parquet")
_BY_ENDING = {".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a corpus, as it was when the command began.

    Attributes:
        path: Where it lies.
        format: How its rows are read.
        size: Its bytes.
        sha256: Their digest, in hexadecimal.
        rows: Its rows.
        marks: Where a row of a file of lines can be found; empty for a table.
    """

    path: Path
    format: str
    size: int
    sha256: str
    rows: int
    marks: Marks = field(default=(), repr=False)


def find(patterns: Sequence[str]) -> list[Path]:
    """Files that patterns name, each pattern's in alphabetical order; `**` goes into folders.

    Raises:
        InvalidInput: A pattern names no file, or a file is named twice.
    """
    found: list[Path] = []
    for pattern in patterns:
        names = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  patterns may be absolute
        files = [Path(name) for name in names if Path(name).is_file()]
        if not files:
            raise InvalidInput(
                "there is no input", violations=[FieldViolation(pattern, "names no file")]
            )
        found += files
    places: dict[Path, Path] = {}
    for path in found:
        if path.resolve() in places:
            raise InvalidInput(
                "an input is named twice", violations=[FieldViolation(str(path), "comes again")]
            )
        places[path.resolve()] = path
    return found


def format_of(path: Path) -> str:
    """The format that a file's ending tells.

    Raises:
        InvalidInput: It tells none.
    """
    known = _BY_ENDING.get(path.suffix.lower())
    if known is None:
        problem = f"does not end in one of {', '.join(_BY_ENDING)}; name its --format"
        raise InvalidInput(
            "the format of an input is not known", violations=[FieldViolation(str(path), problem)]
        )
    return known


def inspect(path: Path, kind: str, fields: Fields) -> Source:
    """Read a file once, for its digest and number of rows.

    Raises:
        DataInvalid: It cannot be read in that format.
    """
    if kind != "parquet" and (problem := obstacle(path)) is not None:
        raise DataInvalid(f"{path} cannot be read", violations=[FieldViolation("file", problem)])
    digest, size, lines, last = hashlib.sha256(), 0, 0, b"\n"
    marks = []
    try:
        with path.open("rb") as file:
            while chunk := file.read(MARK_BYTES):
                marks.append(lines)
                digest.update(chunk)
                size += len(chunk)
                lines += chunk.count(b"\n")
                last = chunk[-1:]
    except OSError as error:
        raise unreadable(path, error) from error
    if kind == "parquet":
        from slcolm_services.batch.parquet import count_rows  # noqa: PLC0415  it needs pyarrow

        return Source(path, kind, size, digest.hexdigest(), count_rows(path, fields))
    rows = lines + (last != b"\n")
    return Source(path, kind, size, digest.hexdigest(), rows, tuple(marks))


def read(sources: Sequence[Source], fields: Fields, start: int = 0) -> Generator[Row, None, None]:
    """The rows of all files, one by one.

    Args:
        sources: The files.
        fields: Where texts and ids stand.
        start: Rows to pass over; they are not read.

    Raises:
        DataInvalid: A file cannot be read any more, or is not what it was when it was inspected.
    """
    for source in sources:
        if start >= source.rows:
            start -= source.rows
            continue
        _check_unchanged(source)
        came = start
        for row in _rows(source, fields, start):
            came += 1
            if came > source.rows:
                raise _changed(source)
            yield row
        if came < source.rows:
            raise _changed(source)
        start = 0


def _rows(source: Source, fields: Fields, start: int) -> Iterator[Row]:
    if source.format == "text":
        return text_rows(source.path, start, source.marks)
    if source.format == "jsonl":
        return json_rows(source.path, fields, start, source.marks)
    from slcolm_services.batch.parquet import parquet_rows  # noqa: PLC0415  it needs pyarrow

    return parquet_rows(source.path, fields, start)


def _check_unchanged(source: Source) -> None:
    try:
        size = source.path.stat().st_size
    except OSError as error:
        raise unreadable(source.path, error) from error
    if size != source.size:
        raise _changed(source)


def _changed(source: Source) -> DataInvalid:
    return DataInvalid(f"{source.path} has changed while it was read; put it back, or begin anew")
