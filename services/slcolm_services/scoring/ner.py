"""Entities by the four schemes of SemEval 2013 task 9.1, as the nervaluate package counts them.

Exact match says little about why an entity is wrong. Here every predicted entity that overlaps a
true one is paired with it, and a scheme says what the pair is worth:

    scheme   right                        else
    strict   same span, same type         incorrect
    exact    same span                    incorrect
    partial  same span                    partial: half right
    type     overlap, same type           incorrect

A predicted entity without a pair is spurious, a true one is missed. (Segura-Bedmar et al. 2013,
section 4; Chinchor and Sundheim 1993 for the categories.)

nervaluate pairs greedily, in the order in which entities are given, and a true entity takes one
partner. Where predictions overlap each other, one that is wrong may so take the true entity that
the next one matches exactly, and `strict` finds less than exact match does. Hence entities are
given in an order of our own: those that match span and type first, then those that match the span,
then the rest from left to right. `strict` is then exact match for nested entities too, and the
figures do not depend on the order in a file. How the rest is paired stays greedy.

Two more things that nervaluate does, and that matter little: its spans include their end, and an
overlap of less than one percent of the true mention is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nervaluate import Evaluator

from slcolm_services.corpus.documents import Document
from slcolm_services.scoring.align import by_gold_id
from slcolm_services.scoring.counts import Prf

_Span = tuple[int, int, str]
"""Start, end (half-open, code points) and type."""


@dataclass(frozen=True, slots=True)
class NerCounts:
    """Entities of all sentences by what became of them in one scheme.

    Attributes:
        correct: Pairs that are right.
        incorrect: Pairs that are wrong.
        partial: Pairs that are half right; in scheme `partial` only.
        missed: True entities without a pair.
        spurious: Predicted entities without a pair.
    """

    correct: int = 0
    incorrect: int = 0
    partial: int = 0
    missed: int = 0
    spurious: int = 0

    def prf(self) -> Prf:
        """Precision, recall and F1; a partial pair is half right."""
        pairs = self.correct + self.incorrect + self.partial
        right = self.correct + 0.5 * self.partial
        predicted, gold = pairs + self.spurious, pairs + self.missed
        return Prf(
            precision=right / predicted if predicted else 0.0,
            recall=right / gold if gold else 0.0,
            f1=2 * right / (predicted + gold) if predicted + gold else 0.0,
        )


@dataclass(frozen=True, slots=True)
class NerScores:
    """Counts by scheme."""

    strict: NerCounts
    exact: NerCounts
    partial: NerCounts
    type: NerCounts

    def by_scheme(self) -> dict[str, NerCounts]:
        """Counts by the name of the scheme, the hardest first."""
        return {
            "strict": self.strict,
            "exact": self.exact,
            "partial": self.partial,
            "type": self.type,
        }


def score_ner(gold: Sequence[Document], predicted: Iterable[Document]) -> NerScores:
    """Score entities with offsets.

    Args:
        gold: True annotations, each id once.
        predicted: Predictions, matched by id. A sentence without one has predicted nothing.

    Returns:
        Counts over all sentences and types. A repeated entity counts once.

    Raises:
        InvalidInput: A gold id stands twice, or a prediction belongs to no gold sentence.
    """
    true = [_spans(document) for document in gold]
    found = [_spans(document) if document else set() for document in by_gold_id(gold, predicted)]
    overall = Evaluator(
        [_as_given(sorted(spans)) for spans in true],
        [_as_given(_best_first(spans, truth)) for spans, truth in zip(found, true, strict=True)],
        tags=sorted({kind for spans in (*true, *found) for _, _, kind in spans}),
        loader="dict",
    ).evaluate()["overall"]
    counts = {
        scheme: NerCounts(
            result.correct, result.incorrect, result.partial, result.missed, result.spurious
        )
        for scheme, result in overall.items()
    }
    none = NerCounts()
    return NerScores(
        strict=counts.get("strict", none),
        exact=counts.get("exact", none),
        partial=counts.get("partial", none),
        type=counts.get("ent_type", none),
    )


def _spans(document: Document) -> set[_Span]:
    return {(entity.start, entity.end, entity.type) for entity in document.entities}


def _best_first(spans: set[_Span], true: set[_Span]) -> list[_Span]:
    """Right ones, then those with the bounds of a true one that is left, then the others."""
    free = Counter((start, end) for start, end, _ in true - spans)
    same_bounds, others = [], []
    for span in sorted(spans - true):
        if free[span[:2]]:
            free[span[:2]] -= 1
            same_bounds.append(span)
        else:
            others.append(span)
    return [*sorted(spans & true), *same_bounds, *others]


def _as_given(spans: Iterable[_Span]) -> list[dict[str, object]]:
    return [{"label": kind, "start": start, "end": end - 1} for start, end, kind in spans]
