"""The files of a corpus: found by pattern, known by their bytes, read in order."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slcolm_services.batch.rows import Fields, Row, json_rows, text_rows, unreadable
from slcolm_services.corpus.files import obstacle
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput

FORMATS = ("jsonl", "text", "parquet")
_BY_ENDING = {".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text", ".parquet": "parquet"}
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a corpus, as it was when the command began.

    Attributes:
        path: Where it lies.
        format: How its rows are read.
        size: Its bytes.
        sha256: Their digest, in hexadecimal.
        rows: Its rows.
    """

    path: Path
    format: str
    size: int
    sha256: str
    rows: int


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
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                lines += chunk.count(b"\n")
                last = chunk[-1:]
    except OSError as error:
        raise unreadable(path, error) from error
    if kind == "parquet":
        from slcolm_services.batch.parquet import count_rows  # noqa: PLC0415  it needs pyarrow

        rows = count_rows(path, fields)
    else:
        rows = lines + (last != b"\n")
    return Source(path, kind, size, digest.hexdigest(), rows)


def read(sources: Sequence[Source], fields: Fields) -> Iterator[Row]:
    """The rows of all files, one by one.

    Raises:
        DataInvalid: A file cannot be read any more.
    """
    for source in sources:
        if source.format == "text":
            yield from text_rows(source.path)
        elif source.format == "jsonl":
            yield from json_rows(source.path, fields)
        else:
            from slcolm_services.batch.parquet import parquet_rows  # noqa: PLC0415  likewise

            yield from parquet_rows(source.path, fields)
