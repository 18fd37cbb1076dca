"""Data files of any format that is read: which one it is, what is wrong, what stands in it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from slcolm_services.corpus import iob2, jsonl, spert
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import obstacle
from slcolm_services.corpus.records import (
    Problem,
    Record,
    Repairs,
    documents_of,
    with_file_problems,
)
from slcolm_services.corpus.schema import TaskSchema

Format = Literal["jsonl", "spert", "iob2"]

_log = structlog.get_logger(__name__)
_SCANNERS: dict[Format, Callable[[str | os.PathLike[str], TaskSchema | None], Iterator[Record]]] = {
    "jsonl": jsonl.scan,
    "spert": spert.scan,
    "iob2": iob2.scan,
}
_BY_EXTENSION: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".iob": "iob2",
    ".iob2": "iob2",
    ".bio": "iob2",
    ".conll": "iob2",
}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        path: The file.
        format: What it was read as.
        documents: Documents without errors.
        entities: Entities in them.
        relations: Relations in them.
        problems: Everything wrong, in the order of the file.
        repairs: What the reader puts right by itself, by kind, with how often.
    """

    path: str
    format: Format
    documents: int
    entities: int
    relations: int
    problems: tuple[Problem, ...]
    repairs: dict[str, int]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the file from being read."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def detect_format(path: str | os.PathLike[str]) -> Format:
    """Tell the format by the extension, else by the first character that is no space.

    A file that cannot be opened counts as `jsonl`: reading it says what is wrong.
    """
    known = _BY_EXTENSION.get(Path(path).suffix.lower())
    if known is not None or obstacle(path) is not None:
        return known or "jsonl"
    with Path(path).open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if Path(path).suffix.lower() == ".json":
        return "jsonl" if start == b"{" else "spert"
    if start == b"{":
        return "jsonl"
    return "spert" if start == b"[" else "iob2"


def check_file(
    path: str | os.PathLike[str], schema: TaskSchema | None = None, kind: Format | None = None
) -> CheckReport:
    """Find everything that is wrong with a data file.

    Args:
        path: The file; a missing one is a problem like any other.
        schema: The task; None takes any label.
        kind: What to read it as; None detects it.
    """
    kind = kind or detect_format(path)
    documents = entities = relations = 0
    problems: list[Problem] = []
    repairs: Repairs = Counter()
    for record in with_file_problems(_SCANNERS[kind](path, schema)):
        problems.extend(record.problems)
        repairs.update(record.repairs)
        if record.document is not None:
            documents += 1
            entities += len(record.document.entities)
            relations += len(record.document.relations)
    return CheckReport(
        os.fspath(path), kind, documents, entities, relations, tuple(problems), dict(repairs)
    )


def read_with_repairs(
    path: str | os.PathLike[str], schema: TaskSchema | None = None
) -> tuple[list[Document], Repairs]:
    """Read a data file of any format, and count what had to be put right.

    Args:
        path: The file.
        schema: The task; None takes any label.

    Raises:
        DataInvalid: Anything is wrong; `violations` names each problem by line and field.
    """
    return documents_of(path, _SCANNERS[detect_format(path)](path, schema))


def read_any(path: str | os.PathLike[str], schema: TaskSchema | None = None) -> list[Document]:
    """Read a data file of any format, likewise; what had to be put right is logged by kind."""
    documents, repairs = read_with_repairs(path, schema)
    if repairs:
        _log.warning("data file repaired", file=os.fspath(path), repairs=dict(repairs))
    return documents


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    schema: TaskSchema | None = None,
) -> tuple[int, Repairs]:
    """Read a data file of any format and write it in the native one.

    Returns:
        The number of documents, and what had to be put right.

    Raises:
        DataInvalid: Anything is wrong with `source`; `target` is not touched.
    """
    documents, repairs = read_with_repairs(source, schema)
    jsonl.write_documents(target, documents)
    return len(documents), repairs
