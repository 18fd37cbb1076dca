"""Passages of raw text files, a line each, in bounded memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from slcolm_services.errors import DataInvalid, FieldViolation

_LONGEST_PIECE = 1 << 16
"""Characters of a line that are read at once: a longer line becomes several passages."""
_HASH_BYTES = 1 << 20


def passages(paths: Sequence[Path]) -> Iterator[str]:
    """Every line that is not blank, without the space around it.

    Raises:
        DataInvalid: A file is not UTF-8, or not what its name says (`.zst`).
    """
    for path in paths:
        line = 0
        try:
            with _open(path) as stream:
                text = io.TextIOWrapper(cast(BinaryIO, stream), encoding="utf-8", newline="\n")
                while piece := text.readline(_LONGEST_PIECE):
                    line += piece.endswith("\n")
                    if stripped := piece.strip():
                        yield stripped
        except UnicodeDecodeError as error:
            raise _invalid(path, f"not UTF-8 after line {line}: {error.reason}") from error
        except zstandard.ZstdError as error:
            raise _invalid(path, f"not a zstd file, or damaged: {error}") from error


def files_digest(paths: Sequence[Path]) -> str:
    """SHA-256 of the files' bytes, one after the other, in hexadecimal.

    Raises:
        DataInvalid: A file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as stream:
                while part := stream.read(_HASH_BYTES):
                    digest.update(part)
        except OSError as error:
            raise _invalid(path, error.strerror or str(error)) from error
    return digest.hexdigest()


@contextmanager
def _open(path: Path) -> Iterator[object]:
    with path.open("rb") as stream:
        if path.suffix == ".zst":
            # A file may be several frames: what `zstd` appended, or parallel compressors write.
            reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
            with reader:
                yield reader
        else:
            yield stream


def _invalid(path: Path, problem: str) -> DataInvalid:
    return DataInvalid(
        f"{path} cannot be read: {problem}", violations=[FieldViolation(str(path), problem)]
    )
