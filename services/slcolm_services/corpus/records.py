"""What a reader finds in a data file: documents, and problems with their places.

Every format has a `scan` that yields one `Record` for each document it meets and never raises for
what stands in the file. Reading and checking are both made of it, so that a file which passes the
check can be read, and the other way round.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid, FieldViolation

MAX_VIOLATIONS = 100
"""An error names at most so many problems and says how many more there are."""

Severity = Literal["error", "warning"]
Repairs = Counter[str]
"""What a reader put right, by kind, with how often."""

_SHOWN_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a data file.

    Attributes:
        line: Line, counted from 1; None where the problem is of the whole file.
        field: Path of the value in the document, for example `relations[0].type`.
        problem: What is wrong, with the value shown where it is short.
        severity: `error` keeps the file from being read; `warning` does not.
    """

    line: int | None
    field: str
    problem: str
    severity: Severity = "error"

    def violation(self) -> FieldViolation:
        """The problem as errors carry it."""
        place = self.field if self.line is None else f"line {self.line}: {self.field}"
        return FieldViolation(place, self.problem)


@dataclass(frozen=True, slots=True)
class Record:
    """One document of a file, or why there is none.

    Attributes:
        line: Line where it starts, counted from 1; None for a record of the whole file.
        document: The document; None exactly where `problems` holds an error.
        problems: What is wrong with it.
        repairs: What the reader put right, by kind, with how often.
    """

    line: int | None
    document: Document | None
    problems: tuple[Problem, ...]
    repairs: Mapping[str, int]


class Findings:
    """Collects the problems of one document.

    Args:
        line: Where the document starts; goes into every problem.
        prefix: Path of the document in a file that is one JSON value, for example `[12].`.
    """

    def __init__(self, line: int | None, prefix: str = "") -> None:
        self._line = line
        self._prefix = prefix
        self._problems: list[Problem] = []
        self._repairs: Repairs = Counter()

    def error(self, field: str, problem: str, line: int | None = None) -> None:
        """Add what keeps the document from being read; `line` where it is not the first."""
        self._problems.append(Problem(line or self._line, self._prefix + field, problem))

    def warning(self, field: str, problem: str) -> None:
        """Add what should be looked at."""
        self._problems.append(Problem(self._line, self._prefix + field, problem, "warning"))

    def repaired(self, kind: str) -> None:
        """Count something that was put right."""
        self._repairs[kind] += 1

    @property
    def has_errors(self) -> bool:
        """Whether an error was found."""
        return any(problem.severity == "error" for problem in self._problems)

    def record(self, document: Document | None) -> Record:
        """Close the collection; a document with errors is dropped."""
        kept = None if self.has_errors else document
        return Record(self._line, kept, tuple(self._problems), dict(self._repairs))


def failed(line: int | None, field: str, problem: str) -> Record:
    """A record of one error."""
    return Record(line, None, (Problem(line, field, problem),), {})


def check_annotations(
    entities: Sequence[Entity | None],
    relations: Sequence[Relation | None],
    *,
    text_length: int,
    schema: TaskSchema | None,
    found: Findings,
) -> None:
    """Report annotations that do not fit the text, each other or the schema.

    Args:
        entities: Entities in order; None where one could not be read, which is reported already.
        relations: Relations in order, likewise.
        text_length: Length of the text in code points.
        schema: The task; None takes any label.
        found: Where problems go. Repeated annotations are warnings, all else are errors.
    """
    _check_entities(entities, text_length, schema, found)
    _check_relations(relations, len(entities), schema, found)


def _check_entities(
    entities: Sequence[Entity | None],
    text_length: int,
    schema: TaskSchema | None,
    found: Findings,
) -> None:
    seen: dict[tuple[str, int, int], int] = {}
    for index, entity in enumerate(entities):
        if entity is None:
            continue
        path = f"entities[{index}]"
        if schema and entity.type not in schema.entities_by_name:
            found.error(f"{path}.type", f"{shown(entity.type)!r} is no entity type of the task")
        if entity.start >= entity.end:
            found.error(f"{path}.end", f"{entity.end} must be greater than start {entity.start}")
        for name, offset in (("start", entity.start), ("end", entity.end)):
            if not 0 <= offset <= text_length:
                found.error(f"{path}.{name}", f"{offset} is outside the text of {text_length}")
        first = seen.setdefault((entity.type, entity.start, entity.end), index)
        if first != index:
            found.warning(path, f"repeats entities[{first}]")


def _check_relations(
    relations: Sequence[Relation | None],
    entity_count: int,
    schema: TaskSchema | None,
    found: Findings,
) -> None:
    seen: dict[tuple[str, int, int], int] = {}
    for index, relation in enumerate(relations):
        if relation is None:
            continue
        path = f"relations[{index}]"
        if schema and relation.type not in schema.relations_by_name:
            found.error(f"{path}.type", f"{shown(relation.type)!r} is no relation type of the task")
        for name, target in (("head", relation.head), ("tail", relation.tail)):
            if not 0 <= target < entity_count:
                found.error(f"{path}.{name}", f"{target} is not one of {entity_count} entities")
        if relation.head == relation.tail:
            found.error(f"{path}.tail", f"{relation.tail} is the head too")
        first = seen.setdefault((relation.type, relation.head, relation.tail), index)
        if first != index:
            found.warning(path, f"repeats relations[{first}]")


def with_file_problems(records: Iterable[Record]) -> Iterator[Record]:
    """Add what only the whole file shows: repeated ids, and that it holds no document."""
    lines: dict[str, int | None] = {}
    empty = True
    for record in records:
        empty = False
        document = record.document
        if document is None or document.id not in lines:
            if document is not None:
                lines[document.id] = record.line
            yield record
            continue
        repeated = Problem(
            record.line, "id", f"{shown(document.id)!r} is used on line {lines[document.id]} too"
        )
        yield replace(record, document=None, problems=(*record.problems, repeated))
    if empty:
        yield failed(None, "file", "holds no document")


def documents_of(
    path: str | os.PathLike[str], records: Iterable[Record]
) -> tuple[list[Document], Repairs]:
    """Take the documents out of the records of a file, and count what was put right.

    Raises:
        DataInvalid: Something is wrong with the file; `violations` names everything.
    """
    documents: list[Document] = []
    errors: list[Problem] = []
    repairs: Repairs = Counter()
    for record in with_file_problems(records):
        if record.document is not None:
            documents.append(record.document)
        errors.extend(problem for problem in record.problems if problem.severity == "error")
        repairs.update(record.repairs)
    if errors:
        raise data_invalid(path, errors)
    return documents, repairs


def data_invalid(path: str | os.PathLike[str], errors: Sequence[Problem]) -> DataInvalid:
    """The error for a file with these problems, of which it names `MAX_VIOLATIONS`."""
    violations = [problem.violation() for problem in errors[:MAX_VIOLATIONS]]
    more = len(errors) - len(violations)
    if more:
        violations.append(FieldViolation("file", f"{more} more problems"))
    noun = "problem" if len(errors) == 1 else "problems"
    return DataInvalid(
        f"{os.fspath(path)} has {len(errors)} {noun}",
        violations=violations,
        metadata={"file": os.fspath(path), "problems": str(len(errors))},
    )


def shown(text: str) -> str:
    """A text as messages show it: short, and safe to print and to encode."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return clean if len(clean) <= _SHOWN_LENGTH else f"{clean[:_SHOWN_LENGTH]}…"
