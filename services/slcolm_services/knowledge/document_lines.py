"""Documents with their things and facts as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from slcolm_services.knowledge.things import Evidence, Fact, Place, Row, Thing


def format_document(
    name: str, rows: Sequence[Row], things: Sequence[Thing], facts: Sequence[Fact]
) -> str:
    """A line without its end; Chinese stays as it is."""
    value = {
        "id": name,
        "rows": [_row(row) for row in rows],
        "things": [
            {
                "type": thing.type,
                "name": thing.name,
                "mentions": [
                    {"row": place.row} | _span(place) | _probability(place.probability)
                    for place in thing.mentions
                ],
            }
            for thing in things
        ],
        "facts": [
            {"type": fact.type, "head": fact.head, "tail": fact.tail}
            | _probability(fact.probability)
            | {"evidence": [_evidence(item) for item in fact.evidence]}
            for fact in facts
        ],
    }
    return json.dumps(value, ensure_ascii=False)


def _row(row: Row) -> dict[str, str]:
    if row.document is None:
        return {"id": row.id, "error": row.error}
    return {"id": row.id, "text": row.document.text}


def _evidence(item: Evidence) -> dict[str, Any]:
    value: dict[str, Any] = {
        "row": item.head.row,
        "head": _span(item.head),
        "tail": _span(item.tail),
    }
    value |= _probability(item.probability)
    if item.lineage.sources:
        value["sources"] = list(item.lineage.sources)
    if item.lineage.rule:
        value["rule"] = item.lineage.rule
    return value


def _span(place: Place) -> dict[str, int]:
    return {"start": place.start, "end": place.end}


def _probability(value: float | None) -> dict[str, float]:
    return {} if value is None else {"prob": value}
