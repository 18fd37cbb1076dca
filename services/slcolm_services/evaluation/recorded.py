"""Recorded runs: every merge mode on the answers of one LLM, without asking it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.recordings import Recording, first_answers
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.filters import filter_llm_triples
from slcolm_services.evaluation.fit import DevSentence
from slcolm_services.evaluation.merge import MergedTriple, merge
from slcolm_services.evaluation.policy import EntityFilter, Mode, Policy
from slcolm_services.evaluation.weak_types import weak_types
from slcolm_services.scoring.strict import Sentence, StrictCounts, count_strict


def gold_of(recordings: Iterable[Recording]) -> list[Sentence]:
    """The true triples, each sentence once."""
    return [Sentence(line.id, line.gold_triples) for line in first_answers(recordings)]


def slm_of(recordings: Iterable[Recording]) -> list[Sentence]:
    """The SLM's triples, each sentence once."""
    return [Sentence(line.id, line.slm_triples) for line in first_answers(recordings)]


def weak_types_of(
    dev: Sequence[Recording], schema: TaskSchema, training_counts: Mapping[str, int]
) -> frozenset[str]:
    """K from the SLM's recorded predictions on dev."""
    counts = count_strict(gold_of(dev), slm_of(dev), schema)
    return weak_types(counts.matrix, training_counts)


def dev_sentences(
    recordings: Iterable[Recording], schema: TaskSchema, entity_filter: EntityFilter
) -> list[DevSentence]:
    """Recorded dev sentences to fit on, each once."""
    sentences = []
    for line in first_answers(recordings):
        triples = llm_triples(line, schema, entity_filter)
        answer = None if triples is None else {entity_filter: triples}
        sentences.append(DevSentence(line.id, line.gold_triples, line.slm_triples, answer))
    return sentences


def merge_recorded(line: Recording, schema: TaskSchema, policy: Policy) -> tuple[MergedTriple, ...]:
    """Merge one recorded sentence."""
    return merge(line.slm_triples, llm_triples(line, schema, policy.entity_filter), policy)


def llm_triples(
    line: Recording, schema: TaskSchema, entity_filter: EntityFilter
) -> tuple[Triple, ...] | None:
    """The answer's triples that can be true, or None where no answer was recorded."""
    answer = _answer(line)
    if answer is None:
        return None
    mentions = (entity.text for entity in line.slm_entities)
    return filter_llm_triples(line.text, mentions, answer, schema, entity_filter).triples


def _answer(line: Recording) -> tuple[Triple, ...] | None:
    if line.strict_llm_triples is not None or line.llm_relations is None:
        return line.strict_llm_triples
    return tuple(
        Triple(pair[0], pair[1], kind)
        for kind, pairs in line.llm_relations.items()
        for pair in (pairs if isinstance(pairs, list) else [])
        if isinstance(pair, list) and [type(mention) for mention in pair] == [str, str]
    )


def count_modes(
    recordings: Sequence[Recording],
    schema: TaskSchema,
    policy: Policy,
    modes: Iterable[Mode] = tuple(Mode),
) -> dict[Mode, StrictCounts]:
    """Count modes by the strict protocol, with the thresholds of `policy`."""
    lines = first_answers(recordings)
    gold = gold_of(lines)
    return {
        mode: count_strict(gold, _merged(lines, schema, policy.with_mode(mode)), schema)
        for mode in modes
    }


def _merged(lines: Iterable[Recording], schema: TaskSchema, policy: Policy) -> list[Sentence]:
    return [
        Sentence(line.id, tuple(merged.triple for merged in merge_recorded(line, schema, policy)))
        for line in lines
    ]
