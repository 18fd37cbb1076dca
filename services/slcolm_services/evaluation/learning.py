"""What is learned from dev sentences before any policy is tried: K, calibration, confidence.

For every fifth of dev it is learned from the other four, so that no policy is tried on a sentence
that shaped it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.calibration import Calibration, fit_calibration
from slcolm_services.evaluation.candidates import BoolArray, Candidates, tabulate
from slcolm_services.evaluation.confidence import Confidence, fit_confidence
from slcolm_services.evaluation.evidence import Evidence
from slcolm_services.evaluation.policy import EntityFilter, Policy
from slcolm_services.evaluation.weak_types import weak_types
from slcolm_services.scoring.counts import IntArray
from slcolm_services.scoring.strict import Matcher, Sentence, count_strict

FOLDS = 5


@dataclass(frozen=True, slots=True)
class DevSentence:
    """A dev sentence with everything to learn from.

    Attributes:
        id: Name of the sentence.
        gold: The true triples.
        evidence: What SLM and LLMs predicted, after each filter of LLM triples that may be chosen.
            The SLM's part is the same in all.
    """

    id: str
    gold: tuple[Triple, ...]
    evidence: Mapping[EntityFilter, Evidence]

    @property
    def slm(self) -> tuple[Triple, ...]:
        """The SLM's triples."""
        return next(iter(self.evidence.values())).slm

    @property
    def sources(self) -> tuple[str, ...]:
        """Who answered."""
        return tuple(next(iter(self.evidence.values())).answers)


@dataclass(frozen=True, slots=True)
class Learned:
    """What some dev sentences teach.

    Attributes:
        weak_types: K.
        calibration: Of the SLM's probabilities.
        confidence: By filter; without those for which there was too little to learn from.
    """

    weak_types: frozenset[str]
    calibration: Calibration
    confidence: Mapping[EntityFilter, Confidence]

    def shape(self, policy: Policy) -> Policy:
        """The policy with these parts. The threshold of its confidence stays."""
        confidence = self.confidence.get(policy.entity_filter)
        if confidence is not None and policy.confidence is not None:
            confidence = replace(confidence, threshold=policy.confidence.threshold)
        return replace(
            policy,
            weak_types=self.weak_types,
            calibration=self.calibration,
            confidence=confidence,
        )


def learn(
    dev: Sequence[DevSentence], schema: TaskSchema, training_counts: Mapping[str, int]
) -> Learned:
    """Learn from all of the given sentences.

    Args:
        dev: Sentences; those without an LLM answer teach K and calibration only.
        schema: Names the relation types.
        training_counts: Training instances by relation type.

    Raises:
        InvalidInput: There is no sentence, an id stands twice, or a gold label is unknown.
    """
    gold = [Sentence(line.id, line.gold) for line in dev]
    counts = count_strict(gold, [Sentence(line.id, line.slm) for line in dev], schema)
    ours = tabulate([Evidence(line.slm) for line in dev], schema)
    calibration = fit_calibration(ours.slm_probability, rightness(ours, dev, schema), ours.sentence)
    return Learned(
        weak_types(counts.matrix, training_counts),
        calibration,
        _confidence(dev, schema, training_counts, calibration),
    )


def _confidence(
    dev: Sequence[DevSentence],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
    calibration: Calibration,
) -> dict[EntityFilter, Confidence]:
    answered = [line for line in dev if line.sources]
    sources = list(dict.fromkeys(source for line in answered for source in line.sources))
    found = {}
    for name in dev[0].evidence:
        candidates = tabulate([line.evidence[name] for line in answered], schema)
        right = rightness(candidates, answered, schema)
        confidence = fit_confidence(candidates, right, calibration, training_counts, sources)
        if confidence is not None:
            found[name] = confidence
    return found


def rightness(candidates: Candidates, dev: Sequence[DevSentence], schema: TaskSchema) -> BoolArray:
    """Whether gold has each candidate, by the strict protocol, shape (candidates,)."""
    matcher = Matcher(schema)
    true = [{matcher.item(triple) for triple in line.gold} - {None} for line in dev]
    return np.array(
        [
            matcher.item(triple) in true[sentence]
            for triple, sentence in zip(candidates.triples, candidates.sentence, strict=True)
        ],
        dtype=np.bool_,
    )


def fold_of(sentences: int, seed: int) -> IntArray:
    """The fold of each sentence: folds of equal size, drawn at random, shape (sentences,)."""
    folds = np.empty(sentences, dtype=np.int64)
    folds[np.random.default_rng(seed).permutation(sentences)] = np.arange(sentences) % FOLDS
    return folds


def learn_out_of_fold(
    dev: Sequence[DevSentence],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
    seed: int,
) -> list[Learned]:
    """For each fold of `fold_of`, what the sentences outside it teach."""
    folds = fold_of(len(dev), seed)
    return [
        learn(
            [line for line, place in zip(dev, folds, strict=True) if place != fold],
            schema,
            training_counts,
        )
        for fold in range(FOLDS)
    ]
