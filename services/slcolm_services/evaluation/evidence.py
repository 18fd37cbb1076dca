"""What is known of a sentence before it is merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slcolm_services.corpus.documents import Triple

SLM = "slm"
"""Source of the SLM's triples; no answer may have this name."""

LLM = "llm"
"""Source of the answer where one LLM answered once."""

_SAMPLE = "#"


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention that the SLM found, all its places in the text together.

    Attributes:
        types: The SLM's entity types for it, as the schema names them.
        prob: Highest probability of an entity with this text; None where the SLM gave none.
    """

    types: frozenset[str]
    prob: float | None = None

    def and_also(self, entity_type: str, prob: float | None) -> Mention:
        """The mention with one more entity."""
        known = [value for value in (self.prob, prob) if value is not None]
        return Mention(self.types | {entity_type}, max(known, default=None))


NO_MENTION = Mention(frozenset())


@dataclass(frozen=True, slots=True)
class Evidence:
    """The triples of one sentence by who predicted them.

    Attributes:
        slm: The SLM's triples with their probabilities. Of equal ones the most probable counts.
        answers: The LLMs' triples after filtering, by source. A source that did not answer is not
            named; one that answered with nothing is. Empty: there is no answer at all.
        mentions: What the SLM found, by the text of the mention.
    """

    slm: tuple[Triple, ...]
    answers: Mapping[str, tuple[Triple, ...]] = field(default_factory=dict)
    mentions: Mapping[str, Mention] = field(default_factory=dict)


def voter(source: str) -> str:
    """Who speaks: samples of one model, `model#1` and `model#2`, are one voter."""
    return source.partition(_SAMPLE)[0]


def sample_of(source: str, number: int) -> str:
    """Name of the `number`th sample of a source, counted from 1."""
    return f"{source}{_SAMPLE}{number}"
