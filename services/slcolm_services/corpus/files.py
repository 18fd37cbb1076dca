"""Text files on disk: read with every obstacle named, written whole or not at all."""

from __future__ import annotations

import codecs
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput

_WIDE_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
"""A file in UTF-32 with the low byte first begins like one in UTF-16."""


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file that should hold UTF-8.

    Raises:
        DataInvalid: There is no such file, it is a folder, it cannot be read, or it begins as no
            file in UTF-8 does.
    """
    problem = obstacle(path)
    if problem is not None:
        raise DataInvalid(f"{path} cannot be read", violations=[FieldViolation("file", problem)])
    return Path(path).read_bytes()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def obstacle(path: str | os.PathLike[str]) -> str | None:
    """Why `path` cannot be read as UTF-8, as far as its first bytes tell; None where it can."""
    try:
        with Path(path).open("rb") as file:
            return _encoding_problem(file.read(4))
    except FileNotFoundError:
        return "does not exist"
    except IsADirectoryError:
        return "is a folder; a file is needed"
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"
    except ValueError as error:
        return f"is not a path: {error}"


def _encoding_problem(start: bytes) -> str | None:
    """Tell UTF-16 and UTF-32 by the first four bytes: one problem, not one a line.

    Without a byte order mark the zeros of the first two characters show it (RFC 4627, section 3).
    """
    if start.startswith(_WIDE_BOMS) or b"\0" in start:
        return "is UTF-16 or UTF-32, or no text; save it as UTF-8"
    return None


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether `replacing` can write a file, before its content is worked for.

    Folders on the way are made, and stay.

    Raises:
        InvalidInput: The path is no regular file, or nothing can be written there.
    """
    file, temporary = _open_beside(path, _target(path))
    file.close()
    temporary.unlink()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Write a UTF-8 text file that appears whole or not at all.

    What is written goes to a temporary file beside `path`, which takes its name when the block ends
    and is removed when the block raises. Folders on the way are made; a link is followed.

    Yields:
        The open temporary file; lines end in a line feed on every system.

    Raises:
        InvalidInput: The path is no regular file, or it cannot be written: a full disk, for one.
    """
    target = _target(path)
    file, temporary = _open_beside(path, target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(
    path: str | os.PathLike[str], names: Collection[str]
) -> Iterator[Callable[[str], AbstractContextManager[TextIO]]]:
    """Write several UTF-8 text files that appear together, as a folder, or not at all.

    An old folder gives way when the block ends, if it holds nothing but files of these names.
    Folders on the way are made; a link is followed.

    Args:
        path: The folder.
        names: Names of the files.

    Yields:
        What opens a file of the folder by its name, as `replacing` does.

    Raises:
        InvalidInput: The path is a file or a folder with something else in it, or nothing can be
            written there.
    """
    target = Path(path).resolve()
    _check_replaceable(path, target, names)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()
            yield lambda name: replacing(new / name)
            _check_replaceable(path, target, names)
            if target.exists():
                target.rename(old)
            try:
                new.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error


def _check_replaceable(path: str | os.PathLike[str], target: Path, names: Collection[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InvalidInput(f"{path} cannot be written: it is a file; a folder is needed")
    others = sorted(item.name for item in target.iterdir() if item.name not in names)
    if others:
        raise InvalidInput(
            f"{path} cannot be written: it holds {others[0]!r}, which would be lost",
            metadata={"folder": str(path), "others": str(len(others))},
        )


def _target(path: str | os.PathLike[str]) -> Path:
    """The file that is to be written, links followed."""
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise InvalidInput(f"{path} cannot be written: it is a folder or a device, not a file")
    return target


def _open_beside(path: str | os.PathLike[str], target: Path) -> tuple[TextIO, Path]:
    """A new file beside `target`, open; `path` is the target's name in errors."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return temporary.open("x", encoding="utf-8", newline="\n"), temporary
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
