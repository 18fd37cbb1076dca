"""Which of the LLM's triples can be true of the text at all.

A triple needs a relation type of the schema and two different mentions that stand in the text.
With the `slm` filter both must be among the SLM's entities: an LLM may name a relation that the
SLM missed, but rarely finds the right boundaries of a mention that it missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.labels import normalise_label
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.script import find_mention, fold
from slcolm_services.evaluation.policy import EntityFilter

Reason = Literal["off_schema", "not_in_text", "not_an_slm_entity", "same_mention", "repeated"]


@dataclass(frozen=True, slots=True)
class Filtered:
    """What is left of an LLM's triples.

    Attributes:
        triples: Those that can be true, each once, in the characters of the text.
        dropped: The others, by reason. A reason that did not occur is not named.
    """

    triples: tuple[Triple, ...]
    dropped: dict[str, int]


def filter_llm_triples(
    text: str,
    slm_mentions: Iterable[str],
    triples: Iterable[Triple],
    schema: TaskSchema,
    entity_filter: EntityFilter = "slm",
) -> Filtered:
    """Keep the triples that can be true of `text`.

    A mention in another script (traditional for simplified, a variant character) is found and
    replaced by what the text has.

    Args:
        text: The sentence.
        slm_mentions: Texts of the SLM's entities.
        triples: What the LLM said.
        schema: Names the relation types.
        entity_filter: `slm`: mentions must be among `slm_mentions`; `text`: in the text.
    """
    mentions = _Mentions(text, slm_mentions, entity_filter)
    dropped: Counter[str] = Counter()
    kept: dict[Triple, None] = {}
    for triple in triples:
        outcome = _checked(triple, mentions, schema)
        if not isinstance(outcome, Triple):
            dropped[outcome] += 1
        elif outcome in kept:
            dropped["repeated"] += 1
        else:
            kept[outcome] = None
    return Filtered(tuple(kept), dict(dropped))


def _checked(triple: Triple, mentions: _Mentions, schema: TaskSchema) -> Triple | Reason:
    name = normalise_label(triple.type, schema)
    if name is None:
        return "off_schema"
    if not (mentions.is_in_text(triple.head) and mentions.is_in_text(triple.tail)):
        return "not_in_text"
    head, tail = mentions.resolve(triple.head), mentions.resolve(triple.tail)
    if head is None or tail is None:
        return "not_an_slm_entity"
    return "same_mention" if head == tail else Triple(head, tail, name)


class _Mentions:
    """Finds what a text has for a mention."""

    def __init__(self, text: str, slm_mentions: Iterable[str], entity_filter: EntityFilter) -> None:
        self._text = text
        self._entity_filter = entity_filter
        self._exact = set(slm_mentions)
        self._by_folded = {fold(mention): mention for mention in sorted(self._exact)}

    def is_in_text(self, mention: str) -> bool:
        return bool(find_mention(self._text, mention))

    def resolve(self, mention: str) -> str | None:
        """The mention as the SLM's entities have it, else, if allowed, as the text has it."""
        if mention in self._exact:
            return mention
        known = self._by_folded.get(fold(mention))
        if known is not None or self._entity_filter == "slm":
            return known
        start, end = find_mention(self._text, mention)[0]
        return self._text[start:end]
