"""Lines of a UTF-8 file, one in memory at a time, with what is wrong with the bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slcolm_services.corpus.files import obstacle

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        number: Counted from 1; None where the file cannot be opened.
        text: The line without its end; empty where it cannot be decoded.
        problem: What is wrong with its bytes; empty where nothing is.
    """

    number: int | None
    text: str
    problem: str = ""


def scan_lines(path: str | os.PathLike[str]) -> Iterator[Line]:
    """Go through a file; obstacles and broken bytes are lines too.

    Only a line feed, alone or after a carriage return, ends a line: texts may hold other
    characters that Unicode counts as line ends.
    """
    problem = obstacle(path)
    if problem is not None:
        yield Line(None, "", problem)
        return
    offset = 0
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, 1):
            content = raw
            if number == 1 and raw.startswith(_BOM):
                content = raw.removeprefix(_BOM)
                yield Line(1, "", "starts with a byte order mark; save as UTF-8 without one")
            yield _decoded(content, number, offset + len(raw) - len(content))
            offset += len(raw)


def _decoded(content: bytes, number: int, offset: int) -> Line:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Line(
            number,
            "",
            f"is not UTF-8: {error.reason}, byte 0x{content[error.start]:02x} at byte offset "
            f"{offset + error.start} of the file",
        )
    return Line(number, text.removesuffix("\n").removesuffix("\r"))
