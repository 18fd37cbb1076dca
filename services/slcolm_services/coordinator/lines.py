"""`merged.jsonl`: what became of every test sentence, a line each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.asking import Answers
from slcolm_services.coordinator.outcomes import has_answer


def merged_lines(
    documents: Sequence[common_pb2.Document],
    predictions: Sequence[extraction_pb2.ExtractResult],
    merged: Sequence[evaluation_pb2.MergeResult],
    answers: Mapping[str, Answers],
) -> bytes:
    """`merged.jsonl`: native JSONL with triples, their lineage, revisions and the explanation.

    Every document has a line, in the order of the data set. One that failed says why, in `error`.
    Of several answers the first that could be read is told as `answer`, with its revisions; all of
    them stand under `answers`, by source.
    """
    results = {result.id: result for result in merged}
    every: list[extraction_pb2.ExtractResult | evaluation_pb2.MergeResult] = [*predictions, *merged]
    failures = {
        result.id: result.error.message
        for result in every
        if result.WhichOneof("outcome") == "error"
    }
    lines = [
        _merged_line(document, results.get(document.id), answers.get(document.id, {}), failures)
        for document in documents
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _merged_line(
    document: common_pb2.Document,
    result: evaluation_pb2.MergeResult | None,
    answers: Answers,
    failures: Mapping[str, str],
) -> dict[str, Any]:
    line: dict[str, Any] = {"id": document.id, "text": document.text}
    if document.id in failures or result is None:
        error = failures.get(document.id, "no result")
        return line | {"entities": [], "relations": [], "triples": [], "error": error}
    line["entities"] = [
        _without_none(type=e.type, start=e.start, end=e.end, prob=_probability(e))
        for e in result.merged.document.entities
    ]
    line["relations"] = [
        _without_none(type=r.type, head=r.head, tail=r.tail, prob=_probability(r))
        for r in result.merged.document.relations
    ]
    line["triples"] = [
        _without_none(
            head=item.triple.head,
            tail=item.triple.tail,
            type=item.triple.type,
            prob=_probability(item.triple),
            sources=list(item.sources),
            rule=item.rule,
        )
        for item in result.merged.triples
    ]
    answer = next(filter(has_answer, answers.values()), next(iter(answers.values()), None))
    if answer is not None:
        line |= _answer(answer)
    if len(answers) > 1:
        line["answers"] = {source: _triples(one) for source, one in answers.items()}
    return line


def _answer(answer: guidance_pb2.GuideResult) -> dict[str, Any]:
    if not has_answer(answer):
        return {"answer": _missing(answer)}
    return {
        "revisions": [
            _without_none(
                kind=_revision_name(revision.kind),
                head=revision.triple.head,
                tail=revision.triple.tail,
                type=revision.triple.type,
                previous_type=revision.previous_type or None,
            )
            for revision in answer.guided.revisions
        ],
        "explanation": answer.guided.explanation,
        "answer": _origin(answer.guided.origin),
    }


def _triples(answer: guidance_pb2.GuideResult) -> dict[str, Any]:
    if not has_answer(answer):
        return _missing(answer)
    triples = [
        {"head": triple.head, "tail": triple.tail, "type": triple.type}
        for triple in answer.guided.triples
    ]
    return {"triples": triples, **_origin(answer.guided.origin)}


def _missing(answer: guidance_pb2.GuideResult) -> dict[str, Any]:
    return {"missing": answer.error.message or "the answer could not be read"}


def _revision_name(kind: guidance_pb2.RevisionKind) -> str:
    return guidance_pb2.RevisionKind.Name(kind).removeprefix("REVISION_KIND_").lower()


def _origin(origin: guidance_pb2.AnswerOrigin) -> dict[str, Any]:
    return {
        "provider": origin.provider,
        "model": origin.model,
        "prompt_digest": origin.prompt_digest,
        "offline_rules": origin.offline_rules,
        "replayed": origin.replayed,
    }


def _probability(
    message: common_pb2.Entity | common_pb2.Relation | common_pb2.Triple,
) -> float | None:
    return round(message.probability, 4) if message.HasField("probability") else None


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
