"""What comes out for one item: an answer that was read, or an error."""

from __future__ import annotations

from dataclasses import dataclass

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import SlcolmError
from slcolm_services.guidance.grounding import Grounded, ground
from slcolm_services.guidance.parse import ParsedAnswer, parse_answer
from slcolm_services.guidance.providers.base import Completion, ProviderInfo
from slcolm_services.guidance.revisions import Revision, compare
from slcolm_services.guidance.usage import Usage

_CUT_OFF = "length"


@dataclass(frozen=True, slots=True)
class Guided:
    """An answer, read.

    Attributes:
        raw: The answer, as it came.
        parsed: What it says.
        grounded: Its entities and its triples as relations, at places of the text.
        revisions: What it did to the prediction; empty where it could not be read.
        provider: Who answered.
        model: Model name as the endpoint reported it.
        prompt_digest: SHA-256 over the provider and the messages.
        usage: What this answer cost now; all zero when it was in the ledger.
    """

    raw: str
    parsed: ParsedAnswer
    grounded: Grounded
    revisions: tuple[Revision, ...]
    provider: ProviderInfo
    model: str
    prompt_digest: str
    usage: Usage


Outcome = Guided | SlcolmError
"""What comes out for one item."""


def read_answer(
    completion: Completion,
    predicted: Document,
    schema: TaskSchema,
    provider: ProviderInfo,
    prompt_digest: str,
    *,
    entities_only: bool = False,
) -> Guided:
    """Read an answer, find it in the text and compare it with the prediction.

    Args:
        completion: The answer and what it cost.
        predicted: The text with what the SLM found.
        schema: The task.
        provider: Who answered.
        prompt_digest: SHA-256 over the request.
        entities_only: Whether no relations were asked for.
    """
    answer = completion.answer
    parsed = parse_answer(answer.text, predicted.text, schema, entities_only=entities_only)
    if answer.finish_reason == _CUT_OFF:
        parsed.repairs["cut_off"] += 1
    return Guided(
        raw=answer.text,
        parsed=parsed,
        grounded=ground(parsed.triples, parsed.entities, predicted, schema),
        revisions=compare(predicted.triples(), parsed.triples) if parsed.usable else (),
        provider=provider,
        model=answer.model,
        prompt_digest=prompt_digest,
        usage=completion.usage,
    )
