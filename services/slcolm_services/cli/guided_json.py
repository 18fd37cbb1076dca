"""Answers of LLMs in JSON, as `slcolm guide` and `slcolm guidance parse` write them.

What `slcolm guide` writes are recordings: see `slcolm_services.corpus.recordings`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from slcolm_services.cli.output import describe
from slcolm_services.corpus.documents import Document, Triple
from slcolm_services.errors import SlcolmError
from slcolm_services.guidance.outcome import Outcome
from slcolm_services.guidance.parse import ParsedAnswer


def recording_json(
    prediction: Document, sample: int, outcome: Outcome, gold: Document | None
) -> dict[str, Any]:
    """A recording of one answer, and beside it what was read in it and what it did.

    Args:
        prediction: What the SLM found in the text.
        sample: Which answer to the text, counted from 0.
        outcome: The answer, or why there is none: then `llm_raw` is null.
        gold: What is true of the text; None where that is not known.
    """
    return {
        "id": prediction.id,
        "text": prediction.text,
        "occurrence": sample,
        "llm_raw": None if isinstance(outcome, SlcolmError) else outcome.raw,
        "slm_entities": [
            {"text": prediction.mention(index), "type": entity.type} | _prob(entity.prob)
            for index, entity in enumerate(prediction.entities)
        ],
        "slm_triples": [_triple(triple) | _prob(triple.prob) for triple in prediction.triples()],
        **({} if gold is None else _gold_json(gold)),
        **_outcome_json(outcome),
    }


def _gold_json(gold: Document) -> dict[str, Any]:
    return {
        "gold_entities": [
            {"text": gold.mention(index), "type": entity.type}
            for index, entity in enumerate(gold.entities)
        ],
        "gold_triples": [_triple(triple) for triple in gold.triples()],
    }


def as_line(value: dict[str, Any]) -> str:
    """One line of JSON, Chinese as it is, that reads back as the very same value."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        # An endpoint's answer may hold half a surrogate pair, which UTF-8 has no bytes for.
        line = json.dumps(value)
    return line + "\n"


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, SlcolmError):
        return describe(outcome)
    parsed = outcome.parsed
    return {
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


def _prob(prob: float | None) -> dict[str, float]:
    return {} if prob is None else {"prob": prob}


def _triple(triple: Triple) -> dict[str, Any]:
    return {"head": triple.head, "tail": triple.tail, "type": triple.type}
