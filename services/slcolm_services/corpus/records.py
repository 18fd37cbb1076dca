"""What a reader finds in a data file: documents, and problems with their places.

Every format has a `scan` that yields one `Record` for each document it meets and never raises for
what stands in the file. Reading and checking are both made of it, so that a file which passes the
check can be read, and the other way round.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.printable import printable_line
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
        id: Its id, where that could be read, whatever else is wrong.
        prefix: Its path in a file that is one JSON value, for example `[12].`; else empty.
        repairs: What the reader put right, by kind, with how often.
    """

    line: int | None
    document: Document | None
    problems: tuple[Problem, ...]
    id: str | None = None
    prefix: str = ""
    repairs: Repairs = field(default_factory=Counter)


class Findings:
    """Collects what is found in one document; the fields are those of its `Record`."""

    def __init__(self, line: int | None, prefix: str = "") -> None:
        self.id: str | None = None
        self._line = line
        self._prefix = prefix
        self._problems: list[Problem] = []
        self._repairs: Repairs = Counter()

    def error(self, path: str, problem: str, line: int | None = None) -> None:
        """Add what keeps the document from being read; `line` where it is not the first."""
        self._problems.append(Problem(line or self._line, self._prefix + path, problem))

    def warning(self, path: str, problem: str) -> None:
        """Add what should be looked at."""
        self._problems.append(Problem(self._line, self._prefix + path, problem, "warning"))

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
        return Record(self._line, kept, tuple(self._problems), self.id, self._prefix, self._repairs)


def failed(line: int | None, path: str, problem: str) -> Record:
    """A record of one error."""
    return Record(line, None, (Problem(line, path, problem),))


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
        found: Where problems go. Repeated annotations, and relations between types that the schema
            rules out, are warnings, all else are errors.
    """
    _check_entities(entities, text_length, schema, found)
    _check_relations(relations, entities, schema, found)


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
        known = None if schema is None else schema.entities_by_name
        _check_type(entity.type, known, f"{path}.type", "entity", found)
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
    entities: Sequence[Entity | None],
    schema: TaskSchema | None,
    found: Findings,
) -> None:
    seen: dict[tuple[str, int, int], int] = {}
    for index, relation in enumerate(relations):
        if relation is None:
            continue
        path = f"relations[{index}]"
        known = None if schema is None else schema.relations_by_name
        _check_type(relation.type, known, f"{path}.type", "relation", found)
        for name, target in (("head", relation.head), ("tail", relation.tail)):
            if not 0 <= target < len(entities):
                found.error(f"{path}.{name}", f"{target} is not one of {len(entities)} entities")
        if relation.head == relation.tail:
            found.error(f"{path}.tail", f"{relation.tail} is the head too")
        first = seen.setdefault((relation.type, relation.head, relation.tail), index)
        if first != index:
            found.warning(path, f"repeats relations[{first}]")
        _check_arguments(relation, entities, schema, path, found)


def _check_arguments(
    relation: Relation,
    entities: Sequence[Entity | None],
    schema: TaskSchema | None,
    path: str,
    found: Findings,
) -> None:
    """Warn of a relation between types that the schema rules out: no model will predict it."""
    kind = None if schema is None else schema.relations_by_name.get(relation.type)
    if kind is None or not all(0 <= i < len(entities) for i in (relation.head, relation.tail)):
        return
    head, tail = entities[relation.head], entities[relation.tail]
    if head is not None and tail is not None and not kind.admits(head.type, tail.type):
        found.warning(
            path, f"{shown(relation.type)!r} joins {head.type} and {tail.type}, against the schema"
        )


def _check_type(
    name: str, known: Container[str] | None, path: str, kind: str, found: Findings
) -> None:
    if not name.strip():
        found.error(path, "must not be empty")
    elif known is not None and name not in known:
        found.error(path, f"{shown(name)!r} is no {kind} type of the task")


def with_file_problems(records: Iterable[Record]) -> Iterator[Record]:
    """Add what only the whole file shows: repeated ids, and that it holds no document."""
    places: dict[str, str] = {}
    empty = True
    for record in records:
        empty = False
        place = record.prefix.rstrip(".") or f"line {record.line}"
        first = place if record.id is None else places.setdefault(record.id, place)
        if first == place:
            yield record
        else:
            repeated = Problem(
                record.line, f"{record.prefix}id", f"{shown(str(record.id))!r} names {first} too"
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
    clean = printable_line(text[: _SHOWN_LENGTH + 1])
    return clean if len(clean) <= _SHOWN_LENGTH else f"{clean[:_SHOWN_LENGTH]}…"
