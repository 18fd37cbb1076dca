"""The rows of documents, read one by one: a document in memory at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slcolm_services.corpus.jsonfields import SURROGATE, BrokenJson, JsonFields, load_json
from slcolm_services.corpus.lines import Line, scan_lines
from slcolm_services.corpus.predictions import Prediction, prediction_of
from slcolm_services.corpus.records import Findings, Problem, data_invalid, shown
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.knowledge.things import Row

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which rows are of one document.

    Attributes:
        field: Where a row names its document; `origin.file` is the field `file` in `origin`.
        pattern: What the whole value must look like; its first group, where it has one, is the
            document's id. None takes the value as it is.
    """

    field: str
    pattern: re.Pattern[str] | None = None

    def id_of(self, value: dict[str, Any], found: Findings) -> str:
        """The id of a row's document; empty, and a problem, where there is none."""
        given: Any = value
        for key in self.field.split("."):
            given = given.get(key) if isinstance(given, dict) else None
        if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
            problem = "is missing" if given is None else "must be a string or a whole number"
            found.error(self.field, f"{problem}; it names the document")
            return ""
        name = str(given)
        if SURROGATE.search(name):
            found.error(self.field, "is no Unicode text: it holds half of a surrogate pair")
            return ""
        if self.pattern is None:
            return name
        match = self.pattern.fullmatch(name)
        known: str | None = match[1 if self.pattern.groups else 0] if match else None
        if not known:
            found.error(self.field, f"{shown(name)!r} does not match {self.pattern.pattern!r}")
        return known or ""


def read_documents(
    paths: Iterable[Path],
    grouping: Grouping | None = None,
    relation_types: Container[str] | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[str, list[Row]]]:
    """The documents of files of native JSONL or merged.jsonl, one by one, in order.

    Rows of a document stand together, also over the end of a file. A file is gone through to its
    end before its problems are raised: what came before is not to be kept.

    Args:
        paths: The files.
        grouping: Which rows are of one document; None: each is one, and their ids may repeat.
        relation_types: Those of the task; None takes any.
        done: Called with 1 for each file.

    Yields:
        The id of a document, and its rows.

    Raises:
        DataInvalid: Something is wrong with a file, a triple has no offsets, or a document goes on
            after another one; `violations` names each line and field.
    """
    gathered: list[Row] = []
    current: str | None = None
    seen: set[bytes] = set()
    for path in paths:
        for number, name, row in _rows(path, grouping, relation_types):
            if grouping is None or name != current:
                if gathered:
                    yield current or "", gathered
                if grouping is not None:
                    _check_new(name, seen, path, number, grouping)
                current, gathered = name, []
            gathered.append(row)
        done(1)
    if gathered:
        yield current or "", gathered


def _check_new(name: str, seen: set[bytes], path: Path, line: int, grouping: Grouping) -> None:
    """Remember a document, by its digest: ids may be long, and many."""
    digest = hashlib.blake2b(name.encode(), digest_size=_DIGEST_BYTES).digest()
    if digest in seen:
        problem = f"{shown(name)!r} has ended before; sort the rows by it"
        raise DataInvalid(
            f"the rows of a document do not stand together in {path}",
            violations=[FieldViolation(f"line {line}: {grouping.field}", problem)],
        )
    seen.add(digest)


def _rows(
    path: Path, grouping: Grouping | None, relation_types: Container[str] | None
) -> Iterator[tuple[int, str, Row]]:
    errors: list[Problem] = []
    empty = True
    for line in scan_lines(path):
        if line.problem:
            errors.append(Problem(line.number, "file", line.problem))
        elif line.text.strip():
            found = Findings(line.number)
            read = _read(line, grouping, relation_types, found)
            if read is None or found.has_errors:
                problems = found.record(None).problems
                errors += [problem for problem in problems if problem.severity == "error"]
            else:
                yield line.number or 0, *read
            empty = False
    if empty and not errors:
        errors.append(Problem(None, "file", "holds no row"))
    if errors:
        raise data_invalid(path, errors)


def _read(
    line: Line, grouping: Grouping | None, relation_types: Container[str] | None, found: Findings
) -> tuple[str, Row] | None:
    try:
        value = load_json(line.text, found)
    except BrokenJson as error:
        found.error("json", str(error))
        return None
    fields = JsonFields.of(value, "row", found)
    if fields is None:
        return None
    row = _failed(fields) if value.get("error") else _found(value, relation_types, found)
    if row is None:
        return None
    return grouping.id_of(value, found) if grouping else row.id, row


def _failed(fields: JsonFields) -> Row | None:
    """A row of `slcolm batch` whose error is an object, or of merged.jsonl, where it is a text."""
    name, error = fields.string("id"), fields.raw("error")
    if isinstance(error, dict):
        of = fields.object("error")
        reason = of.string("reason") if of else None
    else:
        reason = fields.string("error")
    return None if name is None or reason is None else Row(name, None, error=reason)


def _found(
    value: dict[str, Any], relation_types: Container[str] | None, found: Findings
) -> Row | None:
    prediction = prediction_of(value, found)
    if prediction is None:
        return None
    _check_placed(prediction, found)
    if prediction.document is None:
        return None
    for index, relation in enumerate(prediction.document.relations):
        if relation_types is not None and relation.type not in relation_types:
            problem = f"{shown(relation.type)!r} is no relation type of the task"
            found.error(f"relations[{index}].type", problem)
    lineage = dict(zip(prediction.triples, prediction.lineage, strict=True))
    known = {triple: of for triple, of in lineage.items() if of.sources or of.rule}
    return Row(prediction.id, prediction.document, known)


def _check_placed(prediction: Prediction, found: Findings) -> None:
    """Triples by text alone have no mention that could be evidence."""
    placed = set() if prediction.document is None else set(prediction.document.triples())
    for index, triple in enumerate(prediction.triples):
        if triple not in placed:
            found.error(f"triples[{index}]", "has no relation with offsets on this line")
