"""What an epoch trains on: sentences of people, some with other names, and of models (silver)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from slcolm_services.corpus.documents import Document
from slcolm_services.training.examples import Example, Examples
from slcolm_services.training.replacement import MentionReplacer
from slcolm_services.training.schedules import Weights


class TrainingSet:
    """Draws the examples of each epoch.

    Args:
        gold: Sentences annotated by people.
        silver: Sentences annotated by models.
        replacement: Share of the mentions of gold sentences that are replaced.
        build: Puts documents on tokens.
        course: For each epoch the shares of both that are drawn, without replacement. Without it
            every epoch has all of `gold` and as many of `silver`, or all where there are fewer.
    """

    def __init__(
        self,
        gold: Sequence[Example],
        silver: Sequence[Example],
        *,
        replacement: float,
        build: Callable[[Sequence[Document]], Examples],
        course: Sequence[Weights] = (),
    ) -> None:
        self._gold = gold
        self._silver = silver
        self._replacer = MentionReplacer((example.document for example in gold), replacement)
        self._replacement = replacement
        self._build = build
        self._course = course

    def size(self, epoch: int) -> int:
        """Sentences of an epoch, counted from 0."""
        return sum(self._sizes(epoch))

    def draw(self, epoch: int, rng: np.random.Generator) -> list[Example]:
        """The examples of an epoch, `size(epoch)` of them."""
        silver_size, gold_size = self._sizes(epoch)
        silver = rng.permutation(len(self._silver))[:silver_size]
        gold: Sequence[Example] = self._gold
        if gold_size < len(gold):
            gold = [gold[index] for index in rng.permutation(len(gold))[:gold_size]]
        drawn = [self._varied(example, rng) for example in gold]
        return drawn + [self._silver[index] for index in silver]

    def _sizes(self, epoch: int) -> tuple[int, int]:
        """Silver and gold sentences of an epoch; at least one of the two is not 0."""
        if not self._course:
            return min(len(self._gold), len(self._silver)), len(self._gold)
        return blended_sizes(self._course[epoch], len(self._silver), len(self._gold))

    def _varied(self, example: Example, rng: np.random.Generator) -> Example:
        """The example with other mentions, where all of its annotation still has a place."""
        if not self._replacement:
            return example
        document = self._replacer.draw(example.document, rng)
        if document is example.document:
            return example
        built = self._build([document]).items
        whole = bool(built) and len(built[0].spans) == len(example.spans)
        return built[0] if whole and len(built[0].pairs) == len(example.pairs) else example


def blended_sizes(weights: Weights, distilled: int, original: int) -> tuple[int, int]:
    """How many of so many sentences an epoch draws: the shares of both, rounded.

    Where rounding leaves none at all, one is drawn of the set with the greater share that has any.
    """
    sizes = round(weights.distilled * distilled), round(weights.original * original)
    if any(sizes):
        return sizes
    if distilled and (not original or weights.distilled >= weights.original):
        return 1, 0
    return 0, 1
