"""What becomes of an LLM's answers to raw text: one annotation of each, and a tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.tiers import Answer, combine, entity_key, tiers_of
from slcolm_services.errors import DataInvalid, SlcolmError
from slcolm_services.guidance.outcome import Outcome


@dataclass
class Tally:
    """What became of the answers.

    Attributes:
        kept: Annotations by tier.
        dropped: What answers say that could not be kept, by reason.
        repairs: What had to be repaired, by name.
        unusable: Answers in which nothing could be read.
        paid: Calls that were paid for now.
        failures: Texts without any answer, with the first error.
    """

    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    unusable: int = 0
    paid: int = 0
    failures: dict[str, SlcolmError] = field(default_factory=dict)


def combined_answer(
    document: Document,
    answers: Sequence[tuple[str, Outcome]],
    slm: Document | None,
    tally: Tally,
) -> Document | None:
    """What the answers to a text agree on; None, and counted, where none can be read."""
    errors = [outcome for _, outcome in answers if isinstance(outcome, SlcolmError)]
    usable = []
    for _, outcome in answers:
        if isinstance(outcome, SlcolmError):
            continue
        parsed = outcome.parsed
        tally.paid += outcome.usage.calls
        tally.unusable += not parsed.usable
        tally.repairs.update(parsed.repairs)
        for reason, count in (parsed.dropped + parsed.dropped_entities).items():
            tally.dropped[reason] += count
        if parsed.discontinuous:
            tally.dropped["discontinuous"] += len(parsed.discontinuous)
        if parsed.usable:
            grounded = outcome.grounded
            found = replace(document, entities=grounded.entities, relations=grounded.relations)
            usable.append(Answer(found, parsed.repaired))
    if not usable:
        unread = DataInvalid("no answer could be read")
        tally.failures[document.id] = errors[0] if errors else unread
        return None
    combined = combine(usable, slm)
    tally.dropped["minority"] += _minority(usable, combined)
    tally.kept.update(tiers_of(combined))
    return combined


def _minority(answers: Sequence[Answer], kept: Document) -> int:
    """How many different entities only a minority of the answers has."""
    said = {entity_key(entity) for answer in answers for entity in answer.document.entities}
    return len(said) - len(kept.entities)
