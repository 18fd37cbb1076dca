"""Trigger words: n-grams whose presence in a text speaks for a relation type.

Mined from the training sentences. An n-gram supports a type when it stands outside every mention
and near a relation of that type: between its head and tail or a few tokens around them. It becomes
a trigger when that happens more often than chance allows, by the log-likelihood ratio of Dunning
(1993), "Accurate Methods for the Statistics of Surprise and Coincidence", section 4.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log
from typing import Any

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.retrieval.config import TriggerConfig
from slcolm_services.retrieval.terms import Token, ngrams, tokenize


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger word of a relation type.

    Attributes:
        text: The n-gram, folded as `terms.tokenize` folds.
        type: Relation type.
        probability: Share of the training sentences with the n-gram in which it stands near a
            relation of the type, smoothed towards the share of all sentences that hold the type.
        support: Training sentences in which it does.
    """

    text: str
    type: str
    probability: float
    support: int


class TriggerLexicon:
    """Trigger words of all relation types."""

    def __init__(self, triggers: Iterable[Trigger], *, max_length: int) -> None:
        self.triggers = tuple(triggers)
        self.max_length = max_length
        self._by_text: dict[str, list[Trigger]] = defaultdict(list)
        for trigger in self.triggers:
            self._by_text[trigger.text].append(trigger)

    def __len__(self) -> int:
        return len(self.triggers)

    def find(self, document: Document) -> dict[str, list[Trigger]]:
        """Triggers that stand in a text outside its entities, by type, most probable first."""
        found: dict[str, list[Trigger]] = defaultdict(list)
        terms = _context_terms(tokenize(document.text), document.entities, self.max_length)
        for text in {term for term, _, _ in terms}:
            for trigger in self._by_text.get(text, ()):
                found[trigger.type].append(trigger)
        for triggers in found.values():
            triggers.sort(key=lambda trigger: (-trigger.probability, trigger.text))
        return dict(found)

    def to_json(self) -> dict[str, Any]:
        """The lexicon in JSON types."""
        return {
            "max_length": self.max_length,
            "triggers": [
                [trigger.text, trigger.type, trigger.probability, trigger.support]
                for trigger in self.triggers
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TriggerLexicon:
        """Read what `to_json` wrote."""
        return cls((Trigger(*row) for row in data["triggers"]), max_length=data["max_length"])


def mine(documents: Iterable[Document], config: TriggerConfig) -> TriggerLexicon:
    """Mine the trigger words of every relation type from annotated sentences."""
    counts = _count(documents, config)
    triggers = []
    for (term, type_), joint in counts.joint.items():
        if joint < config.min_support:
            continue
        with_term, with_type = counts.term[term], counts.type[type_]
        base = with_type / counts.sentences
        if joint / with_term <= base:
            continue
        score = log_likelihood_ratio(joint, with_term, with_type, counts.sentences)
        if score < config.min_log_likelihood_ratio:
            continue
        weight = config.prior_weight
        triggers.append(Trigger(term, type_, (joint + weight * base) / (with_term + weight), joint))
    return TriggerLexicon(
        sorted(triggers, key=lambda trigger: (trigger.type, trigger.text)),
        max_length=config.max_length,
    )


def log_likelihood_ratio(joint: int, first: int, second: int, total: int) -> float:
    """Dunning's -2 ln(lambda) of a two by two table; 0 means independent.

    Args:
        joint: Sentences with both events.
        first: Sentences with the first event.
        second: Sentences with the second event.
        total: All sentences.
    """

    def entropy(*cells: int) -> float:
        return sum(cell * log(cell) for cell in cells if cell)

    table = (joint, first - joint, second - joint, total - first - second + joint)
    return 2.0 * (
        entropy(*table)
        - entropy(first, total - first)
        - entropy(second, total - second)
        + entropy(total)
    )


@dataclass(slots=True)
class _Counts:
    sentences: int
    term: Counter[str]
    type: Counter[str]
    joint: Counter[tuple[str, str]]


def _count(documents: Iterable[Document], config: TriggerConfig) -> _Counts:
    counts = _Counts(0, Counter(), Counter(), Counter())
    for document in documents:
        runs = tokenize(document.text)
        terms = list(_context_terms(runs, document.entities, config.max_length))
        near: dict[str, set[str]] = defaultdict(set)
        for relation in document.relations:
            start, end = _window(document, relation, runs, config.window_tokens)
            near[relation.type].update(
                term for term, first, last in terms if start <= first.start and last.end <= end
            )
        counts.sentences += 1
        counts.term.update({term for term, _, _ in terms})
        counts.type.update(near.keys())
        counts.joint.update((term, type_) for type_, found in near.items() for term in found)
    return counts


def _context_terms(
    runs: Iterable[Sequence[Token]], entities: Sequence[Entity], max_length: int
) -> Iterator[tuple[str, Token, Token]]:
    """N-grams that touch no entity, each with its first and last token."""
    for run in runs:
        for touched, piece in groupby(run, lambda token: _touches(token, entities)):
            if not touched:
                yield from ngrams(list(piece), max_length)


def _touches(token: Token, entities: Sequence[Entity]) -> bool:
    return any(token.start < entity.end and entity.start < token.end for entity in entities)


def _window(
    document: Document, relation: Relation, runs: Iterable[Sequence[Token]], width: int
) -> tuple[int, int]:
    """Characters from `width` tokens before the first mention to as many after the last."""
    head, tail = document.entities[relation.head], document.entities[relation.tail]
    start, end = min(head.start, tail.start), max(head.end, tail.end)
    before = [token.start for run in runs for token in run if token.end <= start][-width:]
    after = [token.end for run in runs for token in run if token.start >= end][:width]
    return min([start, *before]), max([end, *after])
