"""Predictions as files hold them: native documents, or lines with triples instead.

A line of `merged.jsonl` has an id and `triples` by text; it may have entities and relations too,
and tell where the triples come from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slcolm_services.corpus.documents import Document, Triple
from slcolm_services.corpus.formats import detect_format, read_any
from slcolm_services.corpus.jsonfields import BrokenJson, JsonFields, load_json
from slcolm_services.corpus.jsonl import parse_line
from slcolm_services.corpus.lines import Line, scan_lines
from slcolm_services.corpus.records import Findings, Problem, data_invalid
from slcolm_services.errors import DataInvalid

_NATIVE = ("id", "text", "entities", "relations")


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a triple comes from; empty where the file does not say.

    Attributes:
        sources: Who said it: `slm`, `llm`, or the name of a provider.
        rule: The rule of the merge that took it.
    """

    sources: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answered when guidance was asked; empty where the file does not say.

    Attributes:
        provider: Name of the provider.
        model: Name of the model.
        prompt_digest: Digest of the prompt.
        offline_rules: Whether rules, not a language model, answered.
    """

    provider: str = ""
    model: str = ""
    prompt_digest: str = ""
    offline_rules: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was predicted for a sentence.

    Attributes:
        id: Name of the sentence.
        text: The sentence; None where the line does not say.
        triples: The predicted triples: the line's own, else those of its relations.
        document: The prediction with offsets; None where the line has triples alone.
        lineage: Where each of the triples comes from, in their order.
        explanation: What the LLM said of its answer; may be empty.
        answer: Who gave that answer; None where there was none.
    """

    id: str
    text: str | None
    triples: tuple[Triple, ...]
    document: Document | None
    lineage: tuple[Lineage, ...]
    explanation: str = ""
    answer: Answer | None = None


def read_predictions(path: str | os.PathLike[str]) -> list[Prediction]:
    """Read predictions of any format that gold data may have, or JSON lines with `triples`.

    Raises:
        DataInvalid: Anything is wrong, an id stands twice, or the file is empty; `violations` names
            each problem by line and field.
    """
    if detect_format(path) != "jsonl":
        documents = read_any(path)
        return [_of_document(document) for document in documents]
    predictions: list[Prediction] = []
    errors: list[Problem] = []
    lines: dict[str, int | None] = {}
    for line, found in _scan(path):
        if not isinstance(found, Prediction):
            errors += found
        elif found.id in lines:
            problem = f"{found.id!r} names line {lines[found.id]} too"
            errors.append(Problem(line.number, "id", problem))
        else:
            lines[found.id] = line.number
            predictions.append(found)
    if not predictions and not errors:
        errors.append(Problem(None, "file", "holds no prediction"))
    if errors:
        raise data_invalid(path, errors)
    return predictions


def _scan(path: str | os.PathLike[str]) -> Iterator[tuple[Line, Prediction | list[Problem]]]:
    for line in scan_lines(path):
        if line.problem:
            yield line, [Problem(line.number, "file", line.problem)]
        elif line.text.strip():
            yield line, _read(line)


def _read(line: Line) -> Prediction | list[Problem]:
    found = Findings(line.number)
    try:
        value = load_json(line.text, found)
    except BrokenJson as error:
        return [Problem(line.number, "json", str(error))]
    prediction = prediction_of(value, found)
    problems = found.record(None).problems
    errors = [problem for problem in problems if problem.severity == "error"]
    return errors if errors or prediction is None else prediction


def prediction_of(value: Any, found: Findings) -> Prediction | None:
    """A line's JSON value as a prediction; fields that are of no prediction are passed over.

    Returns:
        The prediction, not to be used where `found` has errors; None where there is none at all.
    """
    fields = JsonFields.of(value, "prediction", found)
    return _prediction(fields, value, found) if fields else None


def _prediction(fields: JsonFields, value: dict[str, Any], found: Findings) -> Prediction | None:
    name = fields.string("id")
    has_triples, has_entities = "triples" in value, "entities" in value
    document = _document(value, found) if has_entities or not has_triples else None
    items = [item for item in fields.objects("triples") if item is not None]
    known = [(triple, _lineage(item)) for item in items if (triple := _triple(item)) is not None]
    if name is None or (document is None and not has_triples):
        return None
    if not has_triples and document is not None:
        return _of_document(document)
    text = fields.string("text") if "text" in value else None
    triples, lineage = tuple(triple for triple, _ in known), tuple(of for _, of in known)
    explanation = _optional(fields, "explanation")
    answer = _answer(value, found)
    return Prediction(name, text, triples, document, lineage, explanation, answer)


def _of_document(document: Document) -> Prediction:
    triples = document.triples()
    lineage = (Lineage(),) * len(triples)
    return Prediction(document.id, document.text, triples, document, lineage)


def _triple(fields: JsonFields) -> Triple | None:
    head, tail, kind = fields.string("head"), fields.string("tail"), fields.string("type")
    prob = fields.probability("prob")
    return None if head is None or tail is None or kind is None else Triple(head, tail, kind, prob)


def _lineage(fields: JsonFields) -> Lineage:
    sources = [] if fields.raw("sources") is None else fields.strings("sources") or []
    return Lineage(tuple(sources), _optional(fields, "rule"))


def _answer(value: dict[str, Any], found: Findings) -> Answer | None:
    """Who answered; None where nobody did, which a line may say by `missing`."""
    given = value.get("answer")
    fields = None if given is None else JsonFields.of(given, "answer", found, path="answer")
    if fields is None or "missing" in fields.keys():  # noqa: SIM118  it is no dict
        return None
    rules = fields.raw("offline_rules")
    if not isinstance(rules, bool | None):
        found.error("answer.offline_rules", "must be true or false")
    return Answer(
        _optional(fields, "provider"),
        _optional(fields, "model"),
        _optional(fields, "prompt_digest"),
        offline_rules=rules is True,
    )


def _optional(fields: JsonFields, key: str) -> str:
    """A string that may be absent or null."""
    return "" if fields.raw(key) is None else fields.string(key) or ""


def _document(value: dict[str, Any], found: Findings) -> Document | None:
    native = {key: value[key] for key in _NATIVE if key in value}
    try:
        return parse_line(json.dumps(native, ensure_ascii=False))
    except DataInvalid as error:
        for violation in error.violations:
            found.error(violation.field, violation.problem)
        return None
