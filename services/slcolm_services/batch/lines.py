"""Answers as lines of the output: native JSONL, or an error in its place."""

from __future__ import annotations

import json
from typing import Any

from slcolm_client import Extraction
from slcolm_services.batch.answers import Answer
from slcolm_services.batch.rows import RowError

_DIGITS = 6
"""Of a probability. The last bits of a float32 depend on which texts were read together."""


def format_answer(answer: Answer) -> str:
    """A line without its end."""
    row, found = answer.row, answer.found
    origin: dict[str, Any] = {"file": row.file, "row": row.number}
    if isinstance(found, RowError):
        error = {"code": found.code, "reason": found.reason, "message": found.message}
        return _dumps({"id": row.id, "error": error, "origin": origin})
    if found.windows:
        origin |= {"windows": len(found.windows), "unseen_pairs": found.unseen_pairs}
    return _dumps({"id": row.id, "text": row.text} | _annotations(found) | {"origin": origin})


def _annotations(found: Extraction) -> dict[str, Any]:
    places = {
        (entity.type, entity.start, entity.end): place
        for place, entity in enumerate(found.entities)
    }
    return {
        "entities": [
            {"type": entity.type, "start": entity.start, "end": entity.end}
            | _probability(entity.probability)
            for entity in found.entities
        ],
        "relations": [
            {
                "type": relation.type,
                "head": places[relation.head.type, relation.head.start, relation.head.end],
                "tail": places[relation.tail.type, relation.tail.start, relation.tail.end],
            }
            | _probability(relation.probability)
            for relation in found.relations
        ],
    }


def _probability(value: float | None) -> dict[str, float]:
    return {} if value is None else {"prob": round(value, _DIGITS)}


def _dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
