"""Recorded answers of one LLM or several: what is known of each sentence, without asking again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.recordings import Recording, first_answers
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.evaluation.evidence import LLM, NO_MENTION, Evidence, Mention, sample_of
from slcolm_services.evaluation.filters import filter_llm_triples
from slcolm_services.evaluation.learning import DevSentence
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import PLAIN_MODES, EntityFilter, Mode, Policy
from slcolm_services.evaluation.weak_types import weak_types
from slcolm_services.scoring.strict import Sentence, StrictCounts, count_strict


@dataclass(frozen=True, slots=True)
class RecordedSentence:
    """A sentence with every recorded answer that counts.

    Attributes:
        id: Name of the sentence.
        text: The sentence.
        gold: The true triples; None where the recordings do not say.
        answers: Lines by source, in order. What the SLM said is the same in all.
    """

    id: str
    text: str
    gold: tuple[Triple, ...] | None
    answers: Mapping[str, Recording]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Files of recordings as they were understood.

    Attributes:
        sentences: Each sentence once, in order of appearance.
        sources: Who answered: `llm`, or `llm-1`, `llm-2`, ... by file; `llm#1`, `llm#2`, ... where
            repeated lines are samples.
        reading: In words, how the files were understood: whose answers they hold.
    """

    sentences: tuple[RecordedSentence, ...]
    sources: tuple[str, ...]
    reading: str


def understand(
    files: Mapping[str, Sequence[Recording]], *, repeats_are_samples: bool = False
) -> Recorded:
    """Put files of recordings together.

    Files that have no sentence in common are one LLM's answers in parts. If any two have a sentence
    in common, every file is an LLM of its own.

    Args:
        files: Lines by name of the file, in order.
        repeats_are_samples: Whether several lines of one sentence in one LLM's files are samples of
            it; else the first stands.

    Raises:
        DataInvalid: Two lines of one sentence differ in its text, in what the SLM said or in what
            is true; or some lines say what is true and others do not.
    """
    check_gold(files)
    ids = [{line.id for line in lines} for lines in files.values()]
    several = sum(map(len, ids)) > len(set[str]().union(*ids))
    sentences: dict[str, dict[str, Recording]] = {}
    for number, (name, lines) in enumerate(files.items(), start=1):
        source = f"{LLM}-{number}" if several else LLM
        seen: Counter[str] = Counter()
        for line in lines:
            seen[line.id] += 1
            answers = sentences.setdefault(line.id, {})
            _check_same_sentence(line, answers, name)
            if repeats_are_samples:
                answers[sample_of(source, seen[line.id])] = line
            else:
                answers.setdefault(source, line)
    sources = sorted({source for answers in sentences.values() for source in answers})
    what = f"{len(files)} LLMs" if several else "one LLM"
    if len(files) > 1:
        what += " over the same sentences" if several else f" in {len(files)} parts"
    if repeats_are_samples:
        what += ", repeated lines are samples"
    return Recorded(
        tuple(_sentence(name, answers) for name, answers in sentences.items()),
        tuple(sources),
        what,
    )


def check_gold(files: Mapping[str, Sequence[Recording]]) -> None:
    """Check that all lines say what is true, or none does: gold that is missing is not empty gold.

    Args:
        files: Lines by name of the file.

    Raises:
        DataInvalid: The first line without `gold_triples` among others with them.
    """
    lines = [(name, line) for name, recordings in files.items() for line in recordings]
    silent = [(name, line) for name, line in lines if line.gold_triples is None]
    if silent and len(silent) < len(lines):
        name, line = silent[0]
        raise DataInvalid(
            f"{len(lines) - len(silent)} of {len(lines)} recordings have gold_triples; either all"
            " have them or none",
            violations=[FieldViolation(f"{name}: line {line.line}: gold_triples", "is missing")],
        )


def _sentence(name: str, answers: Mapping[str, Recording]) -> RecordedSentence:
    first = next(iter(answers.values()))
    return RecordedSentence(name, first.text, first.gold_triples, answers)


def _check_same_sentence(line: Recording, answers: Mapping[str, Recording], name: str) -> None:
    for other in answers.values():
        for field, differs in (
            ("text", line.text != other.text),
            ("slm_triples", set(line.slm_triples) != set(other.slm_triples)),
            ("gold_triples", set(line.gold_triples or ()) != set(other.gold_triples or ())),
        ):
            if differs:
                raise DataInvalid(
                    f"recordings of sentence {line.id!r} do not belong together",
                    violations=[FieldViolation(f"{name}: {field}", "differs from an earlier line")],
                )


def dev_sentences(
    sentences: Iterable[RecordedSentence],
    schema: TaskSchema,
    entity_filters: Sequence[EntityFilter],
) -> list[DevSentence]:
    """Recorded dev sentences to fit on."""
    return [
        DevSentence(
            line.id,
            line.gold or (),
            {name: evidence_of(line.answers, schema, name) for name in entity_filters},
        )
        for line in sentences
    ]


def gold_of(recordings: Iterable[Recording]) -> list[Sentence]:
    """The true triples, each sentence once."""
    return [Sentence(line.id, line.gold_triples or ()) for line in first_answers(recordings)]


def slm_of(recordings: Iterable[Recording]) -> list[Sentence]:
    """The SLM's triples, each sentence once."""
    return [Sentence(line.id, line.slm_triples) for line in first_answers(recordings)]


def weak_types_of(
    dev: Sequence[Recording], schema: TaskSchema, training_counts: Mapping[str, int]
) -> frozenset[str]:
    """K from the SLM's recorded predictions on dev."""
    counts = count_strict(gold_of(dev), slm_of(dev), schema)
    return weak_types(counts.matrix, training_counts)


def evidence_of(
    answers: Mapping[str, Recording], schema: TaskSchema, entity_filter: EntityFilter
) -> Evidence:
    """What is known of a sentence.

    Args:
        answers: Recorded answers to one sentence by source, at least one. What the SLM said is
            taken from the first. A line without an answer is no answer.
        schema: Names the relation types.
        entity_filter: Filter of LLM triples.
    """
    first = next(iter(answers.values()))
    mentions: dict[str, Mention] = {}
    for entity in first.slm_entities:
        kind = schema.entities_by_name.get(entity.type) or schema.entities_by_label.get(entity.type)
        if kind is not None:
            known = mentions.get(entity.text, NO_MENTION)
            mentions[entity.text] = known.and_also(kind.name, entity.prob)
    found = {source: llm_triples(line, schema, entity_filter) for source, line in answers.items()}
    return Evidence(
        first.slm_triples,
        {source: triples for source, triples in found.items() if triples is not None},
        mentions,
    )


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
    modes: Iterable[Mode] = PLAIN_MODES,
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
        Sentence(
            line.id,
            tuple(
                merged.triple
                for merged in merge(
                    evidence_of({LLM: line}, schema, policy.entity_filter), policy, schema
                )
            ),
        )
        for line in lines
    ]
