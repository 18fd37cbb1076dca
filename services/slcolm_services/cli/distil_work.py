"""What `slcolm distil loop` does with raw texts, and how it compares two models."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from slcolm_services.cli.guide_work import opened_guidance
from slcolm_services.cli.predictions import ModelScores, model_scores
from slcolm_services.cli.progress import progress_bar
from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid, SlcolmError
from slcolm_services.evaluation.documents import evidence_of_document
from slcolm_services.evaluation.evidence import LLM
from slcolm_services.evaluation.fit import fit
from slcolm_services.evaluation.learning import DevSentence
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import EntityFilter, Policy
from slcolm_services.evaluation.silver import corrected, silver_document
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.outcome import Outcome
from slcolm_services.guidance.usage import RunBudget
from slcolm_services.scoring.bootstrap import interval, micro_f1, resample

_FILTERS: tuple[EntityFilter, ...] = ("slm", "text")
"""Filters to choose from: a small model that finds few mentions must not stop the LLM."""
_RESAMPLES = 1000


@dataclass(frozen=True)
class Silver:
    """Raw texts as both models annotate them.

    Attributes:
        documents: The texts that have an entity.
        answered: Texts with a usable answer of the LLM.
        relations: Final relations.
        corrected: Those of them that the SLM does not have.
        policy: How they were merged.
    """

    documents: list[Document]
    answered: int
    relations: int
    corrected: int
    policy: Policy


async def ask(
    config: GuidanceConfig,
    items: Sequence[GuideItem],
    schema: TaskSchema,
    budget: RunBudget,
    timeout_seconds: float,
) -> list[Outcome]:
    """Have an LLM revise every item.

    Returns:
        An answer or an error for each, in order.

    Raises:
        SlcolmError: There is no answer at all: the first error.
    """
    async with opened_guidance(config) as guidance:
        with progress_bar("guiding", len(items)) as advance:
            outcomes = await guidance.guide(
                items,
                schema,
                timeout_seconds=timeout_seconds,
                # A name of its own: the budget is for what this command spends.
                run_id=f"loop-{secrets.token_hex(6)}",
                budget=budget,
                on_done=lambda: advance(1),
            )
    if all(isinstance(outcome, SlcolmError) for outcome in outcomes):
        raise next(outcome for outcome in outcomes if isinstance(outcome, SlcolmError))
    return outcomes


def _triples(outcome: Outcome) -> dict[str, tuple[Triple, ...]]:
    """The answer by its source; nothing where there is none that can be read."""
    if isinstance(outcome, SlcolmError) or not outcome.parsed.usable:
        return {}
    return {LLM: outcome.parsed.triples}


def _listed(outcome: Outcome) -> tuple[Entity, ...]:
    """The entities of an answer that lists any, and those that its triples need."""
    if isinstance(outcome, SlcolmError) or not outcome.parsed.entities:
        return ()
    return outcome.grounded.entities


def fitted_policy(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    answers: Sequence[Outcome],
    schema: TaskSchema,
    counts: Mapping[str, int],
) -> Policy:
    """Fit a merge policy on dev; texts without an answer count for the small model's part only."""
    dev = [
        DevSentence(
            true.id,
            true.triples(),
            {
                name: evidence_of_document(found, _triples(answer), schema, name)[0]
                for name in _FILTERS
            },
        )
        for true, found, answer in zip(gold, predicted, answers, strict=True)
    ]
    return fit(dev, schema, counts, entity_filters=_FILTERS).policy


def annotate_raw(
    predicted: Sequence[Document],
    answers: Sequence[Outcome],
    policy: Policy,
    schema: TaskSchema,
) -> Silver:
    """Merge what both models say of raw texts.

    Raises:
        DataInvalid: Nothing was found in any of them.
    """
    documents, answered, relations, from_llm = [], 0, 0, 0
    for document, answer in zip(predicted, answers, strict=True):
        said = _triples(answer)
        evidence, _ = evidence_of_document(document, said, schema, policy.entity_filter)
        merged = merge(evidence, policy, schema)
        answered += bool(said)
        relations += len(merged)
        from_llm += corrected(merged)
        silver = silver_document(document, merged, schema, _listed(answer))
        if silver.entities:
            documents.append(silver)
    if not documents:
        raise DataInvalid("nothing was found in any raw text")
    return Silver(documents, answered, relations, from_llm, policy)


def compare(
    gold: Sequence[Document],
    old: Sequence[Document],
    new: Sequence[Document],
    schema: TaskSchema,
    counts: Mapping[str, int],
) -> dict[str, Any]:
    """Figures of both models on dev, and how far their micro F1 of relations is apart."""
    figures: dict[str, ModelScores] = {}
    resampled = {}
    for name, found in (("old", old), ("new", new)):
        figures[name], scores = model_scores(gold, found, schema, counts)
        matrix = scores.relations_strict.matrix
        resampled[name] = micro_f1(resample(matrix, _RESAMPLES, 0))
    bounds = interval(np.asarray(resampled["new"] - resampled["old"]))
    return {name: found.as_dict() for name, found in figures.items()} | {
        "micro_difference": {
            "mean": figures["new"].micro - figures["old"].micro,
            **asdict(bounds),
        }
    }
