"""From a prediction and answers to it to the evidence that is merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from slcolm_services.corpus.documents import Document, Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.evidence import NO_MENTION, Evidence, Mention
from slcolm_services.evaluation.filters import filter_llm_triples
from slcolm_services.evaluation.policy import EntityFilter


def evidence_of_document(
    prediction: Document,
    answers: Mapping[str, Sequence[Triple]],
    schema: TaskSchema,
    entity_filter: EntityFilter,
) -> tuple[Evidence, Counter[str]]:
    """What is known of a text.

    Args:
        prediction: What the SLM found.
        answers: What each source that answered said, as it said it.
        schema: Names the relation types.
        entity_filter: Of the answers' triples.

    Returns:
        The evidence, and how many triples of the answers were dropped, by reason.
    """
    mentions: dict[str, Mention] = {}
    for index, entity in enumerate(prediction.entities):
        text = prediction.mention(index)
        mentions[text] = mentions.get(text, NO_MENTION).and_also(entity.type, entity.prob)
    filtered = {
        source: filter_llm_triples(prediction.text, mentions, triples, schema, entity_filter)
        for source, triples in answers.items()
    }
    evidence = Evidence(
        prediction.triples(),
        {source: found.triples for source, found in filtered.items()},
        mentions,
    )
    return evidence, sum((Counter(found.dropped) for found in filtered.values()), Counter[str]())
