"""Merged triples as training data: what SLM and LLM together say of a text, with weights.

An annotation's probability is what training lets it count for. A triple has that of the policy's
confidence, where it has one; else the SLM's, calibrated, where the SLM stands alone; and counts in
full where the LLM says it, for then nothing else is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.evidence import SLM
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.placement import place


def silver_document(
    prediction: Document, merged: Sequence[MergedTriple], schema: TaskSchema
) -> Document:
    """A text annotated by both models.

    Args:
        prediction: What the SLM found.
        merged: The final triples.
        schema: Names the relation types.

    Returns:
        The SLM's entities and those that the triples need, and the final relations, each with its
        weight as `prob`; None counts in full.

    Raises:
        DataInvalid: A mention needs an entity type, and the schema has none.
    """
    weighted = [_weighted(item) for item in merged]
    return place(prediction, weighted, schema)


def corrected(merged: Sequence[MergedTriple]) -> int:
    """How many of the final triples the SLM does not have: those that the LLM brings."""
    return sum(SLM not in item.sources for item in merged)


def _weighted(item: MergedTriple) -> MergedTriple:
    """The triple with what it counts for; a calibrated SLM is no measure of what the LLM says."""
    alone = item.sources == (SLM,)
    confident = item.triple.prob is not None and item.triple.prob != item.slm_probability
    prob = item.triple.prob if alone or confident else None
    return replace(item, triple=replace(item.triple, prob=prob))
