"""Answers of LLMs in JSON, as `slcolm guide` and `slcolm guidance parse` write them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from slcolm_services.cli.output import describe
from slcolm_services.corpus.documents import Triple
from slcolm_services.errors import SlcolmError
from slcolm_services.guidance.outcome import Outcome
from slcolm_services.guidance.parse import ParsedAnswer


def outcome_json(outcome: Outcome, text: str) -> dict[str, Any]:
    """An answer to `text`, with its places in the text and what it did; or an error."""
    if isinstance(outcome, SlcolmError):
        return describe(outcome)
    parsed = outcome.parsed
    return {
        "text": text,
        "entities": [
            {"type": entity.type, "start": entity.start, "end": entity.end}
            for entity in outcome.grounded.entities
        ],
        "relations": [
            {"type": relation.type, "head": relation.head, "tail": relation.tail}
            for relation in outcome.grounded.relations
        ],
        **parsed_json(parsed),
        "ungrounded": [_triple(triple) for triple in parsed.ungrounded],
        "dropped_entities": dict(parsed.dropped_entities),
        "revisions": [
            {"kind": revision.kind.value, **_triple(revision.triple)}
            | ({"previous_type": revision.previous_type} if revision.previous_type else {})
            for revision in outcome.revisions
        ],
        "explanation": parsed.explanation,
        "provider": outcome.provider.name,
        "model": outcome.model,
        "prompt_digest": outcome.prompt_digest,
        "offline_rules": outcome.provider.offline_rules,
        "usage": asdict(outcome.usage),
    }


def parsed_json(answer: ParsedAnswer) -> dict[str, Any]:
    """What an answer says, and what had to be repaired."""
    return {
        "triples": [_triple(triple) for triple in answer.triples],
        "usable": answer.usable,
        "dropped": dict(answer.dropped),
        "repairs": dict(answer.repairs),
        "unknown_types": dict(answer.unknown_types),
    }


def _triple(triple: Triple) -> dict[str, str]:
    return {"head": triple.head, "tail": triple.tail, "type": triple.type}
