"""Rows of Parquet files, a batch in memory at a time. Needs pyarrow (extra `batch`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slcolm_services.batch.rows import Fields, Row, row_of
from slcolm_services.errors import DataInvalid, FieldViolation

_ROWS_AT_ONCE = 1024


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
                for value in batch.slice(passed).to_pylist():
                    number += 1
                    name, text = value.get(fields.id), value[fields.text]
                    yield row_of(path.name, number, name, text, fields.text)
    except (pa.ArrowException, OSError) as error:
        raise DataInvalid(f"{path} cannot be read as Parquet: {error}") from error


def count_rows(path: Path, fields: Fields) -> int:
    """Number of rows, by the file's footer.

    Raises:
        DataInvalid: As for `parquet_rows`.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check(path, file.schema_arrow.names, fields)
            return int(file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise DataInvalid(f"{path} cannot be read as Parquet: {error}") from error


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
        problem = f"is no column; there are {', '.join(names)}"
        raise DataInvalid(
            f"{path} has no column of texts", violations=[FieldViolation(fields.text, problem)]
        )
