"""Rows of Parquet files, a batch in memory at a time. Needs pyarrow (extra `batch`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slcolm_services.batch.rows import Fields, Row, row_of, wrong
from slcolm_services.corpus.printable import printable_line
from slcolm_services.errors import DataInvalid, FieldViolation

_ROWS_AT_ONCE = 1024
_BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError)
"""What pyarrow raises for what it cannot read; beside its own, names that are no UTF-8 and times
that are out of range."""


def parquet_rows(path: Path, fields: Fields, start: int = 0) -> Iterator[Row]:
    """Each row of a table that has a column of texts.

    Args:
        path: The file.
        fields: Where a row's parts stand.
        start: Rows to pass over; of row groups that end before, nothing is read.

    Raises:
        DataInvalid: It is no Parquet file, or has no such column.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check(path, names, fields)
            columns = [name for name in (fields.id, fields.text) if name in names]
            groups, number = _groups_from(file, start)
            for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=columns):
                passed = min(start - number, batch.num_rows) if number < start else 0
                number += passed
                for name, text in _pairs(batch.slice(passed), fields):
                    number += 1
                    yield _row(path.name, number, name, text, fields)
    except _BROKEN as error:
        raise _refused(path, str(error) or type(error).__name__) from error


def count_rows(path: Path, fields: Fields) -> int:
    """Number of rows, by the file's footer.

    Raises:
        DataInvalid: As for `parquet_rows`.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow.names, fields)
            groups = range(file.num_row_groups)
            rows = sum(file.metadata.row_group(group).num_rows for group in groups)
            if rows != file.metadata.num_rows:
                problem = f"its footer says {file.metadata.num_rows} rows, its row groups {rows}"
                raise _refused(path, problem)
            return int(rows)
    except _BROKEN as error:
        raise _refused(path, str(error) or type(error).__name__) from error


def _groups_from(file: pq.ParquetFile, start: int) -> tuple[list[int], int]:
    """Row groups that end after a row, and the rows before them."""
    before, group = 0, 0
    while group < file.num_row_groups:
        rows = file.metadata.row_group(group).num_rows
        if before + rows > start:
            break
        before, group = before + rows, group + 1
    return list(range(group, file.num_row_groups)), before


def _check(path: Path, names: list[str], fields: Fields) -> None:
    if fields.text not in names:
        problem = f"is no column; there are {', '.join(names) or 'none'}"
        raise DataInvalid(
            f"{path} has no column of texts", violations=[FieldViolation(fields.text, problem)]
        )
    for field in {fields.text: None, fields.id: None}:
        if names.count(field) > 1:
            problem = f"is the name of {names.count(field)} columns"
            raise DataInvalid(
                f"{path} has several columns of one name",
                violations=[FieldViolation(field, problem)],
            )


def _row(file: str, number: int, name: object, text: object, fields: Fields) -> Row:
    for field, value in ((fields.id, name), (fields.text, text)):
        if isinstance(value, UnicodeDecodeError):
            problem = f"{field!r} is not UTF-8 at its byte {value.start}: {value.reason}"
            return wrong(file, number, problem)
    return row_of(file, number, name, text, fields.text)


def _pairs(batch: pa.RecordBatch, fields: Fields) -> Iterator[tuple[object, object]]:
    """Id and text of each row."""
    texts = _values(batch.column(fields.text))
    has_ids = fields.id in batch.schema.names
    return zip(_values(batch.column(fields.id)) if has_ids else repeat(None), texts, strict=False)


def _values(column: pa.Array) -> list[object]:
    """Values as Python has them; in the place of a string that is no UTF-8 stands the error.

    pyarrow takes any bytes for a string, and raises for a whole batch when one is asked for.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return list(column.to_pylist())
    strings = column.cast(kind) if kind != column.type else column
    raw = strings.cast(pa.binary() if pa.types.is_string(kind) else pa.large_binary())
    return [None if value is None else _decoded(value) for value in raw.to_pylist()]


def _decoded(value: bytes) -> str | UnicodeDecodeError:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        return error


def _refused(path: Path, problem: str) -> DataInvalid:
    # pyarrow quotes what the file says, which may be anything.
    return DataInvalid(
        f"{path} cannot be read as Parquet",
        violations=[FieldViolation("file", printable_line(problem))],
    )
