"""Rows of Parquet files, a batch in memory at a time. Needs pyarrow (extra `batch`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slcolm_services.batch.rows import Fields, Row, row_of
from slcolm_services.corpus.printable import printable_line
from slcolm_services.errors import DataInvalid, FieldViolation

_ROWS_AT_ONCE = 1024


def parquet_rows(path: Path, fields: Fields) -> Iterator[Row]:
    """Each row of a table that has a column of texts.

    Raises:
        DataInvalid: It is no Parquet file, or has no such column.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check(path, names, fields)
            columns = [name for name in (fields.id, fields.text) if name in names]
            number = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for value in batch.to_pylist():
                    number += 1
                    name, text = value.get(fields.id), value[fields.text]
                    yield row_of(path.name, number, name, text, fields.text)
    except (pa.ArrowException, OSError) as error:
        raise _refused(path, error) from error


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
        raise _refused(path, error) from error


def _check(path: Path, names: list[str], fields: Fields) -> None:
    if fields.text not in names:
        problem = f"is no column; there are {', '.join(names)}"
        raise DataInvalid(
            f"{path} has no column of texts", violations=[FieldViolation(fields.text, problem)]
        )


def _refused(path: Path, error: Exception) -> DataInvalid:
    # Its message quotes what the file says, which may be anything.
    problem = printable_line(str(error)) or type(error).__name__
    return DataInvalid(
        f"{path} cannot be read as Parquet", violations=[FieldViolation("file", problem)]
    )
